"""Truths and predictions of the same matches, read once and scored in many ways."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...cache.disk import nearest_name
from ...cache.errors import BallspotError
from ..dataset import (
    LABELS_FILE,
    TEAMS,
    LabelSet,
    Match,
    Predictions,
    Spot,
    SpotArrays,
    SpotColumns,
    SpotFile,
    column_arrays,
    columns_of,
    find_matches,
    open_predictions,
    read_labels,
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
        return [column_arrays(one, self.label_set, fps=fps, sided=sided) for one in self.truth_columns]

    def spot_arrays(self, fps: float, *, sided: bool = False) -> list[SpotArrays]:
        """The predictions of each match as the metric reads them at ``fps``."""
        return [column_arrays(one, self.label_set, fps=fps, sided=sided) for one in self.columns]

    def pool(self, fps: float, *, sided: bool = False) -> Pool:
        """Truths and predictions ready to be matched at any tolerance."""
        n_labels = len(self.label_set) * (len(TEAMS) if sided else 1)
        return pool_spots(
            self.truth_arrays(fps, sided=sided), self.spot_arrays(fps, sided=sided), n_labels=n_labels, fps=fps
        )


def read_pairing(
    path: Path,
    *,
    data_root: Path,
    label_set: LabelSet,
    matches: Iterable[str] | None = None,
    labels_file: str = LABELS_FILE,
) -> Pairing:
    """The predictions in folder or zip ``path`` beside the labels below ``data_root``.

    ``matches`` names the matches to read, None all that have labels. Videos play no part.
    Raises BallspotError naming the match that has no labels or no predictions, the file and entry that is malformed.
    """
    predictions = open_predictions(path)
    found = find_matches(data_root, labels_file=labels_file, one_video=False)
    predictions = predictions.among(match.name for match in found)
    chosen = _chosen(found, data_root, matches, labels_file)
    return Pairing(
        label_set=label_set,
        matches=tuple(match.name for match in chosen),
        truths=tuple(read_labels(_labels_path(match, labels_file), label_set, in_file_order=True) for match in chosen),
        files=tuple(predictions.read(match.name) for match in chosen),
        lengths_s=tuple(_length_s(predictions, match.name) for match in chosen),
    )


def joined(pairings: Sequence[Pairing]) -> Pairing:
    """Pairings of different matches and one label set as one, its matches in the order of their names."""
    first, *others = pairings
    if not others:
        return first
    places = sorted((name, part, place) for part, one in enumerate(pairings) for place, name in enumerate(one.matches))
    return Pairing(
        label_set=first.label_set,
        matches=tuple(name for name, _, _ in places),
        truths=tuple(pairings[part].truths[place] for _, part, place in places),
        files=tuple(pairings[part].files[place] for _, part, place in places),
        lengths_s=tuple(pairings[part].lengths_s[place] for _, part, place in places),
    )


def _length_s(predictions: Predictions, match: str) -> float | None:
    return predictions.video_length(match, fps=25.0)


def _chosen(found: Sequence[Match], data_root: Path, names: Iterable[str] | None, labels_file: str) -> list[Match]:
    if names is None:
        labelled = [match for match in found if match.labels_path is not None]
        if not labelled:
            raise BallspotError(f"{data_root}: none of the {len(found)} matches has a {labels_file}; add the labels")
        return labelled
    by_name = {match.name: match for match in found}
    chosen = []
    for name in names:
        if name not in by_name:
            near = nearest_name(name, by_name)
            hint = f"did you mean {near!r}?" if near else "check the data root"
            raise BallspotError(f"{data_root}: no match {name!r}; {hint}")
        chosen.append(by_name[name])
    return chosen


def _labels_path(match: Match, labels_file: str) -> Path:
    if match.labels_path is None:
        raise BallspotError(
            f"{match.folder}: match {match.name!r} has no {labels_file}; add it, or score other matches"
        )
    return match.labels_path
