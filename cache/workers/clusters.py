"""Tasks on other machines: Ray (extra `ray`) and SLURM (extra `slurm`); all by paths on a disk they share."""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import BallspotError
from ..terminal import note

POLL_S = 1.0


Task = TypeVar("Task")


@dataclass(frozen=True)
class Ended(Generic[Task]):
    """A task that ended: what its function returned, or in one line why it could not."""

    task: Task
    result: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Place:
    """What `--on` names: "ray" with an address or none, or "slurm", which may be "local" (submitit without SLURM)."""

    kind: str
    address: str = ""


def place_of(on: str) -> Place:
    """`ray`, `ray:ADDRESS`, `slurm` or `slurm:local`. Raises BallspotError for another word."""
    kind, _, address = on.partition(":")
    if kind == "ray" or (kind == "slurm" and address in ("", "local")):
        return Place(kind, address)
    raise BallspotError(f"--on {on}: no such place; give ray, ray:ADDRESS, slurm or slurm:local")


def ray_tasks(
    function: Callable[[Task], Any],
    tasks: Iterable[Task],
    *,
    n_workers: int,
    address: str = "",
    n_cpus: int = 1,
    on_gpu: bool = False,
    on_poll: Callable[[], None] = lambda: None,
) -> Iterator[Ended[Task]]:
    """The tasks as Ray tasks of `n_cpus`, `n_workers` at a time; without an address in a Ray of its own here.

    ``tasks`` is asked for the next one only when a worker is free. Raises BallspotError where there is no Ray.
    """
    ray = _extra("ray", "ray")
    if not ray.is_initialized():
        _start_ray(ray, n_workers * n_cpus, address)
    resources = {"num_gpus": 1} if on_gpu else {"num_cpus": n_cpus}

    def call(task: Task) -> Any:  # Ray takes functions alone, no other callable
        return function(task)

    remote = ray.remote(max_retries=2, **resources)(call)
    waiting, running = iter(tasks), {}
    while True:
        while len(running) < n_workers and (task := next(waiting, None)) is not None:
            running[remote.remote(task)] = task
        if not running:
            return
        on_poll()
        ready, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
        for reference in ready:
            task = running.pop(reference)
            try:
                ended = Ended(task, ray.get(reference))
            except ray.exceptions.RayError as error:
                ended = Ended(task, error=f"--on ray: a task failed ({last_line(error)})")
            yield ended


def slurm_tasks(
    function: Callable[[Task], Any],
    tasks: Iterable[Task],
    *,
    n_workers: int,
    folder: Path,
    name: str,
    cluster: str = "slurm",
    minutes: int = 60,
    n_cpus: int = 1,
    on_gpu: bool = False,
    on_poll: Callable[[], None] = lambda: None,
) -> Iterator[Ended[Task]]:
    """The tasks as a SLURM array, `n_workers` at a time; logs lie in `folder`. SBATCH_* variables choose the rest.

    Raises BallspotError where jobs cannot be submitted.
    """
    submitit = _extra("submitit", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        parameters: dict[str, Any] = {"timeout_min": minutes, "cpus_per_task": n_cpus, "name": name}
        if on_gpu:
            parameters["gpus_per_node"] = 1
        if cluster == "slurm":
            parameters["slurm_array_parallelism"] = n_workers
        executor.update_parameters(**parameters)
        waiting, running = iter(tasks), {}
        while True:
            chosen = []
            # SLURM itself keeps an array to its number at a time; a machine of its own does not.
            while cluster == "slurm" or len(running) + len(chosen) < n_workers:
                if (task := next(waiting, None)) is None:
                    break
                chosen.append(task)
            if chosen:
                running.update(zip(executor.map_array(function, chosen), chosen, strict=True))
            if not running:
                return
            on_poll()
            for job in [job for job in running if job.done()]:
                yield _slurm_ended(job, running.pop(job))
            if running:
                time.sleep(POLL_S)
    except (OSError, RuntimeError) as error:
        raise BallspotError(f"--on slurm: cannot submit ({last_line(error)}); is sbatch here?") from error


def last_line(error: BaseException) -> str:
    """The last line of what an error says, which in errors from afar names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else type(error).__name__


def _slurm_ended(job: Any, task: Task) -> Ended[Task]:
    problem = job.exception()
    if problem is not None:
        return Ended(task, error=f"--on slurm: job {job.job_id} failed ({last_line(problem)})")
    return Ended(task, job.result())


def _start_ray(ray: Any, n_cpus: int, address: str) -> None:
    # Ray asks the network for its usage report and warns about accelerators: neither is of use here.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    note(f"ray: {'joining ' + address if address else f'starting with {n_cpus} CPUs'}")
    try:
        if address:
            ray.init(address=address, log_to_driver=False, logging_level="error")
        else:
            ray.init(
                num_cpus=n_cpus,
                include_dashboard=False,
                object_store_memory=100 * 2**20,
                log_to_driver=False,
                logging_level="error",
            )
    except Exception as error:  # a bare one where Ray's own processes take too long to start
        raise BallspotError(f"--on ray: cannot be reached or started ({last_line(error)})") from error


def _extra(module: str, extra: str) -> Any:
    try:
        return import_module(module)
    except ImportError as error:
        raise BallspotError(f"--on {extra}: {module} is not installed; pip install 'ballspot[{extra}]'") from error
