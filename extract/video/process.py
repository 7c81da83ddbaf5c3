"""Decoding in a process of its own, beside the backbone: pictures come by shared memory, and a hang can be ended."""

import multiprocessing
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import av.logging
import numpy as np

from ...cache.disk import Closable
from ...cache.errors import BallspotError
from ...cache.stores import Segment
from ...cache.workers import deaf_start, end_with_parent
from .probe import DecodingError, VideoProbe, VideoSource
from .sources import open_source

PATIENCE_S = 120.0
BEAT_S = 1.0  # between two signs of life, while frames are passed over
RING_BYTES = 32 * 2**20
MIN_SLOTS, MAX_SLOTS = 3, 8
SHARED_MEMORY = Path("/dev/shm")  # of Linux; where it is full Python takes a file in the folder of temporary files
BUS_ERROR = getattr(signal, "SIGBUS", 7)  # what a write to shared memory that is full ends with
START = "spawn"  # how the process begins, in the words of multiprocessing


@dataclass(frozen=True)
class Batch:
    """`frame_index` int64 (n,) and `pictures` uint8 (batch_rows, H, W, 3), the last one repeated where n is smaller.

    `substituted` are those of the frames in whose place another is shown. The pictures lie in shared memory: they are
    good until the next batch is asked for.
    """

    frame_index: np.ndarray
    pictures: np.ndarray
    substituted: np.ndarray


class DecodingProcess(Closable):
    """One child process that decodes a few batches ahead; a context manager. With `motion` pictures are of three
    moments, so many frames apart.

    It is started when it is needed, ended when it gives nothing for `patience_s` (a decoder can hang in native code,
    where no thread can stop it), and ends by itself when this process does.
    """

    def __init__(
        self,
        *,
        batch_rows: int,
        substitute: bool = False,
        patience_s: float = PATIENCE_S,
        motion: int = 0,
        pins: Callable[[np.ndarray], Callable[[], None]] | None = None,
    ) -> None:
        """With ``pins`` its pictures go to a GPU: that is called with the shared memory, gives what undoes it, and
        large pictures come fewer at a time, since the GPU puts batches together.
        """
        self.batch_rows, self.substitute, self.patience_s, self.motion = batch_rows, substitute, patience_s, motion
        self.pins, self._unpin = pins, _nothing
        self._process: Any = None
        self._connection: Any = None
        self._ring: Any = None
        self._shape: tuple[int, ...] = ()

    def open(self, probe: VideoProbe, decoder: str) -> tuple[str, str]:
        """Opens a video in the decoder of that name; the decoder's name and version come back.

        Raises DecodingError when the decoder does not suit the video.
        """
        n_rows = _rows_at_a_time(probe, self.batch_rows, splits=self.pins is not None)
        shape = (n_rows, probe.height, probe.width, 3)
        if self._process is None or not self._process.is_alive() or shape != self._shape:
            self.close()
            self._start(shape)
        _, name, version = self._ask("open", probe, decoder, self.substitute, self.motion)
        return name, version

    def batches(self, segment: Segment, *, stride: int, whole: Segment | None = None) -> Iterator[Batch]:
        """The pictures of a segment's rows (row i is frame i * stride) of the open video, in batches of one shape.

        The last batch is filled up with its last picture: a backbone then computes every row in the same way, and a row
        does not depend on where an extraction was interrupted. With `whole` the video is read as for those rows, which
        the segment's are among: what stands in for a damaged frame hangs on where reading begins and ends.
        Raises DecodingError for a frame that cannot be had.
        """
        is_done = False
        try:
            reply = self._ask("read", segment, stride, whole or segment)
            while reply[0] == "batch":
                _, slot, row, n_rows, substituted = reply
                frame_index = np.arange(row, row + n_rows, dtype=np.int64) * stride
                yield Batch(frame_index, self._ring[slot], np.array(substituted, dtype=np.int64))
                reply = self._ask("free", slot)
            is_done = True
        except DecodingError:
            is_done = True
            raise
        finally:
            if not is_done:  # left in the middle: what the child still sends is for nobody
                self.close()

    def close(self) -> None:
        """Ends the child, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
        if self._connection is not None:
            self._connection.close()
            self._unpin()
        self._process = self._connection = self._ring = None
        self._unpin = _nothing

    def _start(self, shape: tuple[int, ...]) -> None:
        context: Any = multiprocessing.get_context(START)
        slot_bytes = int(np.prod(shape))
        n_slots = _n_slots(slot_bytes)
        # Anonymous shared memory: nothing with a name is left behind when both processes are killed.
        memory = context.RawArray("B", n_slots * slot_bytes)
        ours, theirs = context.Pipe()
        self._process = context.Process(
            target=serve, args=(theirs, memory, n_slots, shape), name="decoder", daemon=True
        )
        with deaf_start():
            self._process.start()
        theirs.close()
        self._connection, self._shape = ours, shape
        self._ring = np.frombuffer(memory, dtype=np.uint8).reshape(n_slots, *shape)
        if self.pins is not None:
            self._unpin = self.pins(self._ring)

    def _ask(self, *request: Any) -> tuple[Any, ...]:
        """The next reply; of a request's own, or, after `free`, whichever comes next."""
        if self._connection is None:
            raise DecodingError("no decoder is running; open a video first")
        try:
            self._connection.send(request)
            reply: tuple[Any, ...] = ("alive",)
            while reply[0] == "alive":
                if not self._connection.poll(self.patience_s):
                    self.close()
                    raise DecodingError(f"the decoder has given nothing for {self.patience_s:.0f} s; check the video")
                reply = self._connection.recv()
        except (EOFError, OSError) as error:
            self._process.join(5)
            code = self._process.exitcode
            self.close()
            remedy = f"is {SHARED_MEMORY} full?" if code == -BUS_ERROR else "check the video"
            raise DecodingError(f"the decoder's process ended by itself (exit code {code}); {remedy}") from error
        if reply[0] == "failed":
            raise DecodingError(reply[1])
        if reply[0] == "stopped":
            raise BallspotError(reply[1])
        return reply


def want_of_shared_memory(probe: VideoProbe, batch_rows: int, *, splits: bool) -> str:
    """What to know where the pictures of a video do not find room in shared memory on their way; "" where they do.

    `splits` is whether they go to a GPU, so that batches need not be whole on the way.
    """
    slot_bytes = _rows_at_a_time(probe, batch_rows, splits=splits) * probe.height * probe.width * 3
    n_bytes = _n_slots(slot_bytes) * slot_bytes
    try:
        free = shutil.disk_usage(SHARED_MEMORY).free
    except OSError:  # a system that has it elsewhere
        return ""
    if n_bytes <= free:
        return ""
    return (
        f"{SHARED_MEMORY} has {free / 1e6:.0f} MB free and each decoder needs {n_bytes / 1e6:.0f}: pictures go through "
        "a file in the folder of temporary files, which is slower; give more (docker run --shm-size), or a smaller "
        "--batch"
    )


def _rows_at_a_time(probe: VideoProbe, batch_rows: int, *, splits: bool) -> int:
    """How many pictures come together: a batch, or where it may be split as many as leave the shared memory small."""
    if not splits:
        return batch_rows
    return min(max(RING_BYTES // (MAX_SLOTS * probe.height * probe.width * 3), 1), batch_rows)


def _n_slots(slot_bytes: int) -> int:
    return min(max(RING_BYTES // slot_bytes, MIN_SLOTS), MAX_SLOTS)


def _nothing() -> None:
    """Undoes nothing."""


def serve(connection: Connection, memory: Any, n_slots: int, shape: tuple[int, ...]) -> None:
    """What the child does: opens videos and fills the ring's free slots with batches, until its parent ends."""
    end_with_parent()
    av.logging.set_level(av.logging.PANIC)  # what is wrong is told as an error, once
    ring = np.frombuffer(memory, dtype=np.uint8).reshape(n_slots, *shape)
    source: VideoSource | None = None
    last_sent_s = time.monotonic()

    def beat() -> None:
        nonlocal last_sent_s
        if time.monotonic() - last_sent_s >= BEAT_S:
            connection.send(("alive",))
            last_sent_s = time.monotonic()

    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            request, *values = connection.recv()
            try:
                if request == "open":
                    probe, decoder, substitute, motion = values
                    source = open_source(probe, decoder, substitute=substitute, beat=beat, motion=motion)
                    connection.send(("opened", source.name, source.version))
                elif request == "read" and source is not None:
                    _fill(connection, source, ring, *values)
                    connection.send(("done",))
            except DecodingError as error:
                connection.send(("failed", str(error)))
            except MemoryError as error:
                connection.send(("failed", f"the decoder ran out of memory ({error})"))
            except BallspotError as error:
                connection.send(("stopped", str(error)))


def _fill(
    connection: Connection, source: VideoSource, ring: np.ndarray, segment: Segment, stride: int, whole: Segment
) -> None:
    batch_rows = ring.shape[1]
    free = list(range(len(ring)))
    slot, n_filled, row = free.pop(), 0, segment.start
    source.substituted.clear()

    def send() -> int:
        nonlocal row
        ring[slot, n_filled:] = ring[slot, n_filled - 1]
        shown = [k * stride for k in range(row, row + n_filled) if k * stride in source.substituted]
        connection.send(("batch", slot, row, n_filled, shown))
        row += n_filled
        while not free or connection.poll():
            free.append(connection.recv()[1])
        return free.pop()

    pictures = source.frames(whole.start * stride, (whole.stop - 1) * stride + 1, stride)
    for picture in islice(pictures, segment.start - whole.start, segment.stop - whole.start):
        if picture.shape != ring.shape[2:]:
            raise DecodingError(f"frame {(row + n_filled) * stride}: the picture's size changes to {picture.shape[:2]}")
        ring[slot, n_filled] = picture
        n_filled += 1
        if n_filled == batch_rows:
            slot, n_filled = send(), 0
    if n_filled:
        send()
