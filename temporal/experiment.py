"""One run from features and labels to metrics: material, epochs, checkpoints, resuming, final predictions."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch

from ..cache.errors import BallspotError
from ..cache.fingerprint import fingerprint
from ..cache.runs import RunFolder
from ..cache.sets import FeatureSet
from ..evaluate.evaluation import OFFICIAL_FPS
from ..evaluate.labels import LabelArrays, Spot, label_arrays, read_labels
from ..evaluate.labelsets import LabelSet
from ..evaluate.matches import Match
from ..evaluate.metrics import APResult, headline_ap
from ..evaluate.splits import Splits
from .checkpoints import HeadDescription, Progress, read_checkpoint, restore_optimizer, write_checkpoint
from .config import Config
from .configuration import as_table
from .events import event_table, redraw_times
from .features import MatchRows, ResidentFeatures, Scaling, load_features, scale_features
from .heads import SpottingHead, n_parameters
from .predicting import DTYPES, claim_folder, predict_matches, prediction_record
from .training import TrainingMaterial, epoch_seed, make_optimizer, train_epoch, training_material
from .validation import METRIC, ValidationMaterial, validate, validation_material

BEST, LAST = "best.safetensors", "last.safetensors"
SPLIT = "valid"
Report = Callable[[str], None]


@dataclass(frozen=True)
class Experiment:
    """All that decides a run's result, and the device it runs on."""

    config: Config
    feature_set: FeatureSet
    matches: Mapping[str, Match]
    splits: Splits
    label_set: LabelSet
    seed: int
    shuffle_labels: bool
    device: torch.device

    def spots(self, split: str) -> dict[str, tuple[Spot, ...]]:
        """The labels of every match of a split, in the order of its file. Raises BallspotError where there are none."""
        spots = {}
        for name in self.splits.part(split):
            path = self.matches[name].labels_path
            if path is None:
                raise BallspotError(f"{self.matches[name].folder}: match {name!r} has no labels; it cannot {split}")
            spots[name] = read_labels(path, self.label_set, in_file_order=True)
        return spots

    def key(self) -> str:
        """The digest of config, seed, features, split and labels: equal keys give equal runs on one machine's CPU."""
        labels = {split: {name: repr(spots) for name, spots in self.spots(split).items()} for split in ("train", SPLIT)}
        return fingerprint(
            {
                "config": as_table(self.config),
                "seed": self.seed,
                "features": self.feature_set.fingerprint,
                "label_set": asdict(self.label_set),
                "labels": labels,
                "shuffle_labels": self.shuffle_labels,
            }
        )


def run_experiment(experiment: Experiment, run: RunFolder, *, key: str, report: Report) -> dict[str, Any]:
    """Trains to the end, from where the run stands, and returns what metrics.json holds.

    ``run`` was prepared with ``key``. Every epoch ends with last.safetensors, from which a killed run goes on, to the
    same bits. ``report`` receives a line an epoch.
    """
    with torch.random.fork_rng(devices=[experiment.device] if experiment.device.type == "cuda" else []):
        features, scaling, training = _training_side(experiment, report)
        validation = _validation_side(experiment, scaling)
        description = HeadDescription(
            experiment.config, experiment.label_set, features.dim, experiment.feature_set.fingerprint
        )
        torch.manual_seed(epoch_seed(experiment.seed, 0))
        head = description.build().to(experiment.device)
        progress = _train(experiment, run, description, head, training, validation, scaling, report)
    return _finish(experiment, run, head, progress, key=key)


def _training_side(experiment: Experiment, report: Report) -> tuple[ResidentFeatures, Scaling | None, TrainingMaterial]:
    config, names = experiment.config, experiment.splits.part("train")
    features = _features(experiment, names)
    features.row_stride(config.clips.clip_stride)  # complains before the work begins
    scaling = scale_features(features, config.clips.scaling)
    labels = _label_arrays(experiment, experiment.spots("train"), features.matches, report)
    if experiment.shuffle_labels:
        labels = redraw_times(labels, features.matches, seed=experiment.seed)
    events = event_table(labels, n_labels=len(experiment.label_set), device=experiment.device)
    if not len(events.key):
        raise BallspotError(f"no event in the training matches {', '.join(names)}; a head learns from labelled events")
    return features, scaling, training_material(features, events, config)


def _validation_side(experiment: Experiment, scaling: Scaling | None) -> ValidationMaterial:
    spots = experiment.spots(SPLIT)
    features = _features(experiment, tuple(spots))
    scale_features(features, experiment.config.clips.scaling, fitted=scaling)
    return validation_material(features, list(spots.values()), experiment.label_set)


def _features(experiment: Experiment, names: Sequence[str]) -> ResidentFeatures:
    dtype = DTYPES[experiment.config.clips.resident_dtype]
    return load_features(experiment.feature_set, names, device=experiment.device, dtype=dtype)


def _label_arrays(
    experiment: Experiment, spots: Mapping[str, Sequence[Spot]], matches: Sequence[MatchRows], report: Report
) -> list[LabelArrays]:
    """The training labels as arrays; a line to ``report`` for every match that has collisions or late events."""
    labels = []
    for match in matches:
        arrays = label_arrays(
            spots[match.name],
            experiment.label_set,
            fps=match.fps,
            n_video_frames=match.n_video_frames,
            match=match.name,
        )
        if arrays.n_collisions or arrays.n_outside:
            report(
                f"{match.name}: {arrays.n_collisions} events share the frame of another (the rarer class is trained), "
                f"{arrays.n_outside} lie past the end (left out)"
            )
        labels.append(arrays)
    return labels


def _train(
    experiment: Experiment,
    run: RunFolder,
    description: HeadDescription,
    head: SpottingHead,
    training: TrainingMaterial,
    validation: ValidationMaterial,
    scaling: Scaling | None,
    report: Report,
) -> Progress:
    """The epochs that are still to do. Returns the progress after the last one."""
    config = experiment.config
    optimizer = make_optimizer(head, config)
    progress = Progress()
    if (run.path / LAST).is_file():
        kept = read_checkpoint(run.path / LAST)
        progress = kept.progress
        head.load_state_dict(kept.head)
        restore_optimizer(optimizer, head, kept.optimizer)
        report(f"resuming after epoch {progress.n_epochs_done} of {config.training.n_epochs}")
    run.keep_log(progress.n_epochs_done)
    for epoch in range(progress.n_epochs_done + 1, config.training.n_epochs + 1):
        started = time.monotonic()
        summary = train_epoch(head, optimizer, training, config, epoch=epoch, seed=experiment.seed)
        is_last = epoch == config.training.n_epochs
        result = None
        if is_last or epoch % config.training.validation_every_epochs == 0:
            result = validate(head, validation, config, n_labels=len(experiment.label_set))
        epoch_s = time.monotonic() - started
        is_best = result is not None and result.mean_ap > progress.best_mean_ap
        progress = Progress(
            n_epochs_done=epoch,
            best_epoch=epoch if is_best else progress.best_epoch,
            best_mean_ap=result.mean_ap if result is not None and is_best else progress.best_mean_ap,
            train_s=progress.train_s + epoch_s,
        )
        line = _log_line(epoch, asdict(summary), result, experiment.label_set, epoch_s)
        run.append_log(line)
        report(_spoken(line, config.training.n_epochs))
        state: dict[str, Any] = {"description": description, "head": head, "progress": progress, "scaling": scaling}
        if is_best:
            write_checkpoint(run.path / BEST, **state)
        write_checkpoint(run.path / LAST, **state, optimizer=None if is_last else optimizer)
    return progress


def _finish(
    experiment: Experiment, run: RunFolder, head: SpottingHead, progress: Progress, *, key: str
) -> dict[str, Any]:
    """Predicts the validation matches with the best head, writes the metrics, and marks the run done."""
    checkpoint = read_checkpoint(run.path / BEST)
    names = experiment.splits.part(SPLIT)
    out = run.path / "predictions" / SPLIT
    claim_folder(out, prediction_record(checkpoint, run_key=key, checkpoint_name="best", names=names))
    for _ in predict_matches(checkpoint, experiment.feature_set, names, out=out, device=experiment.device):
        pass
    best = next(line for line in run.log() if line["epoch"] == progress.best_epoch)
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
        "n_parameters": n_parameters(head),
    }
    run.update(finished=timestamp())
    run.finish(metrics)
    return metrics


def timestamp() -> str:
    """Now, as local time with its offset from UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")


def _log_line(
    epoch: int, summary: Mapping[str, Any], result: APResult | None, label_set: LabelSet, epoch_s: float
) -> dict[str, Any]:
    line = {"epoch": epoch, **summary}
    if result is not None:
        line["valid_mean_ap"] = result.mean_ap
        line["valid_headline_ap"] = headline_ap(result.ap, label_set)
        line["valid_per_class"] = {
            label: {"ap": float(ap), "n_truth": int(n_truth)}
            for label, ap, n_truth in zip(label_set.labels, result.ap, result.n_truth, strict=True)
        }
    return {**line, "epoch_s": round(epoch_s, 3)}


def _spoken(line: Mapping[str, Any], n_epochs: int) -> str:
    text = f"epoch {line['epoch']}/{n_epochs}  loss {line['loss']:.4f}  rate {line['learning_rate']:.2e}"
    if "valid_mean_ap" in line:
        text += f"  valid mAP@1 {100 * line['valid_mean_ap']:.2f}"
    return f"{text}  {line['epoch_s']:.1f} s"
