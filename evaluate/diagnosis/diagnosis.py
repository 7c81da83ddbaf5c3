"""Why a number is what it is: operating points, timing, kinds of mistakes, tolerances, calibration."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from ..dataset import LabelSet
from ..scoring import Pool, match_truths, pooled_average_precision
from ..uncertainty import Resamples
from .bounds import DiagnosisBounds, diagnosis_bounds
from .mistakes import CONFUSION, FIXES, HIT, KINDS, MISSED, Verdicts, confusions, fixed_ap, judge

CURVE_S = (0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0, 4.0, 5.0)
N_CALIBRATION_BINS = 10


@dataclass(frozen=True)
class OperatingPoint:
    """One class at the threshold of its best F1; None where it has no truth, or no prediction hits one.

    ``mistakes`` counts its predictions from the threshold up by kind, "missed" its truths without a hit there,
    and ``confused_with`` says which classes its confusions were in truth. Timing is of its hits there, in seconds;
    the bias is positive when predictions are late.
    """

    threshold: float | None
    precision: float | None
    recall: float | None
    f1: float | None
    n_truth: int
    mistakes: dict[str, int]
    confused_with: dict[str, int]
    timing_median_s: float | None
    timing_p90_s: float | None
    timing_bias_s: float | None


@dataclass(frozen=True)
class Calibration:
    """How often predictions hit, by score: edges (n + 1,), counts, mean scores and hit shares (n,), NaN where empty."""

    edges: np.ndarray
    count: np.ndarray
    score: np.ndarray
    share: np.ndarray

    @property
    def error(self) -> float:
        """The expected calibration error: |mean score - share of hits|, weighted by counts; NaN without predictions."""
        filled = self.count > 0
        if not filled.any():
            return float("nan")
        return float(np.average(np.abs(self.score - self.share)[filled], weights=self.count[filled]))


def calibration(pool: Pool, verdicts: Verdicts, *, n_bins: int = N_CALIBRATION_BINS) -> Calibration:
    """The share of hits among predictions of similar score; scores above 1 count as 1."""
    score_bin = calibration_bins(pool, n_bins)
    count = np.bincount(score_bin, minlength=n_bins)
    values = (np.minimum(pool.score, 1.0), verdicts.kind == HIT)
    sums = (np.bincount(score_bin, weights=value, minlength=n_bins) for value in values)
    means = [np.divide(total, count, out=np.full(n_bins, np.nan), where=count > 0) for total in sums]
    return Calibration(np.linspace(0, 1, n_bins + 1), count, *means)


def calibration_bins(pool: Pool, n_bins: int) -> np.ndarray:
    """Which of ``n_bins`` equal parts of 0..1 each score is in, int64 (p,); scores above 1 are in the last."""
    return np.minimum((np.minimum(pool.score, 1.0) * n_bins).astype(np.int64), n_bins - 1)


@dataclass(frozen=True)
class Diagnosis:
    """Everything at one tolerance; APs are SoccerNet's, in 0..1.

    ``points`` per class; ``confusion`` (n_labels + 1, n_labels + 1), see `mistakes.confusions`; ``fixed`` the mean AP
    with one kind of mistake put right; ``curve`` (c, n_labels) the AP at each of ``curve_s``; ``bounds`` their
    intervals, None where nothing was resampled.
    """

    label_set: LabelSet
    tolerance_s: float
    mean_ap: float
    points: tuple[OperatingPoint, ...]
    confusion: np.ndarray
    fixed: dict[str, float]
    curve_s: tuple[float, ...]
    curve: np.ndarray
    calibration: Calibration
    bounds: DiagnosisBounds | None = None

    def as_record(self) -> dict[str, Any]:
        """The diagnosis as one JSON object."""
        labels = self.label_set.labels
        record = {
            "tolerance_s": self.tolerance_s,
            "mean_ap": self.mean_ap,
            "per_class": {label: _point_record(point) for label, point in zip(labels, self.points, strict=True)},
            "mean_ap_if_fixed": self.fixed,
            "confusion": {
                "rows": [*labels, "no truth"],
                "columns": [*labels, MISSED],
                "counts": self.confusion.tolist(),
            },
            "tolerance_curve": {
                "tolerance_s": list(self.curve_s),
                "mean_ap": self.curve.mean(axis=1).tolist(),
                "per_class": {label: self.curve[:, index].tolist() for index, label in enumerate(labels)},
            },
            "calibration": {
                "edges": self.calibration.edges.tolist(),
                "n": self.calibration.count.tolist(),
                "mean_score": [_finite(value) for value in self.calibration.score],
                "hit_share": [_finite(value) for value in self.calibration.share],
                "expected_error": _finite(self.calibration.error),
            },
        }
        return record if self.bounds is None else {**record, "intervals": self.bounds.as_record(self.label_set)}


def diagnose(
    pool: Pool,
    label_set: LabelSet,
    *,
    tolerance_s: float,
    resamples: Resamples | None = None,
    curve_s: Sequence[float] = CURVE_S,
) -> Diagnosis:
    """The diagnosis of a pool at ``tolerance_s`` (full width); ``resamples`` add intervals."""
    hit = match_truths(pool, tolerance_s)
    verdicts = judge(pool, hit, tolerance_s)
    thresholds = best_thresholds(pool, verdicts.kind == HIT)
    curve = np.stack([pooled_average_precision(pool, (width_s,)).ap for width_s in curve_s])
    bounds = None
    if resamples is not None:
        score_bin = calibration_bins(pool, N_CALIBRATION_BINS)
        bounds = diagnosis_bounds(
            pool, verdicts, thresholds, score_bin, resamples, n_bins=N_CALIBRATION_BINS, curve_s=curve_s
        )
    return Diagnosis(
        label_set=label_set,
        tolerance_s=tolerance_s,
        mean_ap=pooled_average_precision(pool, (tolerance_s,)).mean_ap,
        points=tuple(_point(pool, label_set, verdicts, index, thresholds[index]) for index in range(pool.n_labels)),
        confusion=confusions(pool, verdicts, thresholds),
        fixed={fix: float(fixed_ap(pool, verdicts, fix).mean()) for fix in FIXES},
        curve_s=tuple(curve_s),
        curve=curve,
        calibration=calibration(pool, verdicts),
        bounds=bounds,
    )


def best_thresholds(pool: Pool, is_hit: np.ndarray) -> np.ndarray:
    """The score of each class from which on F1 is best, float64 (n_labels,); infinity where nothing hits.

    Every score that occurs is tried; of equal F1 the highest threshold is taken.
    """
    n_truth = np.bincount(pool.truth_label, minlength=pool.n_labels)
    best = np.full(pool.n_labels, np.inf)
    for index in range(pool.n_labels):
        members = np.flatnonzero(pool.label == index)
        members = members[np.argsort(-pool.score[members], kind="stable")]
        hits = np.cumsum(is_hit[members])
        if not hits.size or not hits[-1]:
            continue
        score = pool.score[members]
        last = np.append(score[1:] != score[:-1], True)  # equal scores are taken together
        f1 = 2 * hits / (np.arange(1, hits.size + 1) + n_truth[index])
        best[index] = score[last][np.argmax(f1[last])]
    return best


def _point(pool: Pool, label_set: LabelSet, verdicts: Verdicts, index: int, threshold: float) -> OperatingPoint:
    truths = np.flatnonzero(pool.truth_label == index)
    chosen = np.flatnonzero((pool.label == index) & (pool.score >= threshold))
    counts = np.bincount(verdicts.kind[chosen], minlength=len(KINDS))
    mistakes = {kind: int(count) for kind, count in zip(KINDS, counts, strict=True)}
    mistakes[MISSED] = truths.size - int(counts[HIT])
    confused = chosen[verdicts.kind[chosen] == CONFUSION]
    in_truth = np.bincount(pool.truth_label[verdicts.truth[confused]], minlength=pool.n_labels)
    confused_with = {label: int(n) for label, n in zip(label_set.labels, in_truth, strict=True) if n}
    hits = chosen[verdicts.kind[chosen] == HIT]
    if not hits.size:
        return OperatingPoint(None, None, None, None, truths.size, mistakes, confused_with, None, None, None)
    late_s = (pool.key[hits] - pool.truth_key[verdicts.truth[hits]]) / pool.fps
    return OperatingPoint(
        threshold=float(threshold),
        precision=hits.size / chosen.size,
        recall=hits.size / truths.size,
        f1=2 * hits.size / (chosen.size + truths.size),
        n_truth=truths.size,
        mistakes=mistakes,
        confused_with=confused_with,
        timing_median_s=float(np.median(np.abs(late_s))),
        timing_p90_s=float(np.quantile(np.abs(late_s), 0.9)),
        timing_bias_s=float(np.median(late_s)),
    )


def _point_record(point: OperatingPoint) -> dict[str, Any]:
    return {"counts" if name == "mistakes" else name: value for name, value in asdict(point).items()}


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
