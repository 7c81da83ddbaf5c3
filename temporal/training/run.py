"""One run from features and labels to metrics: material, epochs, checkpoints, resuming, final predictions."""

import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from ...cache.workers import peak_memory_mb
from ...evaluate.scoring import METRIC, OFFICIAL_FPS
from ..config import TrainingSection, as_table
from ..features import Scaling
from ..heads import (
    HeadDescription,
    HeadOutput,
    Progress,
    SpottingHead,
    misfit,
    n_parameters,
    read_checkpoint,
    restore,
    write_checkpoint,
)
from ..prediction import Ensemble, claim_folder, predict_matches, prediction_record
from .epoch import TrainingMaterial, epoch_seed, train_epoch
from .log import log_line, spoken, timestamp
from .material import LoadedFeatures, load_both, training_side
from .optimizer import WeightAverage, make_optimizer
from .task import SPLIT, Experiment, Report
from .tracking import Tracker
from .validation import ValidationMaterial, validate, validation_material

BEST, LAST = "best.safetensors", "last.safetensors"


def run_experiment(
    experiment: Experiment,
    run: RunFolder,
    *,
    key: str,
    report: Report,
    loaded: LoadedFeatures | None = None,
    track: bool = False,
) -> dict[str, Any]:
    """Trains to the end, from where the run stands, and returns what metrics.json holds.

    ``run`` was prepared with ``key``. Every epoch ends with last.safetensors, from which a killed run goes on, to the
    same bits. ``report`` receives a line an epoch. ``loaded`` spares reading the features again. ``track`` writes
    TensorBoard files, too.
    """
    tracker = Tracker(run) if track else None
    with torch.random.fork_rng(devices=[experiment.device] if experiment.device.type == "cuda" else []):
        loaded = loaded or load_both(experiment, spill=run.path)
        training = training_side(experiment, loaded.training, report)
        validation = validation_material(
            loaded.validation, list(experiment.spots(SPLIT).values()), experiment.label_set
        )
        description = HeadDescription(
            experiment.config, experiment.label_set, loaded.training.dims, experiment.source.fingerprint
        )
        torch.manual_seed(epoch_seed(experiment.seed, 0))
        head = description.build().to(experiment.device)
        progress = _train(experiment, run, description, head, training, validation, loaded.scaling, report, tracker)
    metrics = _finish(experiment, run, head, progress, key=key)
    if tracker is not None:
        tracker.end(as_table(experiment.config), experiment.seed, metrics)
    return metrics


def _train(
    experiment: Experiment,
    run: RunFolder,
    description: HeadDescription,
    head: SpottingHead,
    training: TrainingMaterial,
    validation: ValidationMaterial,
    scaling: Scaling | None,
    report: Report,
    tracker: Tracker | None,
) -> Progress:
    """The epochs that are still to do. Returns the progress after the last one."""
    config, section = experiment.config, experiment.config.training
    optimizer = make_optimizer(head, config)
    progress = Progress()
    average_kept: dict[str, Tensor] = {}
    if (run.path / LAST).is_file():
        kept = read_checkpoint(run.path / LAST)
        problem = misfit(description, kept.head)
        if problem:
            raise BallspotError(f"{run.path / LAST}: head{problem}; remove the run and train again")
        progress = kept.progress
        restore(run.path / LAST, kept, head, optimizer)
        average_kept = kept.average
        report(f"resuming after epoch {progress.n_epochs_done} of {section.n_epochs}")
    average = WeightAverage(head, section.ema_decay, kept=average_kept) if section.ema_decay else None
    judged = head if average is None else description.build().to(experiment.device)
    forward = _forward(head, section, report)
    if (n_lines := len(run.log())) < progress.n_epochs_done:
        report(f"{run.path / 'log.jsonl'}: has {n_lines} of the {progress.n_epochs_done} epochs done, and is damaged")
    run.keep_log(progress.n_epochs_done)
    while not is_over(progress, section):
        epoch, started = progress.n_epochs_done + 1, time.monotonic()
        summary = train_epoch(
            head, optimizer, training, config, epoch=epoch, seed=experiment.seed, average=average, forward=forward
        )
        if average is not None:
            judged.load_state_dict(average.weights)
        result = None
        if is_validated(epoch, section):
            result = validate(judged, validation, config, n_labels=len(experiment.label_set))
        epoch_s = time.monotonic() - started
        is_best = result is not None and result.mean_ap > progress.best_mean_ap
        progress = Progress(
            n_epochs_done=epoch,
            best_epoch=epoch if is_best else progress.best_epoch,
            best_mean_ap=result.mean_ap if result is not None and is_best else progress.best_mean_ap,
            train_s=progress.train_s + epoch_s,
        )
        line = log_line(epoch, asdict(summary), result, experiment.label_set, epoch_s)
        run.append_log(line)
        if tracker is not None:
            tracker.epoch(line)
        report(spoken(line, section.n_epochs))
        state: dict[str, Any] = {"description": description, "progress": progress, "scaling": scaling}
        if is_best:
            write_checkpoint(run.path / BEST, head=judged, **state)
        if is_over(progress, section):
            write_checkpoint(run.path / LAST, head=judged, **state)
        else:
            weights = None if average is None else average.weights
            write_checkpoint(run.path / LAST, head=head, optimizer=optimizer, average=weights, **state)
    return progress


def is_validated(epoch: int, section: TrainingSection) -> bool:
    """Whether the head is judged after an epoch, counted from 1."""
    return epoch == section.n_epochs or epoch % section.validation_every_epochs == 0


def is_over(progress: Progress, section: TrainingSection) -> bool:
    """Whether all epochs are done, or so many have passed without a better one that training stops early.

    It does so after an epoch that was validated only, never before a later one had its chance.
    """
    if progress.n_epochs_done >= section.n_epochs:
        return True
    waited = progress.n_epochs_done - progress.best_epoch
    stops = section.early_stop_epochs and progress.best_epoch and waited >= section.early_stop_epochs
    return bool(stops) and is_validated(progress.n_epochs_done, section)


def _forward(head: SpottingHead, section: TrainingSection, report: Report) -> Callable[[Tensor], HeadOutput] | None:
    """The compiled head where that is asked for and helps, None for the head itself."""
    on_gpu = next(head.parameters()).is_cuda
    if (section.amp or section.compile) and not on_gpu:
        report("amp and compile are for GPUs; on the CPU they were measured to help nothing and are left out")
    return torch.compile(head) if section.compile and on_gpu else None


def _finish(
    experiment: Experiment, run: RunFolder, head: SpottingHead, progress: Progress, *, key: str
) -> dict[str, Any]:
    """Predicts the validation matches with the best head, writes the metrics, and marks the run done."""
    checkpoint = read_checkpoint(run.path / BEST)
    names = experiment.splits.part(SPLIT)
    out = run.path / "predictions" / SPLIT
    ensemble = Ensemble((checkpoint,), experiment.device)
    record = prediction_record(ensemble, run_keys=[key], checkpoint_name="best", names=names)
    claim_folder(out, record, replaces_own=True)
    for _ in predict_matches(ensemble, experiment.source, names, out=out):
        pass
    return finish_run(run, progress, n_trained=n_parameters(head), device=experiment.device)


def finish_run(run: RunFolder, progress: Progress, *, n_trained: int, device: torch.device) -> dict[str, Any]:
    """Writes the metrics of the best epoch and what training took, marks the run done, and returns the metrics."""
    best = next((line for line in run.log() if line["epoch"] == progress.best_epoch), {})
    if not all(name in best for name in ("valid_mean_ap", "valid_headline_ap", "valid_per_class")):
        raise BallspotError(
            f"{run.path / 'log.jsonl'}: lacks the validation of epoch {progress.best_epoch}, the best; bring it back, "
            "or remove the run and train it again"
        )
    metrics = {
        "split": SPLIT,
        "metric": METRIC,
        "fps": OFFICIAL_FPS,
        "mean_ap": best["valid_mean_ap"],
        "headline_ap": best["valid_headline_ap"],
        "per_class": best["valid_per_class"],
        "best_epoch": progress.best_epoch,
        "n_epochs": progress.n_epochs_done,
        "train_s": round(progress.train_s, 3),
        "n_parameters": n_trained,
        "peak_memory_mb": round(_peak_memory_mb(device), 1),
    }
    run.update(finished=timestamp())
    run.finish(metrics)
    return metrics


def _peak_memory_mb(device: torch.device) -> float:
    """The most memory this process has held so far, in 10^6 bytes: on the GPU it trains on, else of the machine."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else peak_memory_mb()
