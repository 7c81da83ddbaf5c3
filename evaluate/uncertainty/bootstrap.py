"""How sure a number is: the block bootstrap over match x 5-minute blocks, paired for runs on the same matches.

mAP is no mean over matches, so blocks are resampled and every AP computed anew. Spots are matched once, on whole
matches; a hit counts in the block of its truth, any other prediction in its own. Blocks rather than single spots keep
together what happens together; the same draws for two runs make their difference paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix

from ...cache.errors import BallspotError
from ..dataset import HALF_S
from ..scoring import Pool, exact_curves, interpolated_ap, match_truths, score_bins, trapezoid_mean

LEVEL = 0.95
FEW_BLOCKS = 10  # below it, resampling can show little of what another match would have been
LEAST_BLOCKS = 6  # below it there is no interval: two blocks can be drawn in three ways, five in 126
PLACES_AT_ONCE = 2**20  # hits times draws of the exact curves that are in memory together, 8 MB an array


@dataclass(frozen=True)
class Resamples:
    """Draws of blocks with replacement: ``weights`` (R, B) says how often each draw holds each of the ``blocks``."""

    block_s: float
    blocks: np.ndarray  # int64 (B,), sorted
    weights: np.ndarray  # float64 (R, B)

    def columns(self, blocks: np.ndarray) -> np.ndarray:
        """The place of each of ``blocks`` among the columns of the weights."""
        return np.searchsorted(self.blocks, blocks)


@dataclass(frozen=True)
class Interval:
    """Bounds of a number; None in both where nothing could be drawn."""

    low: float | None
    high: float | None

    @property
    def known(self) -> tuple[float, float] | None:
        """Both bounds, None where nothing could be drawn."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def as_record(self) -> list[float | None]:
        """The bounds as a JSON list."""
        return [self.low, self.high]


def blocks_of(pool: Pool, key: np.ndarray, block_s: float) -> np.ndarray:
    """The block of each key: match, half and time; the same number at every frame rate and label count."""
    n_in_half = int(np.ceil(HALF_S / block_s))
    half = key // (pool.n_frames * pool.n_labels)  # 2 * match + half
    return half * n_in_half + ((key % pool.n_frames) / (pool.fps * block_s)).astype(np.int64)


@dataclass(frozen=True)
class Bootstrap:
    """How intervals are drawn: how many draws, 0 for no intervals, of blocks how long, from which seed.

    Raises BallspotError for a length of blocks that makes no sense.
    """

    n_resamples: int = 1000
    block_s: float = 300.0
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.block_s <= 7200:
            raise BallspotError(f"blocks of {self.block_s} s are outside 1..7200 seconds; 300 suit whole matches")

    def blocks(self, pools: Sequence[Pool]) -> np.ndarray:
        """Every block in which any of ``pools``, of the same matches, has a truth or a prediction: int64 (B,)."""
        keys = [blocks_of(pool, key, self.block_s) for pool in pools for key in (pool.truth_key, pool.key)]
        return np.unique(np.concatenate(keys)) if keys else np.zeros(0, dtype=np.int64)

    def draw(self, pools: Sequence[Pool]) -> Resamples:
        """Draws from the blocks of ``pools``.

        Under LEAST_BLOCKS blocks there is no draw: few different ones are possible, and an interval of them would end
        at the number itself, which would look like certainty.
        """
        blocks = self.blocks(pools)
        n = blocks.size
        random = np.random.default_rng(self.seed)
        weights = (
            random.multinomial(n, np.full(n, 1 / n), size=self.n_resamples) if n >= LEAST_BLOCKS else np.zeros((0, n))
        )
        return Resamples(self.block_s, blocks, weights.astype(np.float64))


BOOTSTRAP = Bootstrap()


def no_intervals(n_blocks: int, block_s: float) -> str:
    """Why there is no interval on so few blocks."""
    many = f"{n_blocks or 'no'} block{'' if n_blocks == 1 else 's'}"
    return (
        f"no intervals: the matches make {many} of {block_s:g} s, and under {LEAST_BLOCKS} say nothing; shorter ones "
        "(--block) give more"
    )


@dataclass(frozen=True)
class Replicates:
    """AP and truths of each class in each draw, (R, n_labels) both; AP is NaN where a draw holds no truth.

    ``in_block`` bool (B, n_labels) says which blocks hold truths of each class.
    """

    ap: np.ndarray
    n_truth: np.ndarray
    in_block: np.ndarray

    @property
    def n_blocks(self) -> np.ndarray:
        """int64 (n_labels,): over how many blocks the truths of each class are spread."""
        return self.in_block.sum(axis=0)

    def of_class(self, index: int) -> np.ndarray:
        """(R,): one class's AP in each draw; (0,) where all its truths are in one block.

        Every draw of such a class holds the same truths, some of them only more often: its narrow interval would look
        like certainty.
        """
        return self.ap[:, index] if self.n_blocks[index] > 1 else np.zeros(0)

    def mean(self, chosen: np.ndarray | None = None) -> np.ndarray:
        """(R,): the mean over the ``chosen`` classes (bool, None all) in each draw.

        A class without any truth scores 0 and counts, as in the number itself; one that only this draw misses is left
        out of it, else rare classes would pull every draw below the number. NaN in every draw where all truths of
        these classes are in one block, as in `of_class`.
        """
        ap, in_block = (one if chosen is None else one[:, chosen] for one in (self.ap, self.in_block))
        if in_block.any(axis=1).sum() < 2:
            return np.full(len(ap), np.nan)
        never = ~np.isfinite(ap).any(axis=0)
        present = np.isfinite(ap[:, ~never])
        n_present = present.sum(axis=1)
        total = np.where(present, ap[:, ~never], 0.0).sum(axis=1)
        mean = np.divide(total, n_present, out=np.full(len(ap), np.nan), where=n_present > 0)
        return mean * ((~never).sum() / max(never.size, 1))


def ap_replicates(pool: Pool, tolerances_s: Sequence[float], resamples: Resamples, *, kind: str = "all") -> Replicates:
    """SoccerNet's AP in every draw; ``kind`` "visible" or "not shown" takes the truths and predictions of that kind."""
    truth_block, own = place_blocks(pool, resamples)
    counted = np.ones(pool.truth_key.size, dtype=bool) if kind == "all" else pool.truth_visible == (kind == "visible")
    table = count_table(truth_block[counted], pool.truth_label[counted], pool.n_labels, resamples)
    n_truth = resamples.weights @ table
    members = np.arange(pool.key.size) if kind == "all" else np.flatnonzero(pool.is_near_visible == (kind == "visible"))
    score_bin, label = score_bins(pool.score[members]), pool.label[members]
    ap = np.zeros((len(tolerances_s), *n_truth.shape))
    for place, tolerance_s in enumerate(tolerances_s):
        hit = match_truths(pool, tolerance_s)
        is_hit = np.zeros(pool.key.size, dtype=bool)
        is_hit[hit[hit >= 0]] = True
        block = own.copy()
        block[hit[hit >= 0]] = truth_block[hit >= 0]
        ap[place] = drawn_ap(label, score_bin, block[members], is_hit[members], n_truth, resamples)
    return Replicates(np.where(n_truth > 0, trapezoid_mean(ap), np.nan), n_truth, table > 0)


def place_blocks(pool: Pool, resamples: Resamples) -> tuple[np.ndarray, np.ndarray]:
    """The column of the weights for each truth, int64 (t,), and for each prediction by its own time, int64 (p,)."""
    truth_block, block = (blocks_of(pool, key, resamples.block_s) for key in (pool.truth_key, pool.key))
    return resamples.columns(truth_block), resamples.columns(block)


def drawn_ap(
    label: np.ndarray,
    score_bin: np.ndarray,
    block: np.ndarray,
    is_hit: np.ndarray,
    n_truth: np.ndarray,
    resamples: Resamples,
) -> np.ndarray:
    """SoccerNet's AP in every draw, float64 (R, n_labels), 0 where a draw has no truth.

    ``label``, ``score_bin`` (0..200), ``block`` (a column of the weights) and ``is_hit`` are of p predictions,
    ``n_truth`` (R, n_labels) counts the truths of each draw.
    """
    ap = np.zeros(n_truth.shape)
    for index, chosen in enumerate(_members(label, n_truth.shape[1])):
        found = chosen[is_hit[chosen]]
        bins = np.unique(score_bin[found])
        bins = bins[bins > 0]  # the others reach no threshold
        if not n_truth[:, index].any() or not bins.size:
            continue
        n_detected = _above(block[chosen], score_bin[chosen], bins, resamples)
        n_hits = _above(block[found], score_bin[found], bins, resamples)
        ap[:, index] = interpolated_ap(n_detected, n_hits, n_truth[:, index])
    return ap


def exact_replicates(pool: Pool, tolerance_s: float, resamples: Resamples) -> Replicates:
    """The exact AP in every draw."""
    curves = exact_curves(pool, tolerance_s)
    truth_block, block = place_blocks(pool, resamples)
    block[curves.hit] = truth_block[curves.truth]
    table = count_table(truth_block, pool.truth_label, pool.n_labels, resamples)
    n_truth = resamples.weights @ table
    total = np.zeros_like(n_truth)
    for index, members in enumerate(_members(pool.label, pool.n_labels)):
        ours = curves.label == index
        rank = curves.rank[ours]
        if not rank.size:
            continue
        down_to_last = members[np.argsort(-pool.score[members], kind="stable")][: rank[-1]]
        next_hit = np.searchsorted(rank, np.arange(1, rank[-1] + 1))
        # The predictions after one hit, down to the next, in each block: few of all hits times all blocks.
        step = coo_matrix(
            (np.ones(rank[-1]), (next_hit, block[down_to_last])), shape=(rank.size, resamples.blocks.size)
        ).tocsr()
        hit_block = block[curves.hit[ours]]
        n_at_once = max(1, PLACES_AT_ONCE // rank.size)
        for first in range(0, len(total), n_at_once):
            draws = np.ascontiguousarray(resamples.weights[first : first + n_at_once].T)  # (B, r)
            n_detected = np.cumsum(step @ draws, axis=0)  # (h, r)
            weight = draws[hit_block]  # (h, r): how often each hit is drawn
            n_hits = np.cumsum(weight, axis=0)
            precision = np.divide(n_hits, n_detected, out=np.zeros_like(n_hits), where=n_detected > 0)
            interpolated = np.maximum.accumulate(precision[::-1], axis=0)[::-1]
            total[first : first + n_at_once, index] = np.einsum("hr,hr->r", interpolated, weight)
    ap = np.divide(total, n_truth, out=np.full_like(total, np.nan), where=n_truth > 0)
    return Replicates(ap, n_truth, table > 0)


def interval(replicates: np.ndarray) -> Interval:
    """The percentile interval of (R,) replicates; draws that are NaN are left out."""
    drawn = replicates[np.isfinite(replicates)]
    if not drawn.size:
        return Interval(None, None)
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))


def count_table(
    block: np.ndarray, place: np.ndarray, n_places: int, resamples: Resamples, *, values: np.ndarray | None = None
) -> np.ndarray:
    """How many of each place (a label, a bin) each block holds, or the sum of their ``values``: float64 (B, n_places).

    ``resamples.weights @ table`` is then the count in every draw.
    """
    shape = (resamples.blocks.size, n_places)
    counts = np.bincount(block * n_places + place, weights=values, minlength=shape[0] * n_places)
    return counts.reshape(shape).astype(np.float64)


def weighted_quantile(values: np.ndarray, weights: np.ndarray, level: float) -> np.ndarray:
    """(R,): NumPy's quantile of sorted ``values`` (v,), each repeated as ``weights`` (R, v) say; NaN where none is."""
    reached = np.cumsum(weights, axis=1)
    total = reached[:, -1] if values.size else np.zeros(len(weights))
    place = level * np.maximum(total - 1, 0)
    low, high = (
        values[(reached <= one[:, None]).sum(axis=1).clip(max=values.size - 1)] if values.size else one
        for one in (np.floor(place), np.ceil(place))
    )
    return np.where(total > 0, low + (place - np.floor(place)) * (high - low), np.nan)


def _members(label: np.ndarray, n_labels: int) -> list[np.ndarray]:
    """The places of each class's predictions, in their order."""
    order = np.argsort(label.astype(np.uint16), kind="stable")
    return np.split(order, np.cumsum(np.bincount(label, minlength=n_labels))[:-1])


def _above(block: np.ndarray, score_bin: np.ndarray, bins: np.ndarray, resamples: Resamples) -> np.ndarray:
    """(R, n): how many predictions reach each of the ``bins`` (n,), sorted, in each draw."""
    n_reached = np.searchsorted(bins, score_bin, side="right")
    per_number = count_table(block, n_reached, bins.size + 1, resamples)
    return resamples.weights @ per_number[:, ::-1].cumsum(axis=1)[:, ::-1][:, 1:]
