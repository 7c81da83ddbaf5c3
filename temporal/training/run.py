"""Runs from features and labels to metrics: material, epochs, final predictions; one seed, or several."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.code import shown
from ...cache.runs import RunFolder
from ...cache.terminal import ProgressLine, note
from ..config import Config, as_table
from ..heads import HeadDescription, HeadOutput, SpottingHead, n_parameters, read_checkpoint
from ..prediction import Ensemble, claim_folder, predict_matches, prediction_record, write_wholes
from .epoch import EpochSummary, TrainingMaterial, epoch_seed, steps_an_epoch, train_epoch
from .material import LoadedFeatures, load_both, training_side
from .optimizer import Learner, make_optimizer, precision_remark
from .progress import BEST, LAST, RunProgress
from .provenance import command_line, run_record
from .task import HELD_OUT, SPLIT, Experiment, Report
from .tracking import Tracker
from .validation import Validation, ValidationMaterial, validate, validation_material


def train_seeds(
    experiment: Experiment, paths: Sequence[Path], *, track: bool
) -> Iterator[tuple[RunFolder, dict[str, Any]]]:
    """One run a folder and its metrics, seeds counting up from the experiment's; runs that are done are left alone.

    All folders are prepared before the first is trained, so that a folder that is taken is named at once.
    """
    experiment.check()
    runs = []
    for index, path in enumerate(paths):
        of_seed = replace(experiment, seed=experiment.seed + index)
        run, key = RunFolder(path), of_seed.key()
        record = run_record(of_seed, command=command_line())
        with run.at_work(waits=False):  # two at once would each take the folder for a run of its own
            run.prepare(key=key, record=record, config=as_table(experiment.config))
        runs.append((of_seed, run, key))
    loaded = None
    for of_seed, run, key in runs:
        with run.at_work(waits=False):
            if run.is_done:
                note(f"{run.path}: this run is already done; nothing to do")
                metrics = run.metrics()
            else:
                loaded = loaded or load_both(experiment, spill=run.path)
                metrics = run_experiment(of_seed, run, key=key, report=note, loaded=loaded, track=track, watched=True)
        yield run, metrics


def run_experiment(
    experiment: Experiment,
    run: RunFolder,
    *,
    key: str,
    report: Report,
    loaded: LoadedFeatures | None = None,
    track: bool = False,
    watched: bool = False,
) -> dict[str, Any]:
    """Trains to the end, from where the run stands, and returns what metrics.json holds.

    ``run`` was prepared with ``key``. Every epoch ends with last.safetensors, from which a killed run goes on, to the
    same bits. ``report`` receives a line an epoch, and with ``watched`` standard error shows the steps of the epoch at
    work. ``loaded`` spares reading the features again. ``track`` writes TensorBoard files, too.
    """
    with own_chance(experiment.device):
        loaded = loaded or load_both(experiment, spill=run.path)
        training = training_side(experiment, loaded.training, report)
        validation = validation_side(experiment, loaded)
        progress = begin_run(experiment, run, loaded, report, track=track)
        progress.learner.forward = _forward(progress.learner.model, experiment.config, report)
        best = _train(experiment, progress, training, validation, watched=watched)
    return finish_run(experiment, progress, key=key, best=best)


def own_chance(device: torch.device) -> AbstractContextManager[Any]:
    """Leaves the outer state of torch's generators as it was."""
    return torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])


def validation_side(experiment: Experiment, loaded: LoadedFeatures) -> ValidationMaterial:
    """What the heads of an experiment are judged on after an epoch."""
    return validation_material(loaded.validation, list(experiment.spots(SPLIT).values()), experiment.label_set)


def begin_run(
    experiment: Experiment, run: RunFolder, loaded: LoadedFeatures, report: Report, *, track: bool = False
) -> RunProgress:
    """The head of a run with its optimizer, fresh by the seed or as its last epoch left them. Takes torch's chance."""
    description = HeadDescription(
        experiment.config,
        experiment.label_set,
        loaded.training.dims,
        experiment.source.fingerprint,
        experiment.rows.rate,
    )
    torch.manual_seed(epoch_seed(experiment.seed, 0))
    head = description.build()
    if experiment.start is not None:
        new = experiment.start.apply(head, description)
        report(f"begins with {experiment.start.path}" + (f"; new classes: {', '.join(new)}" if new else ""))
    head = head.to(experiment.device)
    learner = Learner(head, make_optimizer(head, experiment.config))
    tracker = Tracker(run) if track else None
    progress = RunProgress(run, experiment, learner, description, report, loaded.scaling, tracker)
    progress.resume()
    if remark := precision_remark(experiment.config.training, experiment.device):
        report(remark)
    return progress


def _train(
    experiment: Experiment,
    progress: RunProgress,
    training: TrainingMaterial,
    validation: ValidationMaterial,
    *,
    watched: bool,
) -> Validation | None:
    """Trains the epochs that are still to do; the best head's validation, None where it was made before a kill."""
    config, learner, judged = experiment.config, progress.learner, judged_head(progress)
    best = None
    for epoch in progress.epochs():
        steps = ProgressLine(f"epoch {epoch}", steps_an_epoch(training.features, config), unit="steps", stays=False)
        with steps if watched else nullcontext():
            on_step = steps.advance if watched else lambda: None
            summary = train_epoch(learner, training, config, epoch=epoch, seed=experiment.seed, on_step=on_step)
        best = keep_epoch(progress, summary, judged, validation) or best
    return best


def judged_head(progress: RunProgress) -> SpottingHead:
    """The head that is validated and kept: the one in training, or one to hold the average of its weights."""
    learner = progress.learner
    return learner.model if learner.average is None else progress.description.build().to(progress.task.device)


def keep_epoch(
    progress: RunProgress, summary: EpochSummary, judged: SpottingHead, validation: ValidationMaterial
) -> Validation | None:
    """Validates the head after an epoch, where it is due, and leaves the log and the checkpoints.

    Returns the validation of a head that is the best so far, else None.
    """
    learner, task = progress.learner, progress.task
    if learner.average is not None:
        judged.load_state_dict(learner.average.weights)
    judgement = None
    if progress.is_validated(progress.done.n_epochs_done + 1):
        judgement = validate(judged, validation, task.config, n_labels=len(task.label_set))
    is_best = progress.end_epoch(summary, None if judgement is None else judgement.result)
    if is_best:
        progress.write_head(BEST, judged)
    if progress.is_over:
        progress.write_head(LAST, judged)
    else:
        progress.write_last()
    return judgement if is_best else None


def _forward(head: SpottingHead, config: Config, report: Report) -> Callable[[Tensor], HeadOutput] | None:
    """The compiled head where that is asked for and helps, None for the head itself."""
    section, on_gpu = config.training, next(head.parameters()).is_cuda
    if (section.amp or section.compile) and not on_gpu:
        report("amp and compile are for GPUs; on the CPU they were measured to help nothing and are left out")
    if not section.compile or not on_gpu:
        return None
    if any(isinstance(layer, nn.RNNBase) for layer in head.modules()):
        report(f"compile: head {shown(config.head.kind)} has a recurrent layer, which no compiler fuses; left as it is")
        return None
    return torch.compile(head)


def finish_run(
    experiment: Experiment, progress: RunProgress, *, key: str, best: Validation | None = None
) -> dict[str, Any]:
    """Predicts the validation matches with the best head, writes the metrics, marks the run done; its metrics.

    ``best``, the validation of that head, spares scoring them again. A fold also predicts the matches that it holds
    out.
    """
    run, splits = progress.run, experiment.splits
    checkpoint = read_checkpoint(run.path / BEST)
    ensemble = Ensemble((checkpoint,), experiment.device)
    known = {} if best is None else dict(zip(splits.part(SPLIT), best.scored, strict=True))
    for split in (SPLIT, HELD_OUT) if splits.n_folds else (SPLIT,):
        out, wholes = run.path / "predictions" / split, splits.by_match[split]
        record = prediction_record(ensemble, run_keys=[key], checkpoint_name="best", names=wholes)
        claim_folder(out, record, replaces_own=True)
        for _ in predict_matches(ensemble, experiment.source, splits.part(split), out=out, known=known):
            pass
        write_wholes(out, splits.halves)
    metrics = progress.finish(n_trained=n_parameters(progress.learner.model))
    if progress.tracker is not None:
        progress.tracker.end(as_table(experiment.config), experiment.seed, metrics)
    return metrics
