"""The same segments on other machines: Ray (extra `ray`) and SLURM (extra `slurm`); all by paths on shared disk."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ..cache.console import note
from ..cache.errors import BallspotError
from .extraction import Crew
from .segments import OnRows, Outcome, Recipe, SegmentRunner, SegmentTask

POLL_S = 1.0


def cluster_crew(on: str, recipe: Recipe, *, n_workers: int, folder: Path) -> Crew:
    """The crew that `--on` asks for: `ray`, `ray:ADDRESS`, `slurm`, or `slurm:local` (submitit without SLURM).

    Everything a job gets and gives is a path: videos, weights and `folder` must be reachable alike from everywhere.
    Raises BallspotError for another word, and when the extra is not installed.
    """
    kind, _, address = on.partition(":")
    if kind == "ray":
        return ray_crew(recipe, n_workers=n_workers, address=address)
    if kind == "slurm" and address in ("", "local"):
        return slurm_crew(recipe, n_workers=n_workers, folder=folder, cluster=address or "slurm")
    raise BallspotError(f"--on {on}: no such place; give ray, ray:ADDRESS, slurm or slurm:local")


def fill_segment(recipe: Recipe, task: SegmentTask) -> Outcome:
    """Fills one segment wherever this runs; given again, it goes on where it was, or finds the segment full."""
    torch.set_num_threads(1)
    return runner_for(recipe).run(task)


@lru_cache(maxsize=1)
def runner_for(recipe: Recipe) -> SegmentRunner:
    """This process's runner: a Ray worker loads the backbone once for all its segments."""
    return SegmentRunner(recipe.job())


def ray_crew(recipe: Recipe, *, n_workers: int, address: str = "") -> Crew:
    """Segments as Ray tasks, `n_workers` at a time; without an address a Ray of its own on this machine."""
    ray = _extra("ray", "ray")

    def run(
        tasks: Sequence[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        if not ray.is_initialized():
            _start_ray(ray, n_workers, address)
        resources = {"num_gpus": 1} if recipe.device.startswith("cuda") else {"num_cpus": 1}
        remote = ray.remote(max_retries=2, **resources)(fill_segment)
        waiting, running = list(reversed(tasks)), {}
        while waiting or running:
            while waiting and len(running) < n_workers:
                task = waiting.pop()
                if not is_dropped(task):
                    running[remote.remote(recipe, task)] = task
            if not running:
                return
            (ready, *_), _ = ray.wait(list(running), num_returns=1)
            task = running.pop(ready)
            try:
                outcome = ray.get(ready)
            except ray.exceptions.RayError as error:
                outcome = Outcome(task, error=f"--on ray: a task failed ({_last_line(error)})")
            on_rows(outcome.n_new_rows, True)
            yield outcome

    return run


def slurm_crew(recipe: Recipe, *, n_workers: int, folder: Path, cluster: str = "slurm") -> Crew:
    """Segments as a SLURM array, `n_workers` at a time; logs lie in `folder`. SBATCH_* variables choose the rest."""
    submitit = _extra("submitit", "slurm")

    def run(
        tasks: Sequence[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        try:
            executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
            parameters: dict[str, Any] = {"timeout_min": 60, "cpus_per_task": 1, "name": "ballspot-extract"}
            if recipe.device.startswith("cuda"):
                parameters["gpus_per_node"] = 1
            if cluster == "slurm":
                parameters["slurm_array_parallelism"] = n_workers
            executor.update_parameters(**parameters)
            at_once = len(tasks) if cluster == "slurm" else n_workers  # SLURM limits by itself
            waiting, running = list(reversed(tasks)), {}
            while waiting or running:
                chosen = []
                while waiting and len(running) + len(chosen) < at_once:
                    task = waiting.pop()
                    if not is_dropped(task):
                        chosen.append(task)
                if chosen:
                    jobs = executor.map_array(fill_segment, [recipe] * len(chosen), chosen)
                    running.update(zip(jobs, chosen, strict=True))
                for job in [job for job in running if job.done()]:
                    outcome = _slurm_outcome(job, running.pop(job))
                    on_rows(outcome.n_new_rows, True)
                    yield outcome
                if running:
                    time.sleep(POLL_S)
        except (OSError, RuntimeError) as error:
            raise BallspotError(f"--on slurm: cannot submit ({_last_line(error)}); is sbatch here?") from error

    return run


def _slurm_outcome(job: Any, task: SegmentTask) -> Outcome:
    problem = job.exception()
    if problem is not None:
        return Outcome(task, error=f"--on slurm: job {job.job_id} failed ({_last_line(problem)})")
    return job.result()


def _start_ray(ray: Any, n_workers: int, address: str) -> None:
    # Ray asks the network for its usage report and warns about accelerators: neither is of use here.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    note(f"ray: {'joining ' + address if address else f'starting with {n_workers} workers'}")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        else:
            ray.init(
                num_cpus=n_workers,
                include_dashboard=False,
                object_store_memory=100 * 2**20,
                log_to_driver=False,
                logging_level="error",
            )
    except (ConnectionError, OSError, RuntimeError, ValueError) as error:
        raise BallspotError(f"--on ray: cannot be reached or started ({_last_line(error)})") from error


def _extra(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise BallspotError(f"--on {extra}: {module} is not installed; pip install 'ballspot[{extra}]'") from error


def _last_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else type(error).__name__
