from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.times.axis import (
    TimeAxis,
    axis_of_rows,
    axis_of_stamps,
    frame_of,
    position_of,
    usual_rate,
)

MS = Fraction(1, 1000)
TICK = Fraction(1, 12_800)


def axis(stamps: list[int], *, time_base: Fraction = TICK, start_us: int = 0) -> TimeAxis:
    array = np.array(stamps)
    return axis_of_stamps(array, time_base, fps=usual_rate(array, time_base), start_us=start_us)


@given(
    fps=st.sampled_from([Fraction(25), Fraction(50), Fraction(30_000, 1001), Fraction(25, 2), Fraction(120)]),
    time_base=st.sampled_from([MS, TICK, Fraction(1, 90_000), Fraction(1, 600)]),
    rounds=st.sampled_from([round, int]),
    position_ms=st.integers(0, 30_000),
)
def test_at_a_constant_rate_all_is_as_it_was_however_stamps_are_rounded(fps, time_base, rounds, position_ms):
    found = axis([rounds(k / fps / time_base) for k in range(300)], time_base=time_base)
    assert (found.is_regular, found.fps) == (True, fps)
    assert found.frame_of(position_ms) == frame_of(position_ms, fps)
    frames = np.arange(300)
    assert found.positions_of(frames).tolist() == [position_of(frame, fps) for frame in range(300)]


@pytest.mark.parametrize(
    ("position_ms", "frame"),
    [(0, 0), (39, 0), (40, 1), (3999, 99), (9000, 99), (15_999, 99), (16_000, 100), (18_000, 150), (23_999, 299),
     (24_000, 300), (24_039, 300), (24_040, 301)],
)  # fmt: skip
def test_a_time_has_the_frame_shown_last(position_ms: int, frame: int) -> None:
    found = axis([512 * (k + 300 * (k >= 100)) for k in range(300)])  # after frame 99 comes one at 16 s
    assert found.fps == 25
    assert found.frame_of(position_ms) == frame


def test_a_late_first_picture_moves_everything(tmp_path):
    found = axis([512 * k for k in range(50)], start_us=400_000)
    assert not found.is_regular
    assert [found.frame_of(ms) for ms in (0, 399, 400, 439, 440)] == [0, 0, 0, 0, 1]
    assert found.positions_of(np.array([0, 1])).tolist() == [420, 460]
    assert found.oddities() == ("the first picture is shown at 0.400 s",)


def test_the_rate_is_the_usual_step_whatever_is_missing() -> None:
    ticks = np.arange(200) * 512
    assert usual_rate(np.append(ticks[:-1], ticks[-1] + 1536), TICK) == 25  # a trimmed tail
    assert usual_rate(np.delete(ticks, slice(50, 150)), TICK) == 25  # half of it lost
    assert usual_rate(np.cumsum([0] + [2, 3] * 100), Fraction(1, 60)) == 24  # film shown at 60 pictures a second
    assert usual_rate(np.array([round(k * 1000 / 59.94006) for k in range(60)]), MS) == Fraction(60_000, 1001)


def test_a_frame_before_a_gap_is_written_at_its_own_time_not_within_the_gap() -> None:
    found = axis([512 * (k + 300 * (k >= 100)) for k in range(300)])
    assert found.positions_of(np.array([98, 99, 100, 299])).tolist() == [3940, 3980, 16_020, 23_980]
    assert found.end_us == 24_000_000


@given(data=st.data())
def test_positions_are_read_back_as_their_frames(data: st.DataObject) -> None:
    steps = data.draw(st.lists(st.integers(2, 400), min_size=1, max_size=60))
    stamps = np.cumsum([0, *steps])
    found = axis_of_stamps(stamps, MS, fps=usual_rate(stamps, MS), start_us=data.draw(st.integers(0, 5_000_000)))
    frames = np.arange(found.n_frames)
    assert [found.frame_of(one) for one in found.positions_of(frames).tolist()] == frames.tolist()


@pytest.mark.parametrize("stride", [1, 2, 3, 7])
def test_rows_that_are_some_of_the_frames_tell_the_times_of_all(stride: int) -> None:
    whole = axis([512 * (k + 300 * (k >= 105)) for k in range(300)])
    index = np.arange(0, 300, stride)
    found = axis_of_rows(whole.fps, 300, index, whole.frame_times_us(index))
    assert np.array_equal(found.frame_times_us(index), whole.frame_times_us(index))
    times = found.frame_times_us(np.arange(300))
    assert (np.diff(times) > 0).all()
    assert (np.abs(times - whole.frame_times_us(np.arange(300))) > 1).sum() < stride  # only beside the gap
    assert axis_of_rows(whole.fps, 300, index, None) == TimeAxis(whole.fps, 300)
