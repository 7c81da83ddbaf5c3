"""From per-frame scores to spots in time."""

from fractions import Fraction
from typing import Literal

import numpy as np

from ..evaluate.labels import Spot, position_of
from .suppression import WEAKENINGS, Peaks, suppress


def decode_scores(
    scores: np.ndarray, *, suppression: Literal["soft", "hard", "lopsided"], nms_window: int, score_floor: float
) -> Peaks:
    """The peaks of scores (n, K). ``nms_window`` counts rows of ``scores``: either side, in all for "lopsided"."""
    return suppress(scores, WEAKENINGS[suppression](nms_window), floor=score_floor)


def spots_of(
    peaks: Peaks, frame_index: np.ndarray, *, fps: Fraction, labels: tuple[str, ...], half: int = 1
) -> tuple[Spot, ...]:
    """The peaks as spots at the middle of their frames, in order of time."""
    return tuple(
        Spot(labels[label], position_of(frame, fps), half, confidence=score)
        for frame, label, score in zip(
            frame_index[peaks.row].tolist(), peaks.label_index.tolist(), peaks.score.tolist(), strict=True
        )
    )
