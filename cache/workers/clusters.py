"""Tasks on other machines: Ray (extra `ray`) and SLURM (extra `slurm`); all by paths on a disk they share."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import BallspotError
from ..terminal import note

POLL_S = 1.0
MAX_TRIES = 3  # of a task whose process ends by itself
Task = TypeVar("Task")


@dataclass(frozen=True)
class Ended(Generic[Task]):
    """A task that ended: what its function returned, or in one line why it could not."""

    task: Task
    result: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Request:
    """What a cluster is asked for: how many tasks at a time, what each gets; the last three are for SLURM."""

    n_workers: int
    n_cpus: int
    on_gpu: bool
    name: str
    logs: Path
    minutes: int


OnPoll = Callable[[Sequence[Task]], object]  # hears now and then which tasks were given out and have not ended


def ray_tasks(
    function: Callable[[Task], Any], tasks: Iterable[Task], request: Request, address: str, on_poll: OnPoll[Task]
) -> Iterator[Ended[Task]]:
    """The tasks as Ray tasks, the next taken when a worker is free; without an address in a Ray of its own here.

    Raises BallspotError where there is no Ray.
    """
    ray = _extra("ray", "ray")
    if not ray.is_initialized():
        _start_ray(ray, request.n_workers * request.n_cpus, address)
    resources = {"num_gpus": 1} if request.on_gpu else {"num_cpus": request.n_cpus}

    def call(task: Task) -> Any:  # Ray takes functions alone, no other callable
        return function(task)

    remote = ray.remote(max_retries=MAX_TRIES - 1, **resources)(call)
    waiting, running = iter(tasks), {}
    while True:
        while len(running) < request.n_workers and (task := next(waiting, None)) is not None:
            running[remote.remote(task)] = task
        if not running:
            return
        on_poll(list(running.values()))
        ready, _ = ray.wait(list(running), num_returns=1, timeout=POLL_S)
        for reference in ready:
            task = running.pop(reference)
            try:
                ended = Ended(task, ray.get(reference))
            except ray.exceptions.RayError as error:
                ended = Ended(task, error=f"--on ray: a task failed ({last_line(error)})")
            yield ended


def slurm_tasks(
    function: Callable[[Task], Any], tasks: Iterable[Task], request: Request, address: str, on_poll: OnPoll[Task]
) -> Iterator[Ended[Task]]:
    """The tasks as a SLURM array; SBATCH_* variables choose the rest. At the address "local" as processes here.

    Raises BallspotError where jobs cannot be submitted.
    """
    cluster = address or "slurm"
    submitit = _extra("submitit", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=request.logs, cluster=cluster)
        parameters: dict[str, Any] = {
            "timeout_min": request.minutes,
            "cpus_per_task": request.n_cpus,
            "name": request.name,
        }
        if request.on_gpu:
            parameters["gpus_per_node"] = 1
        if cluster == "slurm":
            parameters["slurm_array_parallelism"] = request.n_workers
        executor.update_parameters(**parameters)
        waiting, running = iter(tasks), {}
        while True:
            chosen = []
            # SLURM itself keeps an array to its number at a time; a machine of its own does not.
            while cluster == "slurm" or len(running) + len(chosen) < request.n_workers:
                if (task := next(waiting, None)) is None:
                    break
                chosen.append(task)
            if chosen:
                running.update(zip(executor.map_array(function, chosen), chosen, strict=True))
            if not running:
                return
            on_poll(list(running.values()))
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
