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
from .provenance import as_lists, command_line, run_record, task_record
from .run import run_experiment, train_seeds
from .task import SPLIT, Experiment, Report, Task
from .tracking import require_tracker
from .validation import validate, validation_material

__all__ = [
    "BEST",
    "SPLIT",
    "EpochSummary",
    "Experiment",
    "Learner",
    "Report",
    "RunProgress",
    "Task",
    "TrainingMaterial",
    "as_lists",
    "can_fuse",
    "clip_targets",
    "clips_an_epoch",
    "command_line",
    "epoch_clips",
    "epoch_seed",
    "epoch_summary",
    "loss_means",
    "loss_totals",
    "make_optimizer",
    "probe_split",
    "require_tracker",
    "run_experiment",
    "run_record",
    "scheduled_rate",
    "shared_features",
    "shown_metrics",
    "task_record",
    "train_epoch",
    "train_seeds",
    "training_material",
    "training_side",
    "validate",
    "validation_material",
]
