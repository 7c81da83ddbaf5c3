"""One run, from a task to its metrics: material, losses, epochs, validation, checkpoints, resuming, provenance."""

from .epoch import (
    EpochSummary,
    TrainingMaterial,
    clip_targets,
    clips_an_epoch,
    epoch_seed,
    loss_means,
    loss_totals,
    train_epoch,
    training_material,
)
from .log import log_line, spoken
from .mapped import shared_features
from .material import training_side
from .optimizer import WeightAverage, can_fuse, learning_rate, make_optimizer
from .probe import probe_split
from .provenance import as_lists, command_line, run_record, task_record
from .run import BEST, LAST, finish_run, is_over, is_validated, run_experiment
from .task import SPLIT, Experiment, Report, Task
from .tracking import require_tracker
from .train_seeds import shown_metrics, train_seeds
from .validation import validate, validation_material

__all__ = [
    "BEST",
    "LAST",
    "SPLIT",
    "EpochSummary",
    "Experiment",
    "Report",
    "Task",
    "TrainingMaterial",
    "WeightAverage",
    "as_lists",
    "can_fuse",
    "clip_targets",
    "clips_an_epoch",
    "command_line",
    "epoch_seed",
    "finish_run",
    "is_over",
    "is_validated",
    "learning_rate",
    "log_line",
    "loss_means",
    "loss_totals",
    "make_optimizer",
    "probe_split",
    "require_tracker",
    "run_experiment",
    "run_record",
    "shared_features",
    "shown_metrics",
    "spoken",
    "task_record",
    "train_epoch",
    "train_seeds",
    "training_material",
    "training_side",
    "validate",
    "validation_material",
]
