"""A cut of a video that lost its end, or whose frames are damaged, is refused with the frames, and leaves no file."""

import re
import shutil
from dataclasses import replace
from pathlib import Path

import av
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.media import cuts
from ballspot.extract.media.cuts import audio_note, plan_cut, write_cut
from ballspot.extract.video.probe import DecodingError, VideoProbe, probe_video

from ..barcoded import corrupted
from .test_cuts import with_sound


@pytest.fixture
def cut_short(faststart: Path, tmp_path: Path) -> VideoProbe:
    """The probe of a whole video whose file was cut to 60 % since, between two packets."""
    path = tmp_path / "a.mp4"
    shutil.copy(faststart, path)
    probe = probe_video(path)
    with av.open(str(path)) as container:
        ends = [
            packet.pos + packet.size for packet in container.demux(video=0) if packet.size and packet.pos is not None
        ]
    path.write_bytes(path.read_bytes()[: ends[len(ends) * 6 // 10]])
    return probe


def refused(probe: VideoProbe, spot: int, how: str, folder: Path) -> str:
    """What the cut of two seconds from the spot on is refused with."""
    cut = plan_cut(probe, spot, before_s=0.0, after_s=2.0, how=how)
    with pytest.raises(DecodingError) as caught:
        write_cut(probe, cut, folder / "out.mp4", how=how, with_audio=False)
    assert not (folder / "out.mp4").exists() and not list(folder.glob("*.tmp"))
    return str(caught.value)


def test_packets_that_are_not_there_any_more_are_told_with_their_frames(cut_short: VideoProbe, tmp_path: Path) -> None:
    said = refused(cut_short, 130, "keyframe", tmp_path)
    assert said.startswith(f"{cut_short.path}: packets of frames 120 to 181 are missing; ")
    said = refused(cut_short, 130, "exact", tmp_path)
    assert re.fullmatch(rf"{cut_short.path}: decoding ended at frame 1[45]\d of 181; .*", said), said


def test_a_damaged_frame_is_not_cut_out_as_if_it_were_whole(tmp_path: Path) -> None:
    probe = probe_video(corrupted(tmp_path / "a.mp4", n_bytes=40))
    with pytest.raises(DecodingError, match=rf"^{probe.path}: frame \d+ (is damaged or missing|cannot be decoded)"):
        for spot in range(0, 250, 40):
            cut = plan_cut(probe, spot, before_s=0.0, after_s=2.0, how="exact")
            write_cut(probe, cut, tmp_path / "out.mp4", how="exact", with_audio=False)


def test_a_copy_that_ffmpeg_refuses_names_the_frames_and_the_other_way(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*given: object) -> None:
        raise ValueError("codec frame size is not set")

    monkeypatch.setattr(cuts, "_copied", refusing)
    monkeypatch.setattr(cuts, "_encoded", refusing)
    probe = probe_video(video)
    assert ": frames 96 to 151: codec frame size is not set; " in (said := refused(probe, 100, "keyframe", tmp_path))
    assert said.endswith(" or give --cut exact")
    assert "--cut exact" not in refused(probe, 100, "exact", tmp_path)


def test_sound_goes_along_only_where_its_time_is_known(video: Path, tmp_path: Path) -> None:
    probe = probe_video(with_sound(tmp_path / "a.mp4", video, "aac"))
    assert audio_note(probe, "exact") is None
    assert audio_note(replace(probe, pts=None), "exact") == "a video without time stamps: its sound is left out"
    assert (
        audio_note(replace(probe, n_resets=1), "exact")
        == "its clock begins anew within the file: its sound is left out"
    )
    cut = replace(plan_cut(probe, 100, before_s=0.5, after_s=0.5, how="exact"))
    write_cut(replace(probe, pts=None), cut, tmp_path / "b.mp4", how="exact", with_audio=True)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert not container.streams.audio
    with pytest.raises(BallspotError, match="cannot be cut by copying; give --cut exact"):
        write_cut(replace(probe, pts=None), cut, tmp_path / "c.mp4", how="keyframe", with_audio=True)
