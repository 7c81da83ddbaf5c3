"""Windows of clip length over a whole sequence, so that every frame of it lies in at least one."""

import math
from typing import Literal

import numpy as np

from ..config import ClipGrid, PredictionSection


def window_step(clip_frames: int, overlap: float) -> int:
    """Frames from one window's start to the next, at least 1: 25 for clips of 50 that overlap by 0.5."""
    return max(1, round(clip_frames * (1.0 - overlap)))


def window_starts(
    n_frames: int, *, clip_frames: int, step: int, coverage: Literal["every-frame", "stop-early"] = "every-frame"
) -> np.ndarray:
    """Where windows over a sequence of ``n_frames`` begin, int64 (w,), increasing.

    "every-frame": from 0 on by ``step``, the last one moved back so that it ends with the sequence; a sequence shorter
    than a clip gets one window, which hangs over its end. "stop-early": only windows after which another whole clip
    would fit, as the original's evaluation did; the last clip_frames to clip_frames + step - 1 frames have none.
    """
    if coverage == "stop-early":
        return np.arange(0, max(n_frames - 2 * clip_frames + 1, 0), step, dtype=np.int64)
    last = max(n_frames - clip_frames, 0)
    starts = np.arange(0, last, step, dtype=np.int64)
    return np.append(starts, last) if n_frames else starts


def phase_lengths(n_rows: int, row_stride: int) -> list[int]:
    """How many rows each phase has: rows p, p + row_stride, ... for p in 0 .. row_stride - 1; they partition all."""
    return [-(-max(n_rows - phase, 0) // row_stride) for phase in range(row_stride)]


def match_windows(n_rows: int, grid: ClipGrid, section: PredictionSection, *, is_end: bool = True) -> list[np.ndarray]:
    """The start rows of the windows over each phase of a match's rows, int64 (w,) each; of the first phase alone where
    ``phases`` is "one".

    While more rows are to come (not ``is_end``) those are left out that they will move or that they must allow.
    """
    lengths = phase_lengths(n_rows, grid.row_stride)[: None if section.phases == "all" else 1]
    step = window_step(grid.clip_frames, section.window_overlap)
    moves = section.coverage == "every-frame" and not is_end  # the last window of a phase ends with it
    starts = []
    for phase, length in enumerate(lengths):
        at = window_starts(length, clip_frames=grid.clip_frames, step=step, coverage=section.coverage)
        starts.append(phase + grid.row_stride * (at[:-1] if moves else at))
    return starts


def kept_frames(starts: np.ndarray, n_rows: int, grid: ClipGrid, section: PredictionSection) -> np.ndarray:
    """Which frames of each window count, bool (w, clip_frames): its centre, ``centre_share`` of it, but no fewer than
    lie between two windows' starts.

    A window that begins with the match also keeps what lies before its centre, one that ends with it what lies after,
    so that every frame that some window sees is kept by one.
    """
    step = window_step(grid.clip_frames, section.window_overlap)
    n_kept = min(max(math.ceil(grid.clip_frames * section.centre_share), step), grid.clip_frames)
    margin = (grid.clip_frames - n_kept) // 2
    frame = np.arange(grid.clip_frames)
    begins = (starts < grid.row_stride)[:, None]
    ends = (starts + grid.n_rows >= n_rows)[:, None]
    return ((frame >= margin) | begins) & ((frame < margin + n_kept) | ends)
