"""Features that a GPU wants and does not hold: read from memory or a map while it computes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from ..config import ClipGrid
from ..features import ResidentFeatures, bring_rows, read_rows
from .gather import ClipStarts, clip_places

BATCHES_AHEAD = 3


def rows_ahead(features: ResidentFeatures, clips: ClipStarts, grid: ClipGrid, *, size: int) -> Iterator[Tensor] | None:
    """The frames of the clips, float32 (B, T, D), ``size`` clips at a time, on the device where they are wanted.

    A thread gathers the next batches into pinned memory, from which they are copied without a wait. It takes no chance,
    so the frames are those of `gather_clips`. None where there is nothing to read ahead for: on the CPU, and where the
    features lie on the device.
    """
    if features.rows.device.type != "cpu" or features.device.type == "cpu":
        return None
    return _read_ahead(features, clips, grid, size)


def _read_ahead(features: ResidentFeatures, clips: ClipStarts, grid: ClipGrid, size: int) -> Iterator[Tensor]:
    def read(start: int) -> tuple[Tensor, Tensor]:
        place, outside = clip_places(features, clips.part(start, start + size), grid)
        return read_rows(features.rows, place, device=features.device), outside

    starts = iter(range(0, len(clips), size))
    with ThreadPoolExecutor(1, "read-ahead") as reader:
        waiting: deque[Future[tuple[Tensor, Tensor]]] = deque()
        for start in starts:
            waiting.append(reader.submit(read, start))
            if len(waiting) >= BATCHES_AHEAD:
                break
        while waiting:
            frames, outside = waiting.popleft().result()
            if (start := next(starts, None)) is not None:
                waiting.append(reader.submit(read, start))
            yield bring_rows(frames, outside, device=features.device)
