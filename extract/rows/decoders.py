"""The processes that decode videos for one engine: one on a CPU, as many as a GPU needs."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import islice
from queue import Empty, SimpleQueue

import torch

from ...cache.disk import Closable
from ...cache.stores import Block, Segment
from ...cache.workers import n_usable_cpus
from ..video import VideoProbe
from .job import ExtractionJob
from .segments import Crew, OnRows, Outcome, SegmentRunner, SegmentTask, cut_segments

MAX_DECODERS = 16  # that feed one engine; all pass through one Python process
SPARE_CORES = 2  # of decoders: for the process that feeds the GPU, and for the disk
POLL_S = 0.2


def n_decoders_for(device: torch.device, *, n_cpus: int | None = None, n_gpus: int = 1) -> int:
    """How many decoders feed an engine: on a CPU one, as the backbone needs the cores; on each of the machine's GPUs
    its share of all cores but two.
    """
    if device.type != "cuda":
        return 1
    return max(min(((n_cpus or n_usable_cpus()) - SPARE_CORES) // n_gpus, MAX_DECODERS), 1)


class Decoders(Closable):
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


def gpu_crew(job: ExtractionJob, *, n_decoders: int | None = None) -> Crew:
    """The crew of one GPU: `n_decoders` (those of `n_decoders_for`) for the job's engine, in this process."""

    def run(
        tasks: Iterable[SegmentTask], is_dropped: Callable[[SegmentTask], bool], on_rows: OnRows
    ) -> Iterator[Outcome]:
        with Decoders(SegmentRunner(job), n_decoders=n_decoders) as decoders:
            yield from decoders.crew(tasks, is_dropped, on_rows)

    return run
