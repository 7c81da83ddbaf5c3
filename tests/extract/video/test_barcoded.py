"""Every stored row belongs to the right frame, or there is a clear error: for each backend and each kind of video."""

import importlib.util
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract.video.damage import damaged_frames
from ballspot.extract.video.decord import DecordSource
from ballspot.extract.video.probe import DecodingError, VideoProbe, probe_video
from ballspot.extract.video.sources import open_source
from ballspot.extract.video.torchcodec import TorchcodecSource

from ..barcoded import (
    N_FRAMES,
    WHOLE,
    corrupted,
    count_too_high,
    numbers_of,
    open_groups,
    plain,
    read_number,
    truncated,
    variable_rate,
    written_once,
)


def torchcodec_works() -> bool:
    if importlib.util.find_spec("torchcodec") is None:
        return False
    try:
        importlib.import_module("torchcodec.decoders")
    except (ImportError, RuntimeError, OSError):
        return False
    return True


BACKENDS = [
    "pyav",
    "decord",
    pytest.param(
        "torchcodec",
        marks=pytest.mark.skipif(
            not torchcodec_works(), reason="torchcodec or the FFmpeg libraries it needs are missing"
        ),
    ),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VideoProbe]:
    return written_once(tmp_path_factory.mktemp("barcoded"))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", WHOLE)
def test_rows_are_the_right_frames_or_the_backend_gives_up(
    made: Callable[[str], VideoProbe], backend: str, kind: str
) -> None:
    probe, (*_, expected, exact) = made(kind), WHOLE[kind]
    assert probe.n_frames == len(expected)
    ranges = ((0, probe.n_frames, 1), (37, 91, 1), (100, 101, 1), (110, 140, 1), (5, 200, 7))
    for start, stop, step in ranges:
        try:
            shown = numbers_of(probe, backend, start, stop, step)
        except DecodingError as error:
            assert backend not in exact, error
        else:
            assert shown == expected[start:stop:step]


@pytest.mark.parametrize("kind", WHOLE)
def test_a_video_that_stays_open_gives_the_same_frames_in_any_order(
    made: Callable[[str], VideoProbe], kind: str
) -> None:
    probe, (*_, expected, _) = made(kind), WHOLE[kind]
    n = probe.n_frames
    with open_source(probe, "pyav", stays_open=True) as source:
        for start, stop, step in ((100, 140, 2), (5, 60, 1), (n - 9, n, 1), (100, 140, 2), (0, 3, 1), (90, 91, 1)):
            shown = [read_number(picture) for picture in source.frames(start, stop, step)]
            assert shown == expected[start:stop:step], (start, stop)
            for picture in source.frames(37, 80):  # left in the middle, with pictures still in the decoder
                assert read_number(picture) == expected[37]
                break


@pytest.mark.parametrize("kind", WHOLE)
def test_no_frame_of_an_undamaged_video_is_called_damaged(made: Callable[[str], VideoProbe], kind: str) -> None:
    probe = made(kind)
    for start in range(0, probe.n_frames, 9):
        for stop in (start + 1, start + 5, min(start + 40, probe.n_frames)):
            bad = damaged_frames(probe, start, stop)
            assert bad[(bad >= start) & (bad < stop)].tolist() == [], (start, stop)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_truncated_video_is_an_error_or_ends_at_its_last_whole_frame(tmp_path: Path, backend: str) -> None:
    probe = probe_video(truncated(tmp_path / "a.mp4"))
    assert 100 < probe.n_frames < N_FRAMES == probe.n_container_frames
    assert "cut short within its last picture" in " ".join(probe.notes())
    try:
        shown = numbers_of(probe, backend, 0, probe.n_frames)
    except DecodingError as error:
        assert backend != "pyav", error
    else:
        # Where the last picture belongs before one that is whole, that one stays, at its own time.
        times_us = probe.frame_times_us(np.arange(probe.n_frames))
        assert shown == np.round((times_us - times_us[0]) * float(probe.fps) / 1e6).astype(int).tolist()
    assert numbers_of(probe, "pyav", 0, 100) == list(range(100))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("at", "n_bytes"), [(0.4, 1), (0.5, 1), (0.5, 200), (0.62, 2)])
def test_a_video_corrupted_in_the_middle_is_an_error_that_names_the_frame(
    tmp_path: Path, backend: str, at: float, n_bytes: int
) -> None:
    probe = probe_video(corrupted(tmp_path / "a.mp4", at=at, n_bytes=n_bytes))
    with pytest.raises(DecodingError, match=r"a\.mp4: frames? \d+"):
        numbers_of(probe, backend, 0, probe.n_frames)


@pytest.mark.parametrize("write", [plain, open_groups])
@pytest.mark.parametrize(("at", "n_bytes"), [(0.4, 1), (0.5, 1), (0.5, 200), (0.62, 2), (0.3, 2000)])
def test_every_frame_that_is_wrong_is_among_the_damaged_ones(
    tmp_path: Path, write: Callable[[Path], Path], at: float, n_bytes: int
) -> None:
    probe = probe_video(corrupted(tmp_path / "a.mp4", at=at, n_bytes=n_bytes, write=write))
    bad = set(damaged_frames(probe, 0, probe.n_frames).tolist())
    with open_source(probe, "pyav", substitute=True) as source:
        shown = [read_number(picture) for picture in source.frames(0, N_FRAMES)]
        substituted = source.substituted
    assert bad and len(bad) < 80
    assert substituted == bad
    good = [k for k in range(N_FRAMES) if k not in bad]
    assert [shown[k] for k in good] == good
    for k in sorted(bad):  # the last good frame before, else the first one after
        before = [g for g in good if g < k]
        assert shown[k] == (before[-1] if before else good[0])


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_container_that_counts_too_many_frames_is_not_believed(tmp_path: Path, backend: str) -> None:
    probe = probe_video(count_too_high(tmp_path / "a.mp4"))
    assert (probe.n_frames, probe.n_container_frames) == (156, N_FRAMES)
    try:
        shown = numbers_of(probe, backend, 0, 156)
    except DecodingError:
        assert backend != "pyav"
    else:
        assert shown == list(range(156))


def test_the_times_of_a_variable_rate_are_those_of_its_packets(tmp_path: Path) -> None:
    probe = probe_video(variable_rate(tmp_path / "a.mp4"))
    assert not probe.axis.is_regular
    # 12,800 ticks a second: frame 0 at 128, frame 1 at 512, frame 99 at 99 * 512 + 128, frame 100 at 120 * 512.
    times = probe.frame_times_us(np.array([0, 1, 99, 100]))
    assert times.tolist() == [0, 30_000, 3_960_000, 4_790_000]


def write_pictures(folder: Path, video: Path, *, first: int = 0) -> Path:
    from PIL import Image

    folder.mkdir()
    with open_source(probe_video(video), "pyav") as source:
        for number, picture in enumerate(source.frames(0, 30), start=first):
            Image.fromarray(picture).save(folder / f"frame_{number:06d}.jpg", quality=95)
    return folder


def test_a_folder_of_pictures_is_read_in_the_order_of_their_numbers(tmp_path: Path, video: Path) -> None:
    folder = write_pictures(tmp_path / "frames", video, first=1)
    probe = probe_video(folder, image_fps=Fraction(25))
    assert (probe.n_frames, probe.width, probe.height, probe.fps) == (30, 96, 64, 25)
    assert numbers_of(probe, "jpg", 3, 30, 2) == list(range(3, 30, 2))


def test_a_folder_of_pictures_with_a_gap_or_without_a_rate_is_refused(tmp_path: Path, video: Path) -> None:
    folder = write_pictures(tmp_path / "frames", video)
    with pytest.raises(BallspotError, match="give --image-fps"):
        probe_video(folder)
    (folder / "frame_000012.jpg").unlink()
    with pytest.raises(BallspotError, match="no picture of number 12"):
        probe_video(folder, image_fps=Fraction(25))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BallspotError, match="without JPG files"):
        probe_video(tmp_path / "empty", image_fps=Fraction(25))


def test_a_damaged_picture_is_an_error_or_is_replaced_and_named(tmp_path: Path, video: Path) -> None:
    folder = write_pictures(tmp_path / "frames", video)
    (folder / "frame_000012.jpg").write_bytes(b"no picture")
    probe = probe_video(folder, image_fps=Fraction(25))
    with pytest.raises(DecodingError, match="frame 12 cannot be read"):
        numbers_of(probe, "jpg", 0, 30)
    with open_source(probe, "jpg", substitute=True) as source:
        shown = [read_number(picture) for picture in source.frames(12, 15)]
        assert (shown, source.substituted) == ([11, 13, 14], {12})


@pytest.mark.skipif(torchcodec_works(), reason="torchcodec is installed here")
def test_a_missing_torchcodec_is_named_with_the_remedy(video: Path) -> None:
    with pytest.raises(DecodingError, match="--decoder torchcodec: cannot be loaded"):
        TorchcodecSource(probe_video(video))


def test_a_missing_decord_is_named_with_the_remedy(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "decord", None)
    with pytest.raises(DecodingError, match=r"--decoder decord: cannot be loaded .*; pip install decord, or give"):
        DecordSource(probe_video(video))
