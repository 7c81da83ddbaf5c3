"""SoccerNet's numbers, equal to the official package: which predictions hit which truths, average precision at every
tolerance, AP by team, and the F1 of the player-centric task.
"""

from .exact import exact_ap, exact_curves
from .f1 import F1Result, f1_at_confidence
from .matching import Pool, best_threshold, match_truths, pool_spots, reach_frames, windows
from .metrics import (
    APResult,
    average_precision,
    count_above,
    frequent_ap,
    headline_ap,
    interpolated_ap,
    metric_frame,
    metric_frames,
    not_shown_factor,
    official_arrays,
    pooled_average_precision,
    score_bins,
    trapezoid_mean,
)
from .pairing import Pairing, joined, read_pairing
from .protocol import GRID_STRIDE, METRIC, METRICS, OFFICIAL, OFFICIAL_FPS, Protocol
from .teams import N_SIDES, TeamResult, team_ap, team_average_precision
