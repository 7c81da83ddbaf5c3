"""Segments filled beside one another, here or on a cluster: by processes that work with one thread each, N of which do
N times the work, or by one engine a GPU with its decoders.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice

import torch

from ...cache.workers import Executor, Tell, n_usable_cpus
from .decoders import Decoders
from .job import Recipe
from .segments import Crew, OnRows, Outcome, SegmentRunner, SegmentTask

MAX_AUTO_WORKERS = 16
MAX_WORKERS_A_GPU = 8  # each has a context and weights there, about half a gigabyte
CLUSTER_CPUS_A_GPU = 8  # what a task asks a cluster for beside its GPU: most nodes have as many for each
SEGMENTS_A_DECODER = 4  # of a share: at its end decoders wait for the last one, half a segment each
MINUTES_A_SEGMENT = 10  # at most, on a slow core, with a large backbone
Share = tuple[SegmentTask, ...]  # what a worker is given at a time
Fill = Callable[[Share, str, Tell], list[Outcome]]


def n_workers_for(n_rows: int, devices: Sequence[str], *, n_cpus: int | None = None) -> int:
    """How many workers `auto` means: one a CPU core that this process may use, 16 at most.

    On GPUs it is for engines that serve one decoder (boxes, see `crew_of`): each worker is a process that computes and
    one that decodes, so one for every two cores, up to eight a GPU, and one a GPU at least. Few rows get fewer: a
    worker takes some seconds to start, and has 2,048 rows at least.
    """
    n_cpus = n_cpus or n_usable_cpus()
    if devices and devices[0].startswith("cuda"):
        n_of_cores = min(n_cpus // 2, MAX_WORKERS_A_GPU * len(devices))
        return max(min(n_of_cores, n_rows // 2048), min(len(devices), max(n_rows // 2048, 1)))
    return max(1, min(n_cpus, MAX_AUTO_WORKERS, n_rows // 2048))


def crew_of(executor: Executor, recipe: Recipe) -> Crew:
    """The crew that fills segments by the executor; on a cluster, paths must mean the same everywhere."""
    n_threads = 2 if executor.devices[0].startswith("cuda") else 1  # beside a GPU's process one decodes
    return _crew(executor, partial(fill_segment, recipe), n_threads=n_threads, most=1, minutes=MINUTES_A_SEGMENT)


def crew_of_engines(executor: Executor, recipe: Recipe, *, n_decoders: int, n_segments: int | None = None) -> Crew:
    """The crew of several GPUs, here or on a cluster: each of the executor's workers has one engine, which
    ``n_decoders`` feed.

    A task is a share of ``n_segments`` segments, most of one match; four for each decoder where nothing is said. On a
    cluster it gets a processor for each decoder and one more.
    """
    most = n_segments or SEGMENTS_A_DECODER * n_decoders
    minutes = MINUTES_A_SEGMENT * -(-most // n_decoders)
    fill = partial(fill_share, recipe, n_decoders)
    return _crew(executor, fill, n_threads=n_decoders + 1, most=most, minutes=minutes)


def _crew(executor: Executor, fill: Fill, *, n_threads: int, most: int, minutes: int) -> Crew:
    """The crew whose workers fill shares of at most so many segments."""
    # On this machine workers are forked from a process that has imported torch and timm: both take seconds.
    executor = replace(
        executor, preload=(__name__, "timm"), name="ballspot-extract", n_threads=n_threads, minutes=minutes
    )

    def run(
        tasks: Iterable[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        wanted = (task for task in tasks if not is_dropped(task))
        shares = iter(lambda: tuple(islice(wanted, most)), ())
        for ended in executor.run(fill, shares, on_told=lambda rows: on_rows(*rows)):
            if ended.error is None:
                yield from ended.result
            else:
                yield from (Outcome(task, error=ended.error) for task in ended.task)

    return run


def fill_segment(recipe: Recipe, share: Share, device: str, tell: Tell) -> list[Outcome]:
    """Fills one segment wherever this runs; given again, it goes on where it was, or finds the segment full."""
    torch.set_num_threads(1)  # two threads that share a batch wait for each other; two processes do not
    runner = runner_for(replace(recipe, device=device))
    return [runner.run(task, on_rows=lambda *rows: tell(rows)) for task in share]


@lru_cache(maxsize=1)
def runner_for(recipe: Recipe) -> SegmentRunner:
    """This process's runner: it loads the backbone once for all its segments."""
    return SegmentRunner(recipe.job())


def fill_share(recipe: Recipe, n_decoders: int, share: Share, device: str, tell: Tell) -> list[Outcome]:
    """Fills some segments beside one another; those of a match that has failed on the way are left, as by any crew."""
    torch.set_num_threads(1)
    failed: set[str] = set()
    outcomes: list[Outcome] = []
    decoders = decoders_for(replace(recipe, device=device), n_decoders)
    for outcome in decoders.crew(share, lambda task: task.header.match in failed, lambda *rows: tell(rows)):
        outcomes.append(outcome)
        if outcome.error:
            failed.add(outcome.task.header.match)
    return outcomes


@lru_cache(maxsize=1)
def decoders_for(recipe: Recipe, n_decoders: int) -> Decoders:
    """This process's decoders: they load the backbone once for all its segments."""
    return Decoders(SegmentRunner(recipe.job()), n_decoders=n_decoders)
