"""Frames chosen by time, held to a search over all frames in exact fractions."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.times import TimeAxis, is_same_rate, n_frames_at, nearest_frames

RATES = [Fraction(n) for n in (2, 24, 25, 30, 50, 60, 120)] + [
    Fraction(30000, 1001),
    Fraction(60000, 1001),
    Fraction(25, 2),
]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [(30, Fraction(30000, 1001), True), (24, Fraction(24000, 1001), True), (24, 25, False), (25, 50, False)],
)
def test_rates_of_the_same_name_are_one(one: int, other: Fraction, *, same: bool) -> None:
    assert is_same_rate(Fraction(one), Fraction(other)) == is_same_rate(Fraction(other), Fraction(one)) == same


@given(st.sampled_from(RATES), st.sampled_from(RATES), st.integers(1, 90))
def test_the_frame_of_each_moment_is_the_nearest_one(fps: Fraction, rate: Fraction, n_frames: int) -> None:
    """Of equally near ones the earlier; as many as begin before the video ends."""
    chosen = nearest_frames(TimeAxis(fps, n_frames), rate)
    assert len(chosen) == n_frames_at(TimeAxis(fps, n_frames), rate)
    assert (len(chosen) - 1) / rate < n_frames / fps <= len(chosen) / rate
    # Moments in whole parts of a second that both rates have: as exact as fractions, and quick.
    part = fps.numerator * rate.numerator
    moments = np.arange(n_frames, dtype=np.int64) * int(part / fps)
    for number, frame in enumerate(chosen.tolist()):
        assert frame == np.argmin(np.abs(moments - number * int(part / rate)))  # the first of equally near ones


@given(st.lists(st.integers(0, 400), min_size=1, max_size=40), st.sampled_from(RATES))
def test_frames_at_odd_times_are_chosen_by_their_own_times(steps_ms: list[int], rate: Fraction) -> None:
    times_us = np.cumsum(steps_ms).astype(np.int64) * 1000
    chosen = nearest_frames(TimeAxis(Fraction(25), len(times_us), times_us), rate)
    assert (np.diff(chosen) >= 0).all()
    for number, frame in enumerate(chosen.tolist()):
        away_us = np.abs(times_us - number * 1_000_000 / float(rate))
        assert away_us[frame] <= away_us.min() + 2


def test_what_is_chosen_of_common_rates() -> None:
    second = {fps: nearest_frames(TimeAxis(Fraction(fps), fps), Fraction(25)).tolist() for fps in (50, 30, 24)}
    assert second[50] == list(range(0, 50, 2))
    assert second[30][:11] == [0, 1, 2, 4, 5, 6, 7, 8, 10, 11, 12]
    assert second[24][:14] == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 12]


def test_a_video_without_frames_has_none_at_any_rate() -> None:
    assert nearest_frames(TimeAxis(Fraction(25), 0), Fraction(50)).tolist() == []
