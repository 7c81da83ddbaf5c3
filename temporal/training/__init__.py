"""One run, from a task to its metrics: material, losses, epochs, validation, checkpoints, resuming, provenance."""

from .epoch import (
    EpochSummary,
    TrainingMaterial,
    batch_loss,
    clip_targets,
    clips_an_epoch,
    epoch_clips,
    epoch_seed,
    epoch_summary,
    loss_means,
    loss_totals,
    steps_an_epoch,
    target_batches,
    train_epoch,
    training_material,
)
from .mapped import shared_features
from .material import LoadedFeatures, training_side
from .optimizer import (
    Learner,
    WeightAverage,
    can_fuse,
    computes_in_bfloat16,
    computing,
    make_optimizer,
    precision_remark,
    scheduled_rate,
)
from .probe import probe_split
from .progress import BEST, RunProgress, is_validated, shown_metrics
from .provenance import DECIDED, adopted_record, as_lists, command_line, run_record, task_record
from .run import (
    begin_run,
    finish_run,
    judged_head,
    keep_epoch,
    own_chance,
    run_experiment,
    train_seeds,
    validation_side,
)
from .task import SPLIT, Experiment, Report, Task
from .tracking import require_tracker
from .validation import found_spots, validation_material
