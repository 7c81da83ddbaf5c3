"""What is said of files that hold no frame, or none that can be shown, and of odd ones before they are extracted."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.container.kinds import _has_index, what_else
from ballspot.extract.video import probe_video
from ballspot.extract.video.probe import _frame_rate


def test_a_video_without_a_frame_is_told(tmp_path: Path) -> None:
    path = tmp_path / "empty.avi"
    with av.open(str(path), "w") as new:
        stream = new.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        new.start_encoding()
    with pytest.raises(BallspotError, match=r"empty.avi: a video without a frame; copy or download it again"):
        probe_video(path)


def test_a_video_of_which_no_picture_can_be_decoded_is_told(video: Path, tmp_path: Path) -> None:
    """All bytes of its packets are others; its index is whole."""
    content = bytearray(video.read_bytes())
    with av.open(str(video)) as container:
        for packet in container.demux(video=0):
            if packet.size and packet.pos is not None:
                content[packet.pos : packet.pos + packet.size] = bytes(255 for _ in range(packet.size))
    path = tmp_path / "noise.mp4"
    path.write_bytes(content)
    with pytest.raises(BallspotError, match=r"noise.mp4: none of its 250 pictures can be decoded \(h264\); "):
        probe_video(path)


def test_a_stream_that_says_no_rate_is_refused_with_what_gives_it_one() -> None:
    stream: Any = SimpleNamespace(average_rate=None, guessed_rate=None)
    with pytest.raises(BallspotError, match=r"^a.h264: has no frame rate; convert it with `ffmpeg -i IN -r 25 OUT`$"):
        _frame_rate(Path("a.h264"), stream, None, Fraction(1, 1000))
    stream.guessed_rate = Fraction(2997, 100)
    assert _frame_rate(Path("a.h264"), stream, None, Fraction(1, 1000)) == Fraction(30000, 1001)


def test_what_is_odd_of_a_video_is_noted_before_it_is_extracted(video: Path) -> None:
    probe = probe_video(video)
    assert list(probe.notes()) == []
    odd = replace(probe, n_resets=2, order_stamps=np.arange(250), n_incomplete=3)
    notes = list(odd.notes())
    assert "its clock begins anew 2 times: the recordings follow one another" in notes
    assert "does not say when its pictures are shown (B-frames in AVI?): they are counted in their order" in notes
    assert any("says that 3 packets lack something" in note for note in notes)


def box(kind: bytes, content: bytes, *, is_long: bool = False) -> bytes:
    """A box of MP4; its size stands in 64 bits where it ``is_long``."""
    n = len(content) + (16 if is_long else 8)
    size = (1).to_bytes(4, "big") + kind + n.to_bytes(8, "big") if is_long else n.to_bytes(4, "big") + kind
    return size + content


@pytest.mark.parametrize(
    ("content", "has"),
    [
        (box(b"ftyp", b"isom") + box(b"mdat", b"x" * 50, is_long=True) + box(b"moov", b"y"), True),
        (box(b"ftyp", b"isom") + box(b"mdat", b"x" * 50, is_long=True), False),
        (box(b"ftyp", b"isom") + (0).to_bytes(4, "big") + b"mdat" + b"x" * 50, False),  # up to the end of the file
        (box(b"ftyp", b"isom") + (1).to_bytes(4, "big") + b"mdat" + (3).to_bytes(8, "big"), False),  # no box at all
        (box(b"ftyp", b"isom") + box(b"moov", b"y" * 50)[:-1], False),  # cut short within it
    ],
)
def test_an_index_is_found_behind_boxes_of_any_size(content: bytes, has: bool, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    assert _has_index(path) is has


def test_a_file_that_cannot_be_opened_is_told_by_the_systems_word(tmp_path: Path) -> None:
    said = what_else(tmp_path / "gone.mp4", "unknown")
    assert said == "cannot be read (No such file or directory); check its rights"
