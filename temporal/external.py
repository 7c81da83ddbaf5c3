"""Scores of other systems: one plain array a match, read as if predicted here. The shapes are docs/tuning.md."""

from dataclasses import replace
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from ..cache.arrays import read_arrays
from ..cache.errors import BallspotError
from ..evaluate.labelsets import LabelSet
from ..evaluate.predictions import SCORES_FILE
from .scores import SavedScores, read_scores

PLAIN_FILE = "scores.npy"
REMEDY = "save it with numpy"
VIDEO_RATE = 25  # frames a second, at least, that rows of a lower rate are told apart by


def open_scores(folder: Path, match: str, label_set: LabelSet, *, rows_a_second: Fraction | None) -> SavedScores:
    """The scores of one match in a folder of predictions, its columns in the order of ``label_set``.

    ``folder/match/scores.npz`` as `ballspot predict` writes it, or holding an array ``scores`` alone, or
    ``folder/match/scores.npy``: (n, K) in the label set's order, or (n, 1 + K) with background first, which is left
    out. Rows of plain arrays are ``rows_a_second`` apart, the first at the video's start: row i is of the picture at
    i / ``rows_a_second``, of a video with the lowest multiple of that rate which is 25 frames a second or more.
    Raises BallspotError when there is no file, and for another shape, values that are not finite or below 0.
    """
    path = folder / match / SCORES_FILE
    arrays = read_arrays(path, what="scores", remedy=REMEDY) if path.is_file() else {}
    if "frame_index" in arrays:
        saved = read_scores(path)
        missing = [label for label in label_set.labels if label not in saved.labels]
        if missing:
            raise BallspotError(f"{path}: has no scores of {', '.join(missing)}; give the label set of its classes")
        columns = [saved.labels.index(label) for label in label_set.labels]
        share = None if saved.right_share is None else saved.right_share[:, columns]
        return replace(saved, scores=saved.scores[:, columns], labels=label_set.labels, right_share=share)
    if not path.is_file():
        path = folder / match / PLAIN_FILE
    if not path.is_file():
        raise BallspotError(f"{folder / match}: neither {SCORES_FILE} nor {PLAIN_FILE} in it; predict that match first")
    if rows_a_second is None:
        raise BallspotError(f"{path}: an array alone does not say its frame rate; give --rows-per-second")
    arrays = arrays or read_arrays(path, what="scores", remedy=REMEDY)
    scores = arrays.get("scores", arrays.get(""))
    if scores is None or scores.dtype.kind not in "fiu":
        raise BallspotError(f"{path}: holds no array of scores; {REMEDY}")
    if scores.ndim != 2 or scores.shape[1] not in (len(label_set), 1 + len(label_set)):
        raise BallspotError(
            f"{path}: shape {scores.shape} is neither (n, {len(label_set)}) nor, background first, "
            f"(n, {1 + len(label_set)}); give the label set of its classes with --labels"
        )
    scores = scores[:, scores.shape[1] - len(label_set) :].astype(np.float32)
    if not np.isfinite(scores).all() or (scores < 0).any():
        raise BallspotError(f"{path}: holds scores that are negative or not finite; give probabilities, not logits")
    row_frames = ceil(VIDEO_RATE / rows_a_second)
    fps, n_frames = rows_a_second * row_frames, len(scores) * row_frames
    return SavedScores(scores, np.arange(len(scores)) * row_frames, label_set.labels, fps, n_frames, match)
