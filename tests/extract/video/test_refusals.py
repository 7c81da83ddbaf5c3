"""What decoders refuse or stand in for, each in one line that names the file and, where there is one, the frame."""

import io
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import Segment
from ballspot.extract.video import DecodingProcess, open_source, probe_video, process, want_of_shared_memory
from ballspot.extract.video import decord as of_decord
from ballspot.extract.video import pyav as of_pyav
from ballspot.extract.video.checks import _require_times
from ballspot.extract.video.damage import damaged_frames
from ballspot.extract.video.decord import DecordSource
from ballspot.extract.video.images import ImageSource
from ballspot.extract.video.live import LiveFrames, open_live
from ballspot.extract.video.probe import DecodingError, VideoProbe
from ballspot.extract.video.pyav import PyavSource

from ..barcoded import read_number


@pytest.fixture(scope="module")
def probe(video: Path) -> VideoProbe:
    return probe_video(video)


def test_pictures_and_videos_have_decoders_of_their_own(probe: VideoProbe, tmp_path: Path) -> None:
    with pytest.raises(DecodingError, match=rf"^{tmp_path}: a folder of pictures, not a video$"):
        PyavSource(replace(probe, path=tmp_path))
    with pytest.raises(DecodingError, match=rf"^{probe.path}: a video, not a folder of pictures$"):
        ImageSource(probe)


@pytest.mark.parametrize(
    ("start", "stop", "bad", "shown"),
    [
        (14, 17, {14}, [13, 15, 16]),  # the good frame before it, though nobody asked for that one
        (13, 16, {12, 13}, [14, 14, 15]),  # none is good before it in its group: the next one
        (20, 26, {25}, [20, 21, 22, 23, 24, 24]),  # at the end, past which nothing is read
    ],
)
def test_the_nearest_good_frame_of_its_group_stands_in(
    start: int, stop: int, bad: set[int], shown: list[int], probe: VideoProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_pyav, "damaged_frames", lambda *asked: np.array(sorted(bad)))
    source = PyavSource(probe, substitute=True)
    assert [read_number(picture) for picture in source.frames(start, stop)] == shown
    assert source.substituted == {one for one in bad if start <= one < stop}


def test_where_no_frame_is_good_nothing_stands_in(probe: VideoProbe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(of_pyav, "damaged_frames", lambda *asked: np.arange(250))
    with pytest.raises(DecodingError, match=rf"^{probe.path}: no good frame from 30 to 40; "):
        list(PyavSource(probe, substitute=True).frames(30, 40))


def test_a_folder_whose_first_pictures_are_damaged_has_the_size_of_the_others(tmp_path: Path) -> None:
    from PIL import Image

    for number in range(3):
        Image.new("RGB", (96, 64), (0, 90 * number, 0)).save(tmp_path / f"f_{number}.jpg")
    (tmp_path / "f_0.jpg").write_bytes(b"no picture any more")
    (tmp_path / "f_1.jpg").write_bytes(b"")
    probe = probe_video(tmp_path, image_fps=Fraction(25))
    assert (probe.height, probe.width, probe.n_frames) == (64, 96, 3)
    with pytest.raises(DecodingError, match=r"f_0.jpg: frame 0 cannot be read; write it again"):
        next(ImageSource(probe).frames(0, 3))
    with DecodingProcess(batch_rows=3, substitute=True) as decoding:
        decoding.open(probe, "jpg")
        (batch,) = decoding.batches(Segment(0, 3), stride=1)
        assert batch.substituted.tolist() == [0, 1] and (batch.pictures == batch.pictures[2]).all()
    (tmp_path / "f_2.jpg").write_bytes(b"no picture either")
    with pytest.raises(DecodingError, match=rf"^{tmp_path}: no picture in it can be read; write them again$"):
        next(ImageSource(probe, substitute=True).frames(1, 2))
    with pytest.raises(
        BallspotError, match=r"f_0.jpg: cannot be read as a picture, nor can the others; write them again"
    ):
        probe_video(tmp_path, image_fps=Fraction(25))


def test_nothing_can_be_told_of_a_video_without_time_stamps(probe: VideoProbe) -> None:
    untimed = replace(probe, pts=None)
    assert damaged_frames(untimed, 0, 10).size == 0 and untimed.irregularity == 0.0
    _require_times(untimed, np.arange(10) * 7.0, "decord")


def test_frames_at_other_times_than_the_packets_say_are_refused(probe: VideoProbe) -> None:
    _require_times(probe, np.arange(10) / 25, "decord")
    with pytest.raises(
        DecodingError, match=rf"^{probe.path}: decord shows frames at other times than the packets say$"
    ):
        _require_times(probe, np.arange(10) / 24, "decord", first=20)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"n_streams": 2}, "decord might read another of its 2 video streams"),
        ({"height": 10**4, "width": 10**4}, "12 frames between key frames are too many for decord"),
    ],
)
def test_decord_is_not_given_what_it_would_read_wrong(change: dict[str, Any], said: str, probe: VideoProbe) -> None:
    pytest.importorskip("decord")
    with pytest.raises(DecodingError, match=f"{probe.path}: {said}"):
        DecordSource(replace(probe, **change))


class Reader:
    """A reader of decord whose batches are short, or fail."""

    def __init__(self, batch: Callable[[Any], np.ndarray]) -> None:
        self._batch = batch

    def get_batch(self, index: Any) -> Any:
        return SimpleNamespace(asnumpy=lambda: self._batch(index))

    def seek(self, frame: int) -> None:
        pass


def test_frames_that_decord_cannot_give_are_told_with_their_range(
    probe: VideoProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("decord")

    def broken(index: Any) -> np.ndarray:
        raise RuntimeError("[10:00:00] video_reader.cc:270: error\nStack trace")

    monkeypatch.setattr(of_decord, "_require_undamaged", lambda *asked: None)
    source = DecordSource(probe)
    source.reader = Reader(lambda index: np.zeros((len(index) - 1, 64, 96, 3), np.uint8))
    with pytest.raises(DecodingError, match=rf"^{probe.path}: decord gave 19 frames for 0 to 20$"):
        list(source.frames(0, 20))
    source.reader = Reader(broken)
    with pytest.raises(DecodingError, match=r"frames 0 to 20 cannot be decoded \(error\)$"):
        list(source.frames(0, 20))
    with pytest.raises(DecodingError, match=r"frame 0 cannot be decoded \(error\)$"):
        source._first_picture()


@pytest.mark.parametrize(
    ("error", "told", "said"),
    [
        (MemoryError("of 8 GB"), DecodingError, r"^the decoder ran out of memory \(of 8 GB\)$"),
        (BallspotError("--decoder nvdec: no GPU here"), BallspotError, "^--decoder nvdec: no GPU here$"),
        (DecodingError("v.mp4: frame 7"), DecodingError, "^v.mp4: frame 7$"),
    ],
)
def test_what_ends_a_decoder_in_its_process_is_told_in_ours_and_it_lives_on(
    error: Exception, told: type[Exception], said: str, probe: VideoProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START", "fork")  # what is changed here holds there, too
    opened = process.open_source

    def refusing(given: VideoProbe, decoder: str, **how: Any) -> Any:
        if decoder == "broken":
            raise error
        return opened(given, decoder, **how)

    monkeypatch.setattr(process, "open_source", refusing)
    with DecodingProcess(batch_rows=4) as decoding:
        with pytest.raises(told, match=said) as caught:
            decoding.open(probe, "broken")
        assert type(caught.value) is told
        decoding.open(probe, "pyav")
        assert next(decoding.batches(Segment(0, 4), stride=1)).frame_index.tolist() == [0, 1, 2, 3]


def test_a_picture_of_another_size_in_the_middle_is_told_with_its_frame(
    probe: VideoProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "START", "fork")

    def growing(self: PyavSource, start: int, stop: int, step: int = 1) -> Any:
        yield from (np.zeros((64 + (index >= 6), 96, 3), np.uint8) for index in range(start, stop, step))

    monkeypatch.setattr(PyavSource, "frames", growing)
    with DecodingProcess(batch_rows=2) as decoding:
        decoding.open(probe, "pyav")
        with pytest.raises(DecodingError, match=r"^frame 6: the picture's size changes to \(65, 96\)$"):
            list(decoding.batches(Segment(0, 10), stride=2))


def test_a_decoder_that_was_not_opened_says_so() -> None:
    with pytest.raises(DecodingError, match="no decoder is running; open a video first"):
        list(DecodingProcess(batch_rows=2).batches(Segment(0, 4), stride=1))


def test_a_system_without_shared_memory_in_a_folder_is_not_asked_for_room(
    probe: VideoProbe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "SHARED_MEMORY", "/no/such/folder")
    assert want_of_shared_memory(replace(probe, height=8000, width=8000), 64, splits=False) == ""


def test_a_stream_on_standard_input_is_read_as_it_comes(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = io.BytesIO()
    with av.open(str(video)) as old, av.open(content, "w", format="mpegts") as new:
        copy = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content.getvalue())))
    frames = LiveFrames(open_live("-", patience_s=0.0), "-", fps=Fraction(25))
    assert [read_number(picture) for picture, _ in zip(frames, range(5), strict=False)] == [0, 1, 2, 3, 4]
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(content.getvalue())))
    with pytest.raises(BallspotError, match=r"^-: says no frame rate; give it with --fps$"):
        LiveFrames(open_live("-", patience_s=0.0), "-", fps=Fraction(1000))


def test_the_middle_of_nothing_is_nothing(probe: VideoProbe) -> None:
    at_half = process.open_source(replace(probe), "pyav")
    assert list(at_half.frames(5, 5)) == []
    with open_source(probe, "pyav") as source:
        assert list(source.frames(7, 7)) == []
