"""Where the jobs of a sweep are done: in processes on this machine, or by Ray or SLURM on others."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from ..cache.clusters import place_of, ray_tasks, slurm_tasks
from ..cache.processes import end_with_parent
from .jobs import Job, do_job, record_failure

Engine = Callable[[Sequence[Job], Callable[[Sequence[Job]], None]], Iterator[Job]]
# Does the jobs, calls its second argument now and then with those that are running, and yields each job that ended.

MAX_TRIES = 3
POLL_S = 0.5


def local_engine(*, n_jobs: int, n_threads: int, devices: Sequence[str]) -> Engine:
    """`n_jobs` processes at a time, each doing one job with `n_threads` threads; jobs are dealt to the devices in turn.

    A process that ends by itself (killed, say, for want of memory) has its job taken up again, where its run stands,
    three times at most. All processes end with this one, however it ends.
    """

    def run(jobs: Sequence[Job], on_poll: Callable[[Sequence[Job]], None]) -> Iterator[Job]:
        context = _context()
        waiting, tries = deque(jobs), dict.fromkeys((job.run for job in jobs), 0)
        slots = [devices[k % len(devices)] for k in range(n_jobs)]
        running: dict[Any, tuple[Any, Job]] = {}  # by the process's sentinel
        try:
            while waiting or running:
                while waiting and slots:
                    job = replace(waiting.popleft(), device=slots.pop())
                    tries[job.run] += 1
                    process = context.Process(target=work, args=(job, n_threads), name="sweep")
                    process.start()
                    running[process.sentinel] = (process, job)
                on_poll([job for _, job in running.values()])
                for sentinel in wait(list(running), timeout=POLL_S):
                    process, job = running.pop(sentinel)
                    process.join()
                    slots.append(job.device)
                    if process.exitcode and tries[job.run] < MAX_TRIES:
                        waiting.appendleft(job)
                        continue
                    if process.exitcode:
                        problem = f"its process ended by itself {MAX_TRIES} times (exit code {process.exitcode})"
                        record_failure(job, f"{problem}; is there memory for so many --jobs?", after_s=0.0)
                    yield job
        finally:
            for process, _ in running.values():
                process.kill()  # what a run has written is whole at any moment
            for process, _ in running.values():
                process.join()

    return run


def cluster_engine(on: str, *, n_jobs: int, n_threads: int, device: str, folder: Path, minutes: int) -> Engine:
    """`ray`, `ray:ADDRESS`, `slurm` or `slurm:local`: `n_jobs` at a time, each with `n_threads` threads or one GPU.

    Everything a job gets and gives is a path, alike from everywhere; `folder` receives SLURM's logs and `minutes` is
    what it is told that a run takes at most. Raises BallspotError for another word.
    """
    place = place_of(on)
    do = partial(do_job, n_threads=n_threads)
    on_gpu = device.startswith("cuda")

    def run(jobs: Sequence[Job], on_poll: Callable[[Sequence[Job]], None]) -> Iterator[Job]:
        begun: dict[Path, Job] = {}

        def given_out() -> Iterator[Job]:
            for job in jobs:
                begun[job.run] = replace(job, device=device.partition(":")[0])  # which GPU is the cluster's to say
                yield begun[job.run]

        common: dict[str, Any] = {
            "n_workers": n_jobs,
            "on_gpu": on_gpu,
            "on_poll": lambda: on_poll(list(begun.values())),
        }
        if place.kind == "ray":
            every = ray_tasks(do, given_out(), address=place.address, n_cpus=n_threads, **common)
        else:
            every = slurm_tasks(
                do,
                given_out(),
                folder=folder,
                name="ballspot-sweep",
                cluster=place.address or "slurm",
                minutes=minutes,
                n_cpus=n_threads,
                **common,
            )
        for ended in every:
            del begun[ended.task.run]
            if ended.error is not None:
                record_failure(ended.task, ended.error, after_s=0.0)
            yield ended.task

    return run


def work(job: Job, n_threads: int) -> None:
    """What a process does: one job, ending with its parent."""
    end_with_parent()
    do_job(job, n_threads=n_threads)


def _context() -> Any:
    """Processes forked from a server that has imported torch once; where there is no such server, new ones."""
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([f"{__package__}.jobs"])
    return context
