"""Pictures on their way to a GPU and features on their way back, both beside what the GPU computes."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor


class Pictures(Protocol):
    """Consecutive pictures of a video: `frame_index` int64 (n,), `pictures` uint8 (at least n, H, W, 3)."""

    @property
    def frame_index(self) -> np.ndarray: ...
    @property
    def pictures(self) -> np.ndarray: ...
    @property
    def substituted(self) -> np.ndarray: ...


@dataclass(frozen=True)
class Uploaded:
    """As `Pictures`, on the GPU: `pictures` uint8 (batch_rows, H, W, 3), the last one repeated where n is smaller."""

    frame_index: np.ndarray
    pictures: Tensor
    substituted: np.ndarray


def uploaded(pieces: Iterable[Pictures], batch_rows: int, device: torch.device) -> Iterator[Uploaded]:
    """The pictures of pieces of any length in batches of `batch_rows` on the GPU, the last one filled up.

    Copies run on a stream of their own, beside what is computed; a piece has been copied when the next one is asked
    for, so that its memory may be filled anew.
    """
    copying = torch.cuda.Stream(device)
    batch: Filling | None = None
    try:
        for piece in pieces:
            given, at = torch.from_numpy(piece.pictures), 0
            while at < len(piece.frame_index):
                batch = batch or Filling(given, batch_rows, device, copying)
                at += batch.take(piece, given, at)
                if batch.n_rows == batch_rows:
                    yield batch.whole()
                    batch = None
            copying.synchronize()
    finally:
        copying.synchronize()  # left in the middle: the memory that is being copied goes with its pieces
    if batch is not None:
        yield batch.whole()


class Filling:
    """A batch on the GPU that is being filled."""

    def __init__(self, like: Tensor, batch_rows: int, device: torch.device, copying: torch.cuda.Stream) -> None:
        self.device, self.copying, self.n_rows = device, copying, 0
        self.index: list[np.ndarray] = []
        self.shown: list[np.ndarray] = []
        with torch.cuda.stream(copying):
            self.pictures = torch.empty((batch_rows, *like.shape[1:]), dtype=like.dtype, device=device)

    def take(self, piece: Pictures, given: Tensor, at: int) -> int:
        """Copies pictures from the one at `at` on, as many as there is room for; how many comes back."""
        index = piece.frame_index[at : at + len(self.pictures) - self.n_rows]
        n_new = len(index)
        with torch.cuda.stream(self.copying):
            self.pictures[self.n_rows : self.n_rows + n_new].copy_(given[at : at + n_new], non_blocking=True)
        self.index.append(index)
        self.shown.append(piece.substituted[np.isin(piece.substituted, index)])
        self.n_rows += n_new
        return n_new

    def whole(self) -> Uploaded:
        """The batch, filled up; what is computed from here on waits for its copies."""
        with torch.cuda.stream(self.copying):
            if self.n_rows < len(self.pictures):
                self.pictures[self.n_rows :].copy_(self.pictures[self.n_rows - 1 : self.n_rows])
            there = self.copying.record_event()
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(there)
        self.pictures.record_stream(computing)  # its memory is the copying stream's, which is done with it earlier
        return Uploaded(np.concatenate(self.index), self.pictures, np.concatenate(self.shown))


def fetched(features: Tensor) -> Callable[[], np.ndarray]:
    """Sends features (n, D) back to pinned memory without waiting; what comes back waits, and gives them as float32."""
    host = features.float().to("cpu", non_blocking=True)  # torch takes pinned memory for it
    arrived = torch.cuda.Event()
    arrived.record(torch.cuda.current_stream(features.device))

    def wait() -> np.ndarray:
        arrived.synchronize()
        return host.numpy()

    return wait


def pinned(memory: np.ndarray) -> Callable[[], None]:
    """Has the GPU read this memory by itself, without a copy in between; what comes back undoes it.

    Where the driver refuses (locked memory is limited, or it lies in a file on disk), copies are slower, no more.
    """
    runtime: Any = torch.cuda.cudart()
    if int(runtime.cudaHostRegister(memory.ctypes.data, memory.nbytes, 0)) != 0:
        with suppress(RuntimeError):  # takes up the error, which else the next kernel would be blamed for
            torch.zeros(1, device="cuda")
        return lambda: None

    def undo() -> None:
        runtime.cudaHostUnregister(memory.ctypes.data)

    return undo
