"""Where the jobs of a sweep are done: in processes on this machine, or by Ray or SLURM on others."""

import multiprocessing
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

from ...cache.workers import end_with_parent, place_of, ray_tasks, slurm_tasks
from .job import Job, do_job, record_failure

OnPoll = Callable[[Sequence[Job]], Collection[Path]]  # hears which jobs are running, says which runs to stop


Engine = Callable[[Iterable[Job], OnPoll], Iterator[Job]]


# Does the jobs, taking each when there is room for it, and yields each one that ended.

MAX_TRIES = 3


POLL_S = 0.5


def local_engine(*, n_jobs: int, n_threads: int, devices: Sequence[str]) -> Engine:
    """`n_jobs` processes at a time, each doing one job with `n_threads` threads; jobs are dealt to the devices in turn.

    A process that ends by itself (killed, say, for want of memory) has its job taken up again, where its run stands,
    three times at most. A run that ``on_poll`` stops stays where its last epoch ended. All processes end with this
    one, however it ends.
    """

    def run(jobs: Iterable[Job], on_poll: OnPoll) -> Iterator[Job]:
        context = _context()
        given, again = iter(jobs), deque[Job]()
        tries: Counter[Path] = Counter()
        slots = [devices[k % len(devices)] for k in range(n_jobs)]
        running: dict[Any, tuple[Any, Job]] = {}  # by the process's sentinel
        stopped: set[Path] = set()
        try:
            while True:
                while slots and (job := again.popleft() if again else next(given, None)) is not None:
                    job = replace(job, device=slots.pop())
                    tries[job.run] += 1
                    process = context.Process(target=work, args=(job, n_threads), name="sweep")
                    process.start()
                    running[process.sentinel] = (process, job)
                if not running:
                    return
                stops = on_poll([job for _, job in running.values()])
                for process, job in running.values():
                    if job.run in stops and job.run not in stopped:
                        stopped.add(job.run)
                        process.kill()
                for sentinel in wait(list(running), timeout=POLL_S):
                    process, job = running.pop(sentinel)
                    process.join()
                    slots.append(job.device)
                    ended_by_itself = process.exitcode and job.run not in stopped
                    if ended_by_itself and tries[job.run] < MAX_TRIES:
                        again.append(job)
                        continue
                    if ended_by_itself:
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
    what it is told that a run takes at most. Runs cannot be stopped there. Raises BallspotError for another word.
    """
    place = place_of(on)
    do = partial(do_job, n_threads=n_threads)
    on_gpu = device.startswith("cuda")

    def run(jobs: Iterable[Job], on_poll: OnPoll) -> Iterator[Job]:
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
    context.set_forkserver_preload([f"{__package__}.job"])
    return context
