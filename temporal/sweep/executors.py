"""The jobs of a sweep done beside one another, on this machine or on others."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from ...cache.runs import RunFolder
from ...cache.workers import Executor, Tell
from .job import Job, record_failure
from .stacks import Pack, do_pack, packs

OnPoll = Callable[[Sequence[Job]], Collection[Job]]  # hears which jobs are running, says which of them to stop
OPTIMIZERS = "torch._dynamo"  # torch imports it, in seconds, when the first optimizer is made
JobRunner = Callable[[Iterable[Job], OnPoll], Iterator[Job]]
"""Does the jobs, taking each when there is room for it, and yields each one that ended."""


def job_runner(executor: Executor, *, stack: int = 1) -> JobRunner:
    """Jobs by the executor, on this machine each in a process of its own. All that a job gets and gives is a path.

    A job whose process ends by itself is taken up again where its run stands; one that is stopped stays there. With
    ``stack`` a process trains up to so many jobs of one shape at once.
    """
    # Forked from a process that has imported torch once.
    executor = replace(
        executor, renews=True, preload=(f"{__package__}.stacks", OPTIMIZERS), option="--jobs", name="ballspot-sweep"
    )

    def run(jobs: Iterable[Job], on_poll: OnPoll) -> Iterator[Job]:
        def polled(running: Sequence[Pack]) -> Collection[Pack]:
            stops = on_poll([job for pack in running for job in pack])
            return [pack for pack in running if any(job is one for job in pack for one in stops)]

        tasks = packs(jobs, most=stack, n_workers=executor.n_workers)
        for ended in executor.run(partial(do_on_device, executor.n_threads), tasks, on_poll=polled):
            for job in ended.task:
                if ended.error is not None and not RunFolder(job.run).is_done:
                    record_failure(job, ended.error, after_s=0.0)
                yield job

    return run


def do_on_device(n_threads: int, pack: Pack, device: str, tell: Tell) -> None:
    """Does the jobs of a pack on the device that it was dealt."""
    do_pack(tuple(replace(job, device=device) for job in pack), n_threads=n_threads)
