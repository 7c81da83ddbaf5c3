"""Stored rows in memory: which sets a head reads, the scaling fitted on them, where rows go that memory does not hold,
and how they are gathered for a head.
"""

from .gather import bring_rows, gather_rows, read_rows
from .resident import (
    FeatureLayout,
    MatchRows,
    ResidentFeatures,
    from_arrays,
    limit_on,
    load_features,
    read_layout,
    scale_features,
)
from .scaling import OF_MATCH, Scaling, ScalingFit, common_dims
from .sources import FeatureSource, open_source
from .spill import RowFile
