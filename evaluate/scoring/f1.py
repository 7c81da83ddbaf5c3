"""The score of SoccerNet's player-centric task of 2026: precision, recall and F1 at one confidence, by class.

Source: the task's rules and the evaluation that its authors published with FOOTPASS (Ochin et al., 2025). Predictions
below a confidence of 0.15 are left out. The others, the most confident first, each take the nearest truth of their
match and group that lies within 12 frames at 25 a second and is not taken yet, the earlier of two equally near ones. A
group there is a class, a team and a shirt number. Spots have no number, so groups here are a class and a side: a
prediction is not told off for naming the wrong player, and the numbers are higher than the task's own.
"""

from dataclasses import dataclass

import numpy as np

from ..dataset import TEAMS, LabelSet, SpotColumns
from .pairing import Pairing

THRESHOLD, REACH, FPS = 0.15, 12, 25
Ratio = np.ndarray | float


@dataclass(frozen=True)
class F1Result:
    """What the predictions of a confidence of 0.15 or more hit: counts by class, int64 (n_labels,).

    ``with_sides`` says whether a hit must be of the truth's side. Shares are in 0..1, and 0 where there is nothing to
    divide by, as in the published code. `macro_f1` is the mean over the classes, `micro_f1` of all spots together.
    """

    n_hits: np.ndarray
    n_spots: np.ndarray
    n_truth: np.ndarray
    with_sides: bool

    @property
    def precision(self) -> np.ndarray:
        """Hits among the predictions of each class, (n_labels,)."""
        return _share(self.n_hits, self.n_spots)

    @property
    def recall(self) -> np.ndarray:
        """Hits among the truths of each class, (n_labels,)."""
        return _share(self.n_hits, self.n_truth)

    @property
    def f1(self) -> np.ndarray:
        """The harmonic mean of both, (n_labels,)."""
        return _share(2 * self.n_hits, self.n_spots + self.n_truth)

    @property
    def macro_f1(self) -> float:
        """The mean of the classes' F1."""
        return float(self.f1.mean())

    @property
    def micro_f1(self) -> float:
        """F1 of all classes' counts together."""
        return float(_share(2 * self.n_hits.sum(), self.n_spots.sum() + self.n_truth.sum()))


def f1_at_confidence(pairing: Pairing, *, with_sides: bool) -> F1Result:
    """The counts of a pairing, matched within match, half and class and, ``with_sides``, within the side.

    A spot of neither the left nor the right team is then of a side of its own.
    """
    n_labels = len(pairing.label_set)
    n_hits, n_spots, n_truth = (np.zeros(n_labels, dtype=np.int64) for _ in range(3))
    for truths, spots in zip(pairing.truth_columns, pairing.columns, strict=True):
        truth_groups, truth_label = _groups(truths, pairing.label_set, with_sides)
        groups, label = _groups(spots, pairing.label_set, with_sides)
        counts = (label >= 0) & (spots.confidence >= THRESHOLD)
        is_hit = hits(
            (truth_groups[truth_label >= 0], _frames(truths)[truth_label >= 0]),
            (groups[counts], _frames(spots)[counts]),
            spots.confidence[counts],
        )
        n_truth += np.bincount(truth_label[truth_label >= 0], minlength=n_labels)
        n_spots += np.bincount(label[counts], minlength=n_labels)
        n_hits += np.bincount(label[counts][is_hit], minlength=n_labels)
    return F1Result(n_hits, n_spots, n_truth, with_sides)


def hits(
    truths: tuple[np.ndarray, np.ndarray], spots: tuple[np.ndarray, np.ndarray], confidence: np.ndarray
) -> np.ndarray:
    """Which predictions take a truth, bool (s,).

    Groups and frames, int64, of the truths (t,) and of the predictions (s,), and the confidence of these, (s,).
    """
    (truth_groups, truth_frames), (groups, frames) = truths, spots
    by_place = np.lexsort((truth_frames, truth_groups))
    truth_groups, truth_frames = truth_groups[by_place], truth_frames[by_place]
    starts, ends = (np.searchsorted(truth_groups, groups, side) for side in ("left", "right"))
    is_taken, is_hit = np.zeros(truth_groups.size, dtype=bool), np.zeros(groups.size, dtype=bool)
    for spot in np.argsort(-confidence, kind="stable"):
        start, end = starts[spot], ends[spot]
        low, high = start + np.searchsorted(truth_frames[start:end], (frames[spot] - REACH, frames[spot] + REACH + 1))
        free = low + np.flatnonzero(~is_taken[low:high])
        if free.size:
            nearest = free[np.argmin(np.abs(truth_frames[free] - frames[spot]))]  # the first of equally near ones
            is_taken[nearest] = is_hit[spot] = True
    return is_hit


def _groups(columns: SpotColumns, label_set: LabelSet, with_sides: bool) -> tuple[np.ndarray, np.ndarray]:
    """One number for half, class and side of each spot, and its class, -1 for an unknown one."""
    label = columns.label_index(label_set)
    side = columns.side() + 1 if with_sides else 0
    return (columns.half.astype(np.int64) * len(label_set) + label) * (len(TEAMS) + 1) + side, label


def _frames(columns: SpotColumns) -> np.ndarray:
    return columns.position_ms * FPS // 1000


def _share(part: Ratio, whole: Ratio) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros(np.shape(whole)), where=np.asarray(whole) > 0)
