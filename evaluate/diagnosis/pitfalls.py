"""What is wrong with the form of predictions, and what each fault costs in mAP.

Each cost is measured: the predictions are scored again with that one fault put right. A fault that stops the official
code, or keeps it from finding a file, costs the whole number there, while it is read here all the same.
"""

from bisect import bisect
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..dataset import TEAMS, Spot, SpotArrays, SpotFile, column_arrays, columns_of
from ..scoring import (
    Pairing,
    Pool,
    Protocol,
    average_precision,
    match_truths,
    score_bins,
    team_average_precision,
    trapezoid_mean,
)

WORTH_TELLING = 0.005  # half a point of mAP


@dataclass(frozen=True)
class Pitfall:
    """One fault: ``n`` predictions (or files) have it; ``cost`` is ``measure`` put right less as it is, in 0..1.

    ``cost`` is None when the official code stops or finds nothing: the whole number.
    """

    kind: str
    n: int
    fault: str
    remedy: str
    cost: float | None
    measure: str = "mAP"

    def line(self) -> str:
        """The fault and its cost in one line."""
        if self.cost is None:
            return f"{self.fault}; it costs the whole score there; {self.remedy}"
        if abs(self.cost) < 5e-5:
            return f"{self.fault}; {self.remedy} would change nothing here"
        change = f"{'costs' if self.cost > 0 else 'gains'} {100 * abs(self.cost):.2f} points of {self.measure}"
        return f"{self.fault}; against {self.remedy} it {change}"

    def as_record(self) -> dict[str, Any]:
        """The fault as one JSON object."""
        record = {"kind": self.kind, "n": self.n, "measure": self.measure, "cost": self.cost}
        return {**record, "fault": self.fault, "remedy": self.remedy}


@dataclass(frozen=True)
class _Scene:
    """What every check reads: the pairing, its truths and predictions as arrays, and the mAP that they reach."""

    pairing: Pairing
    protocol: Protocol
    pool: Pool
    truths: list[SpotArrays]
    arrays: list[SpotArrays]
    now: float

    def cost(self, repaired: Sequence[SpotArrays]) -> float:
        then = average_precision(self.truths, repaired, n_labels=self.pool.n_labels, protocol=self.protocol)
        return then.mean_ap - self.now


def find_pitfalls(pairing: Pairing, pool: Pool, mean_ap: float, protocol: Protocol) -> tuple[Pitfall, ...]:
    """The faults of a pairing's predictions, those that cost the whole score first, then by cost.

    ``pool`` and ``mean_ap`` are of the predictions as they are, scored by ``protocol``.
    """
    truths, arrays = pairing.truth_arrays(protocol.fps), pairing.spot_arrays(protocol.fps)
    scene = _Scene(pairing, protocol, pool, truths, arrays, mean_ap)
    checks = (
        _misplaced,
        _without_half,
        _outside,
        _squeezed,
        _early,
        _other_half,
        _overwritten,
        _unknown,
        _without_team,
    )
    found = [pitfall for check in checks if (pitfall := check(scene)) is not None]
    return tuple(sorted(found, key=lambda pitfall: (pitfall.cost is not None, -(pitfall.cost or 0.0))))


def _misplaced(scene: _Scene) -> Pitfall | None:
    places = [
        (match, file.found_at)
        for match, file in zip(scene.pairing.matches, scene.pairing.files, strict=True)
        if file.found_at is not None
    ]
    if not places:
        return None
    match, found_at = places[0]
    text = (
        f"{len(places)} of {len(scene.pairing.files)} prediction files lie in other folders than the labels "
        f"({found_at} for {match!r}), where the official code does not look"
    )
    return Pitfall("misplaced", len(places), text, "put them into the labels' folders", None)


def _without_half(scene: _Scene) -> Pitfall | None:
    n = sum(file.n_without_half for file in scene.pairing.files)
    text = f'{n} predictions have no "half" (read from gameTime here), and the official code stops at the first'
    return Pitfall("no_half", n, text, 'write "half": "1" for a single video', None) if n else None


def _outside(scene: _Scene) -> Pitfall | None:
    scores = np.concatenate([_score(arrays) for arrays in scene.arrays]) if scene.arrays else np.zeros(0)
    n = int(((scores < 0) | (scores > 1)).sum())
    if not n:
        return None
    low, high = min(float(scores.min()), 0.0), max(float(scores.max()), 1.0)
    scaled = [replace(arrays, score=(_score(arrays) - low) / (high - low)) for arrays in scene.arrays]
    text = (
        f"{n} predictions have a confidence outside 0..1 ({scores.min():.3g} to {scores.max():.3g}; below 0 they never "
        "count and can hide others, above 1 they share the top threshold)"
    )
    return Pitfall("score_range", n, text, "scaling all into 0..1", scene.cost(scaled))


def _squeezed(scene: _Scene) -> Pitfall | None:
    cost = float(ap_of_every_score(scene.pool, scene.protocol.tolerances_s).mean()) - scene.now
    if cost < WORTH_TELLING:
        return None
    n = int(np.bincount(score_bins(scene.pool.score)).max(initial=0))
    text = f"scores are squeezed: {n} of {scene.pool.key.size} predictions share one of SoccerNet's 200 thresholds"
    return Pitfall("squeezed", n, text, "spreading them until the thresholds tell them apart", cost)


def _early(scene: _Scene) -> Pitfall | None:
    fps = Fraction(scene.protocol.fps).limit_denominator(1001)
    n = 0
    repaired = []
    for columns, arrays in zip(scene.pairing.columns, scene.arrays, strict=True):
        position_ms = columns.position_ms[columns.label_index(scene.pairing.label_set) >= 0]
        meant = -(-(position_ms + 1) * fps.numerator // (1000 * fps.denominator)) - 1  # as `labels.frame_of`
        n += int((meant != arrays.frame).sum())
        repaired.append(replace(arrays, frame=meant))
    if not n:
        return None
    text = (
        f"{n} predictions stand at the start of a frame and read back as the frame before (the official conversion "
        "truncates)"
    )
    return Pitfall("early_frame", n, text, "writing the middle of their frames", scene.cost(repaired))


def _other_half(scene: _Scene) -> Pitfall | None:
    n = 0
    repaired = []
    for truths, arrays in zip(scene.pairing.truth_columns, scene.arrays, strict=True):
        halves = np.unique(truths.half)
        inside = np.isin(_half(arrays), halves) if halves.size else np.ones(arrays.frame.size, dtype=bool)
        n += int((~inside).sum())
        repaired.append(_taken(arrays, inside))
    text = f"{n} predictions are of a half without labels in their match, each a false positive"
    return Pitfall("other_half", n, text, "leaving them out", scene.cost(repaired)) if n else None


def _overwritten(scene: _Scene) -> Pitfall | None:
    n = 0
    repaired = []
    for arrays in scene.arrays:
        track = _half(arrays).astype(np.int64) * len(scene.pairing.label_set) + arrays.label_index
        key = track * 2**40 + arrays.frame
        order = np.lexsort((_score(arrays), key))
        key = key[order]
        best = order[np.append(key[1:] != key[:-1], True)[: key.size]]
        n += arrays.frame.size - best.size
        repaired.append(_taken(arrays, np.sort(best)))
    text = f"{n} predictions share class and frame with another, and only the last written counts"
    return Pitfall("same_frame", n, text, "keeping the best", scene.cost(repaired)) if n else None


def _unknown(scene: _Scene) -> Pitfall | None:
    label_set = scene.pairing.label_set
    unknown = scene.pairing.unknown_labels
    meant = {label: near for label in unknown if (near := label_set.nearest(label)) is not None}
    n = sum(unknown[label] for label in meant)
    if not n:
        return None
    repaired = [
        column_arrays(
            replace(columns, labels=tuple(meant.get(label, label) for label in columns.labels)),
            label_set,
            fps=scene.protocol.fps,
        )
        for columns in scene.pairing.columns
    ]
    label, near = next(iter(meant.items()))
    text = f"{n} predictions have labels that are only like known ones ({label!r} for {near!r}) and are skipped"
    return Pitfall("unknown_label", n, text, "renaming them", scene.cost(repaired))


def _without_team(scene: _Scene) -> Pitfall | None:
    if not any((truths.side() >= 0).any() for truths in scene.pairing.truth_columns):
        return None
    label_set = scene.pairing.label_set
    sides = np.concatenate([spots.side()[spots.label_index(label_set) >= 0] for spots in scene.pairing.columns])
    n = int((sides < 0).sum())
    if not n or n == sides.size:
        return None  # without any team it is no submission to the team task
    sided = [_with_sides(*pair) for pair in zip(scene.pairing.truths, scene.pairing.spots, strict=True)]
    repaired = replace(scene.pairing, files=tuple(SpotFile(columns_of(spots)) for spots in sided))
    now, then = (team_average_precision(pairing, scene.protocol).mean_ap for pairing in (scene.pairing, repaired))
    text = f"{n} of {sides.size} predictions name no left or right team and never count in Team-mAP"
    remedy = "knowing the side of the truth nearest to each (an upper bound)"
    return Pitfall("no_team", n, text, remedy, then - now, "Team-mAP")


def _with_sides(truths: Sequence[Spot], spots: Sequence[Spot]) -> tuple[Spot, ...]:
    """The predictions of one match, those without a side given that of the nearest truth of their class and half."""
    sides: dict[tuple[str, int], list[tuple[int, str]]] = defaultdict(list)
    for truth in sorted(truths, key=lambda spot: spot.position_ms):
        if truth.team in TEAMS:
            sides[truth.label, truth.half].append((truth.position_ms, str(truth.team)))
    completed = []
    for spot in spots:
        known = sides.get((spot.label, spot.half))
        if spot.team not in TEAMS and known:
            after = bisect(known, (spot.position_ms, ""))
            near = min(known[max(after - 1, 0) : after + 1], key=lambda truth: abs(truth[0] - spot.position_ms))
            spot = replace(spot, team=near[1])
        completed.append(spot)
    return tuple(completed)


def ap_of_every_score(pool: Pool, tolerances_s: Sequence[float]) -> np.ndarray:
    """SoccerNet's 11-point AP with every score that occurs as a threshold in place of 200, float64 (n_labels,).

    It is the most that any spreading of the scores, without changing their order within a class, can reach.
    """
    n_truth = np.bincount(pool.truth_label, minlength=pool.n_labels)
    order = np.lexsort((-pool.score, pool.label))
    bounds = np.searchsorted(pool.label[order], np.arange(pool.n_labels + 1))
    ap = np.zeros((len(tolerances_s), pool.n_labels))
    for row, tolerance_s in enumerate(tolerances_s):
        hit = match_truths(pool, tolerance_s)
        is_hit = np.zeros(pool.key.size, dtype=bool)
        is_hit[hit[hit >= 0]] = True
        for index in np.flatnonzero(n_truth):
            members = order[bounds[index] : bounds[index + 1]]
            score = pool.score[members]
            last = np.flatnonzero(np.append(score[1:] != score[:-1], True)[: score.size])
            hits = np.cumsum(is_hit[members])[last]
            best = np.maximum.accumulate((hits / (last + 1))[::-1])[::-1]
            reached = np.searchsorted(hits / n_truth[index], np.arange(11) / 10)
            ap[row, index] = np.append(best, 0.0)[reached].sum() / 11
    return trapezoid_mean(ap)


def _score(arrays: SpotArrays) -> np.ndarray:
    return np.zeros(0) if arrays.score is None else arrays.score


def _half(arrays: SpotArrays) -> np.ndarray:
    return np.ones(arrays.frame.size, dtype=np.int8) if arrays.half is None else arrays.half


def _taken(arrays: SpotArrays, chosen: np.ndarray) -> SpotArrays:
    return SpotArrays(
        arrays.frame[chosen], arrays.label_index[chosen], _score(arrays)[chosen], None, _half(arrays)[chosen]
    )
