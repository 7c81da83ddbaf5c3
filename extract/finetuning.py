"""Fine-tuning: a backbone and a head trained together on clips of pictures, from the task to a run's files."""

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from ..cache.errors import BallspotError
from ..cache.fingerprint import fingerprint
from ..cache.journal import Segment
from ..cache.runs import RunFolder
from ..temporal.checkpoints import HeadDescription, Progress, read_checkpoint, restore, write_checkpoint
from ..temporal.experiment import BEST, LAST, SPLIT, finish_run, is_over, is_validated
from ..temporal.features import MatchRows, ResidentFeatures
from ..temporal.heads import n_parameters
from ..temporal.log import log_line, spoken
from ..temporal.material import Report, training_side
from ..temporal.optimisation import WeightAverage
from ..temporal.predicting import claim_folder, prediction_record, prediction_views, saved_scores, write_prediction
from ..temporal.prediction import prediction_of, score_match
from ..temporal.task import Task
from ..temporal.training import epoch_seed
from ..temporal.validation import validate, validation_material
from .backbones import Backbone, Loaded, assemble, feature_dim, load_model
from .end_to_end import EndToEnd, make_optimizer
from .engines import default_batch_rows
from .finetune_epochs import Epochs
from .finetune_settings import FinetuneSection
from .foreign import save_backbone
from .processes_together import Group
from .segments import ExtractionJob, SegmentRunner, Settings
from .video import VideoProbe, probe_video, video_digest
from .weights import RUN_BACKBONE, WeightsSpec, parse_weights, weights_digest, weights_of_run


@dataclass(frozen=True)
class Finetuning:
    """All that decides a fine-tuning: the task, how its backbone is trained and where that begins."""

    task: Task
    section: FinetuneSection
    backbone: str
    weights: str
    size: tuple[int, int]

    def loaded(self) -> Loaded:
        """The backbone to begin with, on the CPU. Raises BallspotError as `load_model` does."""
        return load_model(self.backbone, parse_weights(self.weights), self.size)

    def key(self, weights_sha256: str, *, n_processes: int) -> str:
        """The digest of all that decides the result, `weights_sha256` being that of the weights it begins with.

        All videos are read once for theirs.
        """
        left_out = {"decode_workers"}
        if self.section.norms == "frozen":
            left_out.add("checkpointing")  # else norms see every batch twice
        labels = {
            split: {name: repr(spots) for name, spots in self.task.spots(split).items()} for split in ("train", SPLIT)
        }
        return fingerprint(
            {
                "config": self.task.config.model_dump(mode="json"),
                "finetune": self.section.model_dump(mode="json", exclude=left_out),
                "n_processes": n_processes,
                "backbone": self.backbone,
                "weights": weights_sha256,
                "size": list(self.size),
                "seed": self.task.seed,
                "label_set": self.task.label_set.as_record(),
                "splits": self.task.splits.by_part,
                "videos": self._video_digests(),
                "labels": labels,
                "shuffle_labels": self.task.shuffle_labels,
            }
        )

    def _video_digests(self) -> dict[str, dict[str, str]]:
        given = {
            split: [self.task.matches[name] for name in self.task.splits.part(split)] for split in ("train", SPLIT)
        }
        return {
            split: {match.name: video_digest(match.video) for match in matches if match.video is not None}
            for split, matches in given.items()
        }

    def table(self) -> dict[str, Any]:
        """The whole configuration as plain nested dictionaries."""
        return {
            **self.task.config.model_dump(mode="json"),
            "finetune": {
                **self.section.model_dump(mode="json"),
                "backbone": self.backbone,
                "weights": self.weights,
                "size": list(self.size),
            },
        }

    def probes(self, split: str) -> dict[str, VideoProbe]:
        """The videos of a split. Raises BallspotError for a match without one."""
        found = {}
        for name in self.task.splits.part(split):
            video = self.task.matches[name].video
            if video is None:
                raise BallspotError(
                    f"{self.task.matches[name].folder}: match {name!r} has no video; put one there, or name other "
                    "matches with --splits"
                )
            found[name] = probe_video(video)
        return found

    def stride(self, backbone: Backbone) -> int:
        """Every how many frames a row is extracted: with a shift as far apart as the clips' frames were in training."""
        return 1 if backbone.shifted is None else self.task.config.clips.clip_stride

    def fingerprint(self, backbone: Backbone) -> str:
        """The fingerprint of the set that `extract --weights RUN` makes with the trained backbone."""
        margin = 0 if backbone.shifted is None else backbone.shifted.reach
        views = prediction_views(self.task.config)
        return fingerprint(backbone.extraction(stride=self.stride(backbone), views=views, margin=margin))

    def extracted(
        self, backbone: Backbone, probes: dict[str, VideoProbe], *, stride: int, views: tuple[str, ...]
    ) -> ResidentFeatures:
        """The features of whole matches as their stores would hold them, float16, a row every `stride` frames."""
        device = self.task.device
        rows = default_batch_rows("torch", str(device))
        job = ExtractionJob(backbone, device, Settings(stride=stride, batch_rows=rows, views=views))
        matches, pieces, first_row = [], {view: list[np.ndarray]() for view in views}, 0
        with SegmentRunner(job) as runner:
            for name, probe in probes.items():
                runner.open(probe, "pyav")
                for block in runner.rows(Segment(0, runner.n_rows), match=name):
                    for view in views:
                        pieces[view].append(block.features[view])
                matches.append(MatchRows(name, first_row, runner.n_rows, probe.n_frames, probe.fps))
                first_row += runner.n_rows
        whole = torch.from_numpy(np.concatenate([piece for view in views for piece in pieces[view]]))
        return ResidentFeatures(whole.to(device), tuple(matches), stride, device, (backbone.dim,), views)


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


@dataclass(frozen=True)
class Trained:
    """A trained model taken apart: the backbone as `extract` uses it, its tensors as trained, the head."""

    backbone: Backbone
    tensors: dict[str, Tensor]
    description: HeadDescription
    head: Any

    @classmethod
    def of(cls, finetuning: Finetuning, description: HeadDescription, state: dict[str, Tensor]) -> "Trained":
        """From the state of an `EndToEnd`, which is copied."""
        tensors = {
            name.removeprefix("backbone."): value.detach().cpu().clone()
            for name, value in state.items()
            if name.startswith("backbone.")
        }
        fresh = skeleton(finetuning)
        fresh.model.load_state_dict(tensors)
        with torch.random.fork_rng(devices=[]):
            head = description.build()
        head.load_state_dict(
            {name.removeprefix("head."): value for name, value in state.items() if name.startswith("head.")}
        )
        backbone = assemble(fresh, size=finetuning.size, device=finetuning.task.device)
        described = replace(description, features_fingerprint=finetuning.fingerprint(backbone))
        return cls(backbone, tensors, described, head.to(finetuning.task.device).eval())

    def write(self, run: RunFolder, finetuning: Finetuning, progress: Progress) -> None:
        """Writes what `extract --weights RUN` and `predict RUN` read."""
        save_backbone(
            run.path / RUN_BACKBONE,
            self.tensors,
            backbone=self.backbone.name,
            size=finetuning.size,
            stride=finetuning.stride(self.backbone),
            views=prediction_views(finetuning.task.config),
        )
        write_checkpoint(run.path / BEST, description=self.description, head=self.head, progress=progress, scaling=None)


def skeleton(finetuning: Finetuning) -> Loaded:
    """A model of the fine-tuned backbone's shape with numbers of no meaning."""
    return load_model(finetuning.backbone, WeightsSpec("random", ""), finetuning.size)


def _dim(loaded: Loaded, size: tuple[int, int]) -> int:
    was_training = loaded.model.training
    dim = feature_dim(loaded.name, loaded.model.eval(), size, torch.device("cpu"))
    loaded.model.train(was_training)
    return dim


def _layout(probes: dict[str, VideoProbe], *, dim: int, device: torch.device) -> ResidentFeatures:
    """The matches as clips are drawn from them, every frame a row; the rows themselves are computed, not kept."""
    matches, first_row = [], 0
    for name, probe in probes.items():
        matches.append(MatchRows(name, first_row, probe.n_frames, probe.n_frames, probe.fps))
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
        saved = saved_scores(
            scored, task.label_set.labels, match.name, fps=match.fps, n_video_frames=match.n_video_frames
        )
        write_prediction(out, saved, config.prediction)
    return finish_run(run, progress, n_trained=n_trained, device=task.device)


def start_digest(finetuning: Finetuning) -> str:
    """The digest of the weights that a fine-tuning begins with, as far as they come from somewhere."""
    if parse_weights(finetuning.weights).kind == "random":
        return finetuning.weights
    return weights_digest(finetuning.loaded().model.state_dict())
