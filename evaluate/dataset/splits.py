"""Which matches train, validate and test: a named match left out, a file, or the published split of SN-BAS.

A split file (``splits.toml`` in the data root, or any other by option)::

    train = ["league/season/match-01", "league/season/match-02"]
    valid = ["league/season/match-03"]
    test = ["league/season/match-04"]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from ...cache.disk import plain_name, read_toml
from ...cache.errors import BallspotError
from .matches import Match, halves_by_match, nearest_match, resolve_match

HOW_TO_SPLIT = "docs/guides/soccernet.md says how"
SPLITS_FILE = "splits.toml"
PARTS = ("train", "valid", "test")
OF_RUN = "the run's"  # where a split comes from that does not say it

SN_BAS: dict[str, tuple[str, ...]] = {  # match folders of SN-BAS-2025, below england_efl/2019-2020
    "train": (
        "2019-10-01 - Leeds United - West Bromwich",
        "2019-10-01 - Hull City - Sheffield Wednesday",
        "2019-10-01 - Brentford - Bristol City",
        "2019-10-01 - Blackburn Rovers - Nottingham Forest",
    ),
    "valid": ("2019-10-01 - Middlesbrough - Preston North End",),
    "test": ("2019-10-01 - Stoke City - Huddersfield Town", "2019-10-01 - Reading - Fulham"),
}


@dataclass(frozen=True)
class Splits:
    """Match names of each part, in the order they were given; ``source`` says where the split comes from.

    ``halves`` are the names of the recordings of each match that has two, which stand for it in every part.
    ``n_folds`` is the number of folds where the test matches are those of one fold, 0 where this is no fold.
    ``drawn`` says how many training matches were drawn of more, 0 where all train.
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    source: str
    halves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    n_folds: int = 0
    drawn: int = 0

    @property
    def by_part(self) -> dict[str, tuple[str, ...]]:
        """The names of each part's recordings, also where it has none."""
        return {part: recordings_of(names, self.halves) for part, names in self.by_match.items()}

    @property
    def by_match(self) -> dict[str, tuple[str, ...]]:
        """The names of each part's matches, whole, also where it has none."""
        return {"train": self.train, "valid": self.valid, "test": self.test}

    def part(self, split: str) -> tuple[str, ...]:
        """The names of the recordings of "train", "valid", "test", or of "all" three in that order.

        Raises BallspotError for another name and for a part without matches.
        """
        if split not in (*PARTS, "all"):
            raise BallspotError(f"unknown split {split!r}; known are {', '.join(PARTS)}, all")
        names = (*self.train, *self.valid, *self.test) if split == "all" else getattr(self, split)
        if not names:
            raise BallspotError(f"split {split!r} has no match ({self.source}); name its matches in a splits file")
        return recordings_of(names, self.halves)


def recordings_of(names: Sequence[str], halves: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    """The names of matches, of those in ``halves`` the names of their recordings."""
    return tuple(one for name in names for one in halves.get(name, (name,)))


def divides(data_root: Path, names: Sequence[str], splits_file: Path | None) -> bool:
    """Whether anything says which of the matches test: a file, or names of SN-BAS among them."""
    of_sn_bas = {folder for folders in SN_BAS.values() for folder in folders}
    beside = splits_file is not None or (data_root / SPLITS_FILE).is_file()
    return beside or any(name.rpartition("/")[2] in of_sn_bas for name in names)


def load_splits(
    data_root: Path, matches: Sequence[Match], *, splits_file: Path | None = None, leave_out: str | None = None
) -> Splits:
    """The split of ``matches``: ``leave_out``, else ``splits_file``, else DATA/splits.toml, else SN-BAS by folder name.

    ``leave_out`` is a match name (or its last folder, where only one match has it): that match tests, the next one
    in sorted order (the first after the last) validates, all others train; it takes at least three matches. With a
    file, matches that it does not name take no part. Of SN-BAS, the parts hold the matches that are there.
    Raises BallspotError when a file names a match that is missing or names one twice, or when no rule applies.
    """
    halves = halves_by_match(matches)
    names = list(dict.fromkeys(match.whole for match in matches))
    return replace(_split(data_root, names, splits_file, leave_out), halves=halves)


@dataclass(frozen=True)
class Fold:
    """One fold of several, counted from 1: whole matches that train, one that validates, and those held out."""

    number: int
    n_folds: int
    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]

    def splits(self, halves: Mapping[str, tuple[str, ...]]) -> Splits:
        """The fold as a split, whose test matches are those that it holds out."""
        source = f"fold {self.number} of {self.n_folds}"
        return Splits(self.train, self.valid, self.test, source, halves, n_folds=self.n_folds)


def deal_folds(n_events: Mapping[str, int], n_folds: int) -> tuple[Fold, ...]:
    """Matches dealt to folds: each is held out by one fold, and events are spread over the folds.

    ``n_events`` are the events of each match, whole. In the order of their events, the most first (by name where they
    have equally many), matches are dealt like cards, there and back again. A fold validates on the match with the most
    events of the next fold, and trains on all others that it does not hold out. Raises BallspotError for fewer than 2
    folds, more folds than matches, fewer than 3 matches, and 2 folds of 3, one of which would train on none.
    """
    names = sorted(n_events, key=lambda name: (-n_events[name], name))
    if not 2 <= n_folds <= len(names) or len(names) < 3 or (n_folds, len(names)) == (2, 3):
        raise BallspotError(
            f"{n_folds} folds of {len(names)} matches cannot be dealt; it takes 2 folds or more, a match or more for "
            "each fold, and, beside those that it holds out, one to validate and one to train on"
        )
    dealt: list[list[str]] = [[] for _ in range(n_folds)]
    for place, name in enumerate(names):
        turn, seat = divmod(place, n_folds)
        dealt[n_folds - 1 - seat if turn % 2 else seat].append(name)
    valid = [dealt[(place + 1) % n_folds][0] for place in range(n_folds)]
    return tuple(
        Fold(
            number=place + 1,
            n_folds=n_folds,
            train=tuple(name for name in sorted(names) if name not in (*held_out, valid[place])),
            valid=(valid[place],),
            test=tuple(sorted(held_out)),
        )
        for place, held_out in enumerate(dealt)
    )


@dataclass(frozen=True)
class TrainDraw:
    """So many of the training matches of a split, drawn by a seed: of one seed, fewer are always among more."""

    n_matches: int
    seed: int

    def of(self, splits: Splits) -> Splits:
        """The split with these training matches alone. Raises BallspotError where it has fewer."""
        if self.n_matches > len(splits.train):
            raise BallspotError(
                f"train_matches = {self.n_matches}: {splits.source} has {len(splits.train)} training matches; "
                "take fewer, or more folds"
            )
        order = sorted(splits.train, key=lambda name: sha256(f"{self.seed} {name}".encode()).digest())
        drawn = set(order[: self.n_matches])
        train = tuple(name for name in splits.train if name in drawn)
        return replace(splits, train=train, drawn=self.n_matches)


def _split(data_root: Path, names: Sequence[str], splits_file: Path | None, leave_out: str | None) -> Splits:
    if leave_out is not None:
        if splits_file is not None:
            raise BallspotError("a splits file and a match to leave out exclude each other; give one of them")
        return _leave_one_out(names, leave_out)
    beside = data_root / SPLITS_FILE
    if splits_file is not None or beside.is_file():
        return _read(splits_file or beside, names)
    parts_of = {folder: part for part, folders in SN_BAS.items() for folder in folders}
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for name in names:
        part = parts_of.get(name.rpartition("/")[2])
        if part is None:
            below = sorted(data_root.glob(f"*/{SPLITS_FILE}"))
            remedy = (
                f"did you mean {below[0].parent}? Else give"
                if below
                else f"write {SPLITS_FILE} ({HOW_TO_SPLIT}), or give"
            )
            raise BallspotError(
                f"{data_root}: no {SPLITS_FILE}, and match {name!r} is not of SN-BAS; {remedy} --splits FILE or "
                "--leave-out MATCH"
            )
        parts[part].append(name)
    return _checked(parts, source="the published split of SN-BAS")


def recorded_splits(record: Mapping[str, Any], place: str) -> Splits:
    """The split that a run's record at ``place`` names, and its source. BallspotError where a part is not there."""
    splits = record.get("splits")
    splits = splits if isinstance(splits, Mapping) else {}
    for part in PARTS:
        names = splits.get(part)
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BallspotError(f"{place}: records no {part} matches; train the run again with this ballspot")
    return Splits(*(tuple(map(plain_name, splits[part])) for part in PARTS), source=str(splits.get("source", OF_RUN)))


def _leave_one_out(names: Sequence[str], leave_out: str) -> Splits:
    ordered = sorted(names)
    test = resolve_match(leave_out, ordered, which="to leave out")
    if len(ordered) < 3:
        raise BallspotError(
            f"leaving {test!r} out takes 3 matches or more (train, valid, test), found {len(ordered)}; add matches"
        )
    valid = ordered[(ordered.index(test) + 1) % len(ordered)]
    train = tuple(name for name in ordered if name not in (test, valid))
    return Splits(train, (valid,), (test,), source=f"leave {test} out")


def _read(path: Path, names: Sequence[str]) -> Splits:
    table = read_toml(path, what="splits file", remedy="it holds lists train, valid, test")
    parts: dict[str, list[str]] = {part: [] for part in PARTS}
    for key, value in table.items():
        if key not in PARTS:
            raise BallspotError(f"{path}: unknown key {key!r}; known are {', '.join(PARTS)}")
        if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
            raise BallspotError(f"{path}: {key} must be a list of match names, found {value!r}")
        value = [plain_name(name) for name in value]
        for place, name in enumerate(value, start=1):
            if name not in names:
                raise BallspotError(
                    f"{path}: entry {place} of {key} is not a match: {name!r}; {nearest_match(name, names)}"
                )
        parts[key] = value
    return _checked(parts, source=str(path))


def _checked(parts: dict[str, list[str]], *, source: str) -> Splits:
    seen: dict[str, str] = {}
    for part, names in parts.items():
        for name in names:
            if name in seen:
                places = f"twice in {part}" if seen[name] == part else f"in {seen[name]} and in {part}"
                raise BallspotError(f"{source}: match {name!r} is {places}; keep it in one place")
            seen[name] = part
    return Splits(*(tuple(parts[part]) for part in PARTS), source=source)
