"""The unit of extraction: one segment of one match's rows, filled into a part file of its own, by whoever runs it."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import Any

import numpy as np
import torch

from ...cache.disk import Closable
from ...cache.errors import BallspotError
from ...cache.stores import Block, Journal, Segment, StoreHeader, part_path, rows_of_chunks
from ..backbone import Backbone, Engine, TorchEngine, WindowEngine, fitted, make_engine, see, window_engine
from ..cuda import Uploaded, fetched, pinned, uploaded
from ..regions import RegionEngine
from ..video import Batch, DecodingError, DecodingProcess, VideoProbe, at_rate, can_seek, probe_video
from .job import ExtractionJob, Settings

SEGMENT_ROWS = 1024
RECORD_ROWS = 64
CUDA_RECORD_ROWS = 1024  # a second of one decoder: what a kill may cost there
AHEAD = 2  # batches that a GPU computes before the features of the first are waited for
LOCK_PATIENCE_S = 5.0
WAITING_BLOCKS = 4  # that a writer has not written yet
OnRows = Callable[[int, bool], None]  # number of rows, and whether they were computed now
WideEngine = WindowEngine | RegionEngine  # whose rows hang on those around them


@dataclass(frozen=True)
class SegmentTask:
    """One segment to fill: the store it belongs to and what that will say of itself, the video, the decoder to use."""

    header: StoreHeader
    probe: VideoProbe
    store: Path
    segment: Segment
    decoder: str

    @property
    def part(self) -> Path:
        """The part file that holds the segment's rows."""
        return part_path(self.store, self.segment)


@dataclass(frozen=True)
class Outcome:
    """What came of a task: rows computed now, in `seconds`, or an error in one line.

    With `is_undecodable` its decoder could not give a frame: rows that lie near it may be wrong already.
    """

    task: SegmentTask
    n_new_rows: int = 0
    seconds: float = 0.0
    error: str = ""
    is_undecodable: bool = False


# Runs tasks, in their order or beside one another, but for those that the second argument says to drop by then.
Crew = Callable[[Iterable[SegmentTask], Callable[[SegmentTask], bool], OnRows], Iterator[Outcome]]


class SegmentRunner(Closable):
    """Fills segments, one after another, with one engine and one decoding process; a context manager."""

    def __init__(self, job: ExtractionJob, *, engine: Engine | WideEngine | None = None) -> None:
        """Another runner's `engine` is shared with it: on a GPU, where each call holds the engine's lock."""
        settings = job.settings
        self.job = job
        self.on_gpu = job.device.type == "cuda"
        self.engine = engine or engine_of(job)
        self.decoding = DecodingProcess(
            batch_rows=settings.batch_rows,
            substitute=settings.substitute,
            motion=settings.motion,
            pins=pinned if self.on_gpu else None,
        )
        self.n_rows = 0

    def open(self, probe: VideoProbe, decoder: str) -> tuple[str, str]:
        """Opens a video in the decoder of that name, whose name and version come back; else raises DecodingError."""
        self.n_rows = -(-probe.n_frames // self.job.settings.stride)
        # The GPU that computes decodes, too.
        return self.decoding.open(probe, f"nvdec@{self.job.device}" if decoder == "nvdec" else decoder)

    def run(self, task: SegmentTask, *, on_rows: OnRows = lambda n_rows, is_new: None) -> Outcome:
        """Fills the task's part file from where it stands; errors that a user can cause come back in the outcome."""
        started = time.monotonic()
        n_new_rows = 0
        try:
            name, version = self.open(task.probe, task.decoder)
            header = replace(task.header, decoder=name, decoder_version=version, engine=str(self.engine.spec))
            with Journal.open(
                task.part,
                header,
                segment=task.segment,
                patience_s=LOCK_PATIENCE_S,
                may_substitute=self.job.settings.substitute,
            ) as journal:
                if task.store.exists():  # another process finished the match while this one waited
                    journal.remove()
                    return Outcome(task)
                on_rows(journal.next_row - task.segment.start, False)
                left = Segment(journal.next_row, task.segment.stop)
                n_new_rows = left.stop - left.start
                records = self.records(left, match=task.header.match, whole=task.segment)
                with Writer(journal, on_rows) if self.on_gpu else DirectWriter(journal, on_rows) as writer:
                    for block in records:
                        writer.append(block)
        except DecodingError as error:
            return Outcome(task, error=str(error), is_undecodable=True)
        except BallspotError as error:
            return Outcome(task, error=str(error))
        return Outcome(task, n_new_rows=n_new_rows, seconds=time.monotonic() - started)

    def records(self, segment: Segment, *, match: str, whole: Segment | None = None) -> Iterator[Block]:
        """The same as `rows`, in whole batches put together to about 64 rows: each is one write and one sync.

        On a GPU they are about 1,024 rows, as 64 take it a few milliseconds.
        """
        n_rows, most = self.job.aligned_rows, CUDA_RECORD_ROWS if self.on_gpu else RECORD_ROWS
        return rows_of_chunks(self.rows(segment, match=match, whole=whole), max(most // n_rows, 1) * n_rows)

    def rows(self, segment: Segment, *, match: str, whole: Segment | None = None) -> Iterator[Block]:
        """The segment's rows of the video that is open in `decoding`, batch by batch.

        Where damaged frames are replaced, the rows are those that they are as a part of `whole`, all of which is read.
        Raises DecodingError for a frame that cannot be had, BallspotError for a feature that its type cannot hold.
        """
        if segment.start >= segment.stop:
            return
        whole = whole if whole is not None and self.job.settings.substitute else segment
        if isinstance(self.engine, (WindowEngine, RegionEngine)):
            yield from self._rows_of_windows(self.engine, segment, match, whole)
            return
        batches = self.decoding.batches(segment, stride=self.job.settings.stride, whole=whole)
        if self.on_gpu and isinstance(self.engine, TorchEngine):
            yield from self._blocks_ahead(self._uploaded(batches), self.engine, match)
            return
        for batch in batches:
            yield self._block_of(batch, self.engine, match)

    def rows_of_stream(self, batches: Iterable[Batch], *, match: str) -> Iterator[Block]:
        """The rows of batches from elsewhere, of a video whose end nobody knows yet."""
        if isinstance(self.engine, (WindowEngine, RegionEngine)):
            yield from self._centres(self.engine, batches, Segment(0, sys.maxsize), None, match)
            return
        for batch in batches:
            yield self._block_of(batch, self.engine, match)

    def _block_of(self, batch: Batch, engine: Engine, match: str) -> Block:
        job = self.job
        pictures = fitted(
            torch.from_numpy(batch.pictures).to(job.device),
            job.backbone.spec.size,
            uncropped=job.backbone.spec.uncropped,
            interpolation=job.backbone.interpolation,
        )
        n_rows = len(batch.frame_index)
        features = {view: engine(see(pictures, view))[:n_rows] for view in job.settings.views}
        return self._block(batch.frame_index, features, batch.substituted, match)

    def _uploaded(self, batches: Iterable[Batch]) -> Iterator[Uploaded]:
        return uploaded(batches, self.job.settings.batch_rows, self.job.device)

    def _blocks_ahead(self, batches: Iterable[Uploaded], engine: TorchEngine, match: str) -> Iterator[Block]:
        """As `_block_of` makes them; a batch's features are waited for when the GPU has the next ones to compute."""
        spec = self.job.backbone.spec
        waiting: deque[tuple[np.ndarray, np.ndarray, dict[str, Callable[[], np.ndarray]]]] = deque()

        def arrived() -> Block:
            index, substituted, coming = waiting.popleft()
            features = {view: wait()[: len(index)] for view, wait in coming.items()}
            return self._block(index, features, substituted, match)

        for batch in batches:
            with engine.lock, torch.inference_mode():
                pictures = fitted(
                    batch.pictures, spec.size, uncropped=spec.uncropped, interpolation=self.job.backbone.interpolation
                )
                views = self.job.settings.views
                coming = {view: fetched(engine.tensor(see(pictures, view))) for view in views}
            waiting.append((batch.frame_index, batch.substituted, coming))
            if len(waiting) > AHEAD:
                yield arrived()
        while waiting:
            yield arrived()

    def _rows_of_windows(self, engine: WideEngine, segment: Segment, match: str, whole: Segment) -> Iterator[Block]:
        span, of_whole = (engine.span(one, self.n_rows) for one in (segment, whole))
        read = self.decoding.batches(span, stride=self.job.settings.stride, whole=of_whole)
        batches = self._uploaded(read) if self.on_gpu else read
        return self._centres(engine, batches, segment, self.n_rows, match)

    def _centres(
        self, engine: WideEngine, batches: Iterable[Batch | Uploaded], segment: Segment, n_rows: int | None, match: str
    ) -> Iterator[Block]:
        stride = self.job.settings.stride
        substituted: set[int] = set()

        def watched() -> Iterator[Batch | Uploaded]:
            for batch in batches:
                substituted.update(batch.substituted.tolist())
                yield batch

        for centre in engine.centres(watched(), segment, n_rows=n_rows, views=self.job.settings.views):
            frame_index = np.arange(centre.rows.start, centre.rows.stop, dtype=np.int64) * stride
            shown = np.array(sorted(substituted.intersection(frame_index.tolist())), dtype=np.int64)
            yield self._block(frame_index, centre.features, shown, match)

    def _block(
        self, frame_index: np.ndarray, features: Mapping[str, np.ndarray], substituted: np.ndarray, match: str
    ) -> Block:
        dtype = np.float16 if self.job.settings.dtype == "float16" else np.float32
        with np.errstate(over="ignore"):  # an overflow is told as such below
            stored = {view: rows.astype(dtype) for view, rows in features.items()}
        if not all(np.isfinite(rows).all() for rows in stored.values()):
            raise BallspotError(
                f"match {match!r}: a feature of frame {frame_index[0]} or the next {len(frame_index) - 1} does not "
                f"fit {np.dtype(dtype)}; check the weights"
            )
        return Block(frame_index, stored, substituted)

    def close(self) -> None:
        """Ends the decoding process."""
        self.decoding.close()


class DirectWriter:
    """Appends blocks to a journal and tells how many rows are there; a context manager."""

    def __init__(self, journal: Journal, on_rows: OnRows) -> None:
        self.journal, self.on_rows = journal, on_rows

    def append(self, block: Block) -> None:
        """Writes the next rows; they are on the disk when this ends. Raises as `Journal.append` does."""
        self.journal.append(block)
        self.on_rows(len(block), True)

    def __enter__(self) -> "DirectWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class Writer(DirectWriter):
    """The same in a thread of its own: the disk is waited for while the next rows are made.

    What the disk refuses is raised by the next call, or where the writer ends; all that was appended before an error of
    another kind is written.
    """

    def __init__(self, journal: Journal, on_rows: OnRows) -> None:
        super().__init__(journal, on_rows)
        self._waiting: Queue[Block | None] = Queue(WAITING_BLOCKS)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._write, name="writer", daemon=True)

    def append(self, block: Block) -> None:
        """Hands the next rows over; waits while some are handed over already. Raises what went wrong before."""
        self._raise()
        self._waiting.put(block)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if exception[1] is None:
            self._raise()

    def _write(self) -> None:
        while (block := self._waiting.get()) is not None:
            if self._error is None:  # after an error blocks are taken and dropped, so that nobody waits for room
                try:
                    super().append(block)
                except BaseException as error:  # noqa: BLE001 - raised where the rows are made
                    self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error


def engine_of(job: ExtractionJob) -> Engine | WideEngine:
    """The engine that the job asks for. Raises BallspotError for one that cannot be had."""
    settings = job.settings
    made: Any = make_engine if job.backbone.shifted is None else partial(window_engine, margin=job.margin)
    make: Callable[[Backbone], Any] = partial(
        made,
        kind=settings.engine,
        batch_rows=settings.batch_rows,
        device=job.device,
        compiles=settings.compiles,
        precision=settings.engine_precision,
    )
    return make(job.backbone) if settings.region is None else RegionEngine(job.backbone, settings.region, make=make)


@lru_cache(maxsize=2)
def _probed(video: Path, image_fps: Fraction | None, fps: Fraction | None) -> VideoProbe:
    return at_rate(probe_video(video, image_fps=image_fps), fps)


def probed(video: Path, settings: Settings) -> VideoProbe:
    """The video's probe, at the rate that the settings ask for, kept for the next segments of the same video."""
    return _probed(video, settings.image_fps, settings.fps)


def cut_segments(probe: VideoProbe, *, stride: int, aligned_rows: int) -> list[Segment]:
    """The segments of a video's rows: about 1024 each, at multiples of `aligned_rows`, beginning soon after key frames.

    They depend on the video and on these numbers only, never on how many workers there are: any number of workers
    takes up what any other has left. A video that can only be read from its start is one segment: of several, each
    would decode all before it again.
    """
    n_rows = -(-probe.n_frames // stride)
    is_cut = probe.path.is_dir() or can_seek(probe)
    n_segments = max(round(n_rows / SEGMENT_ROWS), 1) if is_cut else 1
    bounds = [0]
    for number in range(1, n_segments):  # evenly, so that no worker is left with a long last one
        wanted = round(number * n_rows / n_segments) * stride
        at = int(np.searchsorted(probe.key_index, wanted))
        key = int(probe.key_index[at]) if at < len(probe.key_index) else probe.n_frames
        # With key frames far apart their places are no help: the bound stays where it was wanted.
        row = -(-(key if key - wanted < SEGMENT_ROWS * stride // 4 else wanted) // stride)
        row = -(-row // aligned_rows) * aligned_rows
        if bounds[-1] < row < n_rows:
            bounds.append(row)
    return [Segment(start, stop) for start, stop in zip(bounds, [*bounds[1:], n_rows], strict=True)]
