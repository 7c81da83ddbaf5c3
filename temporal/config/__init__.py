"""The configuration of a run: frozen sections, presets, and `key=value` texts.

Every key has its default and its limits here.
"""

from .grid import ClipGrid
from .load import (
    PLACES,
    as_table,
    changed_config,
    config_from_table,
    config_value,
    deciding_table,
    load_config,
    travelling_table,
)
from .procedure import Procedure, RegionLooks, procedure_of, procedure_record, read_procedure, write_procedure
from .sections import (
    DTYPES,
    Chance,
    ClassLoss,
    ClipSection,
    Config,
    Count,
    CountOrNone,
    HeadSection,
    LossSection,
    OffsetLoss,
    PredictionSection,
    Rate,
    Section,
    Suppression,
    TargetSection,
    TrainingSection,
    is_sigmoid,
    prediction_views,
)
