"""Which matches train, validate and test: a named match left out, a file, or the published split of SN-BAS.

A split file (``splits.toml`` in the data root, or any other by option)::

    train = ["league/season/match-01", "league/season/match-02"]
    valid = ["league/season/match-03"]
    test = ["league/season/match-04"]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...cache.disk import plain_name, read_toml
from ...cache.errors import BallspotError
from .matches import Match, halves_by_match, nearest_match, resolve_match

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
    """

    train: tuple[str, ...]
    valid: tuple[str, ...]
    test: tuple[str, ...]
    source: str
    halves: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

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
            raise BallspotError(
                f"{data_root}: no {SPLITS_FILE}, and match {name!r} is not of SN-BAS; write {SPLITS_FILE} there "
                "(README.md says how), or give --splits FILE or --leave-out MATCH"
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
                    f"{path}: entry {place} of {key} is no match: {name!r}; {nearest_match(name, names)}"
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
