"""When each frame of a video is shown: the time axis that labels, predictions, clips and stores share.

Times count from the start of the file, as players count them. At a constant rate frame f begins at f / fps; any other
video (gaps, a late first picture, a trimmed end, a variable rate) has a time of its own for each frame.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

SECOND_US = 1_000_000
MOST_FPS = 1000
LONGEST_S = 10**9  # 31 years: beyond any video, and its microseconds are within int64

COMMON_FPS = tuple(Fraction(n) for n in (24, 25, 30, 48, 50, 60, 100, 120)) + tuple(
    Fraction(n, 1001) for n in (24000, 30000, 48000, 60000, 120000)
)

USUAL_SHARE = 0.5  # a step that differs from the median by more than this share is a gap or a burst
ODD_SHARE = 0.2  # a step that differs from the usual one by more is called odd
MOST_ROUNDED = Fraction(1, 500)  # of a rate: farther apart are other rates
ROUNDING_TICKS = 1.5  # of the time base: stamps this near to a constant rate are only rounded
ROUNDING_SHARE = 0.125  # of a step, and never more than that


@dataclass(frozen=True, eq=False)
class TimeAxis:
    """The times of a video's frames: `fps` is the usual rate, one over the usual step from frame to frame.

    `times_us` int64 (n_frames,) is when each frame is first shown, microseconds, never decreasing; None where frame f
    begins at f / fps.
    """

    fps: Fraction
    n_frames: int
    times_us: np.ndarray | None = None

    @property
    def is_regular(self) -> bool:
        """Whether the frames begin at the multiples of one step, the first one at the start of the file."""
        return self.times_us is None

    @property
    def end_us(self) -> int:
        """When the last frame ends: it is shown for a usual step."""
        if self.times_us is None or not self.n_frames:
            return round(self.n_frames * SECOND_US / self.fps)
        return int(self.times_us[-1]) + round(SECOND_US / self.fps)

    def frame_of(self, position_ms: int) -> int:
        """The frame that is shown at a time: the last one that begins before that millisecond is over.

        Frames beyond the last one are counted on at the usual rate, so that a time past the end has a frame of
        `n_frames` or more; before the first frame is shown it is frame 0.
        """
        if self.times_us is None or not self.n_frames:
            return frame_of(position_ms, self.fps)
        over_us = (position_ms + 1) * 1000
        frame = int(np.searchsorted(self.times_us, over_us, side="left")) - 1
        if frame == self.n_frames - 1:
            past_us = over_us - int(self.times_us[-1])
            frame += -(-past_us * self.fps.numerator // (SECOND_US * self.fps.denominator)) - 1
        return max(frame, 0)

    def positions_of(self, frame_index: np.ndarray) -> np.ndarray:
        """The positions that are written for frames: the middle of each one's usual step in whole milliseconds (cut),
        int64; `frame_of` reads it back.

        A frame that stays longer than a usual step, as before a gap, counts as if the next one came on time.
        """
        if self.times_us is None and self.fps.denominator > 10**6:  # exact where int64 might not be
            return np.array([position_of(frame, self.fps) for frame in frame_index.tolist()], np.int64)
        if self.times_us is None:
            return (2 * frame_index.astype(np.int64) + 1) * (500 * self.fps.denominator) // self.fps.numerator
        step_us = round(SECOND_US / self.fps)
        shown_us = np.minimum(np.diff(self.times_us, append=self.times_us[-1:] + step_us), step_us)
        return np.maximum((2 * self.times_us[frame_index] + shown_us[frame_index]) // 2000, 0)

    def frame_times_us(self, frame_index: np.ndarray) -> np.ndarray:
        """When the frames begin, microseconds, int64."""
        if self.times_us is None:
            return np.array([round(int(index) * SECOND_US / self.fps) for index in frame_index], dtype=np.int64)
        return self.times_us[frame_index]

    def last_shown(self, time_us: np.ndarray) -> np.ndarray:
        """The frames that are shown at the times, microseconds: the last to begin at or before; 0 before the first."""
        times_us = self.frame_times_us(np.arange(self.n_frames))
        return np.maximum(np.searchsorted(times_us, time_us, side="right") - 1, 0)

    def oddities(self) -> tuple[str, ...]:
        """What is not as at a constant rate from the start on, each in a few words; none for a regular axis."""
        if self.times_us is None or not self.n_frames:
            return ()
        found = []
        if abs(first_s := int(self.times_us[0]) / SECOND_US) >= 0.0005:
            found.append(f"the first picture is shown at {first_s:.3f} s")
        step_us = round(SECOND_US / self.fps)
        steps_us = np.diff(self.times_us)
        if n_shared := int(np.count_nonzero(steps_us == 0)):
            found.append(f"{n_shared} frames have the time stamp of the next one, which is shown in their place")
        gaps = np.flatnonzero(steps_us > 1.5 * step_us)
        if 0 < len(gaps) <= max(0.02 * len(steps_us), 3):
            longest = int(gaps[steps_us[gaps].argmax()])
            more = f", the longest of {len(gaps)} gaps" if len(gaps) > 1 else ""
            found.append(f"{steps_us[longest] / SECOND_US:.3f} s pass from frame {longest} to the next{more}")
            steps_us = np.delete(steps_us, gaps)
        steps_us = steps_us[steps_us > 0]
        n_odd = int(np.count_nonzero(np.abs(steps_us - step_us) > ODD_SHARE * step_us))
        if n_odd:
            found.append(f"variable frame rate: {n_odd} of {len(self.times_us) - 1} steps are not the usual one")
        if not found:
            even_us = np.arange(self.n_frames) * (SECOND_US / float(self.fps))
            off_ms = float(np.abs(self.times_us - even_us).max()) / 1000
            found.append(f"frames are shown up to {off_ms:.1f} ms from a constant {float(self.fps):.5g} a second")
        return tuple(found)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TimeAxis) or (self.fps, self.n_frames) != (other.fps, other.n_frames):
            return False
        if self.times_us is None or other.times_us is None:
            return self.times_us is other.times_us
        return np.array_equal(self.times_us, other.times_us)

    def __hash__(self) -> int:
        return hash((self.fps, self.n_frames))


def frame_of(position_ms: int, fps: Fraction) -> int:
    """The frame of a time: the last frame that has begun before that millisecond is over; exact integers.

    Frame f begins at f / fps seconds. Both the truncated and the rounded milliseconds of that instant give f back,
    for every f and every rate below 1000 a second: at 25 fps 1160 ms is frame 29 and 1159 ms still frame 28; at
    30000/1001 fps frame 1 begins at 33.37 ms, and 33 ms is frame 1.
    """
    begun = -(-(position_ms + 1) * fps.numerator // (1000 * fps.denominator))  # frames begun before the next ms
    return begun - 1


def position_of(frame_index: int, fps: Fraction) -> int:
    """The middle of a frame in whole milliseconds (cut), which every conversion reads back as that frame.

    SoccerNet's truncating float conversion loses about 6 % of the exact starts of frames at 25 fps, and no middle.
    """
    return (2 * frame_index + 1) * 500 * fps.denominator // fps.numerator


def usual_rate(stamps: np.ndarray, time_base: Fraction) -> Fraction:
    """The rate of a video by its frames' time stamps, sorted, in units of `time_base` seconds; at least two differ.

    It is one over the usual step, the median one. Stamps jitter and are rounded (Matroska: to milliseconds), so
    the steps about as long as the median one are averaged: gaps and bursts count for nothing. A rate that is within
    1/5000 of a common one, or as near to it as rounding explains, is that one.
    """
    steps = np.diff(stamps)
    steps = steps[steps > 0]
    median = float(np.sort(steps)[(len(steps) - 1) // 2])
    usual = steps[np.abs(steps - median) <= max(1.0, USUAL_SHARE * median)]
    rate = Fraction(len(usual), int(usual.sum())) / time_base
    nearest = min(COMMON_FPS, key=lambda common: abs(common - rate))
    rounded = Fraction(1, int(usual.sum())) if len(usual) > 1 else Fraction(0)  # a tick in all, either way
    return nearest if abs(nearest / rate - 1) <= min(rounded, MOST_ROUNDED) else nearest_common(rate)


def nearest_common(rate: Fraction) -> Fraction:
    """The common frame rate within 1/5000 of a rate, else the rate itself as a handy fraction."""
    nearest = min(COMMON_FPS, key=lambda common: abs(common - rate))
    return nearest if abs(nearest - rate) < nearest / 5000 else rate.limit_denominator(100_000)


def axis_of_stamps(stamps: np.ndarray, time_base: Fraction, *, fps: Fraction, start_us: int = 0) -> TimeAxis:
    """The axis of a video by its frames' sorted time stamps; the first one is shown `start_us` after the file's start.

    Stamps that lie as near to the multiples of one step as rounding to the time base explains are regular.
    """
    ticks = stamps - stamps[0]
    numerator, denominator = SECOND_US * time_base.numerator, time_base.denominator
    times_us = start_us + (2 * ticks * numerator + denominator) // (2 * denominator)
    step_us, tick_us = SECOND_US / float(fps), SECOND_US * float(time_base)
    limit_us = min(ROUNDING_TICKS * tick_us + 2, ROUNDING_SHARE * step_us)
    is_regular = bool(np.abs(times_us - np.arange(len(stamps)) * step_us).max(initial=0) <= limit_us)
    return TimeAxis(fps, len(stamps), None if is_regular else times_us.astype(np.int64))


def require_length(fps: Fraction, n_frames: int) -> None:
    """Raises ValueError for a rate, or a number of frames at it, that no video has: over 1,000 a second or 31 years."""
    if not 0 < fps <= MOST_FPS:
        raise ValueError(f"{_brief(fps)} frames a second")
    if n_frames > LONGEST_S * fps:
        raise ValueError(f"{n_frames} frames at {_brief(fps)} a second")


def _brief(fps: Fraction) -> str:
    return str(fps) if fps.denominator < 10**6 and fps.numerator < 10**6 else f"{float(fps):.3g}"


def axis_of_rows(fps: Fraction, n_frames: int, frame_index: np.ndarray, frame_time_us: np.ndarray | None) -> TimeAxis:
    """The axis of a video of which the times of some frames are known, those of `frame_index`, as a store has them.

    Frames between two known ones follow at the usual step, or evenly where there is no room for it.
    """
    if frame_time_us is None or not len(frame_index):
        return TimeAxis(fps, n_frames)
    times_us = np.asarray(frame_time_us, np.int64)
    if len(frame_index) == n_frames:
        return TimeAxis(fps, n_frames, times_us)
    frames = np.arange(n_frames)
    row = np.maximum(np.searchsorted(frame_index, frames, side="right") - 1, 0)
    step_us = SECOND_US / float(fps)
    after = np.minimum(row + 1, len(frame_index) - 1)
    n_between = np.where(after > row, frame_index[after] - frame_index[row], 1)
    even_us = np.where(after > row, (times_us[after] - times_us[row]) / n_between, step_us)
    offset_us = np.rint((frames - frame_index[row]) * np.minimum(step_us, even_us)).astype(np.int64)
    return TimeAxis(fps, n_frames, times_us[row] + offset_us)


def rate_of(said: object) -> Fraction:
    """The frame rate that a file says as text, "25" or "30000/1001". Raises ValueError for what is not a rate.

    Fraction itself takes "1e999999999", too, and would be at it for hours.
    """
    if not isinstance(said, str) or re.fullmatch(r"\d{1,9}(/[1-9]\d{0,8})?", said, re.ASCII) is None:
        raise ValueError(f"fps {said!r:.60}")
    rate = Fraction(said)
    if not 0 < rate <= MOST_FPS:
        raise ValueError(f"fps {said!r}")
    return rate
