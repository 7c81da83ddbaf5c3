"""Team-mAP: the AP of each action by the side that played it, as the ball spotting challenge of 2025 scores it.

24 labels, each class once for the left and once for the right team; the official AP of each; per action the two sides
averaged with their truths as weights; then the mean over the actions. The official code divides zero by zero for an
action without truths; here such an action is absent from the mean, and named.
"""

from dataclasses import dataclass

import numpy as np

from ..dataset import TEAMS
from .metrics import pooled_average_precision
from .pairing import Pairing
from .protocol import OFFICIAL, Protocol

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


def team_average_precision(pairing: Pairing, protocol: Protocol = OFFICIAL) -> TeamResult:
    """Team-mAP of a pairing; ``mean_ap`` is NaN when no truth has a side."""
    result = pooled_average_precision(pairing.pool(protocol.fps, sided=True), protocol.tolerances_s)
    by_side = result.ap.reshape(-1, N_SIDES)
    n_truth = result.n_truth.reshape(-1, N_SIDES)
    ap = team_ap(by_side, n_truth)
    return TeamResult(
        ap=ap,
        ap_by_side=by_side,
        n_truth=n_truth,
        mean_ap=float(np.nanmean(ap)) if np.isfinite(ap).any() else float("nan"),
        n_truths_without_side=sum(
            int(((truths.side() < 0) & (truths.label_index(pairing.label_set) >= 0)).sum())
            for truths in pairing.truth_columns
        ),
    )


def team_ap(ap_by_side: np.ndarray, n_truth: np.ndarray) -> np.ndarray:
    """(..., n_labels, 2) twice -> (..., n_labels): the sides averaged by their truths; NaN where there are none."""
    total = n_truth.sum(axis=-1)
    weighted = (ap_by_side * n_truth).sum(axis=-1)
    return np.divide(weighted, total, out=np.full(total.shape, np.nan), where=total > 0)
