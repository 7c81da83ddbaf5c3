"""The exact AP: the area under the whole precision-recall curve, as E2E-Spot, T-DEED and AdaSpot report it.

Source: the definition of Hong et al., "Spotting temporally precise, fine-grained events in video" (ECCV 2022):
predictions are taken from the highest score down, each takes the nearest free truth of its class within reach, and the
area is summed over single truths with precision interpolated from the right. It is not SoccerNet's AP: there, truths
choose predictions, and 200 thresholds and 11 recalls stand for the curve. It is only ever printed under its own name.
"""

from dataclasses import dataclass

import numpy as np

from .matching import Pool, reach_frames, windows


@dataclass(frozen=True)
class ExactCurves:
    """The hits of all classes in order of score: where each stands among the predictions of its class.

    ``hit`` are places in the pool, by class and then by score downwards; ``rank`` counts, from 1, the predictions of
    the class down to it.
    """

    hit: np.ndarray  # int64 (h,)
    truth: np.ndarray  # int64 (h,)
    label: np.ndarray  # int64 (h,)
    rank: np.ndarray  # int64 (h,)


def exact_curves(pool: Pool, tolerance_s: float) -> ExactCurves:
    """Every hit when predictions choose truths, for the exact AP at ``tolerance_s`` (full width)."""
    truth_of = match_predictions(pool, tolerance_s)
    order = np.lexsort((np.arange(pool.key.size), -pool.score, pool.label))
    label = pool.label[order]
    rank = np.arange(order.size) - np.searchsorted(label, label) + 1
    is_hit = truth_of[order] >= 0
    hit = order[is_hit]
    return ExactCurves(hit, truth_of[hit], label[is_hit], rank[is_hit])


def exact_ap(pool: Pool, tolerance_s: float) -> np.ndarray:
    """The exact AP of each class, float64 (n_labels,); 0 for a class without truths or predictions."""
    curves = exact_curves(pool, tolerance_s)
    n_truth = np.bincount(pool.truth_label, minlength=pool.n_labels)
    ap = np.zeros(pool.n_labels)
    for index in np.unique(curves.label):
        rank = curves.rank[curves.label == index]
        precision = np.arange(1, rank.size + 1) / rank
        ap[index] = np.maximum.accumulate(precision[::-1]).sum() / n_truth[index]
    return ap


def match_predictions(pool: Pool, tolerance_s: float) -> np.ndarray:
    """For each prediction the truth that it takes, or -1: int64 (p,). One to one, the highest score first.

    Of equal scores the earlier goes first; of two truths equally near it takes the earlier.
    """
    low, high = windows(pool, pool.key, pool.truth_key, reach_frames(pool, tolerance_s))
    near = np.flatnonzero(low < high)
    near = near[np.argsort(-pool.score[near], kind="stable")]
    truth_of = np.full(pool.key.size, -1, dtype=np.int64)
    taken = np.zeros(pool.truth_key.size, dtype=bool)
    truth_key = pool.truth_key.tolist()
    for prediction, key, first, end in zip(
        near.tolist(), pool.key[near].tolist(), low[near].tolist(), high[near].tolist(), strict=True
    ):
        free = [truth for truth in range(first, end) if not taken[truth]]
        if free:
            truth = min(free, key=lambda one: abs(truth_key[one] - key))
            taken[truth] = True
            truth_of[prediction] = truth
    return truth_of
