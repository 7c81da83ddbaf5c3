"""How far a run has come: where it goes on, its best epoch, its log, its checkpoints, and when it is over."""

import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from ...cache.workers import peak_memory_mb
from ...evaluate.scoring import METRIC, OFFICIAL_FPS, APResult, headline_ap
from ..config import TrainingSection
from ..features import Scaling
from ..heads import HeadDescription, Progress, SpottingHead, misfit, read_checkpoint, restore, write_checkpoint
from ..prediction import keep_threshold
from .optimizer import Learner, WeightAverage
from .provenance import timestamp
from .task import SPLIT, Report, Task
from .tracking import Tracker

BEST, LAST = "best.safetensors", "last.safetensors"


@dataclass
class RunProgress:
    """The progress of a run that trains `learner`, and what every epoch leaves of it in the run's folder.

    Of several processes that train one model, all but the first keep the same progress with `writes` off.
    """

    run: RunFolder
    task: Task
    learner: Learner[Any]
    description: HeadDescription
    report: Report
    scaling: Scaling | None = None
    tracker: Tracker | None = None
    writes: bool = True
    done: Progress = field(default_factory=Progress)
    started: float = 0.0

    @property
    def section(self) -> TrainingSection:
        return self.task.config.training

    @property
    def is_over(self) -> bool:
        """Whether no epoch is left."""
        return is_over(self.done, self.section)

    def resume(self) -> None:
        """Gives the learner the state of last.safetensors, if there is one. Else BallspotError where it is not its own.

        After this the learner has the average of its weights, where the configuration asks for one.
        """
        path, learner, average = self.run.path / LAST, self.learner, {}
        if path.is_file():
            kept = read_checkpoint(path)
            problem = misfit(self.description, kept.head) if isinstance(learner.model, SpottingHead) else ""
            if problem:
                raise BallspotError(f"{path}: head{problem}; remove the run and train again")
            restore(path, kept, learner.model, learner.optimizer)
            self.done, average = kept.progress, kept.average
            self.report(f"resuming after epoch {self.done.n_epochs_done} of {self.section.n_epochs}")
        if self.section.ema_decay:
            learner.average = WeightAverage(learner.model, self.section.ema_decay, kept=average)

    def epochs(self) -> Iterator[int]:
        """The numbers of the epochs still to do; `end_epoch` must follow on each."""
        if self.writes:
            if (n_lines := len(self.run.log())) < (n_done := self.done.n_epochs_done):
                log = self.run.path / "log.jsonl"
                self.report(f"{log}: has {n_lines} of the {n_done} epochs done, and is damaged")
            self.run.keep_log(self.done.n_epochs_done)
        while not self.is_over:
            self.started = time.monotonic()
            yield self.done.n_epochs_done + 1

    def is_validated(self, epoch: int) -> bool:
        """Whether the model is judged after an epoch, counted from 1."""
        return is_validated(epoch, self.section)

    def end_epoch(self, summary: Any, result: APResult | None, *, mean_ap: float | None = None) -> bool:
        """Logs and tells an epoch, with the summary of its training and its validation, if any; whether it is the best.

        ``mean_ap`` is the validation's for processes that did not make it.
        """
        epoch, epoch_s, best = self.done.n_epochs_done + 1, time.monotonic() - self.started, self.done
        if mean_ap is None:
            mean_ap = -1.0 if result is None else result.mean_ap
        is_best = mean_ap > best.best_mean_ap
        self.done = Progress(
            n_epochs_done=epoch,
            best_epoch=epoch if is_best else best.best_epoch,
            best_mean_ap=mean_ap if is_best else best.best_mean_ap,
            train_s=best.train_s + epoch_s,
        )
        if self.writes:
            line = {"epoch": epoch, **asdict(summary), **self._judged(result), "epoch_s": round(epoch_s, 3)}
            self.run.append_log(line)
            if self.tracker is not None:
                self.tracker.epoch(line)
            self.report(spoken(line, self.section.n_epochs))
        return is_best

    def _judged(self, result: APResult | None) -> dict[str, Any]:
        """What the log says of a validation."""
        if result is None:
            return {}
        label_set = self.task.label_set
        return {
            "valid_mean_ap": result.mean_ap,
            "valid_headline_ap": headline_ap(result.ap, label_set),
            "valid_per_class": {
                label: {"ap": float(ap), "n_truth": int(n_truth)}
                for label, ap, n_truth in zip(label_set.labels, result.ap, result.n_truth, strict=True)
            },
        }

    def write_head(self, name: str, head: nn.Module) -> None:
        """Writes a head as it is used, without what training needs to go on."""
        write_checkpoint(
            self.run.path / name, description=self.description, head=head, progress=self.done, scaling=self.scaling
        )

    def write_last(self) -> None:
        """Writes last.safetensors, from which a killed run goes on."""
        learner = self.learner
        write_checkpoint(
            self.run.path / LAST,
            description=self.description,
            head=learner.model,
            progress=self.done,
            scaling=self.scaling,
            optimizer=learner.optimizer,
            average=None if learner.average is None else learner.average.weights,
        )

    def finish(self, *, n_trained: int) -> dict[str, Any]:
        """Writes the metrics of the best epoch and what training took, marks the run done, and returns the metrics."""
        best = next((line for line in self.run.log() if line["epoch"] == self.done.best_epoch), {})
        if not all(name in best for name in ("valid_mean_ap", "valid_headline_ap", "valid_per_class")):
            raise BallspotError(
                f"{self.run.path / 'log.jsonl'}: lacks the validation of epoch {self.done.best_epoch}, the best; bring "
                "it back, or remove the run and train it again"
            )
        out = self.run.path / "predictions" / SPLIT
        keep_threshold(self.run.path, out, self.task.spots(SPLIT), self.task.label_set)
        metrics = {
            "split": SPLIT,
            "metric": METRIC,
            "fps": OFFICIAL_FPS,
            "mean_ap": best["valid_mean_ap"],
            "headline_ap": best["valid_headline_ap"],
            "per_class": best["valid_per_class"],
            "best_epoch": self.done.best_epoch,
            "n_epochs": self.done.n_epochs_done,
            "train_s": round(self.done.train_s, 3),
            "n_parameters": n_trained,
            "peak_memory_mb": round(_peak_memory_mb(self.task.device), 1),
        }
        self.run.update(finished=timestamp())
        self.run.finish(metrics)
        return metrics


def is_validated(epoch: int, section: TrainingSection) -> bool:
    """Whether the model is judged after an epoch, counted from 1."""
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


def spoken(line: Mapping[str, Any], n_epochs: int) -> str:
    """A line of the log as it is told while training runs."""
    text = f"epoch {line['epoch']}/{n_epochs}  loss {line['loss']:.4f}  rate {line['learning_rate']:.2e}"
    if "valid_mean_ap" in line:
        text += f"  valid mAP@1 {100 * line['valid_mean_ap']:.2f}"
    return f"{text}  {line['epoch_s']:.1f} s"


def shown_metrics(run: RunFolder, metrics: Mapping[str, Any], *, more: str = "") -> str:
    """What a run came to, in a line. Raises BallspotError for metrics that were damaged since they were written."""
    try:
        return (
            f"valid mAP@1 {100 * metrics['mean_ap']:.2f} (epoch {metrics['best_epoch']} of {metrics['n_epochs']}, "
            f"{metrics['n_parameters']:,} parameters, {metrics['train_s']:.0f} s{more})"
        )
    except (KeyError, TypeError, ValueError) as error:
        raise run.garbled(error) from error


def _peak_memory_mb(device: torch.device) -> float:
    """The most memory this process has held so far, in 10^6 bytes: on the GPU it trains on, else of the machine."""
    return torch.cuda.max_memory_allocated(device) / 1e6 if device.type == "cuda" else peak_memory_mb()
