"""The folder of a run and the record of a sweep.

This room owns their layout, their locks and the search for what they recorded; what is trained in them is decided in
temporal.
"""

from .following import following_run
from .places import data_of_run, find_recorded, not_found, places_of, recorded_path
from .run import SEEDS_BELOW, RunFolder, flatten
from .sweep_record import (
    FOLD,
    SWEEP_FILE,
    SweepRecord,
    SweepSetting,
    baseline_stand_in,
    expand_runs,
    is_sweep,
    read_sweep_record,
    seed_folders,
    seed_of,
)
