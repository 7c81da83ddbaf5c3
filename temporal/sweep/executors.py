"""The jobs of a sweep done beside one another, on this machine or on others."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ...cache.workers import Executor, Tell
from .job import Job, do_job, record_failure

OnPoll = Callable[[Sequence[Job]], Collection[Job]]  # hears which jobs are running, says which of them to stop
OPTIMIZERS = "torch._dynamo"  # torch imports it, in seconds, when the first optimizer is made
JobRunner = Callable[[Iterable[Job], OnPoll], Iterator[Job]]
"""Does the jobs, taking each when there is room for it, and yields each one that ended."""


def job_runner(executor: Executor) -> JobRunner:
    """Jobs by the executor, on this machine each in a process of its own. All that a job gets and gives is a path.

    A job whose process ends by itself is taken up again where its run stands; one that is stopped stays there.
    """
    executor = replace(
        executor, renews=True, preload=(f"{__package__}.job", OPTIMIZERS), option="--jobs", name="ballspot-sweep"
    )  # forked from a process that has imported torch once

    def run(jobs: Iterable[Job], on_poll: OnPoll) -> Iterator[Job]:
        for ended in executor.run(partial(do_on_device, executor.n_threads), jobs, on_poll=on_poll):
            if ended.error is not None:
                record_failure(ended.task, ended.error, after_s=0.0)
            yield ended.task

    return run


def do_on_device(n_threads: int, job: Job, device: str, tell: Tell) -> None:
    """Does a job on the device that it was dealt."""
    do_job(replace(job, device=device), n_threads=n_threads)
