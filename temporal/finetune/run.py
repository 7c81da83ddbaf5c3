"""Fine-tuning: a backbone and a head trained together on clips of pictures, from the task to a run's files."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from ...cache.errors import BallspotError
from ...cache.machine import keep_freed_memory
from ...cache.runs import RunFolder
from ...evaluate.dataset import SpotArrays
from ...evaluate.scoring import APResult, average_precision
from ...extract.backbone import RUN_BACKBONE, Loaded, assemble, feature_dim, load_model, weights_digest
from ...extract.video import VideoProbe
from ..features import MatchRows, ResidentFeatures
from ..heads import HeadDescription, n_parameters, read_checkpoint
from ..prediction import Ensemble, claim_folder, prediction_record, score_match, write_prediction, write_wholes
from ..training import (
    BEST,
    SPLIT,
    Learner,
    Report,
    RunProgress,
    epoch_seed,
    found_spots,
    training_side,
    validation_material,
)
from .epoch import Epochs
from .model import EndToEnd, make_optimizer
from .processes import Group
from .task import Finetuning, dealt
from .trained import Trained


def finetune(finetuning: Finetuning, run: RunFolder, *, group: Group, key: str, report: Report) -> dict[str, Any]:
    """Trains to the end, from where the run stands, and returns what metrics.json holds.

    Every epoch ends with last.safetensors, from which a killed run goes on. The first process of the group writes
    `backbone.safetensors`, which `extract --weights RUN` takes, and best.safetensors, a head that `predict` takes.
    """
    task = finetuning.task
    if task.device.type == "cpu":
        keep_freed_memory()
    torch.manual_seed(epoch_seed(task.seed, 0))
    learner, description = _learner(finetuning, group)
    progress = RunProgress(run, task, learner, description, report, writes=group.is_first)
    progress.resume()
    if group.agreed(progress.done.n_epochs_done) != progress.done.n_epochs_done:
        raise BallspotError(
            f"{run.path}: not what the first process sees; all processes need one --out on a shared disk"
        )
    train_probes, valid_probes = finetuning.probes("train"), finetuning.probes(SPLIT)
    layout = _layout(train_probes, dim=description.dims[0], device=task.device)
    material = training_side(task, layout, report)
    epochs = Epochs(learner, material, tuple(train_probes.values()), finetuning, group, finetuning.precision)
    group.wait()
    with epochs.reader:
        for epoch in progress.epochs():
            summary = epochs.train(epoch)
            result, trained = None, None
            if progress.is_validated(epoch):
                trained = Trained.of(finetuning, description, group.first_ones(learner.kept_weights))
                result = _validated(finetuning, trained, valid_probes, group)
            mean_ap = -1.0 if result is None else result.mean_ap
            is_best = progress.end_epoch(summary, result, mean_ap=mean_ap)
            if group.is_first:
                if is_best and trained is not None:
                    trained.write(run, finetuning, progress.done)
                progress.write_last()
            group.wait()
    return _finish(finetuning, progress, valid_probes, group, key=key)


def _learner(finetuning: Finetuning, group: Group) -> tuple[Learner[EndToEnd], HeadDescription]:
    """The model to begin with, wrapped where several processes train it, and what its head is."""
    task, training, section = finetuning.task, finetuning.task.config.training, finetuning.section
    loaded = finetuning.loaded()
    description = HeadDescription(task.config, task.label_set, (_dim(loaded),), "", finetuning.rate)
    model = EndToEnd(loaded, description.build(), section).to(task.device)
    on_gpu = task.device.type == "cuda"
    if group.n_processes > 1 and section.norms == "train" and on_gpu:
        from timm.layers.norm_act import convert_sync_batchnorm  # takes seconds to import

        model.backbone = convert_sync_batchnorm(model.backbone)  # torch's own would drop the activations
    wrapped = None
    if group.n_processes > 1:
        wrapped = DistributedDataParallel(model, device_ids=[task.device] if on_gpu else None)
    optimizer = make_optimizer(model, section, rate=training.learning_rate, weight_decay=training.weight_decay)
    return Learner(model, optimizer, forward=wrapped), description


def _validated(finetuning: Finetuning, trained: Trained, probes: dict[str, VideoProbe], group: Group) -> APResult:
    """The average precision of a trained model on the validation matches, of which each process takes its part."""
    task, config = finetuning.task, finetuning.task.config
    spots, found, truths = task.spots(SPLIT), dict[str, SpotArrays](), dict[str, SpotArrays]()
    own = dealt(probes, n_processes=group.n_processes)[group.rank]
    for name, features in zip(own, finetuning.extracted(trained.backbone, _only(probes, own)), strict=True):
        material = validation_material(features, [spots[name]], task.label_set)
        (found[name],) = found_spots(trained.head, material, config)
        (truths[name],) = material.truths
    everybody = group.gathered((truths, found))
    all_truths = {name: one for part, _ in everybody for name, one in part.items()}
    all_found = {name: one for _, part in everybody for name, one in part.items()}
    return average_precision(
        [all_truths[name] for name in probes], [all_found[name] for name in probes], n_labels=len(task.label_set)
    )


def _only(probes: dict[str, VideoProbe], names: Sequence[str]) -> dict[str, VideoProbe]:
    return {name: probes[name] for name in names}


def _dim(loaded: Loaded) -> int:
    was_training = loaded.model.training
    dim = feature_dim(loaded.spec, loaded.model.eval(), torch.device("cpu"))
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
    finetuning: Finetuning, progress: RunProgress, probes: dict[str, VideoProbe], group: Group, *, key: str
) -> dict[str, Any]:
    """Predicts the validation matches with the best model, each process its part; the first one writes the metrics and
    marks the run done.
    """
    run = progress.run
    task, config = finetuning.task, finetuning.task.config
    kept = read_checkpoint(run.path / BEST)
    loaded = load_model(replace(finetuning.backbone, weights=str(run.path / RUN_BACKBONE)))
    n_trained = n_parameters(EndToEnd(loaded, kept.description.build(), finetuning.section))
    backbone = assemble(loaded, task.device)
    out = run.path / "predictions" / SPLIT
    ensemble = Ensemble((kept,), task.device)
    record = prediction_record(ensemble, run_keys=[key], checkpoint_name="best", names=task.splits.by_match[SPLIT])
    if group.is_first:
        claim_folder(out, record, replaces_own=True)
    group.wait()
    own = dealt(probes, n_processes=group.n_processes)[group.rank]
    for features in finetuning.extracted(backbone, _only(probes, own)):
        (match,) = features.matches
        scored = score_match(ensemble.heads[0], features, 0, config)
        write_prediction(ensemble, out, scored, match.name, axis=match.axis)
    group.wait()
    if not group.is_first:
        return {}
    write_wholes(out, task.splits.halves)
    return progress.finish(n_trained=n_trained)


def start_digest(finetuning: Finetuning) -> str:
    """The digest of the weights that a fine-tuning begins with, as far as they come from somewhere."""
    weights = finetuning.backbone.weights
    if weights.partition(":")[0] == "random":
        return weights
    return weights_digest(finetuning.loaded().model.state_dict())
