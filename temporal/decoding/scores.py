"""Scores of a match on disk: one .npz, in the shape that post-processing and other systems' tools can share.

Arrays: ``scores`` float32 (n, K), row i belongs to frame ``frame_index[i]`` int64 (n,) of the video, column k to
``labels[k]``. Background has no column. Where teams are predicted, ``right_share`` float16 (n, K) says how much of a
score is the right team's, the rest being the left's. Where the frames are not shown at a constant rate,
``video_time_us`` int64 (n_video_frames,) says when each is, microseconds from the file's start. Single values:
``n_video_frames``, ``fps`` (frames a second, exactly ``fps_numerator / fps_denominator``) and ``match``.
"""

from dataclasses import dataclass, replace
from fractions import Fraction
from math import ceil
from pathlib import Path

import numpy as np

from ...cache.disk import frame_numbers, read_arrays, whole_file, whole_number
from ...cache.errors import BallspotError
from ...cache.times import TimeAxis, require_length
from ...evaluate.dataset import SCORES_FILE, LabelSet


@dataclass(frozen=True)
class SavedScores:
    """What a scores file holds: scores float32 (n, K), frame_index int64 (n,), K labels, and the video they are of.

    ``right_share`` float16 (n, K) or None where no team is predicted. ``times_us`` int64 (n_video_frames,), or None at
    a constant rate, is when each frame of the video is shown (`TimeAxis`).
    """

    scores: np.ndarray
    frame_index: np.ndarray
    labels: tuple[str, ...]
    fps: Fraction
    n_video_frames: int
    match: str
    right_share: np.ndarray | None = None
    times_us: np.ndarray | None = None

    @property
    def axis(self) -> TimeAxis:
        """The time axis of the video."""
        return TimeAxis(self.fps, self.n_video_frames, self.times_us)

    @property
    def row_frames(self) -> int:
        """Frames of the video from one row to the next."""
        return int(self.frame_index[1] - self.frame_index[0]) if len(self.frame_index) > 1 else 1


def write_scores(path: Path, saved: SavedScores) -> None:
    """Writes the scores of one match, whole or not at all; equal scores give an equal file."""
    arrays = {
        "scores": saved.scores,
        "frame_index": saved.frame_index,
        "labels": np.array(saved.labels),
        "fps": np.float64(saved.fps),
        "fps_numerator": np.int64(saved.fps.numerator),
        "fps_denominator": np.int64(saved.fps.denominator),
        "n_video_frames": np.int64(saved.n_video_frames),
        "match": np.array(saved.match),
    }
    if saved.right_share is not None:
        arrays["right_share"] = saved.right_share
    if saved.times_us is not None:
        arrays["video_time_us"] = saved.times_us
    with whole_file(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def read_scores(path: Path) -> SavedScores:
    """The scores in a file that `write_scores` wrote. Raises BallspotError when it holds something else."""
    remedy = "give a scores.npz that `ballspot predict` wrote"
    arrays = read_arrays(path, what="scores", remedy=remedy)
    try:
        scores, frame_index, names = arrays["scores"], frame_numbers(arrays), arrays["labels"]
        right_share = arrays.get("right_share")
        for name, array in (("scores", scores), ("right_share", scores if right_share is None else right_share)):
            if array.dtype.kind != "f" or array.shape != (len(frame_index), *names.shape) or names.ndim != 1:
                raise ValueError(f"{name} {array.shape} for {len(frame_index)} frames, labels {names.shape}")
            if not np.isfinite(array).all() or (array < 0).any():
                raise ValueError(f"{name} that are negative or not finite")
        fps = Fraction(whole_number(arrays, "fps_numerator"), whole_number(arrays, "fps_denominator"))
        n_video_frames, match = whole_number(arrays, "n_video_frames"), str(arrays["match"])
        labels = tuple(str(label) for label in names)
        times_us = arrays.get("video_time_us")
        if times_us is not None and (times_us.dtype != np.int64 or times_us.shape != (n_video_frames,)):
            raise ValueError(f"video_time_us {times_us.dtype} {times_us.shape} for {n_video_frames} frames")
        if times_us is not None and (np.any(np.diff(times_us) < 0) or np.abs(times_us).max(initial=0) > 10**15):
            raise ValueError("video_time_us that do not increase")
        if times_us is not None and len(frame_index) and frame_index[-1] >= n_video_frames:
            raise ValueError(f"frame {frame_index[-1]} of a video of {n_video_frames}")
        require_length(fps, max(n_video_frames, int(frame_index.max(initial=0))))
        if n_video_frames < 0 or not all(labels) or len(set(labels)) < len(labels):
            raise ValueError(f"{n_video_frames} frames at {fps} a second, labels {', '.join(labels)[:80]}")
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise BallspotError(f"{path}: holds no scores ({error}); {remedy}") from error
    return SavedScores(scores, frame_index, labels, fps, n_video_frames, match, right_share, times_us)


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
