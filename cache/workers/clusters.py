"""Tasks on other machines: Ray (extra `ray`) and SLURM (extra `slurm`); all by paths on a disk they share."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..errors import BallspotError
from ..terminal import note

POLL_S = 1.0
MAX_TRIES = 3  # of a task whose process ends by itself, or whose node is lost
MAX_ELEMENTS = 300  # of a SLURM array: clusters allow 1,000 or so, and each element costs its start
LEAST_MINUTES = 60
Task = TypeVar("Task")


@dataclass(frozen=True)
class Ended(Generic[Task]):
    """A task that ended: what its function returned, or in one line why it could not."""

    task: Task
    result: Any = None
    error: str | None = None


@dataclass(frozen=True)
class Request:
    """What a cluster is asked for: how many tasks at a time, what each gets; name, logs and minutes are for SLURM."""

    n_workers: int
    n_cpus: int
    on_gpu: bool
    name: str
    logs: Path
    minutes: int


@dataclass(frozen=True)
class Element(Generic[Task]):
    """What one element of a SLURM array does, and how often it was submitted with that."""

    tasks: tuple[Task, ...]
    n_tries: int = 1


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
    resources: dict[str, Any] = {"num_cpus": request.n_cpus}
    if request.on_gpu:  # Ray ends a GPU's process after each task; kept, it loads torch and the model once
        resources |= {"num_cpus": _cpus_beside_a_gpu(ray, request.n_cpus), "num_gpus": 1, "max_calls": 0}

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

    An array has at most 300 elements, each of which then does several tasks, one after another. An element whose node
    is lost is submitted again, three times in all: its tasks go on where they were. Raises BallspotError where jobs
    cannot be submitted.
    """
    cluster = address or "slurm"
    submitit = _extra("submitit", "slurm")
    try:
        executor = submitit.AutoExecutor(folder=request.logs, cluster=cluster)
        parameters: dict[str, Any] = {
            "timeout_min": max(request.minutes, LEAST_MINUTES),
            "cpus_per_task": request.n_cpus,
            "name": request.name,
        }
        if request.on_gpu:
            parameters["gpus_per_node"] = 1
        if cluster == "slurm":
            parameters["slurm_array_parallelism"] = request.n_workers
        executor.update_parameters(**parameters)
        given = list(tasks)
        # SLURM itself keeps an array to its number at a time; a machine of its own does not.
        n_groups = MAX_ELEMENTS if cluster == "slurm" else len(given)
        waiting = deque(Element(group) for group in _grouped(given, n_groups))
        running: dict[Any, Element[Task]] = {}
        while waiting or running:
            n_more = len(waiting) if cluster == "slurm" else request.n_workers - len(running)
            chosen = [waiting.popleft() for _ in range(min(n_more, len(waiting)))]
            if chosen:
                longest = request.minutes * max(len(element.tasks) for element in chosen)
                executor.update_parameters(timeout_min=max(longest, LEAST_MINUTES))
                jobs = executor.map_array(partial(_one_by_one, function), [element.tasks for element in chosen])
                running.update(zip(jobs, chosen, strict=True))
            on_poll([task for element in running.values() for task in element.tasks])
            for job in [job for job in running if job.done()]:
                element = running.pop(job)
                if element.n_tries < MAX_TRIES and _is_lost(job):
                    waiting.append(Element(element.tasks, element.n_tries + 1))
                else:
                    yield from _slurm_ended(job, element.tasks)
            if running:
                time.sleep(POLL_S)
    except (OSError, RuntimeError) as error:
        raise BallspotError(f"--on slurm: cannot submit ({last_line(error)}); is sbatch here?") from error


def last_line(error: BaseException) -> str:
    """The last line of what an error says, which in errors from afar names the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:160] if lines else type(error).__name__


def _grouped(tasks: Sequence[Task], n_most: int) -> list[tuple[Task, ...]]:
    """The tasks in order, in at most so many groups of nearly one size."""
    n_groups = min(n_most, len(tasks))
    bounds = [len(tasks) * number // n_groups for number in range(n_groups + 1)] if tasks else [0]
    return [tuple(tasks[start:stop]) for start, stop in pairwise(bounds)]


def _one_by_one(function: Callable[[Task], Any], group: Sequence[Task]) -> list[tuple[Any, str | None]]:
    """Does a group's tasks: of each its result, or why it could not be done, which does not keep the others from it."""
    done: list[tuple[Any, str | None]] = []
    for task in group:
        try:
            done.append((function(task), None))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is told where the tasks were given out
            done.append((None, last_line(error)))
    return done


def _is_lost(job: Any) -> bool:
    """Whether a job ended without doing its work, and nobody cancelled it."""
    return job.exception() is not None and not str(job.state).startswith("CANCELLED")


def _slurm_ended(job: Any, group: Sequence[Task]) -> Iterator[Ended[Task]]:
    where, problem = f"--on slurm: job {job.job_id} failed", job.exception()
    if problem is not None:
        yield from (Ended(task, error=f"{where} ({last_line(problem)})") for task in group)
        return
    for task, (result, error) in zip(group, job.result(), strict=True):
        yield Ended(task, result) if error is None else Ended(task, error=f"{where} ({error})")


def _cpus_beside_a_gpu(ray: Any, wanted: int) -> int:
    """As many processors as are wanted, or fewer where no node has so many for each of its GPUs: Ray would wait."""
    nodes = [node["Resources"] for node in ray.nodes() if node.get("Alive")]
    there = [int(node.get("CPU", 0) // node["GPU"]) for node in nodes if node.get("GPU", 0) >= 1]
    return max(min(wanted, max(there, default=wanted)), 1)


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
