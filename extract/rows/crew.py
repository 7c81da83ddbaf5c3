"""Segments filled beside one another, by processes that work with one thread each: N of them do N times the work."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial

import torch

from ...cache.workers import Executor, Tell, n_usable_cpus
from .extraction import Crew
from .job import Recipe
from .segments import OnRows, Outcome, SegmentRunner, SegmentTask

MAX_AUTO_WORKERS = 16
MAX_WORKERS_A_GPU = 8  # each has a context and weights there, about half a gigabyte
MINUTES_A_SEGMENT = 10  # at most, on a slow core, with a large backbone


def n_workers_for(n_rows: int, devices: Sequence[str], *, n_cpus: int | None = None) -> int:
    """How many workers `auto` means: one a CPU core that this process may use, 16 at most.

    On GPUs each worker is a process that computes and one that decodes, which is what limits it: one for every two
    cores, up to eight a GPU, and one a GPU at least. Few rows get fewer: a worker takes some seconds to start, and has
    2,048 rows at least.
    """
    n_cpus = n_cpus or n_usable_cpus()
    if devices and devices[0].startswith("cuda"):
        n_of_cores = min(n_cpus // 2, MAX_WORKERS_A_GPU * len(devices))
        return max(min(n_of_cores, n_rows // 2048), min(len(devices), max(n_rows // 2048, 1)))
    return max(1, min(n_cpus, MAX_AUTO_WORKERS, n_rows // 2048))


def crew_of(executor: Executor, recipe: Recipe) -> Crew:
    """The crew that fills segments by the executor; on a cluster, paths must mean the same everywhere."""
    n_threads = 2 if executor.devices[0].startswith("cuda") else 1  # beside a GPU's process one decodes
    # On this machine workers are forked from a process that has imported torch and timm: both take seconds.
    executor = replace(
        executor,
        preload=(__name__, "timm"),
        name="ballspot-extract",
        n_threads=n_threads,
        minutes=MINUTES_A_SEGMENT,
    )

    def run(
        tasks: Iterable[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        wanted = (task for task in tasks if not is_dropped(task))
        for ended in executor.run(partial(fill_segment, recipe), wanted, on_told=lambda rows: on_rows(*rows)):
            yield ended.result if ended.error is None else Outcome(ended.task, error=ended.error)

    return run


def fill_segment(recipe: Recipe, task: SegmentTask, device: str, tell: Tell) -> Outcome:
    """Fills one segment wherever this runs; given again, it goes on where it was, or finds the segment full."""
    torch.set_num_threads(1)  # two threads that share a batch wait for each other; two processes do not
    return runner_for(replace(recipe, device=device)).run(task, on_rows=lambda *rows: tell(rows))


@lru_cache(maxsize=1)
def runner_for(recipe: Recipe) -> SegmentRunner:
    """This process's runner: it loads the backbone once for all its segments."""
    return SegmentRunner(recipe.job())
