"""What kind each mistake is, what it was mistaken for, and what mAP would be were a kind of mistake put right.

A prediction that hits no truth is, in this order:

- a duplicate: within reach of a truth of its class, which another prediction has hit;
- a confusion: within reach of a truth of another class, the nearest one (of equal frames a missed one first);
- a near miss: beyond reach, but within 2 s of a truth of its class;
- background: none of these.

A truth that no prediction hits is missed. The idea of fixing one kind at a time is TIDE's (Bolya et al., ECCV 2020).
"""

from dataclasses import dataclass

import numpy as np

from ..scoring import Pool, count_above, interpolated_ap, reach_frames, score_bins, windows

HIT, DUPLICATE, CONFUSION, NEAR_MISS, BACKGROUND = range(5)
KINDS = ("hit", "duplicate", "confusion", "near_miss", "background")
MISSED = "missed"
FIXES = (*KINDS[1:], MISSED)
NEAR_S = 2.0


@dataclass(frozen=True)
class Verdicts:
    """What became of every prediction and truth of a pool at one tolerance.

    ``kind`` int8 (p,) is one of `KINDS`; ``truth`` int64 (p,) the truth that a hit, duplicate, confusion or near miss
    is about, -1 for background; ``hit`` int64 (t,) the prediction that hits each truth, or -1.
    """

    tolerance_s: float
    kind: np.ndarray
    truth: np.ndarray
    hit: np.ndarray


def judge(pool: Pool, hit: np.ndarray, tolerance_s: float) -> Verdicts:
    """The kind of every prediction, given the prediction that hits each truth (`matching.match_truths`)."""
    reach = reach_frames(pool, tolerance_s)
    kind = np.full(pool.key.size, BACKGROUND, dtype=np.int8)
    truth = np.full(pool.key.size, -1, dtype=np.int64)
    found = np.flatnonzero(hit >= 0)
    kind[hit[found]], truth[hit[found]] = HIT, found
    if not pool.truth_key.size:
        return Verdicts(tolerance_s, kind, truth, hit)
    near = reach_frames(pool, 2 * NEAR_S)
    own, distance = _nearest(pool, pool.key, pool.truth_key, max(reach, near))
    missed = hit < 0
    other, other_distance = _nearest_of_any_class(pool, missed, reach)
    free = kind != HIT
    _assign(kind, truth, free & (distance <= reach), DUPLICATE, own)
    free = kind == BACKGROUND
    _assign(kind, truth, free & (other_distance <= reach), CONFUSION, other)
    free = kind == BACKGROUND
    _assign(kind, truth, free & (distance <= near), NEAR_MISS, own)
    return Verdicts(tolerance_s, kind, truth, hit)


@dataclass(frozen=True)
class Repair:
    """Predictions and truths with one kind of mistake put right: their classes, which stay, which hit which truth."""

    label: np.ndarray  # int64 (p,)
    stays: np.ndarray  # bool (p,)
    is_hit: np.ndarray  # bool (p,)
    truth: np.ndarray  # int64 (p,): the truth of a hit
    counted: np.ndarray  # bool (t,): truths that are asked for


def repair(pool: Pool, verdicts: Verdicts, fix: str) -> Repair:
    """The pool with one kind of mistake (of `FIXES`) put right, without matching anew.

    Duplicates and background are removed. Of the confusions (near misses) about a missed truth the best-scored becomes
    a hit of that truth's class; the others are removed. "missed": truths without a hit are no longer asked for.
    """
    label, kind = pool.label.copy(), verdicts.kind
    is_hit, stays = kind == HIT, np.ones(kind.size, dtype=bool)
    if fix == MISSED:
        return Repair(label, stays, is_hit, verdicts.truth, verdicts.hit >= 0)
    wrong = kind == KINDS.index(fix)
    stays &= ~wrong
    if fix in (KINDS[CONFUSION], KINDS[NEAR_MISS]):
        won = rescuers(pool, verdicts, wrong)
        stays[won] = is_hit[won] = True
        label[won] = pool.truth_label[verdicts.truth[won]]
    return Repair(label, stays, is_hit & stays, verdicts.truth, np.ones(verdicts.hit.size, dtype=bool))


def fixed_ap(pool: Pool, verdicts: Verdicts, fix: str) -> np.ndarray:
    """SoccerNet's AP of each class, float64 (n_labels,), were one kind of mistake put right, see `repair`."""
    fixed = repair(pool, verdicts, fix)
    score_bin = score_bins(pool.score)
    return interpolated_ap(
        count_above(fixed.label[fixed.stays], score_bin[fixed.stays], pool.n_labels),
        count_above(fixed.label[fixed.is_hit], score_bin[fixed.is_hit], pool.n_labels),
        np.bincount(pool.truth_label[fixed.counted], minlength=pool.n_labels),
    )


def rescuers(pool: Pool, verdicts: Verdicts, chosen: np.ndarray) -> np.ndarray:
    """Of the ``chosen`` predictions (bool) about missed truths the best-scored one for each truth, int64 (n,)."""
    candidates = np.flatnonzero(chosen & (verdicts.truth >= 0))
    candidates = candidates[verdicts.hit[verdicts.truth[candidates]] < 0]
    candidates = candidates[np.argsort(-pool.score[candidates], kind="stable")]
    _, first = np.unique(verdicts.truth[candidates], return_index=True)
    return candidates[first]


def confusions(pool: Pool, verdicts: Verdicts, threshold: np.ndarray) -> np.ndarray:
    """The confusion matrix at one ``threshold`` a class (n_labels,): counts int64 (n_labels + 1, n_labels + 1).

    Row i, column j: truths of class i that are found as j (i = j: hit; else missed, and the best-scored confusion
    about them is j). The last column counts truths with neither, the last row predictions used up by no truth; the
    corner is 0. So rows sum to the truths of a class and columns to its predictions from the threshold up.
    """
    n = pool.n_labels
    counts = np.zeros((n + 1, n + 1), dtype=np.int64)
    reaches = pool.score >= threshold[pool.label]
    kept = np.zeros(verdicts.hit.size, dtype=bool)
    found = np.flatnonzero(verdicts.hit >= 0)
    kept[found] = reaches[verdicts.hit[found]]
    at_threshold = Verdicts(verdicts.tolerance_s, verdicts.kind, verdicts.truth, np.where(kept, verdicts.hit, -1))
    confused = rescuers(pool, at_threshold, (verdicts.kind == CONFUSION) & reaches)
    truth_of = np.full(pool.truth_key.size, n)  # the column of each truth
    truth_of[kept] = pool.truth_label[kept]
    truth_of[verdicts.truth[confused]] = pool.label[confused]
    np.add.at(counts, (pool.truth_label, truth_of), 1)
    counts[n, :n] = np.bincount(pool.label[reaches], minlength=n) - counts[:n, :n].sum(axis=0)
    return counts


def _assign(kind: np.ndarray, truth: np.ndarray, chosen: np.ndarray, value: int, about: np.ndarray) -> None:
    kind[chosen] = value
    truth[chosen] = about[chosen]


def _nearest(pool: Pool, key: np.ndarray, targets: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """For each key the nearest of the sorted ``targets`` in its track and its distance; a huge one beyond ``reach``."""
    low, high = windows(pool, key, targets, reach)
    after = np.clip(np.searchsorted(targets, key), low, np.maximum(high - 1, low))
    before = np.clip(after - 1, low, None)
    last = max(targets.size - 1, 0)
    after, before = np.minimum(after, last), np.minimum(before, last)
    nearer = np.abs(targets[before] - key) <= np.abs(targets[after] - key)  # on a tie the earlier
    nearest = np.where(nearer, before, after)
    far = np.iinfo(np.int64).max
    return nearest, np.where(low < high, np.abs(targets[nearest] - key), far)


def _nearest_of_any_class(pool: Pool, missed: np.ndarray, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """For each prediction the nearest truth of its half, whatever its class, and its distance."""
    half = pool.n_frames * pool.n_labels
    any_key = pool.truth_key // half * pool.n_frames + pool.truth_key % pool.n_frames
    order = np.lexsort((~missed, any_key))
    sorted_key = any_key[order]
    first = np.append(True, sorted_key[1:] != sorted_key[:-1])  # of one frame a missed truth, if there is one
    own = pool.key // half * pool.n_frames + pool.key % pool.n_frames
    nearest, distance = _nearest(pool, own, sorted_key[first], reach)
    return order[first][nearest], distance
