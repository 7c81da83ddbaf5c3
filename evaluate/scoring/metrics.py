"""SoccerNet's average precision, equal to the official package's to the last digits and fast enough for every epoch.

Source: SoccerNet 0.2.0, `Evaluation/ActionSpotting.py`, whose rules are restated here and in `matching`:
200 confidence thresholds from 0 to 1, precision interpolated at 11 recalls, the plain mean over all classes, where a
class without truths scores 0 and counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset import LabelSet, Spot, SpotArrays, column_arrays, columns_of
from .matching import Pool, match_truths, pool_spots
from .protocol import OFFICIAL, OFFICIAL_FPS, Protocol

THRESHOLDS = np.linspace(0, 1, 200)
RECALLS = np.arange(11) / 10
# SoccerNet scales the not-shown mean of tight and loose by this: 13 of SoccerNet-v2's 17 classes have such events.
NOT_SHOWN_FACTOR = 17 / 13


@dataclass(frozen=True)
class APResult:
    """Average precision (0..1) per class, arrays (n_labels,), with their means and the counts behind them.

    ``n_truth`` counts truths as the metric does: those of one class in one frame once. The visible and not-shown
    variants use the truths of that kind and the predictions nearest to one of that kind. As in the official package,
    ``mean_ap_not_shown`` of several tolerances (tight, loose) is 17/13 of the mean of ``ap_not_shown``.
    """

    tolerances_s: tuple[float, ...]
    ap: np.ndarray  # float64 (n_labels,)
    n_truth: np.ndarray  # int64 (n_labels,)
    mean_ap: float
    ap_visible: np.ndarray
    n_visible: np.ndarray
    mean_ap_visible: float
    ap_not_shown: np.ndarray
    n_not_shown: np.ndarray
    mean_ap_not_shown: float


def metric_frame(position_ms: int, fps: float) -> int:
    """SoccerNet's frame of a time: a truncating float product, one frame early for some starts of frames.

    1160 ms at 25 fps, the start of frame 29, gives 28. Use it to score; `labels.frame_of` is exact.
    """
    return int(fps * (position_ms / 1000))


def average_precision(
    truths: Sequence[SpotArrays], predictions: Sequence[SpotArrays], *, n_labels: int, protocol: Protocol = OFFICIAL
) -> APResult:
    """The average precision of each class over all matches; ``truths`` and ``predictions`` in the same match order.

    The frames of both are counted at the protocol's rate. Several tolerances are averaged by the trapezoid rule over
    their order, ends weighing half. Raises ValueError for arrays that do not fit together (see `matching.pool_spots`).
    """
    pool = pool_spots(truths, predictions, n_labels=n_labels, fps=protocol.fps)
    return pooled_average_precision(pool, protocol.tolerances_s)


def pooled_average_precision(pool: Pool, tolerances_s: Sequence[float]) -> APResult:
    """As `average_precision`, for spots that are pooled already."""
    truth_label, label, score_bin = pool.truth_label, pool.label, score_bins(pool.score)
    near_visible, n_labels = pool.is_near_visible, pool.n_labels
    n_truth = np.bincount(truth_label, minlength=n_labels)
    n_visible = np.bincount(truth_label[pool.truth_visible], minlength=n_labels)
    counts = (n_truth, n_visible, n_truth - n_visible)
    groups = (np.ones(label.size, dtype=bool), near_visible, ~near_visible)
    n_detected = [count_above(label[group], score_bin[group], n_labels) for group in groups]
    curves = np.zeros((3, len(tolerances_s), n_labels))  # all, visible, not shown
    for place, tolerance_s in enumerate(tolerances_s):
        hit = match_truths(pool, tolerance_s)
        hit = hit[hit >= 0]
        for kind, group in enumerate(groups):
            kept = hit[group[hit]]
            n_hits = count_above(label[kept], score_bin[kept], n_labels)
            curves[kind, place] = interpolated_ap(n_detected[kind], n_hits, counts[kind])
    ap, ap_visible, ap_not_shown = (trapezoid_mean(curve) for curve in curves)
    return APResult(
        tolerances_s=tuple(tolerances_s),
        ap=ap,
        n_truth=n_truth,
        mean_ap=_mean(ap),
        ap_visible=ap_visible,
        n_visible=n_visible,
        mean_ap_visible=_mean(ap_visible),
        ap_not_shown=ap_not_shown,
        n_not_shown=n_truth - n_visible,
        mean_ap_not_shown=_mean(ap_not_shown) * not_shown_factor(tolerances_s),
    )


def not_shown_factor(tolerances_s: Sequence[float]) -> float:
    """What SoccerNet's code multiplies the not-shown mean by: 17/13 where several tolerances are averaged, else 1."""
    return NOT_SHOWN_FACTOR if len(tolerances_s) > 1 else 1.0


def headline_ap(ap: np.ndarray, label_set: LabelSet) -> float:
    """The mean of ``ap`` (n_labels,) over the label set's headline labels: mAP@10 of ball-12."""
    return _mean(ap[list(label_set.in_headline)])


def frequent_ap(ap: np.ndarray, n_truth: np.ndarray, min_count: int) -> float | None:
    """The mean of ``ap`` over the classes with at least ``min_count`` truths; None when there is no such class."""
    frequent = ap[n_truth >= min_count]
    return _mean(frequent) if frequent.size else None


def score_bins(score: np.ndarray) -> np.ndarray:
    """How many of the 200 thresholds each score reaches, 0..200, int64 like ``score``."""
    # The place by arithmetic is right to one threshold either side; comparing finishes it, exactly as a search would.
    guess = (np.clip(score, 0.0, 1.0) * (THRESHOLDS.size - 1)).astype(np.int64)
    reaches_next = (guess < THRESHOLDS.size - 1) & (THRESHOLDS[np.minimum(guess + 1, THRESHOLDS.size - 1)] <= score)
    return guess + reaches_next + (THRESHOLDS[guess] <= score)


def interpolated_ap(n_detected: np.ndarray, n_hits: np.ndarray, n_truth: np.ndarray) -> np.ndarray:
    """The 11-point average precision, float64 (...,), from counts at the thresholds.

    ``n_detected`` and ``n_hits`` (..., n) count the predictions, and the hits among them, that reach each threshold,
    from the lowest on; ``n_truth`` (...,) the truths. Thresholds between two hits may be left out: one that no more
    hits reach than the next higher one is never the more precise. Nothing detected is precision 0, no truth is recall
    0: both give AP 0.
    """
    precision = np.divide(n_hits, n_detected, out=np.zeros(n_hits.shape), where=n_detected > 0)
    n_truth = np.broadcast_to(np.asarray(n_truth)[..., None], n_hits.shape)
    recall = np.divide(n_hits, n_truth, out=np.zeros(n_hits.shape), where=n_truth > 0)
    # Recall falls from threshold to threshold: a level is reached by the first n of them, and the best precision among
    # the first n is a running maximum; none reached is 0.
    n_thresholds = precision.shape[-1]
    best = np.zeros((*precision.shape[:-1], n_thresholds + 1))
    np.maximum.accumulate(precision, axis=-1, out=best[..., 1:])
    total = np.zeros(precision.shape[:-1])
    for level in RECALLS:
        short = recall < level
        n_reached = np.where(short[..., -1], short.argmax(axis=-1), n_thresholds)
        total += np.take_along_axis(best, n_reached[..., None], axis=-1)[..., 0]
    return total / len(RECALLS)


def count_above(label: np.ndarray, score_bin: np.ndarray, n_labels: int) -> np.ndarray:
    """How many predictions of each class reach each threshold: int64 (n_labels, 200)."""
    n_bins = THRESHOLDS.size + 1
    per_bin = np.bincount(label * n_bins + score_bin, minlength=n_labels * n_bins).reshape(n_labels, n_bins)
    return per_bin[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]


def trapezoid_mean(values: np.ndarray) -> np.ndarray:
    """(n, ...) -> (...): the mean by the trapezoid rule with equal steps; the value itself where n is 1."""
    return values[0] if len(values) == 1 else ((values[:-1] + values[1:]) / 2).mean(axis=0)


def _mean(ap: np.ndarray) -> float:
    return float(ap.mean()) if ap.size else 0.0


def metric_frames(position_ms: np.ndarray) -> np.ndarray:
    """For each position (n,), whole milliseconds, the metric's frame of a spot there: `metric_frame` of each, int64.

    `TimeAxis.positions_of` gives the positions that are written for the frames of a match.
    """
    return (OFFICIAL_FPS * (position_ms / 1000)).astype(np.int64)


def official_arrays(spots: Sequence[Spot], label_set: LabelSet) -> SpotArrays:
    """A match's labels or predictions, in the order of their file, as the official metric reads them: 25 frames a
    second, unknown labels left out.
    """
    return column_arrays(columns_of(spots), label_set, fps=OFFICIAL_FPS)
