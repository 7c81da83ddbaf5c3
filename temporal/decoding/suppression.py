"""Non-maximum suppression, hard and soft, equal to taking the highest score over and over, in a few passes.

The sequential rule: take the highest score (of equal ones the earliest frame), weaken its neighbours, repeat until
nothing reaches the floor. A score that is the highest within reach keeps its value until it is taken, whatever
happens elsewhere, and weakens nothing that is taken before it, so all such scores can be taken in one pass; the passes
give the same spots as the loop (soft ones to the rounding of a product whose factors come in another order).
"""

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter1d


@dataclass(frozen=True)
class Peaks:
    """Spots of one match: ``row`` int64 (s,), ``label_index`` int64 (s,), ``score`` float64 (s,), by row then label."""

    row: np.ndarray
    label_index: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Weakening:
    """What taking a score does: ``earlier[d - 1]`` multiplies the score d rows before it, ``later[d - 1]`` after."""

    earlier: np.ndarray
    later: np.ndarray


def hard_weakening(window: int) -> Weakening:
    """Everything up to ``window`` rows either side is removed."""
    return Weakening(np.zeros(window), np.zeros(window))


def soft_weakening(window: int) -> Weakening:
    """A neighbour d <= window rows away is multiplied by (d / window)^2 (T-DEED, Xarles et al. 2024)."""
    factor = (np.arange(1, window + 1) / max(window, 1)) ** 2
    return Weakening(factor, factor)


def lopsided_weakening(width: int) -> Weakening:
    """What a full ``width`` removes when its bounds are cut to whole rows, as in SoccerNet's baselines.

    From int(peak - width / 2) up to, not including, int(peak + width / 2): of 5, three rows before and one after.
    """
    return Weakening(np.zeros(-(-width // 2)), np.zeros(max(width // 2 - 1, 0)))


def local_peaks(scores: np.ndarray, window: int, *, floor: float, ties: bool = False) -> Peaks:
    """The scores that nothing within ``window`` rows either side exceeds; none is changed.

    Of equal ones the earliest stays, with ``ties`` all do (E2E-Spot and OSL: util/eval.py non_maximum_supression).
    Unlike hard suppression a score beside a peak does not come up again where the peak's reach ends.
    """
    high = np.where(scores >= floor, scores, 0.0).astype(np.float64)
    row, label_index = np.nonzero(
        (high > 0) & (high == maximum_filter1d(high, 2 * window + 1, axis=0, mode="constant"))
    )
    if ties:
        return Peaks(row, label_index, high[row, label_index])
    before = row[:, None] - np.arange(1, window + 1)  # (m, window)
    equal = (before >= 0) & (high[before.clip(min=0), label_index[:, None]] == high[row, label_index][:, None])
    first = ~equal.any(axis=1)
    return Peaks(row[first], label_index[first], high[row, label_index][first])


WEAKENINGS = {"hard": hard_weakening, "soft": soft_weakening, "lopsided": lopsided_weakening}


def suppress(scores: np.ndarray, weakening: Weakening, *, floor: float) -> Peaks:
    """The peaks of scores (n, K), each class for itself; scores below ``floor`` and zeros are never taken."""
    n_rows, n_labels = scores.shape
    reach = max(len(weakening.earlier), len(weakening.later))
    line = np.zeros((n_labels, n_rows + reach))  # float64; the zeros keep one class out of the next one's reach
    line[:, :n_rows] = scores.T
    line[~(line >= floor)] = 0.0  # what is no number reaches no floor
    values = line.ravel()
    place = np.arange(values.size)
    taken: list[np.ndarray] = []
    taken_scores: list[np.ndarray] = []
    n_alive = np.count_nonzero(values)
    while n_alive:
        if 2 * n_alive < values.size:
            near = maximum_filter1d((values > 0).view(np.uint8), 2 * reach + 1, mode="constant").view(bool)
            values, place = values[near], place[near]  # neighbours stay neighbours, separate groups out of reach
        peaks = _unbeaten(values, reach)
        taken.append(place[peaks])
        taken_scores.append(values[peaks])
        _weaken(values, peaks, weakening, floor=floor)
        n_alive = np.count_nonzero(values)
    flat = np.concatenate([np.zeros(0, np.int64), *taken])
    score = np.concatenate([np.zeros(0), *taken_scores])
    label_index, row = np.divmod(flat, n_rows + reach)
    order = np.lexsort((label_index, row))
    return Peaks(row[order], label_index[order], score[order])


def _unbeaten(values: np.ndarray, reach: int) -> np.ndarray:
    """The places that nothing weakens before they are taken and that weaken nothing which is taken before them.

    Those are the highest within ``reach`` either side, the first of equals.
    """
    highest = maximum_filter1d(values, 2 * reach + 1, mode="constant")
    places = np.flatnonzero((values > 0) & (values == highest))
    before = places[:, None] - np.arange(1, reach + 1)  # (m, reach)
    equal = (values[before.clip(min=0)] == values[places][:, None]) & (before >= 0)
    return places[~equal.any(axis=1)]


def _weaken(values: np.ndarray, peaks: np.ndarray, weakening: Weakening, *, floor: float) -> None:
    """Removes ``peaks`` from ``values`` and multiplies their neighbours, in place."""
    values[peaks] = 0.0
    for sign, factors in ((1, weakening.later), (-1, weakening.earlier)):
        place = peaks[:, None] + sign * np.arange(1, len(factors) + 1)  # (m, reach of this side)
        inside = (place >= 0) & (place < values.size)
        # Peaks of one pass are farther apart than they reach, so no place comes twice here.
        touched = place[inside]
        weaker = values[touched] * np.broadcast_to(factors, place.shape)[inside]
        weaker[weaker < floor] = 0.0
        values[touched] = weaker
