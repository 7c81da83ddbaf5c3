"""Fine-tuning: a backbone and a head trained together on clips of pictures, from the task to a run's files."""

import time
from dataclasses import asdict
from typing import Any

import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from ...extract.backbone import Loaded, assemble, feature_dim, load_model, parse_weights, weights_digest, weights_of_run
from ...extract.video import VideoProbe
from ..config import prediction_views
from ..features import MatchRows, ResidentFeatures
from ..heads import HeadDescription, Progress, n_parameters, read_checkpoint, restore, write_checkpoint
from ..prediction import claim_folder, prediction_of, prediction_record, saved_scores, score_match, write_prediction
from ..training import (
    BEST,
    LAST,
    SPLIT,
    Report,
    WeightAverage,
    epoch_seed,
    finish_run,
    is_over,
    is_validated,
    log_line,
    spoken,
    training_side,
    validate,
    validation_material,
)
from .epoch import Epochs
from .model import EndToEnd, make_optimizer
from .processes import Group
from .task import Finetuning
from .trained import Trained


def finetune(finetuning: Finetuning, run: RunFolder, *, group: Group, key: str, report: Report) -> dict[str, Any]:
    """Trains to the end, from where the run stands, and returns what metrics.json holds.

    Every epoch ends with last.safetensors, from which a killed run goes on. The first process of the group writes
    `backbone.safetensors`, which `extract --weights RUN` takes, and best.safetensors, a head that `predict` takes.
    """
    task, config, section = finetuning.task, finetuning.task.config, finetuning.section
    torch.manual_seed(epoch_seed(task.seed, 0))
    loaded = finetuning.loaded()
    dim = _dim(loaded, finetuning.size)
    description = HeadDescription(config, task.label_set, (dim,), "")
    model = EndToEnd(loaded, description.build(), section).to(task.device)
    if group.n_processes > 1 and section.norms == "train" and task.device.type == "cuda":
        model.backbone = convert_sync_batchnorm(model.backbone)  # torch's own would drop the activations
    forward = model
    if group.n_processes > 1:
        forward = DistributedDataParallel(model, device_ids=[task.device] if task.device.type == "cuda" else None)
    optimizer = make_optimizer(
        model, section, rate=config.training.learning_rate, weight_decay=config.training.weight_decay
    )
    progress, kept_average = Progress(), dict[str, Tensor]()
    if (run.path / LAST).is_file():
        kept = read_checkpoint(run.path / LAST)
        progress, kept_average = kept.progress, kept.average
        restore(run.path / LAST, kept, model, optimizer)
        report(f"resuming after epoch {progress.n_epochs_done} of {config.training.n_epochs}")
    if group.agreed(progress.n_epochs_done) != progress.n_epochs_done:
        raise BallspotError(
            f"{run.path}: not what the first process sees; all processes need one --out on a shared disk"
        )
    decay = config.training.ema_decay
    average = WeightAverage(model, decay, kept=kept_average) if decay else None
    train_probes, valid_probes = finetuning.probes("train"), finetuning.probes(SPLIT)
    layout = _layout(train_probes, dim=dim, device=task.device)
    material = training_side(task, layout, report if group.is_first else lambda line: None)
    epochs = Epochs(model, forward, optimizer, average, material, tuple(train_probes.values()), finetuning, group)
    group.wait()
    if group.is_first:
        run.keep_log(progress.n_epochs_done)
    while not is_over(progress, config.training):
        epoch, started = progress.n_epochs_done + 1, time.monotonic()
        summary = epochs.train(epoch)
        result, trained = None, None
        if group.is_first and is_validated(epoch, config.training):
            state = model.state_dict() if average is None else average.weights
            trained = Trained.of(finetuning, description, state)
            features = finetuning.extracted(
                trained.backbone,
                valid_probes,
                stride=finetuning.stride(trained.backbone),
                views=prediction_views(config),
            )
            spots = list(task.spots(SPLIT).values())
            material_of_valid = validation_material(features, spots, task.label_set)
            result = validate(trained.head, material_of_valid, config, n_labels=len(task.label_set))
        mean_ap = group.agreed(-1.0 if result is None else result.mean_ap)
        is_best, epoch_s = mean_ap > progress.best_mean_ap, time.monotonic() - started
        progress = Progress(
            n_epochs_done=epoch,
            best_epoch=epoch if is_best else progress.best_epoch,
            best_mean_ap=mean_ap if is_best else progress.best_mean_ap,
            train_s=progress.train_s + epoch_s,
        )
        if group.is_first:
            line = log_line(epoch, asdict(summary), result, task.label_set, epoch_s)
            run.append_log(line)
            report(spoken(line, config.training.n_epochs))
            if is_best and trained is not None:
                trained.write(run, finetuning, progress)
            write_checkpoint(
                run.path / LAST,
                description=description,
                head=model,
                progress=progress,
                scaling=None,
                optimizer=optimizer,
                average=None if average is None else average.weights,
            )
        group.wait()
    return _finish(finetuning, run, progress, valid_probes, key=key) if group.is_first else {}


def _dim(loaded: Loaded, size: tuple[int, int]) -> int:
    was_training = loaded.model.training
    dim = feature_dim(loaded.name, loaded.model.eval(), size, torch.device("cpu"))
    loaded.model.train(was_training)
    return dim


def _layout(probes: dict[str, VideoProbe], *, dim: int, device: torch.device) -> ResidentFeatures:
    """The matches as clips are drawn from them, every frame a row; the rows themselves are computed, not kept."""
    matches, first_row = [], 0
    for name, probe in probes.items():
        matches.append(MatchRows(name, first_row, probe.n_frames, probe.n_frames, probe.fps, probe.axis.times_us))
        first_row += probe.n_frames
    return ResidentFeatures(torch.empty(0, dim), tuple(matches), 1, device, (dim,))


def _finish(
    finetuning: Finetuning, run: RunFolder, progress: Progress, probes: dict[str, VideoProbe], *, key: str
) -> dict[str, Any]:
    """Predicts the validation matches with the best model, writes the metrics, and marks the run done."""
    task, config = finetuning.task, finetuning.task.config
    kept = read_checkpoint(run.path / BEST)
    loaded = load_model(finetuning.backbone, weights_of_run(run.path), finetuning.size)
    n_trained = n_parameters(EndToEnd(loaded, kept.description.build(), finetuning.section))
    backbone = assemble(loaded, size=finetuning.size, device=task.device)
    features = finetuning.extracted(
        backbone, probes, stride=finetuning.stride(backbone), views=prediction_views(config)
    )
    out = run.path / "predictions" / SPLIT
    record = prediction_record([kept], run_keys=[key], checkpoint_name="best", names=list(probes))
    claim_folder(out, record, replaces_own=True)
    head = kept.load(task.device)
    for index, match in enumerate(features.matches):
        scored = score_match(head, features, index, prediction_of(config))
        saved = saved_scores(scored, task.label_set.labels, match.name, axis=match.axis)
        write_prediction(out, saved, config.prediction)
    return finish_run(run, progress, n_trained=n_trained, device=task.device)


def start_digest(finetuning: Finetuning) -> str:
    """The digest of the weights that a fine-tuning begins with, as far as they come from somewhere."""
    if parse_weights(finetuning.weights).kind == "random":
        return finetuning.weights
    return weights_digest(finetuning.loaded().model.state_dict())
