"""The worst mistakes of every class, the surest false predictions and the missed truths, and its surest hits."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..dataset import DataSelection, Spot
from ..scoring import Pairing, Pool, Protocol, match_truths, metric_frame, read_pairing
from .diagnosis import best_thresholds
from .mistakes import BACKGROUND, HIT, KINDS, MISSED, Verdicts, judge


@dataclass(frozen=True)
class Mistake:
    """One false prediction, missed truth or hit, at ``position_ms`` of its half's video.

    ``kind`` is of `mistakes.KINDS`. ``score`` is the prediction's; of a missed truth that of the prediction below the
    threshold that would hit it, None where there is none. ``truth`` is what a prediction is about, None for
    background, and ``late_s`` by how much it is later than that.
    """

    match: str
    spot: Spot
    kind: str
    score: float | None
    truth: Spot | None = None
    late_s: float | None = None


@dataclass(frozen=True)
class ClassMistakes:
    """The worst of one class, worst first, with how many there are from its threshold up (None: nothing hits)."""

    label: str
    threshold: float | None
    n_truth: int
    n_predictions: int
    n_false: int
    n_missed: int
    false: tuple[Mistake, ...]
    missed: tuple[Mistake, ...]
    hits: tuple[Mistake, ...] = ()


@dataclass(frozen=True)
class HowMany:
    """How many false predictions, missed truths and hits of a class are wanted at most."""

    false: int = 3
    missed: int = 3
    hits: int = 0


def worst_mistakes(
    path: Path,
    data: DataSelection,
    matches: Sequence[str] | None = None,
    *,
    classes: Sequence[str] = (),
    tolerance_s: float = 1.0,
    threshold: float | None = None,
    wanted: HowMany = HowMany(),
) -> tuple[ClassMistakes, ...]:
    """The worst mistakes of each class (``classes``: of these, in this order) of the predictions in ``path``.

    A class is taken from the threshold of its best F1 up, as in a diagnosis, or from ``threshold``; where nothing hits,
    all predictions are taken. False predictions come by falling confidence; missed truths by the confidence of the
    prediction that would hit them, those without one first, then by time.
    Raises BallspotError as `read_pairing` and `Protocol`, and for a class that is not in the label set.
    """
    protocol, label_set = Protocol(tolerance_s=tolerance_s), data.label_set
    pairing = read_pairing(path, data, matches)
    pool = pairing.pool(protocol.fps)
    verdicts = judge(pool, match_truths(pool, tolerance_s), tolerance_s)
    thresholds = best_thresholds(pool, verdicts.kind == HIT)
    if threshold is not None:
        thresholds[:] = threshold
    sources = _Sources(pairing, pool)
    indices = [label_set.index(label) for label in classes or label_set.labels]
    return tuple(_worst(pool, verdicts, sources, index, thresholds[index], wanted) for index in indices)


class _Sources:
    """The spots that the predictions and truths of a pool are: of one class and frame the last written."""

    def __init__(self, pairing: Pairing, pool: Pool) -> None:
        self.pool, self.matches, self.labels = pool, pairing.matches, pairing.label_set.labels
        self.predictions = [self._by_key(spots) for spots in pairing.spots]
        self.truths = [self._by_key(spots) for spots in pairing.truths]

    def _by_key(self, spots: Sequence[Spot]) -> dict[tuple[int, str, int], Spot]:
        last = self.pool.n_frames - 1
        return {
            (spot.half, spot.label, min(metric_frame(spot.position_ms, self.pool.fps), last)): spot for spot in spots
        }

    def prediction(self, index: int) -> tuple[str, Spot]:
        """Match and spot of a prediction of the pool."""
        return self._find(self.predictions, int(self.pool.key[index]))

    def truth(self, index: int) -> tuple[str, Spot]:
        """Match and spot of a truth of the pool."""
        return self._find(self.truths, int(self.pool.truth_key[index]))

    def _find(self, spots: list[dict[tuple[int, str, int], Spot]], key: int) -> tuple[str, Spot]:
        track, frame = divmod(key, self.pool.n_frames)
        half_track, label = divmod(track, self.pool.n_labels)
        match, half = divmod(half_track, 2)
        return self.matches[match], spots[match][half + 1, self.labels[label], frame]


def _worst(
    pool: Pool, verdicts: Verdicts, sources: _Sources, index: int, threshold: float, wanted: HowMany
) -> ClassMistakes:
    has_hits = bool(np.isfinite(threshold))
    chosen = np.flatnonzero((pool.label == index) & (pool.score >= (threshold if has_hits else 0.0)))
    chosen = chosen[np.argsort(-pool.score[chosen], kind="stable")]
    hits, false = (chosen[(verdicts.kind[chosen] == HIT) == is_hit] for is_hit in (True, False))
    truths = np.flatnonzero(pool.truth_label == index)
    hit = verdicts.hit[truths]
    best = np.where(hit >= 0, pool.score[np.maximum(hit, 0)], -1.0) if pool.score.size else np.full(truths.size, -1.0)
    is_missed = best < threshold
    missed, best = truths[is_missed], best[is_missed]
    order = np.argsort(best, kind="stable")
    return ClassMistakes(
        label=sources.labels[index],
        threshold=float(threshold) if has_hits else None,
        n_truth=truths.size,
        n_predictions=chosen.size,
        n_false=false.size,
        n_missed=missed.size,
        false=tuple(_false(pool, verdicts, sources, int(prediction)) for prediction in false[: wanted.false]),
        missed=tuple(
            Mistake(*sources.truth(int(missed[rank])), MISSED, float(best[rank]) if best[rank] >= 0 else None)
            for rank in order[: wanted.missed]
        ),
        hits=tuple(_hit(pool, verdicts, sources, int(prediction)) for prediction in hits[: wanted.hits]),
    )


def _false(pool: Pool, verdicts: Verdicts, sources: _Sources, index: int) -> Mistake:
    match, spot = sources.prediction(index)
    kind, score = int(verdicts.kind[index]), float(pool.score[index])
    if kind == BACKGROUND:
        return Mistake(match, spot, KINDS[kind], score)
    _, truth = sources.truth(int(verdicts.truth[index]))
    return Mistake(match, spot, KINDS[kind], score, truth, (spot.position_ms - truth.position_ms) / 1000)


def _hit(pool: Pool, verdicts: Verdicts, sources: _Sources, index: int) -> Mistake:
    match, spot = sources.prediction(index)
    _, truth = sources.truth(int(np.flatnonzero(verdicts.hit == index)[0]))
    return Mistake(
        match, spot, KINDS[HIT], float(pool.score[index]), truth, (spot.position_ms - truth.position_ms) / 1000
    )
