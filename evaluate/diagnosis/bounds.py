"""How sure a diagnosis is: intervals on all its numbers, from the same draws of blocks as every other interval.

As there, spots are matched and judged once, on whole matches. The threshold of a class stays put in every draw, so its
precision, recall and F1 say how sure those of this threshold are, not how sure the threshold is.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..dataset import LabelSet
from ..scoring import Pool, score_bins
from ..uncertainty import (
    Interval,
    Replicates,
    Resamples,
    ap_replicates,
    count_table,
    drawn_ap,
    interval,
    place_blocks,
    weighted_quantile,
)
from .mistakes import FIXES, HIT, Repair, Verdicts, repair

NONE = Interval(None, None)
TIMINGS = ("timing_median_s", "timing_p90_s", "timing_bias_s")


@dataclass(frozen=True)
class DiagnosisBounds:
    """Intervals of a diagnosis; ``points`` by name for each class, ``curve`` a row a tolerance, a column a class."""

    points: tuple[Mapping[str, Interval], ...]
    mean_ap: Interval
    fixed: Mapping[str, Interval]
    gain: Mapping[str, Interval]  # paired: fixed less mean_ap on the same draws
    curve_mean: tuple[Interval, ...]
    curve: tuple[tuple[Interval, ...], ...]
    calibration_error: Interval
    hit_share: tuple[Interval, ...]  # of each bin of scores

    def as_record(self, label_set: LabelSet) -> dict[str, Any]:
        """The intervals as one JSON object, bounds as lists of two."""
        return {
            "mean_ap": self.mean_ap.as_record(),
            "per_class": {
                label: {name: bounds.as_record() for name, bounds in point.items()}
                for label, point in zip(label_set.labels, self.points, strict=True)
            },
            "mean_ap_if_fixed": {fix: bounds.as_record() for fix, bounds in self.fixed.items()},
            "gain_if_fixed": {fix: bounds.as_record() for fix, bounds in self.gain.items()},
            "tolerance_curve": {
                "mean_ap": [bounds.as_record() for bounds in self.curve_mean],
                "per_class": {
                    label: [row[index].as_record() for row in self.curve]
                    for index, label in enumerate(label_set.labels)
                },
            },
            "calibration": {
                "expected_error": self.calibration_error.as_record(),
                "hit_share": [bounds.as_record() for bounds in self.hit_share],
            },
        }


def diagnosis_bounds(
    pool: Pool,
    verdicts: Verdicts,
    thresholds: np.ndarray,
    score_bin: np.ndarray,
    resamples: Resamples,
    *,
    n_bins: int,
    curve_s: Sequence[float],
) -> DiagnosisBounds:
    """The intervals of what `diagnosis.diagnose` finds.

    ``thresholds`` (n_labels,) are the classes' best, ``score_bin`` int64 (p,) says which of ``n_bins`` bins of the
    calibration each prediction is in.
    """
    truth_block, block = place_blocks(pool, resamples)
    hits = np.flatnonzero(verdicts.kind == HIT)
    block[hits] = truth_block[verdicts.truth[hits]]
    base = ap_replicates(pool, (verdicts.tolerance_s,), resamples)
    fixed = {fix: _fixed_mean(pool, repair(pool, verdicts, fix), base, truth_block, block, resamples) for fix in FIXES}
    curve = [ap_replicates(pool, (width_s,), resamples) for width_s in curve_s]
    error, shares = _calibration(pool, verdicts, block, score_bin, n_bins, resamples)
    return DiagnosisBounds(
        points=tuple(_points(pool, verdicts, thresholds, truth_block, block, resamples)),
        mean_ap=interval(base.mean()),
        fixed={fix: interval(drawn) for fix, drawn in fixed.items()},
        gain={fix: interval(drawn - base.mean()) for fix, drawn in fixed.items()},
        curve_mean=tuple(interval(drawn.mean()) for drawn in curve),
        curve=tuple(tuple(interval(drawn.of_class(index)) for index in range(pool.n_labels)) for drawn in curve),
        calibration_error=interval(error),
        hit_share=tuple(interval(drawn) for drawn in shares.T),
    )


def _points(
    pool: Pool,
    verdicts: Verdicts,
    thresholds: np.ndarray,
    truth_block: np.ndarray,
    block: np.ndarray,
    resamples: Resamples,
) -> list[dict[str, Interval]]:
    """Precision, recall, F1 and timing of each class at its threshold; nothing for a class that is never hit.

    What rests on predictions (or truths, or hits) of a single block has no interval, as in `Replicates.of_class`.
    """
    label, reaches = pool.label, pool.score >= thresholds[pool.label]
    is_hit = reaches & (verdicts.kind == HIT)
    tables = [
        count_table(blocks, labels, pool.n_labels, resamples)
        for blocks, labels in (
            (truth_block, pool.truth_label),
            (block[reaches], label[reaches]),
            (block[is_hit], label[is_hit]),
        )
    ]
    n_truth, n_chosen, n_hits = (resamples.weights @ table for table in tables)  # (R, n_labels)
    spread = [(table > 0).sum(axis=0) > 1 for table in tables]  # (n_labels,): over more than one block
    shares = {
        "precision": (_ratio(n_hits, n_chosen), spread[1]),
        "recall": (_ratio(n_hits, n_truth), spread[0]),
        "f1": (_ratio(2 * n_hits, n_chosen + n_truth), spread[0]),
    }
    points = []
    for index in range(pool.n_labels):
        hits = np.flatnonzero(is_hit & (label == index))
        if not hits.size:
            points.append({})
            continue
        point = {name: interval(share[:, index]) if wide[index] else NONE for name, (share, wide) in shares.items()}
        late_s = (pool.key[hits] - pool.truth_key[verdicts.truth[hits]]) / pool.fps
        timing = _timing(late_s, block[hits], resamples) if spread[2][index] else dict.fromkeys(TIMINGS, NONE)
        points.append(point | timing)
    return points


def _timing(late_s: np.ndarray, block: np.ndarray, resamples: Resamples) -> dict[str, Interval]:
    bounds = {}
    for name, seconds, level in zip(TIMINGS, (np.abs(late_s), np.abs(late_s), late_s), (0.5, 0.9, 0.5), strict=True):
        values, index = np.unique(seconds, return_inverse=True)  # whole frames: few values, however many hits
        weights = resamples.weights @ count_table(block, index, values.size, resamples)
        bounds[name] = interval(weighted_quantile(values, weights, level))
    return bounds


def _fixed_mean(
    pool: Pool, fixed: Repair, base: Replicates, truth_block: np.ndarray, block: np.ndarray, resamples: Resamples
) -> np.ndarray:
    """(R,): mAP in every draw with one kind of mistake put right; a rescued hit counts in the block of its truth."""
    hits, stays = np.flatnonzero(fixed.is_hit), fixed.stays
    moved = block.copy()
    moved[hits] = truth_block[fixed.truth[hits]]
    asked = resamples.weights @ count_table(
        truth_block[fixed.counted], pool.truth_label[fixed.counted], pool.n_labels, resamples
    )
    ap = drawn_ap(
        fixed.label[stays], score_bins(pool.score[stays]), moved[stays], fixed.is_hit[stays], asked, resamples
    )
    # As in the number itself, a class whose truths are all missed scores 0 when none of them is asked for.
    return replace(base, ap=np.where(base.n_truth > 0, ap, np.nan)).mean()


def _calibration(
    pool: Pool, verdicts: Verdicts, block: np.ndarray, score_bin: np.ndarray, n_bins: int, resamples: Resamples
) -> tuple[np.ndarray, np.ndarray]:
    """The expected calibration error (R,) and the share of hits of each bin (R, n)."""
    score = np.minimum(pool.score, 1.0)
    counts, scores, hits = (
        resamples.weights @ count_table(block, score_bin, n_bins, resamples, values=values)
        for values in (None, score, (verdicts.kind == HIT).astype(np.float64))
    )
    return _ratio(np.abs(scores - hits).sum(axis=1), counts.sum(axis=1)), _ratio(hits, counts)


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.full(top.shape, np.nan), where=bottom > 0)
