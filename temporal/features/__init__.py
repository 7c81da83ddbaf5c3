"""Stored rows in memory: which sets a head reads, the scaling fitted on them, and where rows go that memory does not
hold.
"""

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
