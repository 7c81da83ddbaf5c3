"""Windows of clip length over a whole sequence, so that every frame of it lies in at least one."""

import math
from typing import Literal

import numpy as np


def window_step(clip_frames: int, overlap: float) -> int:
    """Frames from one window's start to the next, at least 1: 25 for clips of 50 that overlap by 0.5."""
    return max(1, round(clip_frames * (1.0 - overlap)))


def window_starts(
    n_frames: int,
    *,
    clip_frames: int,
    step: int,
    coverage: Literal["every-frame", "stop-early"] = "every-frame",
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


def match_windows(
    n_rows: int,
    *,
    clip_frames: int,
    row_stride: int,
    overlap: float,
    phases: Literal["all", "one"] = "all",
    coverage: Literal["every-frame", "stop-early"] = "every-frame",
) -> np.ndarray:
    """The start rows of all windows over a match, int64 (w,): over every phase of its rows, or over the first alone."""
    lengths = phase_lengths(n_rows, row_stride)[: None if phases == "all" else 1]
    step = window_step(clip_frames, overlap)
    starts = [
        phase + row_stride * window_starts(length, clip_frames=clip_frames, step=step, coverage=coverage)
        for phase, length in enumerate(lengths)
    ]
    return np.concatenate(starts)


def kept_frames(
    starts: np.ndarray, n_rows: int, *, clip_frames: int, row_stride: int, step: int, share: float
) -> np.ndarray:
    """Which frames of each window count, bool (w, clip_frames): its centre, ``share`` of it, at least ``step`` frames.

    A window that begins with the match also keeps what lies before its centre, one that ends with it what lies after,
    so that every frame that some window sees is kept by one.
    """
    n_kept = min(max(math.ceil(clip_frames * share), step), clip_frames)
    margin = (clip_frames - n_kept) // 2
    frame = np.arange(clip_frames)
    begins = (starts < row_stride)[:, None]
    ends = (starts + clip_frames * row_stride >= n_rows)[:, None]
    return ((frame >= margin) | begins) & ((frame < margin + n_kept) | ends)
