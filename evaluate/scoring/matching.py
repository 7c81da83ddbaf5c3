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

from ..dataset import HALF_S, SpotArrays


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
    return Pool(n_labels, n_frames, fps, truth_key, truth_visible, key, score, near)


def best_threshold(pool: Pool, tolerance_s: float) -> float | None:
    """The score from which on F1 over all classes together is best, the highest of equals; None where nothing hits.

    ``tolerance_s`` is the full width of a hit, as in `match_truths`.
    """
    hit = match_truths(pool, tolerance_s)
    is_hit = np.zeros(pool.score.size, bool)
    is_hit[hit[hit >= 0]] = True
    order = np.argsort(-pool.score, kind="stable")
    score, hits = pool.score[order], np.cumsum(is_hit[order])
    if not hits.size or not hits[-1]:
        return None
    last = np.append(score[1:] != score[:-1], True)  # equal scores are taken together
    f1 = 2 * hits / (np.arange(1, hits.size + 1) + pool.truth_key.size)
    return float(score[last][np.argmax(f1[last])])


def match_truths(pool: Pool, tolerance_s: float) -> np.ndarray:
    """For each truth the index of the prediction that hits it, or -1: int64 (t,). One to one.

    ``tolerance_s`` is the full width: a hit lies within half of it either side.
    """
    low, high = windows(pool, pool.truth_key, pool.key, reach_frames(pool, tolerance_s))
    hit = np.full(pool.truth_key.size, -1, dtype=np.int64)
    served = np.flatnonzero(low < high)
    low, high = low[served], high[served]
    shares = high[:-1] > low[1:]  # with the next window
    alone = np.ones(served.size, dtype=bool)
    alone[:-1] &= ~shares
    alone[1:] &= ~shares
    rank, by_rank = _ranks(pool, low, high)
    if alone.any():
        bounds = np.column_stack((low[alone], high[alone])).ravel()
        # The sentinel lets a window reach the last prediction; the odd places are the gaps between windows.
        best = np.minimum.reduceat(np.append(rank, rank.size), bounds)[::2]
        hit[served[alone]] = by_rank[best]
    # Windows that share predictions depend on who was served before: one after another, in order of time.
    taken = rank.size
    crowd = np.flatnonzero(~alone)
    for truth, first, end in zip(served[crowd].tolist(), low[crowd].tolist(), high[crowd].tolist(), strict=True):
        window = rank[first:end]
        place = int(window.argmin())
        if window[place] != taken:
            hit[truth] = first + place
            window[place] = taken
    return hit


def reach_frames(pool: Pool, tolerance_s: float) -> int:
    """How many frames either side a hit may lie: |difference| <= x is |difference| <= floor(x) for whole frames."""
    return math.floor(min(tolerance_s * pool.fps / 2, pool.n_frames))


def windows(pool: Pool, centre: np.ndarray, key: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Bounds [low, high) into the sorted ``key`` of those within ``reach`` frames of each ``centre``, in its track."""
    frame = centre % pool.n_frames
    start = centre - frame  # the key of frame 0 of the track
    low = np.searchsorted(key, start + np.maximum(frame - reach, 0))
    high = np.searchsorted(key, start + np.minimum(frame + reach, pool.n_frames - 1), side="right")
    return low, high


def _ranks(pool: Pool, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The place by score, downwards, of the predictions within any window, and the prediction of each place.

    Of equal scores the earlier key comes first. Both are int64 (p,); outside the windows a rank is p, never the best.
    """
    begins = np.zeros(pool.key.size + 1, dtype=np.int64)
    np.add.at(begins, low, 1)
    np.add.at(begins, high, -1)
    near = np.flatnonzero(begins.cumsum()[:-1] > 0)  # few of 50,000 predictions a match: the others need no order
    order = near[np.argsort(-pool.score[near], kind="stable")]
    rank = np.full(pool.key.size, pool.key.size, dtype=np.int64)
    rank[order] = np.arange(order.size)
    return rank, order


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
    tracks = [np.zeros(0, dtype=np.int64)]
    in_time = True
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
        frame, track = np.minimum(frame, n_frames - 1)[known], ((2 * place + half - 1) * n_labels + label)[known]
        in_time = in_time and bool((frame[1:] >= frame[:-1]).all())
        tracks.append(track)
        keys.append(track * n_frames + frame)
        values.append(value[known])
    key = np.concatenate(keys)
    if in_time and 2 * len(matches) * n_labels <= 2**16:
        order = np.argsort(np.concatenate(tracks).astype(np.uint16), kind="stable")  # a radix sort, 10 times faster
    else:
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
    frame = truth_key % n_frames
    start = truth_key - frame
    joined = start[1:] == start[:-1]  # with the next truth's track
    middle = start[1:] + (frame[1:] + frame[:-1]) // 2
    begin, end = start.copy(), start + n_frames  # the keys that each truth is nearest to
    begin[1:][joined] = middle[joined]
    end[:-1][joined] = middle[joined]
    change = np.zeros(key.size + 1, dtype=np.int64)
    np.add.at(change, np.searchsorted(key, begin[truth_visible]), 1)
    np.add.at(change, np.searchsorted(key, end[truth_visible]), -1)
    return change.cumsum()[:-1] > 0
