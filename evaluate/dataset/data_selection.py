"""The data that a command works on: which matches of a data root, in which parts, with labels of which classes."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from ...cache.disk import nearest_name
from ...cache.errors import BallspotError
from ...cache.terminal import note
from .labels import Spot, read_labels, spots_of_half
from .labelsets import BALL_12, LabelSet
from .matches import Match, find_matches, halves_by_match
from .splits import Fold, Splits, TrainDraw, deal_folds, divides, load_splits, recordings_of


@dataclass(frozen=True)
class DataSelection:
    """A data root, how its matches are divided, and the classes of its labels; what it holds is read when asked for.

    ``splits_file`` and ``leave_out`` are as in `load_splits`. With ``one_video``, for what reads videos or features, a
    match of two halves in two videos is two recordings, each with its own labels (`find_matches`). ``labels_file`` is
    the name of the label files; None means the label set's. ``stored`` are the recordings that there are features of:
    they tell of a match without videos whether it has halves. ``fold`` stands for the split where it is given, and
    ``train_draw`` takes some of its training matches alone.
    """

    data_root: Path
    label_set: LabelSet = BALL_12
    splits_file: Path | None = None
    leave_out: str | None = None
    labels_file: str | None = None
    one_video: bool = False
    stored: frozenset[str] = frozenset()
    fold: Fold | None = None
    train_draw: TrainDraw | None = None

    @property
    def labels_name(self) -> str:
        """The name of the label file in each match folder."""
        return self.labels_file or self.label_set.file

    @cached_property
    def matches(self) -> Mapping[str, Match]:
        """All matches by their names, sorted. Errors as `find_matches`."""
        found = find_matches(self.data_root, labels_file=self.labels_name, one_video=self.one_video)
        return {one.name: one for match in found for one in self._recordings(match)}

    def _recordings(self, match: Match) -> tuple[Match, ...]:
        """The match, or its halves where it has no video and there are features of both."""
        names = [f"{match.name}/{half}" for half in (1, 2)]
        if match.video is not None or match.half is not None or not self.stored.issuperset(names):
            return (match,)
        return tuple(replace(match, name=name, half=half) for half, name in enumerate(names, start=1))

    @cached_property
    def splits(self) -> Splits:
        """The matches of each part. Errors as `load_splits` and `TrainDraw.of`."""
        matches = tuple(self.matches.values())
        if self.fold is not None:
            splits = self.fold.splits(halves_by_match(matches))
        else:
            splits = load_splits(self.data_root, matches, splits_file=self.splits_file, leave_out=self.leave_out)
        return splits if self.train_draw is None else self.train_draw.of(splits)

    def folds(self, n_folds: int, *, with_test: bool = False) -> tuple[Fold, ...]:
        """The matches dealt to folds (`deal_folds`): those that train and validate, with ``with_test`` those that test.

        Where nothing says which matches test, all that have labels are dealt. Raises BallspotError like `load_splits`
        and `deal_folds`, for a match to leave out, and for a match without labels.
        """
        if self.leave_out is not None:
            raise BallspotError("folds and a match to leave out exclude each other; give one of them")
        wholes = list(dict.fromkeys(match.whole for match in self.matches.values()))
        if divides(self.data_root, wholes, self.splits_file):
            parts = self.splits.by_match
            wholes = [name for part in ("train", "valid", *(("test",) if with_test else ())) for name in parts[part]]
        else:
            labelled = {self.matches[name].whole for name in self.labelled()}
            wholes = [name for name in wholes if name in labelled]
        halves = halves_by_match(tuple(self.matches.values()))
        events = {
            whole: sum(len(self.spots_of(self.match(name))) for name in recordings_of([whole], halves))
            for whole in wholes
        }
        return deal_folds(events, n_folds)

    def opened(self) -> Self:
        """The same, with its matches found: what is wrong with the data root is said at once."""
        _ = self.matches
        return self

    def part(self, split: str) -> tuple[str, ...] | None:
        """The names of a part's matches; None for "all" where nothing is asked that divides the matches."""
        if split == "all" and self.splits_file is None and self.leave_out is None:
            return None
        return self.splits.part(split)

    def labelled(self) -> tuple[str, ...]:
        """The names of the matches that have labels. Raises BallspotError where none has."""
        names = tuple(match.name for match in self.matches.values() if match.labels_path is not None)
        if not names:
            raise BallspotError(
                f"{self.data_root}: none of the {len(self.matches)} matches has a {self.labels_name}; add the labels"
            )
        return names

    def match(self, name: str) -> Match:
        """The match of that name. Raises BallspotError, with the nearest name, where there is none."""
        if name not in self.matches:
            near = nearest_name(name, self.matches)
            hint = f"did you mean {near!r}?" if near else "check the data root"
            raise BallspotError(f"{self.data_root}: no match {name!r}; {hint}")
        return self.matches[name]

    def labels_at(self, match: Match) -> Path | None:
        """Where the label file of a match is, or would be."""
        return match.labels_path or match.folder / self.labels_name

    def spots_of(self, match: Match) -> tuple[Spot, ...]:
        """The labels of a match in the order of its file. Raises BallspotError where it has none."""
        return self._spots(match, "", "score other matches")

    def spots_of_split(self, split: str) -> dict[str, tuple[Spot, ...]]:
        """The labels of every match of a part, each in the order of its file. BallspotError where one has none."""
        return {
            name: self._spots(self.matches[name], f" of split {split}", "name other matches with --splits")
            for name in self.splits.part(split)
        }

    def _spots(self, match: Match, where: str, remedy: str) -> tuple[Spot, ...]:
        if match.labels_path is None:
            raise BallspotError(
                f"{match.folder}: match {match.name!r}{where} has no {self.labels_name}; add it, or {remedy}"
            )
        spots = read_labels(match.labels_path, self.label_set, in_file_order=True)
        return spots if match.half is None else spots_of_half(spots, match.half)


def names_to_predict(of_run: Splits, data: DataSelection, split: str) -> tuple[str, ...]:
    """The matches to predict: of the run's own split where the data root has them, else of the data's, which is said.

    A run that knows no matches, as one that was adopted, takes the data's.

    Raises BallspotError where the data's split then names matches that the run was trained or validated on as others.
    """
    root, there = data.data_root, data.matches
    if data.splits_file is not None or data.leave_out is not None or not any(of_run.by_match.values()):
        return data.splits.part(split)
    names = recordings_of(of_run.part(split), halves_by_match(there.values()))
    missing = sorted(set(names) - set(there))
    if not missing:
        return names
    known = {name for part in ("train", "valid") if part != split for name in of_run.by_match[part]}
    seen = sorted(known & set(data.splits.by_match[split])) if split != "all" else []
    if seen:
        raise BallspotError(
            f"{root}: has no {missing[0]!r} of the run's {split} part, and {seen[0]!r} in its own {split} part is one "
            "that the run was trained or validated on; say which matches with --splits"
        )
    note(f"{root}: has no {missing[0]!r} of the run's {split} part; its own split is used ({data.splits.source})")
    return data.splits.part(split)
