"""Frames chosen by time, so that material of one frame rate can be read as if it had another one."""

from fractions import Fraction

import numpy as np

from .axis import SECOND_US, TimeAxis

SAME_RATE = Fraction(1, 200)  # rates that differ by no more are one: 29.97 is left as it is where 30 is wanted
TIE_US = 1  # frames whose distances differ by no more are equally near


def is_same_rate(one: Fraction, other: Fraction) -> bool:
    """Whether two frame rates are near enough to need no resampling: 24 and 23.976 are, 24 and 25 are not."""
    return abs(one / other - 1) <= SAME_RATE


def n_frames_at(axis: TimeAxis, rate: Fraction) -> int:
    """How many frames at `rate` begin before the video ends."""
    if axis.times_us is None:
        return -(-axis.n_frames * rate.numerator * axis.fps.denominator // (rate.denominator * axis.fps.numerator))
    return max(-(-axis.end_us * rate.numerator // (SECOND_US * rate.denominator)), 0)


def nearest_frames(axis: TimeAxis, rate: Fraction) -> np.ndarray:
    """For each frame at `rate`, which begins at k / rate: the frame of the video that begins nearest, int64.

    Of two that are equally near it is the earlier one, which players still show then. Where `rate` is the higher one,
    or nothing is shown for a while, frames are repeated.
    """
    if not axis.n_frames:
        return np.empty(0, np.int64)
    number = np.arange(n_frames_at(axis, rate), dtype=np.int64)
    if axis.times_us is None:  # in whole numbers: rounded times would settle ties by chance
        step = axis.fps / rate
        nearest = -(-(number * (2 * step.numerator) - step.denominator) // (2 * step.denominator))
        return np.minimum(nearest, axis.n_frames - 1)
    wanted_us = (2 * number * (SECOND_US * rate.denominator) + rate.numerator) // (2 * rate.numerator)
    after = np.minimum(np.searchsorted(axis.times_us, wanted_us, side="left"), axis.n_frames - 1)
    before = np.maximum(after - 1, 0)
    is_after = axis.times_us[after] - wanted_us + TIE_US < wanted_us - axis.times_us[before]
    nearest = np.where(is_after | (axis.times_us[before] > wanted_us), after, before)
    return np.searchsorted(axis.times_us, axis.times_us[nearest], side="right") - 1  # of frames of one time the last
