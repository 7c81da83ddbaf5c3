"""How sure a number is: the block bootstrap, and intervals on means, classes and paired differences.

All intervals of one evaluation come from the same draws.
"""

from .bootstrap import (
    BLOCK_S,
    FEW_BLOCKS,
    LEVEL,
    N_RESAMPLES,
    Interval,
    Replicates,
    Resamples,
    ap_replicates,
    count_table,
    draw_resamples,
    drawn_ap,
    interval,
    place_blocks,
    weighted_quantile,
)
from .intervals import SEED, Difference, Uncertainty, estimate_uncertainty, holm, paired_difference
from .protocol import check_settings

__all__ = [
    "BLOCK_S",
    "FEW_BLOCKS",
    "LEVEL",
    "N_RESAMPLES",
    "SEED",
    "Difference",
    "Interval",
    "Replicates",
    "Resamples",
    "Uncertainty",
    "ap_replicates",
    "check_settings",
    "count_table",
    "draw_resamples",
    "drawn_ap",
    "estimate_uncertainty",
    "holm",
    "interval",
    "paired_difference",
    "place_blocks",
    "weighted_quantile",
]
