"""Pictures of three moments: grey levels of the frames before, at and after each one, whatever range is read."""

from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.extract.video.derived import MotionSource, at_rate, grey_of, moving
from ballspot.extract.video.live import LiveFrames
from ballspot.extract.video.probe import VideoProbe, probe_video
from ballspot.extract.video.sources import open_source

from ..barcoded import corrupted, read_number, written_once

KIND = "B-frames, key frame every 12"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VideoProbe]:
    return written_once(tmp_path_factory.mktemp("barcoded"))


class Counted:
    """A source of one-pixel pictures that say their number; it notes what is read of it."""

    name, version = "counted", "1"

    def __init__(self, n_frames: int, bad: frozenset[int] = frozenset()) -> None:
        self.n_frames, self.bad = n_frames, bad
        self.substituted: set[int] = set()
        self.read: list[int] = []

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        assert 0 <= start < stop <= self.n_frames
        for number in range(start, stop, step):
            self.read.append(number)
            if number in self.bad:
                self.substituted.add(number)
            yield np.full((1, 1, 3), number, np.uint8)

    def __enter__(self) -> "Counted":
        return self

    def __exit__(self, *exception: object) -> None:
        return None


@given(st.data())
def test_any_range_has_the_frames_before_at_and_after_with_the_ends_repeated(data: st.DataObject) -> None:
    n_frames = data.draw(st.integers(1, 40))
    away = data.draw(st.integers(1, 12))
    start = data.draw(st.integers(0, n_frames - 1))
    stop = data.draw(st.integers(start, n_frames))
    step = data.draw(st.integers(1, 9))
    bad = data.draw(st.frozensets(st.integers(0, n_frames - 1), max_size=3))
    counted = Counted(n_frames, bad)
    source = MotionSource(counted, n_frames=n_frames, away=away)
    wanted = [
        tuple(min(max(number + move, 0), n_frames - 1) for move in (-away, 0, away))
        for number in range(start, stop, step)
    ]
    assert [tuple(picture[0, 0].tolist()) for picture in source.frames(start, stop, step)] == wanted
    assert len(set(counted.read)) == len(counted.read)
    assert source.substituted == {now for before, now, after in wanted if {before, now, after} & bad}
    if wanted and step % away == 0 and wanted[0][0] == start - away and wanted[-1][2] == wanted[-1][1] + away:
        assert all((number - start) % away == 0 for number in counted.read)  # no more than it must


@pytest.mark.parametrize("decoder", ["pyav", "decord"])
@pytest.mark.parametrize(("start", "stop", "step", "away"), [(0, 250, 1, 2), (20, 250, 2, 3), (48, 120, 4, 2)])
def test_decoders_show_the_three_frames(
    made: Callable[[str], VideoProbe], decoder: str, start: int, stop: int, step: int, away: int
) -> None:
    with open_source(made(KIND), decoder, motion=away) as source:
        shown = [[read_number(picture[..., channel]) for channel in range(3)] for picture in
                 source.frames(start, stop, step)]  # fmt: skip
    assert shown == [[max(number - away, 0), number, min(number + away, 249)] for number in range(start, stop, step)]


def test_at_another_rate_they_are_frames_of_that_rate(made: Callable[[str], VideoProbe]) -> None:
    probe = at_rate(made(KIND), Fraction(25, 2))
    with open_source(probe, "pyav", motion=1) as source:
        shown = [[read_number(picture[..., channel]) for channel in range(3)] for picture in source.frames(0, 125, 5)]
    assert shown == [[max(2 * n - 2, 0), 2 * n, 2 * n + 2] for n in range(0, 125, 5)]


def test_a_stream_gives_the_pictures_of_the_file(made: Callable[[str], VideoProbe]) -> None:
    probe = made(KIND)
    with open_source(probe, "pyav", motion=3) as source:
        of_file = list(source.frames(0, probe.n_frames, 2))
    with probe.path.open("rb") as file:
        frames = LiveFrames(file, str(probe.path))  # pyright: ignore[reportArgumentType]  # it reads, as a pipe does
        found = [
            batch.pictures[: len(batch.frame_index)] for batch in frames.batches(batch_rows=16, stride=2, motion=3)
        ]
        frames.close()
    np.testing.assert_array_equal(np.concatenate(found), np.stack(of_file))


def test_a_damaged_frame_is_told_of_all_pictures_that_show_it(tmp_path: Path) -> None:
    probe = probe_video(corrupted(tmp_path / "a.mp4", at=0.5, n_bytes=200))
    with open_source(probe, "pyav", substitute=True) as source:
        list(source.frames(0, probe.n_frames))
        bad = sorted(source.substituted)
    with open_source(probe, "pyav", substitute=True, motion=2) as source:
        list(source.frames(0, probe.n_frames))
        around = {number + move for number in bad for move in (-2, 0, 2)}
        assert bad and source.substituted == {number for number in around if 0 <= number < probe.n_frames}


def test_grey_is_luma_and_grey_stays_as_it_is() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    luma = picture @ np.array([0.299, 0.587, 0.114])  # BT.601
    assert np.abs(grey_of(picture) - luma).max() < 1.1
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(grey_of(np.repeat(levels[..., None], 3, axis=2)), levels)


def test_nothing_gives_nothing() -> None:
    assert list(moving([], away=2)) == []
    assert list(MotionSource(Counted(5), n_frames=5, away=1).frames(3, 3)) == []
