"""A search from its space to finished runs: trials, then the other seeds of the best, and a record of all."""

from ..cache.fingerprint import fingerprint
from .engines import Engine
from .jobs import Job
from .search import open_search
from .sweep import Place, Setting, Space, Sweep
from .sweep_progress import SweepProgress
from .sweeping import PlannedRun, job_of, record_sweep, run_sweep


def check_space(space: Space, template: Job) -> str:
    """Tries every value of every axis without training; the first error ends it, as a BallspotError.

    Returns a digest of what decides the results beside the space itself: features, labels, split, version's presets.
    """
    keys = []
    for place in space.covering():
        experiment = job_of(space.setting(place), space.file.seed_numbers[0], template).experiment()
        experiment.check()
        keys.append(experiment.key())
    return fingerprint({"keys": keys})


def search_space(
    space: Space, template: Job, engine: Engine, *, n_trials: int, n_finalists: int, retry_failed: bool = False
) -> tuple[Sweep, list[PlannedRun]]:
    """Tries ``n_trials`` settings with the first seed, then trains the other seeds of the baseline and the best ones.

    Returns the sweep of the settings that were tried and their runs; those given up early stay "started". Work lies
    below ``template.run`` and goes on there when the function is called again.
    """
    out, first_seed = template.run, space.file.seed_numbers[0]
    identity = check_space(space, template)

    def job(setting: Setting) -> Job:
        return job_of(setting, first_seed, template)

    with open_search(space, out, identity=identity) as search:
        places: list[Place] = list(search.tried())
        planned = [PlannedRun(at, job(space.setting(place))) for at, place in enumerate(places)]
        by_path = {run.job.run: run for run in planned}

        def on_ask(place: Place, asked: Job) -> None:
            run = PlannedRun(len(places), asked)
            places.append(place)
            planned.append(run)
            by_path[asked.run] = run
            record_sweep(out, space.sweep(places), planned, source=space.path)

        with SweepProgress(planned, n_runs=n_trials) as progress:
            search.run(
                job,
                engine,
                n_trials=n_trials,
                retry_failed=retry_failed,
                on_ask=on_ask,
                on_progress=lambda running: progress.show([by_path[one.run] for one in running]),
                on_end=lambda ended: progress.ended(by_path[ended.run]),
            )
        finalists = dict.fromkeys([space.baseline(), *search.ranking()[:n_finalists]])
        sweep = space.sweep(places)
        for place in finalists:
            at = places.index(place)
            planned += [
                PlannedRun(at, job_of(sweep.settings[at], seed, template)) for seed in sweep.seeds if seed != first_seed
            ]
        record_sweep(out, sweep, planned, source=space.path)
        of_finalists = [run for run in planned if places[run.setting] in finalists]
        with SweepProgress(of_finalists) as progress:
            run_sweep(of_finalists, engine, retry_failed=retry_failed, on_progress=progress.show, on_end=progress.ended)
    return sweep, planned
