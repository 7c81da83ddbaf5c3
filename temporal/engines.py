"""Where the jobs of a sweep are done: in processes on this machine."""

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from multiprocessing.connection import wait
from typing import Any

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
