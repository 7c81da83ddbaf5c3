"""The folder of a run and the record of a sweep.

This room owns their layout and their locks; what is trained in them is decided in temporal.
"""

from .run import SEEDS_BELOW, RunFolder, flatten
from .sweep_record import SWEEP_FILE, SweepRecord, SweepSetting, baseline_stand_in, expand_runs, seed_folders

__all__ = [
    "SEEDS_BELOW",
    "SWEEP_FILE",
    "RunFolder",
    "SweepRecord",
    "SweepSetting",
    "baseline_stand_in",
    "expand_runs",
    "flatten",
    "seed_folders",
]
