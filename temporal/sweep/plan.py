"""From a sweep to its finished runs: which are done, which are left, what they cost, and a record of all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, SweepRecord, SweepSetting
from ..config import as_table, prediction_views
from ..features import FeatureLayout
from ..training import Experiment, as_lists
from .executors import JobRunner
from .job import Job, failure_of
from .space import Setting, Sweep


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
        data=replace(template.data, leave_out=setting.leave_out or template.data.leave_out),
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
            data = (run.job.features, run.job.data)
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
    run_jobs: JobRunner,
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

    def on_poll(jobs: Sequence[Job]) -> tuple[Job, ...]:
        on_progress([by_path[job.run] for job in jobs])
        return ()

    for job in run_jobs([run.job for run in left], on_poll):
        on_end(by_path[job.run])
