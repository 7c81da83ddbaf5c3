"""A search from its space to finished runs: trials, then the other seeds of the best, and a record of all."""

from collections.abc import Collection

from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder
from .executors import JobRunner
from .job import Job
from .optuna_search import open_search
from .plan import PlannedRun, job_of, record_sweep, run_sweep
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
    keys = []
    for place in space.covering():
        experiment = job_of(space.setting(place), space.file.seed_numbers[0], template).experiment()
        experiment.check()
        keys.append(experiment.key())
    return fingerprint({"keys": keys})


def search_space(
    space: Space, template: Job, run_jobs: JobRunner, *, n_trials: int, n_finalists: int, retry_failed: bool = False
) -> tuple[Sweep, list[PlannedRun]]:
    """Tries ``n_trials`` settings with the first seed, then trains the other seeds of the baseline and the best ones.

    Returns the sweep of the settings that were tried, the baseline first, and their runs; those given up early stay
    "started". Work lies below ``template.run`` and goes on there when the function is called again.
    """
    out, seeds = template.run, space.file.seed_numbers
    identity = check_space(space, template)
    settings: list[Setting] = []

    def add(place: Place) -> int:
        """Where the setting of a place stands among those of the sweep; at their end if it is new."""
        setting = space.setting(place)
        known = [one.identity for one in settings]
        if setting.identity not in known:
            settings.append(setting)
        return known.index(setting.identity) if setting.identity in known else len(known)

    def plan(finalists: Collection[int] = ()) -> list[PlannedRun]:
        """The first seed of every setting, all seeds of finalists, and what is done already."""
        every = [
            PlannedRun(at, job_of(setting, seed, template)) for at, setting in enumerate(settings) for seed in seeds
        ]
        return [
            run
            for run in every
            if run.job.seed == seeds[0] or run.setting in finalists or RunFolder(run.job.run).is_done
        ]

    def sweep() -> Sweep:
        return Sweep(space.title, tuple(settings), seeds, 0)

    with open_search(space, out, identity=identity) as search:
        for place in (space.baseline(), *search.tried()):
            add(place)
        planned = plan()

        def on_ask(place: Place, _: Job) -> None:
            add(place)
            planned[:] = plan()
            record_sweep(out, sweep(), planned, source=space.path)

        def planned_of(job: Job) -> PlannedRun:
            return next(run for run in planned if run.job.run == job.run)

        with SweepProgress(planned, n_runs=n_trials) as progress:
            search.run(
                lambda setting: job_of(setting, seeds[0], template),
                run_jobs,
                n_trials=n_trials,
                retry_failed=retry_failed,
                on_ask=on_ask,
                on_progress=lambda running: progress.show([planned_of(job) for job in running]),
                on_end=lambda job: progress.ended(planned_of(job)),
            )
        finalists = {0, *(add(place) for place in search.ranking()[:n_finalists])}
        planned = plan(finalists)
        record_sweep(out, sweep(), planned, source=space.path)
        of_finalists = [run for run in planned if run.setting in finalists]
        with SweepProgress(of_finalists) as progress:
            run_sweep(
                of_finalists, run_jobs, retry_failed=retry_failed, on_progress=progress.show, on_end=progress.ended
            )
    return sweep(), planned
