"""One run, from a task to its metrics: material, losses, epochs, validation, checkpoints, resuming, provenance."""

from .epoch import (
    EpochSummary,
    TrainingMaterial,
    clip_targets,
    clips_an_epoch,
    epoch_clips,
    epoch_seed,
    epoch_summary,
    loss_means,
    loss_totals,
    train_epoch,
    training_material,
)
from .mapped import shared_features
from .material import training_side
from .optimizer import Learner, can_fuse, make_optimizer, scheduled_rate
from .probe import probe_split
from .progress import BEST, RunProgress, shown_metrics
from .provenance import adopted_record, as_lists, command_line, run_record, task_record
from .run import run_experiment, train_seeds
from .task import SPLIT, Experiment, Report, Task
from .tracking import require_tracker
from .validation import found_spots, validation_material
