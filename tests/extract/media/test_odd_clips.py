"""Clips and pictures of videos that players turn, or whose frames are not shown at a constant rate."""

from pathlib import Path

import pytest

from ballspot.evaluate.dataset.labels import Spot
from ballspot.extract.media.cuts import container_of, plan_cut, write_cut
from ballspot.extract.media.sheet import read_pictures
from ballspot.extract.video.probe import probe_video

from ..barcoded import read_number
from ..world_videos import make
from .test_cuts import CUTS, shown

# The kind, a label's position, and the number in the picture that players show then.
LABELS = (
    ("25 fps", 1000, 25),
    ("a gap", 3000, 29),  # within the gap: the last picture before it
    ("a gap", 5300, 32),
    ("a trimmed tail", 2400, 58),
    ("pictures late in Matroska", 1000, 15),
    ("pictures late in Matroska", 100, 0),
    ("sound from the start, pictures 0.4 s late", 1000, 15),
    ("turned by 90 degrees", 1000, 25),
    ("mirrored", 1000, 25),
    ("packed B-frames in AVI", 1000, 24),
    ("MPEG-TS tuned in to", 1000, 34),
)


@pytest.mark.parametrize(("kind", "position_ms", "number"), LABELS)
def test_clips_and_sheets_show_what_players_show_at_a_labels_time(
    tmp_path: Path, kind: str, position_ms: int, number: int
) -> None:
    probe = probe_video(make(tmp_path, kind))
    frame = probe.axis.frame_of(position_ms)
    pictures = read_pictures({"m": probe}, [("m", Spot("PASS", position_ms))])
    assert read_number(pictures["m", frame]) == number
    cut = plan_cut(probe, frame, before_s=0, after_s=0.2, how="exact")
    write_cut(probe, cut, tmp_path / "cut.mp4", how="exact", with_audio=False)
    assert shown(tmp_path / "cut.mp4")[0] == number


@pytest.mark.parametrize("how", CUTS)
@pytest.mark.parametrize("kind", ["turned by 90 degrees", "turned by 180 degrees", "mirrored"])
def test_a_clip_of_turned_pictures_is_shown_upright(tmp_path: Path, kind: str, how: str) -> None:
    probe = probe_video(make(tmp_path, kind))
    cut = plan_cut(probe, 30, before_s=0.2, after_s=0.2, how=how)
    path = tmp_path / f"cut.{'mp4' if container_of(probe, how) == 'mp4' else 'mkv'}"
    write_cut(probe, cut, path, how=how, with_audio=False)
    clip = probe_video(path)  # by the rotation that a copy keeps, and that an exact cut needs no more
    assert (clip.turn == "") == (how == "exact")
    assert (clip.height, clip.width) == (64, 96)
    pictures = read_pictures({"m": clip}, [("m", Spot("PASS", 0))])
    assert read_number(pictures["m", 0]) == cut.start
