"""A video read at another rate: the pictures of every decoder are those of the frames that were chosen by time."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballspot.extract.video.derived import at_rate
from ballspot.extract.video.probe import VideoProbe, probe_video
from ballspot.extract.video.sources import open_source

from ..barcoded import WHOLE, corrupted, numbers_of, written_once

RATES = [Fraction(50), Fraction(25, 2), Fraction(20), Fraction(30000, 1001), Fraction(7)]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], VideoProbe]:
    return written_once(tmp_path_factory.mktemp("barcoded"))


@pytest.mark.parametrize("rate", RATES, ids=str)
@pytest.mark.parametrize("kind", sorted(WHOLE))
def test_the_pictures_are_those_that_lie_nearest_in_time(
    made: Callable[[str], VideoProbe], kind: str, rate: Fraction
) -> None:
    own = made(kind)
    probe = at_rate(own, rate)
    assert (probe.fps, probe.axis.is_regular) == (rate, True)
    times_us = own.axis.frame_times_us(np.arange(own.n_frames))
    for start, stop, step in ((0, probe.n_frames, 1), (11, 40, 3), (probe.n_frames - 1, probe.n_frames, 1)):
        shown = numbers_of(probe, "pyav", start, stop, step)
        expected = numbers_of(own, "pyav", 0, own.n_frames)
        assert len(shown) == len(range(start, stop, step))
        for number, picture in zip(range(start, stop, step), shown, strict=True):
            away_us = np.abs(times_us - number * 1_000_000 / float(rate))
            nearest = np.flatnonzero(away_us <= away_us.min() + 2)
            assert picture in {expected[frame] for frame in nearest}, (kind, number)


def test_decord_gives_the_same_pictures(made: Callable[[str], VideoProbe]) -> None:
    probe = at_rate(made("B-frames, key frame every 12"), Fraction(10))
    assert numbers_of(probe, "decord", 0, probe.n_frames) == numbers_of(probe, "pyav", 0, probe.n_frames)


def test_a_rate_of_the_same_name_leaves_a_video_as_it_is(made: Callable[[str], VideoProbe]) -> None:
    probe = made("B-frames, key frame every 12")
    assert at_rate(probe, probe.fps * Fraction(1000, 1001)) is probe
    assert at_rate(probe, None) is probe


def test_what_stands_in_for_a_damaged_frame_is_told_by_the_new_numbers(tmp_path: Path) -> None:
    probe = at_rate(probe_video(corrupted(tmp_path / "a.mp4", at=0.5, n_bytes=200)), Fraction(50))
    assert probe.whole is not None and probe.chosen is not None
    with open_source(probe, "pyav", substitute=True) as source:
        n_given = sum(1 for _ in source.frames(0, probe.n_frames, 1))
        told = source.substituted
    with open_source(probe.whole, "pyav", substitute=True) as source:
        assert sum(1 for _ in source.frames(0, probe.whole.n_frames, 1)) == probe.whole.n_frames
        bad = source.substituted
    assert n_given == probe.n_frames and bad
    assert told == {number for number, frame in enumerate(probe.chosen.tolist()) if frame in bad}
