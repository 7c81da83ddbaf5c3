"""Truths and predictions of the same matches, read once and scored in many ways."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path

from ..dataset import (
    TEAMS,
    DataSelection,
    LabelSet,
    Spot,
    SpotArrays,
    SpotColumns,
    SpotFile,
    column_arrays,
    columns_of,
    open_predictions,
)
from .matching import Pool, pool_spots


@dataclass(frozen=True)
class Pairing:
    """The truths and predictions of each match in turn; ``files`` says how each prediction file was written.

    ``truths`` and ``spots`` keep the order of their files, where of two in one frame the last counts. ``lengths_s``
    are the seconds of the videos, None where they are not known (no ``scores.npz`` beside the spots).
    """

    label_set: LabelSet
    matches: tuple[str, ...]
    truths: tuple[tuple[Spot, ...], ...]
    files: tuple[SpotFile, ...]
    lengths_s: tuple[float | None, ...]

    @property
    def spots(self) -> tuple[tuple[Spot, ...], ...]:
        """The predictions of each match."""
        return tuple(file.spots for file in self.files)

    @property
    def columns(self) -> tuple[SpotColumns, ...]:
        """The predictions of each match as columns."""
        return tuple(file.columns for file in self.files)

    @cached_property
    def truth_columns(self) -> tuple[SpotColumns, ...]:
        """The labels of each match as columns."""
        return tuple(map(columns_of, self.truths))

    @cached_property
    def unknown_labels(self) -> Counter[str]:
        """How many predictions have each label that is not in the label set, in the order in which these come."""
        unknown: Counter[str] = Counter()
        for columns in self.columns:
            unknown.update(columns.unknown_labels(self.label_set))
        return unknown

    @property
    def n_labels(self) -> int:
        """How many labels there are, of all matches."""
        return sum(map(len, self.truths))

    @property
    def n_predictions(self) -> int:
        """How many predictions there are, of all matches, unknown labels included."""
        return sum(len(file.columns) for file in self.files)

    def truth_arrays(self, fps: float, *, sided: bool = False) -> list[SpotArrays]:
        """The labels of each match as the metric reads them at ``fps``; ``sided`` as in `columns.column_arrays`."""
        return [column_arrays(columns, self.label_set, fps=fps, sided=sided) for columns in self.truth_columns]

    def spot_arrays(self, fps: float, *, sided: bool = False) -> list[SpotArrays]:
        """The predictions of each match as the metric reads them at ``fps``."""
        return [column_arrays(columns, self.label_set, fps=fps, sided=sided) for columns in self.columns]

    def pool(self, fps: float, *, sided: bool = False) -> Pool:
        """Truths and predictions ready to be matched at any tolerance; ``sided``: only those of a side, by side."""
        n_labels = len(self.label_set) * (len(TEAMS) if sided else 1)
        return pool_spots(
            self.truth_arrays(fps, sided=sided), self.spot_arrays(fps, sided=sided), n_labels=n_labels, fps=fps
        )


def read_pairing(path: Path, data: DataSelection, matches: Sequence[str] | None = None) -> Pairing:
    """The predictions in folder or zip ``path`` beside the labels of ``data``.

    ``matches`` names the matches to read, None all that have labels. Raises BallspotError naming the match that has no
    labels or no predictions, the file and entry that is malformed.
    """
    predictions = open_predictions(path).among(data.matches)
    names = data.labelled() if matches is None else tuple(matches)
    found = [data.match(name) for name in names]
    return Pairing(
        label_set=data.label_set,
        matches=names,
        truths=tuple(map(data.spots_of, found)),
        files=tuple(map(predictions.read, names)),
        lengths_s=tuple(predictions.video_length(name, fps=25.0) for name in names),
    )


def joined(pairings: Sequence[Pairing]) -> Pairing:
    """Pairings of different matches and one label set as one, its matches in the order of their names."""
    first, *others = pairings
    if not others:
        return first
    rows = sorted(
        (row for one in pairings for row in zip(one.matches, one.truths, one.files, one.lengths_s, strict=True)),
        key=itemgetter(0),
    )
    return Pairing(
        label_set=first.label_set,
        matches=tuple(match for match, _, _, _ in rows),
        truths=tuple(truths for _, truths, _, _ in rows),
        files=tuple(file for _, _, file, _ in rows),
        lengths_s=tuple(length_s for _, _, _, length_s in rows),
    )
