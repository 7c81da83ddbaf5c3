"""Runs trained at once from where each stands to their ends."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from ..heads import SpottingHead
from ..training import (
    Experiment,
    LoadedFeatures,
    RunProgress,
    begin_run,
    finish_run,
    judged_head,
    keep_epoch,
    own_chance,
    training_side,
    validation_side,
)
from .epoch import Runs, train_stacked_epoch
from .stack import Stack


@dataclass(frozen=True)
class StackedRun:
    """One of the runs: its experiment, its folder, prepared with ``key``."""

    experiment: Experiment
    folder: RunFolder
    key: str
    track: bool = False


@dataclass
class _Ongoing:
    run: StackedRun
    progress: RunProgress
    judged: SpottingHead
    epochs: Iterator[int]


def run_stacked(
    runs: Sequence[StackedRun], loaded: LoadedFeatures, on_failure: Callable[[StackedRun, BallspotError], None]
) -> None:
    """Trains the runs, which share their features, labels and shape, and finishes each.

    Those that have done fewer epochs than others go on first, so that all that are left take their steps together.
    Every epoch ends with each run's last.safetensors: a kill loses the epoch at work. A run that fails alone (its loss
    is not finite, say) is told to ``on_failure`` and left; the others go on.
    """
    first = runs[0].experiment
    with own_chance(first.device):
        training = training_side(first, loaded.training, _untold)
        validation = validation_side(first, loaded)
        ongoing: list[_Ongoing] = []
        for run in runs:
            try:
                progress = begin_run(run.experiment, run.folder, loaded, _untold, track=run.track)
            except BallspotError as error:
                on_failure(run, error)
                continue
            ongoing.append(_Ongoing(run, progress, judged_head(progress), progress.epochs()))
        stacked: tuple[list[_Ongoing], Stack] | None = None
        while left := [one for one in ongoing if not one.progress.is_over]:
            least = min(one.progress.done.n_epochs_done for one in left)
            now = [one for one in left if one.progress.done.n_epochs_done == least]
            if stacked is None or stacked[0] != now:
                sections = [one.run.experiment.config.training for one in now]
                stacked = now, Stack([one.progress.learner for one in now], sections)
            configs = tuple(one.run.experiment.config for one in now)
            material = Runs(training, configs, tuple(one.run.experiment.seed for one in now))
            begun = [next(one.epochs) for one in now]
            started = time.monotonic()
            outcomes = train_stacked_epoch(stacked[1], material, epoch=begun[0])
            share_s = (time.monotonic() - started) / len(now)
            for one, outcome in zip(now, outcomes, strict=True):
                try:
                    if isinstance(outcome, BallspotError):
                        raise outcome
                    one.progress.started = time.monotonic() - share_s  # an epoch costs a run its share of the device
                    keep_epoch(one.progress, outcome, one.judged, validation)
                except BallspotError as error:
                    ongoing.remove(one)
                    on_failure(one.run, error)
    for one in ongoing:
        try:
            finish_run(one.run.experiment, one.progress, key=one.run.key)
        except BallspotError as error:
            on_failure(one.run, error)


def _untold(line: str) -> None:
    """What a run would say while it is trained by itself at a terminal."""
