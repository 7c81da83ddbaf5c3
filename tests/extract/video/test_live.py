"""The bytes and frames of a video while it is being made."""

import os
import sys
import threading
from fractions import Fraction

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.video.live import GrowingFile, LiveFrames, open_live


def test_a_file_that_grows_is_read_to_where_it_stops_growing(tmp_path):
    path = tmp_path / "growing"
    path.write_bytes(b"ab")
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 3:
            with path.open("ab") as file:
                file.write(b"cd")

    reader = GrowingFile(path, patience_s=1.0, sleep=sleep)
    assert [reader.read(4), reader.read(4), reader.read(4)] == [b"ab", b"cd", b""]
    assert Fraction(len(slept), 1) == 3 + 5  # 0.2 s each: until it grew, and for the whole patience


def test_a_pipe_gives_what_has_come_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    writer = os.open(tmp_path / "pipe", os.O_RDWR)
    reader, found = open_live(str(tmp_path / "pipe"), patience_s=1.0), []
    os.write(writer, b"ab")
    thread = threading.Thread(target=lambda: found.append(reader.read(32768)), daemon=True)
    thread.start()
    thread.join(120)
    assert found == [b"ab"]
    os.close(writer)


def test_a_picture_of_another_size_ends_a_stream_in_one_line(video, tmp_path):
    frames = LiveFrames(GrowingFile(video, patience_s=0.0), "a stream")
    frames.height += 2
    with pytest.raises(BallspotError, match="a stream: frame 0: the picture's size changes to 64x96"):
        next(iter(frames))


def test_a_closed_standard_input_is_told(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(BallspotError, match="-: standard input is closed"):
        open_live("-", patience_s=0.0)
