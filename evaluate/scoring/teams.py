"""Team-mAP: the AP of each action by the side that played it, as the ball spotting challenge of 2025 scores it.

24 labels, each class once for the left and once for the right team; the official AP of each; per action the two sides
averaged with their truths as weights; then the mean over the actions. The official code divides zero by zero for an
action without truths; here such an action is absent from the mean, and named.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..dataset import TEAMS
from .matching import Pool
from .metrics import pooled_average_precision
from .pairing import Pairing

N_SIDES = len(TEAMS)


@dataclass(frozen=True)
class TeamResult:
    """Team AP per action in 0..1, NaN where an action has no truth with a side.

    ``n_truths_without_side`` labels name neither the left nor the right team; they and such predictions take no part.
    """

    ap: np.ndarray  # float64 (n_labels,)
    ap_by_side: np.ndarray  # float64 (n_labels, 2): left, right
    n_truth: np.ndarray  # int64 (n_labels, 2)
    mean_ap: float
    n_truths_without_side: int


def pool_sides(pairing: Pairing, fps: float) -> Pool:
    """Truths and predictions with a side, pooled under ``2 * label + side`` as their labels."""
    return pairing.pool(fps, sided=True)


def team_average_precision(pairing: Pairing, *, fps: float, tolerances_s: Sequence[float] = (1.0,)) -> TeamResult:
    """Team-mAP of a pairing; ``mean_ap`` is NaN when no truth has a side."""
    result = pooled_average_precision(pool_sides(pairing, fps), tolerances_s)
    by_side = result.ap.reshape(-1, N_SIDES)
    n_truth = result.n_truth.reshape(-1, N_SIDES)
    ap = team_ap(by_side, n_truth)
    return TeamResult(
        ap=ap,
        ap_by_side=by_side,
        n_truth=n_truth,
        mean_ap=float(np.nanmean(ap)) if np.isfinite(ap).any() else float("nan"),
        n_truths_without_side=sum(
            int(((one.side() < 0) & (one.label_index(pairing.label_set) >= 0)).sum()) for one in pairing.truth_columns
        ),
    )


def team_ap(ap_by_side: np.ndarray, n_truth: np.ndarray) -> np.ndarray:
    """(..., n_labels, 2) twice -> (..., n_labels): the sides averaged by their truths; NaN where there are none."""
    total = n_truth.sum(axis=-1)
    weighted = (ap_by_side * n_truth).sum(axis=-1)
    return np.divide(weighted, total, out=np.full(total.shape, np.nan), where=total > 0)
