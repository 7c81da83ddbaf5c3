"""Which predictions hit which true spots, under SoccerNet's rules, for all matches and classes at once.

Source of the rules: SoccerNet 0.2.0, `Evaluation/ActionSpotting.py`, read and restated here:

- A half is 120 minutes of frames; later times count in its last frame.
- Of one class in one frame there is one truth and one prediction: the last written. A prediction whose score is
  below 0 (or NaN) then counts as absent.
- Truths are served in order of time. Each takes the highest-scoring prediction of its class that is free and within
  half the tolerance either side; of equal scores the earliest.
- A prediction belongs to the visible or the not-shown truths as the truth nearest to it does; midway between two (the
  middle cut to a whole frame) it goes to the later. In a half without a truth of its class it counts as not shown.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

HALF_S = 120 * 60


@dataclass(frozen=True)
class SpotArrays:
    """The s spots of one match: frames, classes (0-based) and, where they are known, scores, visibility and halves.

    Order matters where two share class, half and frame: the last one counts. ``score`` is needed in predictions;
    ``visible`` None means all visible, ``half`` None means all of half 1; spots of a half other than 1 and 2 are left
    out.
    """

    frame: np.ndarray  # int64 (s,), from 0
    label_index: np.ndarray  # int64 (s,)
    score: np.ndarray | None = None  # float64 (s,)
    visible: np.ndarray | None = None  # bool (s,)
    half: np.ndarray | None = None  # int8 (s,)


@dataclass(frozen=True)
class Pool:
    """The t truths and p predictions of several matches, one a frame, sorted by track and frame.

    A track is one class in one half of one match; a key is ``track * n_frames + frame``, ``n_frames`` those of a half.
    """

    n_labels: int
    n_frames: int
    fps: float
    truth_key: np.ndarray  # int64 (t,)
    truth_visible: np.ndarray  # bool (t,)
    key: np.ndarray  # int64 (p,)
    score: np.ndarray  # float64 (p,), at least 0
    rank: np.ndarray  # int64 (p,): place by score downwards, of equal scores the earlier key first
    by_rank: np.ndarray  # int64 (p,): the prediction of each rank
    is_near_visible: np.ndarray  # bool (p,): the truth nearest to the prediction is a visible one

    @property
    def truth_label(self) -> np.ndarray:
        """The class of each truth, int64 (t,)."""
        return self.truth_key // self.n_frames % self.n_labels

    @property
    def label(self) -> np.ndarray:
        """The class of each prediction, int64 (p,)."""
        return self.key // self.n_frames % self.n_labels

    @property
    def match(self) -> np.ndarray:
        """The place of each prediction's match in the sequences that were pooled, int64 (p,)."""
        return self.key // (self.n_frames * self.n_labels * 2)


def pool_spots(truths: Sequence[SpotArrays], predictions: Sequence[SpotArrays], *, n_labels: int, fps: float) -> Pool:
    """Truths and predictions of the same matches, in the same order, ready to be matched at any tolerance.

    Raises ValueError for sequences of different lengths, arrays of one match that differ in length, predictions
    without scores, negative frames, or label indices outside 0..n_labels - 1.
    """
    if len(truths) != len(predictions):
        raise ValueError(f"{len(truths)} matches with truths and {len(predictions)} with predictions")
    n_frames = int(HALF_S * fps)
    truth_key, truth_visible = _last_written(truths, n_labels, n_frames, _visibility, dtype=bool)
    key, score = _last_written(predictions, n_labels, n_frames, _scores, dtype=float)
    counts = score >= 0  # after the last written has won: a negative one hides the others, as in SoccerNet's vectors
    key, score = key[counts], score[counts]
    near = _near_visible(truth_key, truth_visible, key, n_frames)
    by_rank = np.argsort(-score, kind="stable")
    rank = np.empty(key.size, dtype=np.int64)
    rank[by_rank] = np.arange(key.size)
    return Pool(n_labels, n_frames, fps, truth_key, truth_visible, key, score, rank, by_rank, near)


def match_truths(pool: Pool, tolerance_s: float) -> np.ndarray:
    """For each truth the index of the prediction that hits it, or -1: int64 (t,). One to one.

    ``tolerance_s`` is the full width: a hit lies within half of it either side.
    """
    # Whole frames: |difference| <= x is |difference| <= floor(x).
    reach = math.floor(min(tolerance_s * pool.fps / 2, pool.n_frames))
    frame = pool.truth_key % pool.n_frames
    start = pool.truth_key - frame  # the key of frame 0 of the track
    low = np.searchsorted(pool.key, start + np.maximum(frame - reach, 0))
    high = np.searchsorted(pool.key, start + np.minimum(frame + reach, pool.n_frames - 1), side="right")
    hit = np.full(pool.truth_key.size, -1, dtype=np.int64)

    served = np.flatnonzero(low < high)
    low, high = low[served], high[served]
    shares = high[:-1] > low[1:]  # with the next window
    alone = np.ones(served.size, dtype=bool)
    alone[:-1] &= ~shares
    alone[1:] &= ~shares
    if alone.any():
        bounds = np.column_stack((low[alone], high[alone])).ravel()
        # The sentinel lets a window reach the last prediction; the odd places are the gaps between windows.
        best = np.minimum.reduceat(np.append(pool.rank, pool.rank.size), bounds)[::2]
        hit[served[alone]] = pool.by_rank[best]
    # Windows that share predictions depend on who was served before: one after another, in order of time.
    rank = pool.rank.copy()
    taken = rank.size
    crowd = np.flatnonzero(~alone)
    for truth, first, end in zip(served[crowd].tolist(), low[crowd].tolist(), high[crowd].tolist(), strict=True):
        window = rank[first:end]
        place = int(window.argmin())
        if window[place] != taken:
            hit[truth] = first + place
            window[place] = taken
    return hit


def _last_written(
    matches: Sequence[SpotArrays],
    n_labels: int,
    n_frames: int,
    value_of: Callable[[SpotArrays], np.ndarray],
    *,
    dtype: type,
) -> tuple[np.ndarray, np.ndarray]:
    """Sorted unique keys of all spots and the value of the last spot written at each."""
    keys, values = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=dtype)]  # a dtype also for no match at all
    for place, spots in enumerate(matches):
        value = value_of(spots)
        frame = np.asarray(spots.frame, dtype=np.int64)
        label = np.asarray(spots.label_index, dtype=np.int64)
        half = np.ones(frame.size, dtype=np.int64) if spots.half is None else np.asarray(spots.half, dtype=np.int64)
        if not frame.shape == label.shape == half.shape == value.shape or frame.ndim != 1:
            raise ValueError(f"the arrays of match {place} differ in length")
        if frame.size and (frame.min() < 0 or label.min() < 0 or label.max() >= n_labels):
            raise ValueError(f"match {place} has a frame below 0 or a label index outside 0..{n_labels - 1}")
        known = (half == 1) | (half == 2)
        track = (2 * place + half - 1) * n_labels + label
        keys.append((track * n_frames + np.minimum(frame, n_frames - 1))[known])
        values.append(value[known])
    key = np.concatenate(keys)
    order = np.argsort(key, kind="stable")
    key = key[order]
    last = np.append(key[1:] != key[:-1], True)[: key.size]
    return key[last], np.concatenate(values)[order[last]]


def _visibility(spots: SpotArrays) -> np.ndarray:
    return np.ones(len(spots.frame), dtype=bool) if spots.visible is None else np.asarray(spots.visible, dtype=bool)


def _scores(spots: SpotArrays) -> np.ndarray:
    if spots.score is None:
        raise ValueError("predictions need scores")
    return np.asarray(spots.score, dtype=np.float64)


def _near_visible(truth_key: np.ndarray, truth_visible: np.ndarray, key: np.ndarray, n_frames: int) -> np.ndarray:
    """Whether the truth nearest to each prediction, in its track, is visible: bool (p,); False in a track without."""
    if not truth_key.size:
        return np.zeros(key.size, dtype=bool)
    start = key - key % n_frames
    first = np.searchsorted(truth_key, start)
    n_in_track = np.searchsorted(truth_key, start + n_frames) - first
    frame = truth_key % n_frames
    same_track = truth_key[1:] // n_frames == truth_key[:-1] // n_frames
    middle = (truth_key[1:] - frame[1:] + (frame[1:] + frame[:-1]) // 2)[same_track]
    passed = np.searchsorted(middle, key, side="right") - np.searchsorted(middle, start)
    nearest = np.minimum(first + passed, truth_key.size - 1)
    return truth_visible[nearest] & (n_in_track > 0)
