from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.extract.data_root.synth import write_video
from ballspot.extract.video.probe import DecodingError, VideoProbe, cut_at_keys, probe_video
from ballspot.extract.video.sources import open_source

from ..barcoded import SIZE, numbers_of, remux

READERS = ("pyav", "decord")
RATES = {"25": Fraction(25), "29.97": Fraction(30000, 1001), "12.5": Fraction(25, 2)}


@pytest.mark.parametrize("decoder", READERS)
@pytest.mark.parametrize(("start", "stop"), [(0, 250), (0, 1), (249, 250), (12, 24), (7, 200), (13, 14)])
def test_every_frame_of_a_range_is_the_right_one(video: Path, decoder: str, start: int, stop: int) -> None:
    assert numbers_of(probe_video(video), decoder, start, stop) == list(range(start, stop))


@pytest.mark.parametrize("decoder", READERS)
@pytest.mark.parametrize("gop", [1, 12, 250])
@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rates_groups_and_containers_change_no_frame(
    tmp_path: Path, decoder: str, gop: int, rate: str, suffix: str
) -> None:
    path = tmp_path / f"a{suffix}"
    write_video(path, 100, fps=RATES[rate], size=SIZE, events=[], gop=gop)
    probe = probe_video(path)
    assert (probe.fps, probe.n_frames, probe.longest_gop) == (RATES[rate], 100, min(gop, 100))
    assert probe.irregularity < 0.1
    assert numbers_of(probe, decoder, 37, 91) == list(range(37, 91))


def test_both_decoders_give_the_same_pixels(video: Path) -> None:
    probe = probe_video(video)
    pictures = []
    for decoder in ("decord", "pyav"):
        with open_source(probe, decoder) as source:
            pictures.append(np.stack(list(source.frames(20, 80))))
    assert pictures[0].shape == (60, 64, 96, 3)
    np.testing.assert_array_equal(pictures[0], pictures[1])


def test_frames_that_an_edit_list_hides_are_not_counted(video: Path, tmp_path: Path) -> None:
    probe = probe_video(remux(video, tmp_path / "cut.mp4", first_pts=-30))
    # 30 frames lie before time zero: they are in the file, but not shown.
    assert (probe.n_frames, probe.n_hidden, probe.n_container_frames) == (220, 30, 250)
    assert numbers_of(probe, "pyav", 0, 220) == list(range(30, 250))
    assert numbers_of(probe, "pyav", 100, 105) == list(range(130, 135))
    with pytest.raises(DecodingError, match="decord"):
        open_source(probe, "decord")


def test_a_variable_rate_shows_as_irregularity(video: Path, tmp_path: Path) -> None:
    late = {frame: (frame + (20 if frame >= 100 else 0)) * 512 for frame in range(250)}
    probe = probe_video(remux(video, tmp_path / "late.mp4", stamps=late))
    assert probe.n_frames == 250
    assert probe.irregularity > 5
    assert numbers_of(probe, "pyav", 90, 110) == list(range(90, 110))


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty file"), (b"just some text\n" * 50, "text, not a video"), (None, "no such video")],
    ids=["zero bytes", "text", "missing"],
)
def test_what_is_no_video_is_named_in_one_line(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "224p.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BallspotError, match=message) as caught:
        probe_video(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_sound_file_has_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 44100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(BallspotError, match="no video stream"):
        probe_video(path)


def test_a_codec_that_nobody_knows_is_named_in_one_line(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "224p.mp4"
    path.write_bytes(video.read_bytes().replace(b"avc1", b"zzz1"))
    with pytest.raises(BallspotError, match="its video is of a codec that is not known here") as caught:
        probe_video(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_video_without_its_index_cannot_be_read(video: Path, tmp_path: Path) -> None:
    path = tmp_path / "cut.mp4"
    path.write_bytes(video.read_bytes()[:20_000])  # the index stands at the end of the file
    with pytest.raises(BallspotError, match=r"an MP4 without its index \(no moov box"):
        probe_video(path)


@pytest.mark.parametrize("decoder", READERS)
def test_more_frames_than_there_are_is_an_error_and_no_endless_wait(video: Path, decoder: str) -> None:
    probe = probe_video(video)
    assert probe.pts is not None
    longer = replace(probe, n_frames=255, pts=np.append(probe.pts, probe.pts[-1] + 512 * np.arange(1, 6)))
    with pytest.raises(DecodingError, match="250"):
        numbers_of(longer, decoder, 240, 255)


def test_a_missing_frame_is_an_error_with_its_index(video: Path) -> None:
    probe = probe_video(video)
    assert probe.pts is not None
    pts = np.insert(probe.pts, 50, probe.pts[50] - 100)
    with pytest.raises(DecodingError, match=r"frame 50 is missing \(51 follows\)"):
        numbers_of(replace(probe, n_frames=251, pts=pts), "pyav", 40, 60)


@given(data=st.data())
def test_key_aligned_ranges_cover_the_asked_range_without_gap(data: st.DataObject) -> None:
    n_frames = data.draw(st.integers(1, 400))
    keys = sorted({0, *data.draw(st.sets(st.integers(0, n_frames - 1), max_size=20))})
    start = data.draw(st.integers(0, n_frames - 1))
    stop = data.draw(st.integers(start + 1, n_frames))
    limit = data.draw(st.integers(1, 60))
    probe = VideoProbe(
        path=Path("a"),
        width=8,
        height=8,
        fps=Fraction(25),
        n_frames=n_frames,
        n_container_frames=0,
        n_hidden=0,
        n_bytes=1,
        codec="h264",
        time_base=Fraction(1, 25),
        pts=None,
        key_index=np.array(keys),
    )
    ranges = list(cut_at_keys(probe, start, stop, n_frames=limit))
    assert ranges[0][0] == max(key for key in keys if key <= start)
    assert ranges[-1][1] == stop
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    for begin, end in ranges:
        assert begin in keys
        assert end - begin <= limit or not any(begin < key < end for key in keys)
