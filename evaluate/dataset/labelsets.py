"""Which classes there are: label sets are data.

`ball-12`, `player-8` and `soccernet-v2` are built in, others come from TOML files.

A label set file::

    name = "goals-only"
    labels = ["GOAL", "SHOT"]
    headline_excludes = ["SHOT"]   # optional: classes left out of the second, headline mean
    labels_file = "Labels-v2.json" # optional: the label files' name, Labels-ball.json where it is not said
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ...cache.disk import (
    decode_text,
    is_file,
    nearest_name,
    parse_toml,
    plain_name,
    read_content,
    read_toml,
    write_texts,
)
from ...cache.errors import BallspotError

FILE_KEYS = ("name", "labels", "headline_excludes", "labels_file")
LABELS_FILE = "Labels-ball.json"
MOST_LETTERS = 60  # of a class that is added


@dataclass(frozen=True)
class LabelSet:
    """Class names in their order; index 0 is the first action, background is not among them.

    ``headline_excludes`` names the classes that the headline mean leaves out (mAP@10 of ball-12: FREE KICK and GOAL),
    ``file`` is how label files of these classes are called.
    """

    name: str
    labels: tuple[str, ...]
    headline_excludes: tuple[str, ...] = ()
    file: str = LABELS_FILE

    def __len__(self) -> int:
        return len(self.labels)

    def __contains__(self, label: str) -> bool:
        return self.place(label) is not None

    def place(self, label: str) -> int | None:
        """The 0-based place of ``label``, in either form of Unicode, None for one that is not in the set."""
        return self._places.get(plain_name(label))

    @cached_property
    def _places(self) -> dict[str, int]:
        return {plain_name(label): place for place, label in enumerate(self.labels)}

    def index(self, label: str) -> int:
        """The 0-based place of ``label``, background not counted. BallspotError naming the nearest known label."""
        place = self.place(label)
        if place is None:
            raise BallspotError(self.unknown(label))
        return place

    def nearest(self, label: str) -> str | None:
        """The known label most like ``label`` (case does not matter), or None when none is like it."""
        return nearest_name(label, self.labels)

    def unknown(self, label: str) -> str:
        """What to say about a label that is not in the set."""
        near = self.nearest(label)
        hint = f"did you mean {near!r}?" if near else f"known are {', '.join(self.labels)}"
        return f"unknown label {label!r} in label set {self.name!r}; {hint}"

    def as_record(self) -> dict[str, Any]:
        """The label set as a JSON object, which `label_set_of` reads back."""
        of_file = {} if self.file == LABELS_FILE else {"labels_file": self.file}
        names = {"labels": list(self.labels), "headline_excludes": list(self.headline_excludes)}
        return {"name": self.name, **names, **of_file}

    @property
    def in_headline(self) -> tuple[bool, ...]:
        """Whether the headline mean takes in each label."""
        return tuple(label not in self.headline_excludes for label in self.labels)

    @property
    def headline_labels(self) -> tuple[str, ...]:
        """The labels that the headline mean is taken over."""
        return tuple(label for label in self.labels if label not in self.headline_excludes)


BALL_12 = LabelSet(
    name="ball-12",
    labels=(
        "PASS",
        "DRIVE",
        "HEADER",
        "HIGH PASS",
        "OUT",
        "CROSS",
        "THROW IN",
        "SHOT",
        "BALL PLAYER BLOCK",
        "PLAYER SUCCESSFUL TACKLE",
        "FREE KICK",
        "GOAL",
    ),
    headline_excludes=("FREE KICK", "GOAL"),  # 26 and 14 instances in the seven matches of SN-BAS
)

PLAYER_8 = LabelSet(  # SoccerNet's player-centric task of 2026, in the order of its files' numbers
    name="player-8", labels=("DRIVE", "PASS", "CROSS", "THROW IN", "SHOT", "HEADER", "TACKLE", "BLOCK")
)

SOCCERNET_V2 = LabelSet(  # action spotting, in the order of SoccerNet's package (EVENT_DICTIONARY_V2)
    name="soccernet-v2",
    labels=(
        "Penalty",
        "Kick-off",
        "Goal",
        "Substitution",
        "Offside",
        "Shots on target",
        "Shots off target",
        "Clearance",
        "Ball out of play",
        "Throw-in",
        "Foul",
        "Indirect free-kick",
        "Direct free-kick",
        "Corner",
        "Yellow card",
        "Red card",
        "Yellow->red card",
    ),
    file="Labels-v2.json",
)

BUILT_IN = {one.name: one for one in (BALL_12, PLAYER_8, SOCCERNET_V2)}


def load_label_set(name_or_path: str = "ball-12") -> LabelSet:
    """The built-in label set of that name, or the one in that TOML file.

    Raises BallspotError when it is neither, or when the file's content is no label set.
    """
    if name_or_path in BUILT_IN:
        return BUILT_IN[name_or_path]
    path = Path(name_or_path)
    if not is_file(path):
        near = nearest_name(name_or_path, BUILT_IN)
        hint = f"did you mean {near}?" if near else "give one of these"
        raise BallspotError(
            f"--labels {name_or_path}: neither a built-in label set ({', '.join(BUILT_IN)}) nor a file; {hint}"
        )
    table = read_toml(path, remedy="docs/reference/evaluation.md shows such a file")
    for key in table:
        if key not in FILE_KEYS:
            near = nearest_name(key, FILE_KEYS)
            hint = f"did you mean {near!r}?" if near else f"known are {', '.join(FILE_KEYS)}"
            raise BallspotError(f"{path}: unknown key {key!r}; {hint}")
    labels = _names(path, table, "labels")
    excludes = _names(path, table, "headline_excludes", optional=True)
    for label in excludes:
        if label not in labels:
            raise BallspotError(f"{path}: headline_excludes names {label!r}, which is not in labels; remove or add it")
    if len(excludes) == len(labels):
        raise BallspotError(f"{path}: headline_excludes names every label; leave at least one in")
    name = table.get("name", path.stem)
    if not isinstance(name, str) or not name:
        raise BallspotError(f"{path}: name must be a text, found {name!r}")
    file = table.get("labels_file", LABELS_FILE)
    if not isinstance(file, str) or not file or "/" in file:
        raise BallspotError(f"{path}: labels_file must be the name of a file, found {file!r}")
    return LabelSet(name=name, labels=labels, headline_excludes=excludes, file=file)


def add_label(path: Path, label: str) -> LabelSet:
    """Adds a class to the end of the label set in a TOML file, whose comments and layout stay; the new set.

    Raises BallspotError for a name that is none or is there already, and where the file does not take it.
    """
    label_set = load_label_set(str(path))
    if not label or len(label) > MOST_LETTERS or not label.isprintable():
        raise BallspotError(f"{path}: {label[:40]!r} is not a name of a class: 1 to {MOST_LETTERS} letters")
    if label in label_set:
        raise BallspotError(f"{path}: has a class {label!r} already")
    path = path.resolve()  # a link stays one
    text = decode_text(read_content(path), str(path))
    quoted = json.dumps(label, ensure_ascii=False)
    wanted = {**parse_toml(text), "labels": [*label_set.labels, label]}
    for bracket in re.finditer(r"\]", text):
        for piece in (f", {quoted}", f" {quoted}"):  # behind a last comma there is no other
            changed = text[: bracket.start()].rstrip() + piece + text[bracket.start() :]
            if _is_toml_of(changed, wanted):
                write_texts({path: changed})
                return load_label_set(str(path))
    raise BallspotError(f"{path}: its labels are written in a way that no class can be added to; add {label!r} by hand")


def _is_toml_of(text: str, table: dict[str, Any]) -> bool:
    try:
        return parse_toml(text) == table
    except ValueError:
        return False


def label_set_of(record: Mapping[str, Any], place: str) -> LabelSet:
    """The label set that a run's record at ``place`` names: ``label_set`` and ``labels``. Else BallspotError.

    ``label_set`` is a name, with the classes in ``labels`` and those that the headline mean leaves out in
    ``headline_excludes`` (older runs record none), or an object as `LabelSet.as_record` gives it.
    """
    value = record.get("label_set")
    fields = value if isinstance(value, Mapping) else {**record, "name": value}
    name, labels, excludes = fields.get("name"), fields.get("labels"), fields.get("headline_excludes", [])
    built_in = BUILT_IN.get(name) if isinstance(name, str) else None
    if built_in is not None and (labels is None or labels == list(built_in.labels)):
        return built_in
    if (
        not isinstance(name, str)
        or not (isinstance(labels, list) and labels and all(isinstance(one, str) for one in labels))
        or not isinstance(excludes, list)
    ):
        raise BallspotError(f"{place}: records no label set; train the run again with this ballspot")
    return LabelSet(name, tuple(labels), tuple(map(str, excludes)), str(fields.get("labels_file", LABELS_FILE)))


def _names(path: Path, table: dict[str, object], key: str, *, optional: bool = False) -> tuple[str, ...]:
    value = table.get(key, [] if optional else None)
    if not isinstance(value, list) or not (value or optional) or not all(isinstance(n, str) and n for n in value):
        raise BallspotError(f"{path}: {key} must be a list of class names, found {value!r}")
    plain = [plain_name(name) for name in value]
    twice = next((name for place, name in enumerate(plain) if name in plain[:place]), None)
    if twice is not None:
        raise BallspotError(f"{path}: {key} names {twice!r} twice; remove one")
    return tuple(value)
