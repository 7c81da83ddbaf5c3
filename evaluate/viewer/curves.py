"""Scores per frame as the page of `ballspot view` draws them: two bytes a frame, a class at a time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ...cache.disk import frame_numbers, read_arrays
from ...cache.errors import BallspotError

FULL = 65535
MOST_ROWS = 2**23  # 93 hours at 25 a second


@dataclass(frozen=True)
class Curves:
    """The scores (n, K) of one match: row i is frame ``first_frame + i * step`` of a video of ``fps``."""

    scores: np.ndarray
    labels: tuple[str, ...]
    first_frame: int
    step: int
    fps: float

    def as_bytes(self, label: str) -> bytes:
        """The scores of one class, clipped to 0..1, as little-endian uint16 in 0..65535; empty for another class."""
        if label not in self.labels:
            return b""
        scores = np.nan_to_num(self.scores[:, self.labels.index(label)].astype(np.float64), nan=0.0)
        return np.rint(np.clip(scores, 0.0, 1.0) * FULL).astype("<u2").tobytes()


def read_curves(path: Path) -> Curves:
    """The scores in a ``scores.npz``. Raises BallspotError when it holds none that can be drawn."""
    remedy = "predict again, or remove it"
    arrays = read_arrays(path, what="scores", remedy=remedy)
    try:
        scores, frame_index, names = arrays["scores"], frame_numbers(arrays), arrays["labels"]
        if scores.dtype.kind != "f" or scores.shape != (len(frame_index), *names.shape) or names.ndim != 1:
            raise ValueError(f"shape {scores.shape} for {len(frame_index)} frames, labels {names.shape}")
        labels = tuple(str(label) for label in names)
        fps = float(arrays["fps"])
        times_us = arrays.get("video_time_us")
        if times_us is not None:
            scores, frame_index = _at_even_times(scores, times_us[frame_index], frame_index, fps)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError) as error:
        raise BallspotError(f"{path}: holds no scores ({error}); {remedy}") from error
    steps = np.unique(np.diff(frame_index))
    if not frame_index.size or steps.size > 1 or not 0 < fps < np.inf:
        raise BallspotError(f"{path}: its frames are not evenly spaced, or its rate is {fps}; predict again")
    return Curves(scores, labels, int(frame_index[0]), int(steps[0]) if steps.size else 1, fps)


def _at_even_times(
    scores: np.ndarray, times_us: np.ndarray, frame_index: np.ndarray, fps: float
) -> tuple[np.ndarray, np.ndarray]:
    """The scores of the frames that are shown at the multiples of a step, of frames that come at other times.

    Raises ValueError for times that do not increase or last more than `MOST_ROWS` steps.
    """
    step = int(np.diff(frame_index).min()) if len(frame_index) > 1 else 1
    step_us = 1_000_000 * step / fps
    if np.any(np.diff(times_us) < 0) or not len(times_us) or times_us[-1] > MOST_ROWS * step_us:
        raise ValueError("times of frames that are none")
    even = np.arange(int(times_us[-1] // step_us) + 1)
    row = np.maximum(np.searchsorted(times_us, even * step_us, side="right") - 1, 0)
    return scores[row], even * step
