"""A search from its space to finished runs: trials, then the other seeds of the best, and a record of all."""

from collections.abc import Collection

from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from .executors import JobRunner
from .job import Job
from .optuna_search import open_search
from .plan import PlannedRun, job_of, plan_runs, record_sweep, run_sweep
from .progress import SweepProgress
from .space import LEAVE_OUT, Place, Setting, Space, Sweep


def check_space(space: Space, template: Job) -> str:
    """Makes every setting, and tries every value of every axis on the data; the first error ends it, a BallspotError.

    Returns a digest of what decides the results beside the space itself: features, labels, split, version's presets.
    """
    settings = space.sweep(space.points).settings
    if len({setting.leave_out for setting in settings}) > 1:
        raise BallspotError(
            f"{space.path}: {LEAVE_OUT} varies; a search compares settings on the same validation matches: "
            "leave one match out, by --leave-out"
        )
    if space.file.folds is not None:
        raise BallspotError(
            f"{space.path}: folds = {space.file.folds}; a search compares settings on the same validation matches, "
            "which folds are not: leave folds out"
        )
    keys = []
    for place in space.covering():
        experiment = job_of(space.setting(place), space.file.seed_numbers[0], template).experiment()
        experiment.check()
        keys.append(experiment.key())
    return fingerprint({"keys": keys})


class TriedSettings:
    """The settings that a search has tried, the baseline first, and the runs that follow from them."""

    def __init__(self, space: Space, template: Job) -> None:
        self.space, self.template, self.seeds = space, template, space.file.seed_numbers
        self.settings: list[Setting] = []
        self.planned: list[PlannedRun] = []
        self.add(space.baseline())

    def add(self, place: Place) -> int:
        """Where the setting of a place stands among those of the sweep; at their end if it is new."""
        setting = self.space.setting(place)
        known = [one.identity for one in self.settings]
        if setting.identity not in known:
            self.settings.append(setting)
        return known.index(setting.identity) if setting.identity in known else len(known)

    def plan(self, finalists: Collection[int] = ()) -> None:
        """Plans the first seed of every setting, all seeds of finalists, and what is done already."""
        self.planned[:] = [
            run
            for run in plan_runs(self.sweep, self.template)
            if run.job.seed == self.seeds[0] or run.setting in finalists or RunFolder(run.job.run).is_done
        ]

    @property
    def sweep(self) -> Sweep:
        """The sweep of all these settings."""
        return Sweep(self.space.title, tuple(self.settings), self.seeds, 0)

    def record(self) -> None:
        """Writes what the runs of the search's folder are."""
        record_sweep(self.template.run, self.sweep, self.planned, source=self.space.path)

    def run_of(self, job: Job) -> PlannedRun:
        """The planned run that a job makes."""
        return next(run for run in self.planned if run.job.run == job.run)


def search_space(
    space: Space, template: Job, run_jobs: JobRunner, *, n_trials: int, n_finalists: int, retry_failed: bool = False
) -> tuple[Sweep, list[PlannedRun]]:
    """Tries ``n_trials`` settings with the first seed, then trains the other seeds of the baseline and the best ones.

    Returns the sweep of the settings that were tried, the baseline first, and their runs; those given up early stay
    "started". Work lies below ``template.run`` and goes on there when the function is called again.
    """
    identity = check_space(space, template)
    tried = TriedSettings(space, template)

    def on_ask(place: Place, _: Job) -> None:
        tried.add(place)
        tried.plan()
        tried.record()

    with open_search(space, template.run, identity=identity) as search:
        for place in search.tried():
            tried.add(place)
        tried.plan()
        with SweepProgress(tried.planned, n_runs=n_trials) as progress:
            for job in search.run(
                lambda setting: job_of(setting, tried.seeds[0], template),
                run_jobs,
                n_trials=n_trials,
                retry_failed=retry_failed,
                on_ask=on_ask,
                on_progress=lambda running: progress.show([tried.run_of(job) for job in running]),
            ):
                progress.ended(tried.run_of(job))
        finalists = {0, *(tried.add(place) for place in search.ranking()[:n_finalists])}
        tried.plan(finalists)
        tried.record()
        of_finalists = [run for run in tried.planned if run.setting in finalists]
        with SweepProgress(of_finalists) as progress:
            run_sweep(
                of_finalists, run_jobs, retry_failed=retry_failed, on_progress=progress.show, on_end=progress.ended
            )
    return tried.sweep, tried.planned
