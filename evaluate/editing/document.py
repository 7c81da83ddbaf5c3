"""A label file as it is edited: what is not known here is kept, and so are order, indentation and line ends."""

import json
import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from ...cache.disk import decode_text, parse_json
from ...cache.errors import BallspotError
from ..dataset import Spot, annotation_entries, game_time, labels_in

Entry = dict[str, Any]
INDENT = re.compile(r"^[{\[]\r?\n([ \t]+)\S")


@dataclass(frozen=True)
class Style:
    """How a JSON file is laid out: the indent of a level, whether letters are escaped, what ends its lines."""

    indent: str | None = " "
    escapes: bool = False
    line_end: str = "\n"
    last: str = "\n"


@dataclass(frozen=True)
class LabelDocument:
    """A parsed label file: the whole object, its entries in their order, and the spots of them; labels of any set."""

    whole: Mapping[str, Any]
    entries: tuple[Entry, ...]
    spots: tuple[Spot, ...]
    style: Style = field(default=Style())

    @classmethod
    def read(cls, content: bytes, source: str) -> "LabelDocument":
        """The document in a file's bytes. Raises BallspotError where it is no label file."""
        text = decode_text(content, source).removeprefix("\ufeff")
        whole = parse_json(text, source)
        entries = annotation_entries(whole, Path(source))
        spots = labels_in(entries, source)  # what cannot be read cannot be corrected by its time and class
        return cls(whole, tuple(entries), tuple(spots), _style(text))

    @classmethod
    def blank(cls, match: str) -> "LabelDocument":
        """The file of a match that has no labels yet."""
        return cls({"UrlLocal": match, "UrlYoutube": "", "annotations": []}, (), ())

    def text(self) -> str:
        """The file's text; that of a document that was only read is the same JSON value in the same layout."""
        style, whole = self.style, {**self.whole, "annotations": list(self.entries)}
        try:
            made = json.dumps(whole, indent=style.indent, ensure_ascii=style.escapes)
            made.encode()
        except UnicodeEncodeError:  # half a surrogate pair, which only an escape can hold
            made = json.dumps(whole, indent=style.indent)
        return made.replace("\n", style.line_end) + style.last

    def changed(self, changes: "Sequence[Change]") -> "LabelDocument":
        """The document after changes, one after the other. Raises ValueError for one that does not fit."""
        entries, spots = list(self.entries), list(self.spots)
        for change in changes:
            change.make(entries)
            try:  # only what is new is read: a step in a file of thousands is to take no time
                change.put(spots, labels_in([] if change.after is None else [change.after], "the change"))
            except BallspotError as error:
                raise ValueError(str(error)) from error
        return replace(self, entries=tuple(entries), spots=tuple(spots))

    def places_for(self, new: Sequence[Spot]) -> list[int]:
        """Where each new label goes: behind the last one that is not later."""
        times = sorted((one.half, one.position_ms, place) for place, one in enumerate(self.spots, start=1))
        behind = list(accumulate((place for *_, place in times), max, initial=0))
        return [behind[bisect_right(times, (one.half, one.position_ms, math.inf))] for one in new]


@dataclass(frozen=True)
class Change:
    """What becomes of the entry at one place: ``before`` is None where one comes in, ``after`` where one goes."""

    at: int
    before: Entry | None
    after: Entry | None

    @property
    def inverse(self) -> "Change":
        """The change that takes this one back."""
        return Change(self.at, self.after, self.before)

    def make(self, entries: list[Entry]) -> None:
        """Changes the list. Raises ValueError where it is not what the change was made of."""
        there = entries[self.at] if 0 <= self.at < len(entries) else None
        if not 0 <= self.at <= len(entries) or (self.before is not None and not _is_same(there, self.before)):
            raise ValueError(f"a change at {self.at} does not fit")
        self.put(entries, [] if self.after is None else [self.after])

    def put(self, items: list[Any], new: Sequence[Any]) -> None:
        """Puts ``new`` in a list of one item an entry where this change puts its entry."""
        items[self.at : self.at + (self.before is not None)] = new

    def as_record(self) -> dict[str, Any]:
        """The change as a JSON object."""
        return {"at": self.at, "before": self.before, "after": self.after}

    @classmethod
    def of_record(cls, record: Any) -> "Change":
        """The change that a JSON object stands for. Raises ValueError for another value."""
        at, before, after = (record[key] for key in ("at", "before", "after"))
        sides = (before, after)
        if (
            type(at) is not int
            or not all(one is None or isinstance(one, dict) for one in sides)
            or sides == (None,) * 2
        ):
            raise ValueError("no change")
        return cls(at, before, after)


def _is_same(there: Entry | None, entry: Entry) -> bool:
    return there == entry or json.dumps(there) == json.dumps(entry)  # NaN, which JSON has not, is no NaN's equal


def new_entry(spot: Spot) -> Entry:
    """The entry of a label that was added."""
    team = {} if spot.team is None else {"team": spot.team}
    head = {"gameTime": game_time(spot.half, spot.position_ms), "label": spot.label, "position": str(spot.position_ms)}
    return {**head, **team, "visibility": "visible"}


def moved_entry(entry: Entry, half: int, position_ms: int) -> Entry:
    """An entry at another time; a position that was a number stays one."""
    position = str(position_ms) if isinstance(entry.get("position"), str) else position_ms
    return {**entry, "gameTime": game_time(half, position_ms), "position": position}


def _style(text: str) -> Style:
    found = INDENT.match(text.lstrip())
    line_end = "\r\n" if "\r\n" in text else "\n"
    last = line_end if text.endswith("\n") else ""
    return Style(found[1] if found else None, text.isascii(), line_end, last)


def read_document(path: Path, match: str) -> tuple[LabelDocument, bytes | None]:
    """The document at ``path`` and its bytes; a blank one and None where there is no file."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return LabelDocument.blank(match), None
    except OSError as error:
        raise BallspotError(f"{path}: cannot be read ({error.strerror}); check its rights") from error
    return LabelDocument.read(content, str(path)), content
