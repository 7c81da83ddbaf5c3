"""Scores per frame as the page of `ballspot view` draws them: two bytes a frame, a class at a time."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..cache.errors import BallspotError
from .predictions import MAX_ENTRY_BYTES, NPZ_DAMAGE

FULL = 65535


@dataclass(frozen=True)
class Curves:
    """The scores (n, K) of one match: row i is frame ``first_frame + i * step`` of a video of ``fps``."""

    scores: np.ndarray
    labels: tuple[str, ...]
    first_frame: int
    step: int
    fps: float

    def as_bytes(self, label: str) -> bytes:
        """The scores of one class, clipped to 0..1, as little-endian uint16 in 0..65535; empty for another class."""
        if label not in self.labels:
            return b""
        scores = np.nan_to_num(self.scores[:, self.labels.index(label)].astype(np.float64), nan=0.0)
        return np.rint(np.clip(scores, 0.0, 1.0) * FULL).astype("<u2").tobytes()


def read_curves(path: Path) -> Curves:
    """The scores in a ``scores.npz``. Raises BallspotError when it holds none that can be drawn."""
    try:
        with zipfile.ZipFile(path) as archive:
            if any(entry.file_size > MAX_ENTRY_BYTES for entry in archive.infolist()):
                raise BallspotError(f"{path}: unpacks to over {MAX_ENTRY_BYTES // 2**20} MB an array; not drawn")
        with np.load(path, allow_pickle=False) as arrays:
            scores, frame_index = arrays["scores"], arrays["frame_index"].astype(np.int64)
            labels = tuple(str(label) for label in arrays["labels"])
            fps = float(arrays["fps"])
    except NPZ_DAMAGE as error:
        raise BallspotError(f"{path}: holds no scores ({error}); predict again, or remove it") from error
    if scores.ndim != 2 or scores.dtype.kind != "f" or scores.shape != (frame_index.size, len(labels)):
        raise BallspotError(
            f"{path}: scores of shape {scores.shape} for {frame_index.size} frames, {len(labels)} labels; predict again"
        )
    steps = np.unique(np.diff(frame_index))
    if not frame_index.size or steps.size > 1 or (steps.size and steps[0] < 1) or not 0 < fps < np.inf:
        raise BallspotError(f"{path}: its frames are not evenly spaced, or its rate is {fps}; predict again")
    return Curves(scores, labels, int(frame_index[0]), int(steps[0]) if steps.size else 1, fps)
