"""Files and paths as people have them: what is read all the same, and what is told in one line of what is not."""

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.container.kinds import what_else
from ballspot.extract.container.orientation import TURNS, turned
from ballspot.extract.video.probe import DecodingError, probe_video
from ballspot.extract.video.sources import open_source

from ..barcoded import read_number
from ..world_videos import How, copied, make, two_recordings, write


def numbers(path: Path, decoder: str = "pyav") -> list[int | None]:
    probe = probe_video(path)
    with open_source(probe, decoder) as source:
        return [read_number(picture) for picture in source.frames(0, probe.n_frames)]


@pytest.mark.parametrize("name", ["20:45:00.mp4", "file:a.mp4", "http:.mp4", "concat:a|b.mp4", "a%03d.mp4", "-.mp4"])
@pytest.mark.parametrize("decoder", ["pyav", "decord"])
def test_a_path_is_a_path(
    tmp_path: Path, video: Path, monkeypatch: pytest.MonkeyPatch, name: str, decoder: str
) -> None:
    shutil.copy(video, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert numbers(Path(name), decoder) == list(range(250))


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.mp4", b"x")


BOX = (24).to_bytes(4, "big") + b"ftypisom" + bytes(12)
NO_VIDEO = {
    "Git LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer"),
    "web page": (b"\n<!DOCTYPE html><html><body>Sign in</body></html>", "a web page, not a video"),
    "zip": (zipped, "a zip archive, not a video; unpack it"),
    "no index": (BOX + (5000).to_bytes(4, "big") + b"mdat" + bytes(3000), "an MP4 without its index"),
    "zeros": (bytes(5000), "begins with zeros"),
    "JSON": (b'{"error": "not found"}', "a JSON document, not a video"),
    "XML": (b"<?xml version='1.0'?><Error>AccessDenied</Error>", "an XML document, not a video"),
    "playlist": (b"#EXTM3U\n#EXT-X-VERSION:3\n", "a playlist, not a video"),
    "text": (b"just some text\n" * 50, "text, not a video"),
    "noise": (bytes(range(255, 0, -1)) * 20, "cannot be read as a video"),
}


@pytest.mark.parametrize("kind", NO_VIDEO)
def test_what_is_no_video_is_told_as_what_it_is(tmp_path: Path, kind: str) -> None:
    content, message = NO_VIDEO[kind]
    path = tmp_path / "224p.mp4"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        content(path)
    with pytest.raises(BallspotError) as caught:
        probe_video(path)
    assert str(caught.value).startswith(f"{path}: {message}") and "\n" not in str(caught.value)


def test_a_video_that_has_its_index_is_not_said_to_lack_it(video: Path) -> None:
    assert what_else(video, "a reason") == "cannot be read as a video (a reason); copy or download it again"


def test_two_recordings_in_one_file_follow_one_another(tmp_path: Path) -> None:
    probe = probe_video(two_recordings(tmp_path / "a.ts"))
    assert (probe.n_frames, probe.n_resets, probe.fps) == (60, 1, 25)
    assert numbers(tmp_path / "a.ts") == [*range(30), *range(30)]
    times = probe.axis.frame_times_us(np.arange(60))
    assert np.array_equal(np.diff(times), np.full(59, 40_000))
    with open_source(probe, "pyav") as source:  # from within the second recording, too
        assert [read_number(picture) for picture in source.frames(41, 44)] == [11, 12, 13]
    with pytest.raises(DecodingError, match="decord"):
        open_source(probe, "decord")


def test_a_recording_without_a_key_frame_before_its_middle_begins_there(tmp_path: Path) -> None:
    source = write(tmp_path / "whole.mkv", How(bf=2))
    probe = probe_video(copied(source, tmp_path / "a.mkv", lambda number, packet: number >= 5))
    assert probe.n_undecodable == 60 - probe.n_frames - 5
    shown = numbers(tmp_path / "a.mkv")
    assert shown == list(range(12, 60))
    # Matroska's clock begins with the first packet that is there: frame 12 is not at 0.
    assert probe.axis.frame_times_us(np.array([0]))[0] > 0


@pytest.mark.parametrize("turn", [turn for turn in TURNS.values() if turn])
def test_pictures_are_turned_as_their_name_says(turn: str) -> None:
    picture = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    shown = turned(picture, turn)
    assert shown.shape == ((3, 2, 3) if "90" in turn or "diagonal" in turn else (2, 3, 3))
    right, down = next((m[:2], m[2:]) for m, name in TURNS.items() if name == turn)
    for y in range(2):
        for x in range(3):  # where a pixel goes, up to a shift into the picture
            place = np.array(right) * x + np.array(down) * y
            x_to = place[0] + (2 if right[0] < 0 else 0) + (1 if down[0] < 0 else 0)
            y_to = place[1] + (2 if right[1] < 0 else 0) + (1 if down[1] < 0 else 0)
            assert (shown[y_to, x_to] == picture[y, x]).all()


@pytest.mark.parametrize("kind", ["turned by 90 degrees", "turned by 180 degrees", "turned by 270 degrees", "mirrored"])
def test_decord_shows_turned_pictures_as_players_do_or_is_refused(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    try:
        shown = numbers(path, "decord")
    except DecodingError as error:
        assert "of which decord shows others than players" in str(error)
    else:
        assert shown == list(range(60))
    probe = probe_video(path)
    assert (probe.height, probe.width) == (64, 96)  # stored on its side, where turned by 90 degrees
