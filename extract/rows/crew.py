"""Worker processes on this machine: each fills whole segments with one thread, so that N do N times the work."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from ...cache.errors import BallspotError
from ...cache.workers import Ended, end_with_parent, n_usable_cpus, place_of, ray_tasks, slurm_tasks
from .extraction import Crew
from .job import Recipe
from .segments import OnRows, Outcome, SegmentRunner, SegmentTask

MAX_AUTO_WORKERS = 16


MAX_TRIES = 2


PATIENCE_S = 10.0


@dataclass
class Worker:
    """A process, the pipe to it, and what it is doing."""

    process: Any
    connection: Any
    device: str
    task: SegmentTask | None = None


def n_workers_for(n_rows: int, devices: Sequence[str], *, n_cpus: int | None = None) -> int:
    """How many workers `auto` means: one a GPU, else one a CPU core that this process may use, 16 at most.

    Few rows get fewer: a worker takes some seconds to start, and has 2,048 rows at least.
    """
    if devices and devices[0].startswith("cuda"):
        return len(devices)
    return max(1, min(n_cpus or n_usable_cpus(), MAX_AUTO_WORKERS, n_rows // 2048))


def local_crew(recipe: Recipe, *, n_workers: int, devices: Sequence[str]) -> Crew:
    """A crew of `n_workers` spawned processes, dealt to the devices in turn.

    A worker that ends by itself (killed for want of memory, say) is replaced and its task given out once more.
    """

    def run(
        tasks: Sequence[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        waiting = deque(tasks)
        tries: dict[Path, int] = {}
        workers = [_start(replace(recipe, device=devices[k % len(devices)])) for k in range(min(n_workers, len(tasks)))]
        try:
            while workers:
                for worker in list(workers):
                    if worker.task is None:
                        task = _next_task(waiting, is_dropped)
                        if task is None:
                            workers.remove(worker)
                            _send_home(worker)
                        else:
                            worker.task = task
                            with suppress(OSError):  # of one that has just ended: seen below
                                worker.connection.send(task)
                if not workers:
                    return
                for ready in wait([worker.connection for worker in workers]):
                    worker = next(worker for worker in workers if worker.connection is ready)
                    try:
                        kind, *values = worker.connection.recv()
                    except (EOFError, OSError):
                        workers.remove(worker)
                        yield from _lost(worker, tries, waiting)
                        if waiting:
                            workers.append(_start(replace(recipe, device=worker.device)))
                        continue
                    if kind == "rows":
                        on_rows(*values)
                    elif kind == "stopped":
                        raise BallspotError(values[0])
                    else:
                        worker.task = None
                        yield values[0]
        finally:
            for worker in workers:
                _end(worker)

    return run


def work(connection: Connection, recipe: Recipe) -> None:
    """What a worker does: makes the job once, then fills the segments it is sent, until its parent ends."""
    end_with_parent()
    torch.set_num_threads(1)  # two threads that share a batch wait for each other; two processes do not
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        try:
            runner = SegmentRunner(recipe.job())
        except BallspotError as error:
            connection.send(("stopped", str(error)))
            return
        with runner:
            while True:
                task = connection.recv()
                if task is None:
                    return
                outcome = runner.run(task, on_rows=lambda n_rows, is_new: connection.send(("rows", n_rows, is_new)))
                connection.send(("outcome", outcome))


def _start(recipe: Recipe) -> Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, recipe), name="extraction")
    process.start()
    theirs.close()
    return Worker(process, ours, recipe.device)


def _send_home(worker: Worker) -> None:
    with suppress(OSError):
        worker.connection.send(None)
    worker.process.join(PATIENCE_S)
    _end(worker)


def _end(worker: Worker) -> None:
    worker.process.kill()  # between two syncs or after the last: a part file is whole at any moment
    worker.process.join()
    worker.connection.close()


def _next_task(waiting: deque[SegmentTask], is_dropped: Callable[[SegmentTask], bool]) -> SegmentTask | None:
    while waiting:
        task = waiting.popleft()
        if not is_dropped(task):
            return task
    return None


def _lost(worker: Worker, tries: dict[Path, int], waiting: deque[SegmentTask]) -> Iterator[Outcome]:
    worker.process.join()
    task = worker.task
    if task is None:
        return
    key = task.part
    tries[key] = tries.get(key, 1) + 1
    if tries[key] <= MAX_TRIES:
        waiting.appendleft(task)
        return
    code = worker.process.exitcode
    yield Outcome(task, error=f"a worker process ended by itself twice (exit code {code}); give fewer --workers")


def cluster_crew(on: str, recipe: Recipe, *, n_workers: int, folder: Path) -> Crew:
    """The crew that `--on` asks for: `ray`, `ray:ADDRESS`, `slurm`, or `slurm:local` (submitit without SLURM).

    Everything a job gets and gives is a path: videos, weights and `folder`, where SLURM's logs go, must be reachable
    alike from everywhere. Raises BallspotError for another word, and when the extra is not installed.
    """
    place, on_gpu = place_of(on), recipe.device.startswith("cuda")

    def run(
        tasks: Sequence[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        wanted = (task for task in tasks if not is_dropped(task))
        fill = partial(fill_segment, recipe)
        if place.kind == "ray":
            every = ray_tasks(fill, wanted, n_workers=n_workers, address=place.address, on_gpu=on_gpu)
        else:
            cluster = place.address or "slurm"
            name = "ballspot-extract"
            every = slurm_tasks(
                fill, wanted, n_workers=n_workers, folder=folder, name=name, cluster=cluster, on_gpu=on_gpu
            )
        for ended in every:
            outcome = _outcome(ended)
            on_rows(outcome.n_new_rows, True)
            yield outcome

    return run


def fill_segment(recipe: Recipe, task: SegmentTask) -> Outcome:
    """Fills one segment wherever this runs; given again, it goes on where it was, or finds the segment full."""
    torch.set_num_threads(1)
    return runner_for(recipe).run(task)


@lru_cache(maxsize=1)
def runner_for(recipe: Recipe) -> SegmentRunner:
    """This process's runner: a Ray worker loads the backbone once for all its segments."""
    return SegmentRunner(recipe.job())


def _outcome(ended: Ended[SegmentTask]) -> Outcome:
    return Outcome(ended.task, error=ended.error) if ended.error is not None else ended.result
