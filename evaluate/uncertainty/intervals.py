"""Intervals on every mean and class of an evaluation, from one set of draws, and paired differences between two."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..dataset import TEAMS, LabelSet
from ..scoring import N_SIDES, Pool, not_shown_factor, team_ap, trapezoid_mean
from .bootstrap import LEVEL, Interval, Replicates, Resamples, ap_replicates, exact_replicates, interval


@dataclass(frozen=True)
class TeamReplicates:
    """Team AP in each draw: of the actions, and of the class sides, whose labels are ``2 * label + side``."""

    actions: Replicates
    sides: Replicates

    def mean(self) -> np.ndarray:
        """(R,): Team-mAP; an action without any truth has no part in it, one that only a draw misses none there."""
        return self.actions.mean(np.asarray(np.isfinite(self.actions.ap).any(axis=0)))


@dataclass(frozen=True)
class Uncertainty:
    """The draws behind an evaluation: AP of each class in each of R draws, by kind.

    ``teams`` is None where Team-mAP is not scored. `as_record` makes intervals of them.
    """

    label_set: LabelSet
    resamples: Resamples
    official: Replicates
    visible: Replicates
    not_shown: Replicates
    original: Replicates
    exact: Replicates
    teams: TeamReplicates | None
    not_shown_factor: float = 1.0  # see `metrics.not_shown_factor`

    def mean_ap(self) -> Interval:
        """The interval of the mean over all classes."""
        return interval(self.official.mean())

    def headline_ap(self) -> Interval:
        """The interval of the mean over the headline classes."""
        return interval(self.official.mean(np.array(self.label_set.in_headline)))

    def mean_ap_not_shown(self) -> Interval:
        """The interval of the not-shown mean, multiplied as the mean itself is."""
        return interval(self.not_shown_factor * self.not_shown.mean())

    def class_ap(self, index: int) -> Interval:
        """The interval of one class's AP."""
        return interval(self.official.of_class(index))

    def frequent_ap(self, frequent: np.ndarray) -> Interval:
        """The interval of the mean over the ``frequent`` classes, bool (n_labels,)."""
        return interval(self.official.mean(frequent)) if frequent.any() else Interval(None, None)

    def as_record(self, frequent: np.ndarray) -> dict[str, Any]:
        """Every interval as one JSON object, bounds as lists of two."""
        labels = self.label_set.labels
        return {
            "level": LEVEL,
            "method": "percentile, blocks of matches resampled",
            "block_s": self.resamples.block_s,
            "n_blocks": int(self.resamples.blocks.size),
            "n_resamples": len(self.resamples.weights),
            "mean_ap": self.mean_ap().as_record(),
            "headline_ap": self.headline_ap().as_record(),
            "frequent_ap": self.frequent_ap(frequent).as_record(),
            "mean_ap_visible": interval(self.visible.mean()).as_record(),
            "mean_ap_not_shown": self.mean_ap_not_shown().as_record(),
            "exact_mean_ap": interval(self.exact.mean()).as_record(),
            "team_mean_ap": None if self.teams is None else interval(self.teams.mean()).as_record(),
            "original_protocol": {
                "mean_ap": interval(self.original.mean()).as_record(),
                "headline_ap": interval(self.original.mean(np.array(self.label_set.in_headline))).as_record(),
                "frequent_ap": interval(self.original.mean(frequent)).as_record() if frequent.any() else [None, None],
            },
            "per_class": {label: self._class_record(index) for index, label in enumerate(labels)},
        }

    def _class_record(self, index: int) -> dict[str, Any]:
        drawn = {
            "ap": self.official.of_class(index),
            "ap_visible": self.visible.of_class(index),
            "ap_not_shown": self.not_shown.of_class(index),
            "exact_ap": self.exact.of_class(index),
            "original_protocol_ap": self.original.of_class(index),
        }
        if self.teams is not None:
            drawn["team_ap"] = self.teams.actions.of_class(index)
            for name, side in TEAMS.items():
                drawn[f"team_ap_{name}"] = self.teams.sides.of_class(N_SIDES * index + side)
        return {name: interval(one).as_record() for name, one in drawn.items()}


def estimate_uncertainty(
    label_set: LabelSet,
    resamples: Resamples,
    *,
    pool: Pool,
    original: Pool,
    teams: Pool | None,
    tolerances_s: Sequence[float],
) -> Uncertainty:
    """The draws of an evaluation's numbers; ``original`` and ``teams`` pool the same matches as ``pool``."""
    exact = [exact_replicates(pool, tolerance_s, resamples) for tolerance_s in tolerances_s]
    return Uncertainty(
        label_set=label_set,
        resamples=resamples,
        official=ap_replicates(pool, tolerances_s, resamples),
        visible=ap_replicates(pool, tolerances_s, resamples, kind="visible"),
        not_shown=ap_replicates(pool, tolerances_s, resamples, kind="not shown"),
        original=ap_replicates(original, tolerances_s, resamples),
        exact=replace(exact[0], ap=trapezoid_mean(np.stack([one.ap for one in exact]))),
        teams=None if teams is None else team_replicates(teams, tolerances_s, resamples),
        not_shown_factor=not_shown_factor(tolerances_s),
    )


def team_replicates(teams: Pool, tolerances_s: Sequence[float], resamples: Resamples) -> TeamReplicates:
    """Team AP in every draw, from the pool of class sides."""
    sides = ap_replicates(teams, tolerances_s, resamples)
    shape = (len(sides.ap), sides.ap.shape[1] // N_SIDES, N_SIDES)  # (R, n_labels, 2), R is 0 for a single block
    n_truth = sides.n_truth.reshape(shape)
    in_block = np.asarray(sides.in_block.reshape(-1, *shape[1:]).any(axis=-1))
    actions = Replicates(team_ap(np.nan_to_num(sides.ap).reshape(shape), n_truth), n_truth.sum(axis=-1), in_block)
    return TeamReplicates(actions, sides)


@dataclass(frozen=True)
class Difference:
    """How much better one side is than the other on the same draws, in AP (0..1).

    ``p_better`` is the share of draws in which it is better (a tie counts half); ``p_value`` the two-sided bootstrap
    p-value for no difference, at least 1 / (draws + 1). ``smallest`` is the smallest difference that this comparison
    could have shown: half the width of the interval, since one of less, wherever the interval lies evenly about it,
    would have had 0 in it; None without an interval.
    """

    value: float
    interval: Interval
    p_better: float
    p_value: float

    @property
    def smallest(self) -> float | None:
        """The smallest difference that could have been shown, see above."""
        known = self.interval.known
        return None if known is None else (known[1] - known[0]) / 2

    def as_record(self) -> dict[str, Any]:
        """The difference as one JSON object."""
        return {
            "value": self.value,
            "interval": self.interval.as_record(),
            "smallest_shown": self.smallest,
            "p_better": self.p_better,
            "p_value": self.p_value,
        }


def paired_difference(value: float, ours: np.ndarray, theirs: np.ndarray) -> Difference:
    """The difference of two numbers whose draws (R,) are of the same blocks; draws that are NaN are left out."""
    drawn = ours - theirs
    drawn = drawn[np.isfinite(drawn)]
    n = max(drawn.size, 1)
    p_better = float(((drawn > 0).sum() + 0.5 * (drawn == 0).sum()) / n) if drawn.size else 0.5
    tail = min((drawn <= 0).sum(), (drawn >= 0).sum())
    return Difference(value, interval(drawn), p_better, min(1.0, 2 * (float(tail) + 1) / (drawn.size + 1)))


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values corrected for their number (Holm 1979), in the given order."""
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[place]))
        corrected[place] = highest
    return corrected
