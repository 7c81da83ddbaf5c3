"""From a sweep to its finished runs: which are done, which are left, what they cost, and a record of all."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch

from ..cache.errors import BallspotError
from ..cache.runs import RunFolder
from ..cache.sweeps import SweepRecord, SweepSetting
from ..evaluate.labels import LabelArrays
from .checkpoints import HeadDescription
from .configuration import as_table
from .engines import Engine
from .events import event_table
from .experiment import Experiment
from .features import FeatureLayout, from_arrays, read_layout
from .heads import n_parameters
from .jobs import Job, failure_of
from .optimisation import make_optimizer
from .predicting import prediction_views
from .provenance import as_lists
from .sweep import Setting, Sweep
from .training import clips_an_epoch, train_epoch, training_material

PROBE_STEPS = 6
PROBE_ROWS = 2000


@dataclass(frozen=True)
class PlannedRun:
    """One run of a sweep: the place of its setting and the job that makes it."""

    setting: int
    job: Job

    @property
    def state(self) -> str:
        """ "done", "failed", "started" or "waiting", as the disk has it."""
        if RunFolder(self.job.run).is_done:
            return "done"
        if failure_of(self.job.run) is not None:
            return "failed"
        return "started" if (self.job.run / "run.json").is_file() else "waiting"

    @property
    def n_epochs_done(self) -> int:
        """Epochs that the run has finished."""
        return len(RunFolder(self.job.run).log())


@dataclass(frozen=True)
class Cost:
    """What a setting's run is expected to take: seconds of training, bytes on disk, and whether runs have shown it."""

    seconds: float
    n_bytes: int
    measured: bool


def plan_runs(sweep: Sweep, template: Job) -> list[PlannedRun]:
    """The runs of a sweep below ``template.run``, the sweep's folder, setting by setting, the seeds of each together.

    ``template`` gives what all runs share; its features stand in where a setting names none. Raises BallspotError
    where neither does.
    """
    return [
        PlannedRun(place, job_of(setting, seed, template))
        for place, setting in enumerate(sweep.settings)
        for seed in sweep.seeds
    ]


def job_of(setting: Setting, seed: int, template: Job) -> Job:
    """The job of one setting and seed, as `plan_runs` says."""
    features = setting.features or template.features
    if not features:
        raise BallspotError("the sweep names no feature set; give one after the sweep file, or write features in it")
    return replace(
        template,
        run=template.run / setting.name / f"seed-{seed}",
        config=setting.config,
        seed=seed,
        features=features,
        leave_out=setting.leave_out or template.leave_out,
    )


def check_runs(planned: Sequence[PlannedRun]) -> list[Experiment]:
    """Every setting's experiment, checked before any work begins; the first error ends it.

    So does a run that was begun or done with another setting, features, split or labels than it would have now.
    """
    seen: dict[int, Experiment] = {}
    # Opening a set opens every store of it, and so does reading its layout: once for all settings of the same data.
    of_data: dict[tuple[Any, ...], Experiment] = {}
    layouts: dict[tuple[Any, ...], FeatureLayout] = {}
    for run in planned:
        if run.setting not in seen:
            data = (run.job.features, run.job.leave_out)
            if data not in of_data:
                of_data[data] = run.job.experiment()
            if run.job.config.training.sampling == "hard-negatives":
                raise BallspotError(
                    "sampling hard-negatives needs scores of the training matches (--mistakes), which a sweep does not "
                    "take; train these runs with `ballspot train`"
                )
            experiment = replace(of_data[data], config=run.job.config, seed=run.job.seed)
            read = (*data, run.job.config.clips.views, prediction_views(run.job.config))
            layouts[read] = experiment.check(layouts.get(read))
            seen[run.setting] = experiment
        if (run.job.run / "run.json").is_file():
            experiment = replace(seen[run.setting], seed=run.job.seed)
            RunFolder(run.job.run).require_key(
                experiment.key(),
                record={"seed": run.job.seed, "splits": as_lists(experiment.splits)},
                config=as_table(run.job.config),
                option="--out",
            )
    return [seen[place] for place in sorted(seen)]


def record_sweep(folder: Path, sweep: Sweep, planned: Sequence[PlannedRun], *, source: Path) -> None:
    """Writes sweep.json, which says what the runs of the folder are. BallspotError where another sweep lies there.

    ``source`` is the sweep's file.
    """
    settings = tuple(
        SweepSetting(
            setting.name,
            setting.varied,
            tuple(run.job.run.relative_to(folder).as_posix() for run in planned if run.setting == place),
        )
        for place, setting in enumerate(sweep.settings)
    )
    baseline = sweep.settings[sweep.baseline].name
    SweepRecord(sweep.title, source.name, sweep.seeds, baseline, settings).write(folder)


def run_sweep(
    planned: Sequence[PlannedRun],
    engine: Engine,
    *,
    retry_failed: bool = False,
    on_progress: Callable[[Sequence[PlannedRun]], None] = lambda running: None,
    on_end: Callable[[PlannedRun], None] = lambda run: None,
) -> None:
    """Does every run that is neither done nor, unless ``retry_failed``, has failed before.

    ``on_progress`` hears now and then which runs are under way, ``on_end`` of every one that ended.
    """
    left = [run for run in planned if run.state in ("waiting", "started") or (retry_failed and run.state == "failed")]
    by_path = {run.job.run: run for run in planned}

    def on_poll(jobs: Sequence[Job]) -> tuple[Path, ...]:
        on_progress([by_path[job.run] for job in jobs])
        return ()

    for job in engine([run.job for run in left], on_poll):
        on_end(by_path[job.run])


def costs(planned: Sequence[PlannedRun], experiments: Sequence[Experiment]) -> list[Cost]:
    """What a run of each setting will cost: as its finished runs did, else from a few steps of training made now."""
    found: list[Cost] = []
    probed: dict[str, Cost] = {}
    for place, experiment in enumerate(experiments):
        done = [RunFolder(run.job.run) for run in planned if run.setting == place and run.state == "done"]
        if done:
            seconds = mean(run.metric("train_s") for run in done)
            n_bytes = max(sum(file.stat().st_size for file in run.path.rglob("*") if file.is_file()) for run in done)
            found.append(Cost(seconds, n_bytes, measured=True))
            continue
        alike = repr((as_table(experiment.config), experiment.source.fingerprint, experiment.splits.train))
        if alike not in probed:
            probed[alike] = _probe(experiment)
        found.append(probed[alike])
    return found


def _probe(experiment: Experiment) -> Cost:
    """Steps of training on random features of the right shape; disk for two checkpoints and the validation scores."""
    layout = read_layout(experiment.source, experiment.splits.train)
    valid = read_layout(experiment.source, experiment.splits.valid)
    config, n_labels = experiment.config, len(experiment.label_set)
    n_clips = PROBE_STEPS * config.training.batch_clips
    training = config.training.model_copy(update={"epoch_frames": n_clips * config.clips.clip_frames})
    short = config.model_copy(update={"training": training})
    random = np.random.default_rng(0)
    rows = random.standard_normal((PROBE_ROWS, sum(layout.dims)), dtype=np.float32)
    features = replace(from_arrays({"": rows}), dims=layout.dims, frame_spacing=layout.frame_spacing)
    frames = np.arange(0, PROBE_ROWS, 40)
    nobody = np.full(len(frames), -1, dtype=np.int8)
    labels = LabelArrays(frames, np.arange(len(frames)) % n_labels, nobody, np.ones(len(frames), dtype=bool), 0, 0)
    events = event_table([labels], n_labels=n_labels, sided=config.head.teams == "labels")
    with torch.random.fork_rng(devices=[]):
        head = HeadDescription(config, experiment.label_set, layout.dims, "").build()
        material, optimizer = training_material(features, events, short), make_optimizer(head, short)
        train_epoch(head, optimizer, material, short, epoch=1, seed=0)  # warms up
        started = time.perf_counter()
        train_epoch(head, optimizer, material, short, epoch=1, seed=0)
        a_clip_s = (time.perf_counter() - started) / n_clips
    seconds = a_clip_s * clips_an_epoch(layout, config) * config.training.n_epochs
    n_scores = sum(match.n_video_frames for match in valid.matches) * n_labels
    return Cost(seconds, 2 * 4 * n_parameters(head) + 4 * n_scores, measured=False)
