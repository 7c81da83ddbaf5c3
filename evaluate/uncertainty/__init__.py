"""How sure a number is: the block bootstrap, and intervals on means, classes and paired differences.

All intervals of one evaluation come from the same draws.
"""

from .bootstrap import (
    BOOTSTRAP,
    FEW_BLOCKS,
    LEAST_BLOCKS,
    LEVEL,
    Bootstrap,
    Interval,
    Replicates,
    Resamples,
    ap_replicates,
    count_table,
    drawn_ap,
    interval,
    no_intervals,
    place_blocks,
    weighted_quantile,
)
from .intervals import Difference, Uncertainty, estimate_uncertainty, holm, paired_difference
