"""From per-frame scores to spots in time, every class in its own way if need be."""

import numpy as np

from ...cache.times import TimeAxis
from ...evaluate.dataset import Spot
from ..config import PredictionSection, Suppression
from .suppression import WEAKENINGS, Peaks, local_peaks, suppress


def decode_scores(scores: np.ndarray, *, suppression: Suppression, nms_window: int, score_floor: float) -> Peaks:
    """The peaks of scores (n, K). ``nms_window`` counts rows of ``scores``: either side, in all for "lopsided"."""
    if suppression in ("peaks", "peaks-ties"):
        return local_peaks(scores, nms_window, floor=score_floor, ties=suppression == "peaks-ties")
    return suppress(scores, WEAKENINGS[suppression](nms_window), floor=score_floor)


def decode_as_configured(scores: np.ndarray, section: PredictionSection) -> Peaks:
    """The peaks of scores (n, K), all classes as the `prediction` section says."""
    return decode_scores(
        scores, suppression=section.suppression, nms_window=section.nms_window, score_floor=section.score_floor
    )


def spots_of(
    peaks: Peaks,
    frame_index: np.ndarray,
    *,
    axis: TimeAxis,
    labels: tuple[str, ...],
    right_share: np.ndarray | None = None,
) -> tuple[Spot, ...]:
    """The peaks as spots at the times of their frames on the video's axis, in order of time.

    With ``right_share`` (n, K) each has the team that more of its score belongs to.
    """
    teams: list[str | None] = [None] * len(peaks.row)
    if right_share is not None:
        teams = ["right" if share > 0.5 else "left" for share in right_share[peaks.row, peaks.label_index].tolist()]
    return tuple(
        Spot(labels[label], position_ms, 1, team, confidence=score)
        for position_ms, label, score, team in zip(
            axis.positions_of(frame_index[peaks.row]).tolist(),
            peaks.label_index.tolist(),
            peaks.score.tolist(),
            teams,
            strict=True,
        )
    )
