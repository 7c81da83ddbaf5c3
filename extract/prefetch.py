"""Decoding beside the backbone: pictures in batches of one shape, made ready by a thread."""

import queue
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..cache.journal import Segment
from .video import DecodingError, VideoSource

DEPTH = 3
PATIENCE_S = 180.0


@dataclass(frozen=True)
class Batch:
    """`frame_index` int64 (n,) and `pictures` uint8 (batch_rows, H, W, 3), the last one repeated where n is smaller."""

    frame_index: np.ndarray
    pictures: np.ndarray


def read_batches(source: VideoSource, segment: Segment, *, stride: int, batch_rows: int) -> Iterator[Batch]:
    """The pictures of a segment's rows (row i is frame i * stride), in batches that all have one shape.

    The last batch is filled up with its last picture: a backbone then computes every row in the same way, and a row
    does not depend on where an extraction was interrupted.
    """
    waiting: list[np.ndarray] = []
    row, next_index = segment.start, segment.start * stride
    for piece in source.frames(next_index, (segment.stop - 1) * stride + 1):
        waiting.extend(piece[-next_index % stride :: stride])
        next_index += len(piece)
        while len(waiting) >= batch_rows:
            yield _batch(waiting[:batch_rows], row, stride, batch_rows)
            waiting = waiting[batch_rows:]
            row += batch_rows
    if waiting:
        yield _batch(waiting, row, stride, batch_rows)


def prefetched(batches: Iterator[Batch], *, patience_s: float = PATIENCE_S) -> Iterator[Batch]:
    """The same batches, made by a thread that stays a few ahead; an error in it is raised here, in its turn.

    Raises DecodingError when nothing comes for `patience_s`: a decoder can hang in native code, where it cannot be
    stopped; the thread is left behind then.
    """
    ready: queue.Queue[Batch | Exception | None] = queue.Queue(maxsize=DEPTH)
    stopped = threading.Event()

    def offer(item: Batch | Exception | None) -> None:
        while not stopped.is_set():
            try:
                ready.put(item, timeout=0.2)
                return
            except queue.Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                offer(batch)
                if stopped.is_set():
                    return
            offer(None)
        except Exception as error:  # noqa: BLE001  whatever it is, it is raised again where the batches are read
            offer(error)

    thread = threading.Thread(target=work, name="decoder", daemon=True)
    thread.start()
    try:
        while True:
            try:
                item = ready.get(timeout=patience_s)
            except queue.Empty as error:
                raise DecodingError(f"the decoder has given nothing for {patience_s:.0f} s; check the video") from error
            if item is None:
                thread.join()
                return
            if isinstance(item, Exception):
                raise item
            yield item
    finally:
        stopped.set()
        thread.join(timeout=5.0)


def _batch(pictures: list[np.ndarray], row: int, stride: int, batch_rows: int) -> Batch:
    n_rows = len(pictures)
    frame_index = np.arange(row, row + n_rows, dtype=np.int64) * stride
    return Batch(frame_index, np.stack(pictures + [pictures[-1]] * (batch_rows - n_rows)))
