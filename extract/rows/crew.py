"""Segments filled beside one another: by processes that work with one thread each, N of which do N times the work, or
by the decoders that one engine on a GPU needs.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache, partial
from itertools import islice
from queue import Empty, SimpleQueue

import torch

from ...cache.stores import Block, Segment
from ...cache.workers import Executor, Tell, n_usable_cpus
from ..video import VideoProbe
from .extraction import Crew
from .job import ExtractionJob, Recipe
from .segments import Outcome, SegmentRunner, SegmentTask, cut_segments
from .writing import OnRows

MAX_AUTO_WORKERS = 16
MAX_WORKERS_A_GPU = 8  # each has a context and weights there, about half a gigabyte
MAX_DECODERS = 16  # that feed one engine; all pass through one Python process
CLUSTER_CPUS_A_GPU = 8  # what a task asks a cluster for beside its GPU: most nodes have as many for each
SEGMENTS_A_DECODER = 4  # of a share: at its end decoders wait for the last one, half a segment each
SPARE_CORES = 2  # of decoders: for the process that feeds the GPU, and for the disk
POLL_S = 0.2
MINUTES_A_SEGMENT = 10  # at most, on a slow core, with a large backbone


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


def n_decoders_for(device: torch.device, *, n_cpus: int | None = None, n_gpus: int = 1) -> int:
    """How many decoders feed an engine: on a CPU one, as the backbone needs the cores; on each of the machine's GPUs
    its share of all cores but two.
    """
    if device.type != "cuda":
        return 1
    return max(min(((n_cpus or n_usable_cpus()) - SPARE_CORES) // n_gpus, MAX_DECODERS), 1)


def gpu_crew(job: ExtractionJob, *, n_decoders: int | None = None) -> Crew:
    """The crew of one GPU: `n_decoders` (those of `n_decoders_for`) for the job's engine, in this process."""

    def run(
        tasks: Iterable[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        with Decoders(SegmentRunner(job), n_decoders=n_decoders) as decoders:
            yield from decoders.crew(tasks, is_dropped, on_rows)

    return run


def crew_of_engines(executor: Executor, recipe: Recipe, *, n_decoders: int, n_segments: int | None = None) -> Crew:
    """The crew of several GPUs, here or on a cluster: each of the executor's workers has one engine, which
    ``n_decoders`` feed.

    A task is a share of ``n_segments`` segments, most of one match; four for each decoder where nothing is said. On a
    cluster it gets a processor for each decoder and one more.
    """
    most = n_segments or SEGMENTS_A_DECODER * n_decoders
    executor = replace(
        executor,
        preload=(__name__, "timm"),
        name="ballspot-extract",
        n_threads=n_decoders + 1,
        minutes=MINUTES_A_SEGMENT * -(-most // n_decoders),
    )

    def run(
        tasks: Iterable[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        wanted = (task for task in tasks if not is_dropped(task))
        shares = iter(lambda: tuple(islice(wanted, most)), ())
        fill = partial(fill_share, recipe, n_decoders)
        for ended in executor.run(fill, shares, on_told=lambda rows: on_rows(*rows)):
            if ended.error is None:
                yield from ended.result
            else:
                yield from (Outcome(task, error=ended.error) for task in ended.task)

    return run


def fill_share(recipe: Recipe, n_decoders: int, share: Sequence[SegmentTask], device: str, tell: Tell) -> list[Outcome]:
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
def decoders_for(recipe: Recipe, n_decoders: int) -> "Decoders":
    """This process's decoders: they load the backbone once for all its segments."""
    return Decoders(SegmentRunner(recipe.job()), n_decoders=n_decoders)


class Decoders:
    """Decoding processes that feed one engine, each with a segment of its own; a context manager.

    On a CPU there is one, and rows are made one segment after another. On a GPU each decoder has a thread here, and
    these take turns at the engine: a core decodes some 1,300 frames a second, and a GPU computes ten times as many.
    """

    def __init__(self, runner: SegmentRunner, *, n_decoders: int | None = None) -> None:
        """`runner` is one of them, and closed with the others."""
        self.job = runner.job
        # An engine that looks at boxes keeps what it saw of the whole picture: it serves one decoder.
        is_shared = runner.job.settings.region is None
        self.n_decoders = (n_decoders or n_decoders_for(runner.job.device)) if is_shared else 1
        self.runners = [runner]
        self._idle: SimpleQueue[SegmentRunner] = SimpleQueue()
        self._idle.put(runner)

    def rows(self, probe: VideoProbe, decoder: str, *, match: str) -> Iterator[Block]:
        """The rows of a whole video in order. Raises as `SegmentRunner.open` and `rows` do."""
        settings = self.job.settings
        segments = cut_segments(probe, stride=settings.stride, aligned_rows=self.job.aligned_rows)
        if self.n_decoders == 1 or len(segments) == 1 or settings.substitute:
            yield from self._one_after_another(probe, decoder, match)
            return

        def made(segment: Segment) -> list[Block]:
            with self._lent() as runner:
                runner.open(probe, decoder)
                return list(runner.rows(segment, match=match))

        left = iter(segments)
        pool = ThreadPoolExecutor(self.n_decoders, thread_name_prefix="decoder")
        try:
            ahead = deque(pool.submit(made, segment) for segment in islice(left, 2 * self.n_decoders))
            while ahead:
                blocks = ahead.popleft().result()
                ahead.extend(pool.submit(made, segment) for segment in islice(left, 1))
                yield from blocks
        finally:
            pool.shutdown(cancel_futures=True)

    def crew(
        self, tasks: Iterable[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        """A `Crew` of all decoders: fills the segments of any number of videos beside one another."""
        told: SimpleQueue[tuple[int, bool]] = SimpleQueue()

        def filled(task: SegmentTask) -> Outcome:
            with self._lent() as runner:
                return runner.run(task, on_rows=lambda *rows: told.put(rows))

        def tell() -> None:
            with suppress(Empty):
                while True:
                    on_rows(*told.get_nowait())

        wanted = (task for task in tasks if not is_dropped(task))
        pool = ThreadPoolExecutor(self.n_decoders, thread_name_prefix="decoder")
        try:
            running: set[Future[Outcome]] = set()
            while True:
                running |= {pool.submit(filled, task) for task in islice(wanted, self.n_decoders - len(running))}
                if not running:
                    return
                done, running = wait(running, timeout=POLL_S, return_when=FIRST_COMPLETED)
                tell()
                yield from (future.result() for future in done)
        finally:
            pool.shutdown(cancel_futures=True)

    def close(self) -> None:
        """Ends the decoding processes."""
        for runner in self.runners:
            runner.close()

    def __enter__(self) -> "Decoders":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _one_after_another(self, probe: VideoProbe, decoder: str, match: str) -> Iterator[Block]:
        runner = self.runners[0]
        runner.open(probe, decoder)
        yield from runner.rows(Segment(0, runner.n_rows), match=match)

    @contextmanager
    def _lent(self) -> Iterator[SegmentRunner]:
        """A runner that no other thread has meanwhile; one more is made where all are lent."""
        try:
            runner = self._idle.get_nowait()
        except Empty:
            runner = SegmentRunner(self.job, engine=self.runners[0].engine)
            self.runners.append(runner)
        try:
            yield runner
        finally:
            self._idle.put(runner)
