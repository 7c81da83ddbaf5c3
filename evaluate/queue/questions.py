"""What could be asked of an annotator: about a spot that heads are unsure of, or about a stretch of video."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np

from ...cache.errors import BallspotError
from ..dataset import LabelSet, Predictions, Spot
from ..viewer import Curves, read_curves

NEAR_MS = 500  # spots of one class this near are one
LEAST_SCORE = 0.05
STRETCH_S = 20.0
SPOT_COST_S = 5.0
STRETCH_WORTH = 2.0  # of an event that a stretch is likely to hold; docs/measurements/labelling.md has the trials
MOST_RARE = 3.0  # how much more an answer about the rarest class counts


@dataclass(frozen=True)
class Head:
    """The predictions of one head (a run, a seed, or anybody), with scores of every frame where it left them."""

    name: str
    predictions: Predictions

    def spots(self, match: str) -> tuple[Spot, ...]:
        """The predictions of a match; none where there are none."""
        return () if self.predictions.find(match) is None else self.predictions.spots(match)

    def curves(self, match: str) -> Curves | None:
        """The scores of every frame of a match, where they lie beside its predictions."""
        path: Path | None = self.predictions.scores_path(match)
        return None if path is None else read_curves(path)


@dataclass(frozen=True)
class Question:
    """One thing to ask: a spot of ``label``, or with ``end_ms`` what happens in a stretch.

    ``scores`` are those of each head, ``cost_s`` how long an answer takes, ``value`` what it is worth (no unit), and
    ``why`` the word for what makes it so: disagreement, doubt, rare or coverage. ``n_expected`` is how many events an
    answer is likely to name; those of a stretch are labelled one after the other.
    """

    match: str
    half: int
    position_ms: int
    label: str | None
    scores: tuple[float, ...]
    value: float
    why: str
    end_ms: int | None = None
    n_expected: float = 1.0

    @property
    def cost_s(self) -> float:
        """Seconds that an answer takes: a spot is looked at, a stretch is watched once and its events are labelled."""
        return SPOT_COST_S * self.n_expected + (0.0 if self.end_ms is None else (self.end_ms - self.position_ms) / 1000)

    def covers(self, other: "Question") -> bool:
        """Whether an answer to this one, a stretch, decides the other, too."""
        return (
            self.end_ms is not None
            and (self.match, self.half) == (other.match, other.half)
            and self.position_ms <= other.position_ms < self.end_ms
        )


@dataclass(frozen=True)
class Known:
    """What is decided of a match: its labels, the predictions that were rejected (class, half, ms), and the stretches
    that were watched (half, ms from, ms to).
    """

    labels: tuple[Spot, ...] = ()
    rejected: tuple[tuple[str, int, int], ...] = ()
    watched: tuple[tuple[int, int, int], ...] = ()

    def has_seen(self, half: int, from_ms: int, to_ms: int) -> bool:
        """Whether somebody has watched all of a stretch at once."""
        return any(one == half and start <= from_ms and to_ms <= end for one, start, end in self.watched)

    def decides(self, label: str, half: int, position_ms: int) -> bool:
        """Whether there is a label of the class so near, or a rejection, or somebody has watched this moment."""
        if self.has_seen(half, position_ms, position_ms + 1):
            return True
        times = self._times.get((label, half), [])
        place = bisect_left(times, position_ms - NEAR_MS)
        return place < len(times) and times[place] <= position_ms + NEAR_MS

    @cached_property
    def _times(self) -> dict[tuple[str, int], list[int]]:
        found: dict[tuple[str, int], list[int]] = {}
        for label, half, ms in [*((one.label, one.half, one.position_ms) for one in self.labels), *self.rejected]:
            found.setdefault((label, half), []).append(ms)
        return {key: sorted(times) for key, times in found.items()}


def rarity(counts: Mapping[str, int], label_set: LabelSet) -> dict[str, float]:
    """How much an answer about each class counts, 1 to `MOST_RARE`, by how few labels it has (``counts``)."""
    most = max([counts.get(label, 0) for label in label_set.labels] + [1])
    found = {}
    for label in label_set.labels:
        share = (1 + counts.get(label, 0)) / (1 + most)
        found[label] = min(share**-0.25, MOST_RARE)
    return found


def find_questions(heads: Sequence[Head], match: str, known: Known, weights: Mapping[str, float]) -> list[Question]:
    """The questions about one match, in no order; ``weights`` is `rarity`'s.

    A spot is worth 4 m (1 - m) of the heads' mean score m, and twice their standard deviation: each is 1 where heads
    are at 0.5, or one at 0 and the other at 1. Both are multiplied by the class's weight. A stretch is worth the doubt
    of the best scores in it that are near no spot and no label. What is decided or was watched already is not asked.
    """
    curves = [head.curves(match) for head in heads]
    questions, groups = [], _groups([head.spots(match) for head in heads])
    for label, half, position_ms, scores in groups:
        if label not in weights or known.decides(label, half, position_ms):
            continue
        scores = tuple(
            _score_at(curve, label, position_ms) if score is None and half == 1 else score or 0.0
            for score, curve in zip(scores, curves, strict=True)
        )
        mean, spread = float(np.clip(np.mean(scores), 0, 1)), min(2 * float(np.std(scores)), 1.0)
        if mean < LEAST_SCORE:
            continue
        doubt, weight = 4 * mean * (1 - mean), weights[label]
        why = "disagreement" if spread > doubt else "rare" if weight >= 1.5 else "doubt"
        questions.append(Question(match, half, position_ms, label, scores, weight * (doubt + spread), why))
    spots = [(label, ms) for label, half, ms, _ in groups if half == 1]
    spots += [(one.label, one.position_ms) for one in known.labels if one.half == 1]
    return questions + _stretches(match, curves, spots, questions, known)


def _groups(of_heads: Sequence[Sequence[Spot]]) -> list[tuple[str, int, int, tuple[float | None, ...]]]:
    """Spots of one class and place in several heads as one: class, half, ms of the strongest, and each head's score."""
    by_class: dict[tuple[str, int], list[tuple[float, int, int]]] = {}
    for head, spots in enumerate(of_heads):
        for one in spots:
            by_class.setdefault((one.label, one.half), []).append((one.confidence or 0.0, one.position_ms, head))
    found = []
    for (label, half), own in by_class.items():
        left = sorted(own, key=lambda one: one[1])
        times = np.array([one[1] for one in left])
        is_free = np.ones(len(left), dtype=bool)
        for place in sorted(range(len(left)), key=lambda one: (-left[one][0], left[one][1])):
            if not is_free[place]:
                continue
            score, position_ms, head = left[place]
            scores: list[float | None] = [None] * len(of_heads)
            scores[head] = score
            is_free[place] = False
            low, high = np.searchsorted(times, [position_ms - NEAR_MS, position_ms + NEAR_MS + 1])
            near = [one for one in range(low, high) if is_free[one]]
            for one in sorted(near, key=lambda one: abs(left[one][1] - position_ms)):
                if scores[left[one][2]] is None:
                    scores[left[one][2]] = left[one][0]
                    is_free[one] = False
            found.append((label, half, position_ms, tuple(scores)))
    return found


def _score_at(curves: Curves | None, label: str, position_ms: int) -> float:
    """The best score of a class around a time, for a head that made no spot there."""
    if curves is None or label not in curves.labels:
        return 0.0
    rows = [round((curves.fps * (position_ms + off) / 1000 - curves.first_frame) / curves.step) for off in (-200, 200)]
    part = curves.scores[max(rows[0], 0) : max(rows[1] + 1, 0), curves.labels.index(label)]
    return float(part.max()) if part.size else 0.0


def _stretches(
    match: str,
    curves: Sequence[Curves | None],
    spots: Sequence[tuple[str, int]],
    asked: Sequence[Question],
    known: Known,
) -> list[Question]:
    """Stretches of the first half that nobody has watched and no label is in, where scores are not low.

    The events in one are as many as its open questions' mean scores make together, and the best scores beside them.
    """
    given = [one for one in curves if one is not None]
    if not given or len({(one.labels, one.first_frame, one.step, one.fps) for one in given}) > 1:
        return []
    first = given[0]
    length = min(len(one.scores) for one in given)
    mean = np.mean([one.scores[:length].astype(np.float32) for one in given], axis=0)
    rate = first.fps / first.step
    for label, position_ms in spots:
        if label in first.labels:
            row = round((first.fps * position_ms / 1000 - first.first_frame) / first.step)
            mean[max(row - round(rate), 0) : max(row + round(rate), 0), first.labels.index(label)] = 0
    edges = np.append(np.arange(0, length, max(round(STRETCH_S * rate), 1)), length)
    labelled = sorted(one.position_ms for one in known.labels if one.half == 1)
    of_half = sorted((one.position_ms, float(np.mean(one.scores))) for one in asked if one.half == 1)
    times, means = [ms for ms, _ in of_half], [mean for _, mean in of_half]
    found = []
    for low, high in pairwise(edges.tolist()):
        best = mean[low:high].max(axis=0).clip(0, 1)
        start_ms, end_ms = (round(1000 * (first.first_frame + row * first.step) / first.fps) for row in (low, high))
        is_seen = any(start_ms <= ms < end_ms for ms in labelled) or known.has_seen(1, start_ms, end_ms)
        inside = slice(bisect_left(times, start_ms), bisect_left(times, end_ms))
        if is_seen or (best.max(initial=0.0) < LEAST_SCORE and not times[inside]):
            continue
        n_expected = max(1.0, float(best.sum()) + sum(means[inside]))
        worth = STRETCH_WORTH * n_expected
        found.append(Question(match, 1, start_ms, None, (), worth, "coverage", end_ms, n_expected))
    return found


def check_heads(heads: Sequence[Head], names: Sequence[str]) -> list[str]:
    """Those of ``names`` that some head predicts. Raises BallspotError where there is none."""
    found = [name for name in names if any(head.predictions.find(name) is not None for head in heads)]
    if not found:
        raise BallspotError(f"{heads[0].predictions.path}: predicts none of the {len(names)} matches; check --data")
    return found
