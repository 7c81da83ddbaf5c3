"""From a sweep to its finished runs: which are done, which are left, what they cost, and a record of all."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, SweepRecord, SweepSetting, is_sweep, read_sweep_record
from ...evaluate.dataset import DataSelection, Fold, TrainDraw
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
    def name(self) -> str:
        """How it is called where its sweep is known: setting, fold if there are several, and seed."""
        path = self.job.run
        above = (path.parent.parent.name,) if self.job.data.fold is not None else ()
        return " ".join((*above, path.parent.name, path.name))

    @property
    def n_epochs_done(self) -> int:
        """Epochs that the run has finished."""
        return len(RunFolder(self.job.run).log())


def plan_runs(sweep: Sweep, template: Job) -> list[PlannedRun]:
    """The runs of a sweep below ``template.run``, the sweep's folder, setting by setting, fold by fold, seed by seed.

    ``template`` gives what all runs share; its features stand in where a setting names none. Raises BallspotError
    where neither does.
    """
    return [
        PlannedRun(place, job_of(setting, seed, template, fold))
        for place, setting in enumerate(sweep.settings)
        for fold in sweep.folds or (None,)
        for seed in sweep.seeds
    ]


def job_of(setting: Setting, seed: int, template: Job, fold: Fold | None = None) -> Job:
    """The job of one setting and seed, in one fold where there are several, as `plan_runs` says."""
    features = setting.features or template.features
    if not features:
        raise BallspotError("the sweep names no feature set; give one after the sweep file, or write features in it")
    if fold is not None and setting.leave_out is not None:
        raise BallspotError("folds and a match to leave out exclude each other; give one of them")
    folder = template.run / setting.name
    return replace(
        template,
        run=(folder if fold is None else folder / f"fold-{fold.number}") / f"seed-{seed}",
        config=setting.config,
        seed=seed,
        features=features,
        data=replace(
            template.data,
            leave_out=setting.leave_out or template.data.leave_out,
            fold=fold,
            train_draw=TrainDraw(setting.train_matches, seed) if setting.train_matches else None,
        ),
    )


def check_runs(planned: Sequence[PlannedRun]) -> list[Experiment]:
    """Every setting's experiment, of several folds that of the first, checked before any work begins.

    The first error ends it.

    So does a run that was begun or done with another setting, features, split or labels than it would have now.
    """
    seen: dict[tuple[int, DataSelection], Experiment] = {}
    # Opening a set opens every store of it, and so does reading its layout: once for all settings of the same data.
    of_data: dict[tuple[Any, ...], Experiment] = {}
    layouts: dict[tuple[Any, ...], FeatureLayout] = {}
    for run in planned:
        place = (run.setting, run.job.data)  # which folds, and draws of the training matches, differ in
        if place not in seen:
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
            seen[place] = experiment
        if (run.job.run / "run.json").is_file():
            experiment = replace(seen[place], seed=run.job.seed)
            RunFolder(run.job.run, option="--out").require_key(
                experiment.key(),
                record={"seed": run.job.seed, "splits": as_lists(experiment.splits)},
                config=as_table(run.job.config),
            )
    firsts: dict[int, Experiment] = {}
    for (setting, _), experiment in seen.items():
        firsts.setdefault(setting, experiment)
    return [firsts[setting] for setting in sorted(firsts)]


def dealt(folder: Path, data: DataSelection, n_folds: int | None, *, with_test: bool) -> tuple[Fold, ...]:
    """The folds of the sweep in ``folder``: as it recorded them, else dealt now; none where ``n_folds`` is None.

    What was dealt stays, whatever labels were corrected since. Raises BallspotError where the sweep there has another
    number of folds or was dealt other matches, and as `DataSelection.folds`.
    """
    if with_test and n_folds is None:
        raise BallspotError("--with-test is for folds; give --folds K with it, or write folds in the sweep file")
    folds = () if n_folds is None else data.folds(n_folds, with_test=with_test)
    if not is_sweep(folder):
        return folds
    recorded = read_sweep_record(folder).folds
    if len(recorded) != len(folds):
        here, there = (len(one) or "none" for one in (folds, recorded))
        raise BallspotError(
            f"{folder}: holds a sweep of other folds ({there} there, {here} here); choose another --out"
        )
    kept = tuple(
        Fold(number, len(recorded), *(tuple(fold[part]) for part in ("train", "valid", "test")))
        for number, fold in enumerate(recorded, start=1)
    )
    now, then = ({name for fold in one for name in fold.test} for one in (folds, kept))
    if now != then:
        raise BallspotError(
            f"{folder}: its folds are of other matches ({sorted(now ^ then)[0]} is in one alone); choose another --out"
        )
    return kept


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
    folds = tuple(
        {"train": fold.train, "valid": fold.valid, "test": fold.test, "number": fold.number} for fold in sweep.folds
    )
    SweepRecord(sweep.title, source.name, sweep.seeds, baseline, settings, folds).write(folder)


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
