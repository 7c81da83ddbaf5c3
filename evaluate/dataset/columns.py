"""The spots of one file as columns: what 50,000 predictions of a match are checked, counted and scored by."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .labels import TEAMS, Spot
from .labelsets import LabelSet

HALF_S = 120 * 60


@dataclass(frozen=True)
class SpotColumns:
    """The s spots of one file in the order written, a field a column.

    Texts are kept once: ``label`` and ``team`` say which of ``labels`` and ``teams``, -1 for a spot without a team.
    ``confidence`` is NaN where there is none.
    """

    labels: tuple[str, ...]
    teams: tuple[str, ...]
    label: np.ndarray  # int64 (s,)
    team: np.ndarray  # int64 (s,)
    position_ms: np.ndarray  # int64 (s,)
    half: np.ndarray  # int8 (s,)
    visible: np.ndarray  # bool (s,)
    confidence: np.ndarray  # float64 (s,)

    def __len__(self) -> int:
        return self.label.size

    def label_index(self, label_set: LabelSet) -> np.ndarray:
        """The place of each spot's label in ``label_set``, int64 (s,), -1 for an unknown one."""
        places = [label_set.place(label) for label in self.labels]
        return np.array([-1 if place is None else place for place in places], dtype=np.int64)[self.label]

    def side(self) -> np.ndarray:
        """0 left, 1 right, -1 another team or none: int64 (s,)."""
        of_team = [TEAMS.get(team, -1) for team in self.teams]
        return np.array([*of_team, -1], dtype=np.int64)[self.team]  # -1 reads the last, that of no team

    def unknown_labels(self, label_set: LabelSet) -> dict[str, int]:
        """How many spots each label has that is not in ``label_set``."""
        counts = np.bincount(self.label, minlength=len(self.labels))
        return {label: int(n) for label, n in zip(self.labels, counts, strict=True) if label not in label_set}

    def spots(self) -> tuple[Spot, ...]:
        """The spots one by one."""
        labels, teams = self.labels, (*self.teams, None)
        columns = (self.label, self.position_ms, self.half, self.team, self.visible, self.confidence)
        return tuple(
            Spot(labels[label], position_ms, half, teams[team], visible, None if score != score else score)
            for label, position_ms, half, team, visible, score in zip(*(one.tolist() for one in columns), strict=True)
        )


def columns_of(spots: Sequence[Spot]) -> SpotColumns:
    """The columns of ``spots``, which `SpotColumns.spots` gives back."""
    labels, label = numbered([spot.label for spot in spots])
    teams, team = numbered([spot.team for spot in spots])
    return SpotColumns(
        labels=labels,
        teams=teams,
        label=label,
        team=team,
        position_ms=np.array([spot.position_ms for spot in spots], dtype=np.int64),
        half=np.array([spot.half for spot in spots], dtype=np.int8),
        visible=np.array([spot.visible for spot in spots], dtype=bool),
        confidence=np.array([spot.confidence for spot in spots], dtype=np.float64),  # None becomes NaN
    )


def numbered(values: Sequence[Any]) -> tuple[tuple[str, ...], np.ndarray]:
    """The different texts in the order in which they come, and the place of each value among them; None is -1."""
    texts = tuple(value for value in dict.fromkeys(values) if value is not None)
    places: dict[Any, int] = {text: place for place, text in enumerate(texts)}
    places[None] = -1
    return texts, np.fromiter(map(places.__getitem__, values), dtype=np.int64, count=len(values))


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


def column_arrays(columns: SpotColumns, label_set: LabelSet, *, fps: float, sided: bool = False) -> SpotArrays:
    """The spots as the metric reads them, in their order; those with unknown labels are left out.

    ``sided`` keeps only spots of the left or right team, with ``2 * label + side`` for label. ``score`` is None when no
    spot has a confidence, and NaN (never counted) for one that has none among others.
    """
    label_index = columns.label_index(label_set)
    known = label_index >= 0
    if sided:
        side = columns.side()
        known &= side >= 0
        label_index = len(TEAMS) * label_index + side
    confidence = columns.confidence[known]
    has_scores = not confidence.size or not np.isnan(confidence).all()
    return SpotArrays(
        frame=(fps * (columns.position_ms[known].astype(np.float64) / 1000)).astype(np.int64),  # `metric_frame`
        label_index=label_index[known],
        score=confidence if has_scores else None,
        visible=columns.visible[known],
        half=columns.half[known],
    )
