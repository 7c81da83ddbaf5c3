"""SoccerNet's numbers, equal to the official package: which predictions hit which truths, average precision at every
tolerance, and AP by team.
"""

from .exact import exact_ap, exact_curves
from .matching import Pool, match_truths, pool_spots, reach_frames, windows
from .metrics import (
    GRID_STRIDE,
    METRIC,
    METRICS,
    OFFICIAL_FPS,
    TOLERANCE_S,
    APResult,
    average_precision,
    count_above,
    frequent_ap,
    headline_ap,
    interpolated_ap,
    metric_frame,
    metric_frames,
    not_shown_factor,
    pooled_average_precision,
    score_bins,
    tolerances_of,
    trapezoid_mean,
)
from .pairing import Pairing, joined, read_pairing
from .teams import N_SIDES, TeamResult, pool_sides, team_ap, team_average_precision

__all__ = [
    "GRID_STRIDE",
    "METRIC",
    "METRICS",
    "N_SIDES",
    "OFFICIAL_FPS",
    "TOLERANCE_S",
    "APResult",
    "Pairing",
    "Pool",
    "TeamResult",
    "average_precision",
    "count_above",
    "exact_ap",
    "exact_curves",
    "frequent_ap",
    "headline_ap",
    "interpolated_ap",
    "joined",
    "match_truths",
    "metric_frame",
    "metric_frames",
    "not_shown_factor",
    "pool_sides",
    "pool_spots",
    "pooled_average_precision",
    "reach_frames",
    "read_pairing",
    "score_bins",
    "team_ap",
    "team_average_precision",
    "tolerances_of",
    "trapezoid_mean",
    "windows",
]
