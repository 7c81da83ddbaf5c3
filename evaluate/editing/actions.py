"""What can be done to the labels of a match, each a typed value, and how it is read from JSON."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any

from ...cache.errors import BallspotError
from ..dataset import MAX_POSITION_MS, LabelSet, brief, is_text

MOST_NOTE = 2000  # letters of a note
MOST_TEAM = 100
TIMES = ("position_ms", "from_ms", "to_ms")
MOST_AT_ONCE = 20_000  # spots that one action accepts


@dataclass(frozen=True)
class Accept:
    """A predicted spot becomes a label."""

    label: str
    position_ms: int
    half: int = 1
    team: str | None = None


@dataclass(frozen=True)
class AcceptAll:
    """Several predicted spots become labels; one step to undo."""

    spots: tuple[Accept, ...]


@dataclass(frozen=True)
class Reject:
    """A predicted spot is none: it is kept as decided, and the label file stays as it is."""

    label: str
    position_ms: int
    half: int = 1


@dataclass(frozen=True)
class Watch:
    """A stretch of the video was watched: what happens in it has labels, and the rest of it is nothing.

    The label file stays as it is. A match is finished where its stretches cover it.
    """

    from_ms: int
    to_ms: int
    half: int = 1


@dataclass(frozen=True)
class Add:
    """A label where the model saw none."""

    label: str
    position_ms: int
    half: int = 1
    team: str | None = None


@dataclass(frozen=True)
class Move:
    """The label at place ``entry`` of the file (from 0) happens at another time of its half."""

    entry: int
    position_ms: int


@dataclass(frozen=True)
class SetClass:
    """The label at place ``entry`` is of another class."""

    entry: int
    label: str


@dataclass(frozen=True)
class SetTeam:
    """The label at place ``entry`` is of another team; None for none."""

    entry: int
    team: str | None


@dataclass(frozen=True)
class Delete:
    """The label at place ``entry`` is taken out."""

    entry: int


@dataclass(frozen=True)
class Note:
    """The label at place ``entry`` has a note; an empty text takes it away."""

    entry: int
    text: str


@dataclass(frozen=True)
class Undo:
    """The last step that stands is taken back."""


@dataclass(frozen=True)
class Redo:
    """The last step that was taken back stands again."""


Action = Accept | AcceptAll | Reject | Watch | Add | Move | SetClass | SetTeam | Delete | Note | Undo | Redo

NAMES: Mapping[str, type] = {
    "accept": Accept, "accept all": AcceptAll, "reject": Reject, "watch": Watch, "add": Add, "move": Move,
    "class": SetClass, "team": SetTeam, "delete": Delete, "note": Note, "undo": Undo, "redo": Redo,
}  # fmt: skip
NAME_OF = {kind: name for name, kind in NAMES.items()}


def read_action(record: Any, label_set: LabelSet) -> Action:
    """The action that a JSON object stands for: ``{"do": "move", "entry": 3, "position_ms": 1200}``.

    Strict: raises BallspotError naming the field for an unknown action or field, one that is missing or of another
    type, a label that is not in ``label_set``, a time below 0 or beyond any video, and a half other than 1 and 2.
    """
    if not isinstance(record, dict) or not isinstance(record.get("do"), str) or record["do"] not in NAMES:
        done = record.get("do") if isinstance(record, dict) else record
        raise BallspotError(f'edit: unknown action {brief(done)}; "do" is one of {", ".join(NAMES)}')
    values = {key: value for key, value in record.items() if key != "do"}
    if record["do"] != "accept all":
        return _read(record["do"], values, label_set)
    spots = values.pop("spots", None)
    if values or not isinstance(spots, list) or not 0 < len(spots) <= MOST_AT_ONCE:
        raise BallspotError(f'edit: accept all takes "spots", a list of 1 to {MOST_AT_ONCE} spots, and nothing else')
    if not all(isinstance(one, dict) for one in spots):
        raise BallspotError("edit: accept all: each spot is an object with label and position_ms")
    return AcceptAll(tuple(_read("accept", one, label_set) for one in spots))


def _read(name: str, values: Mapping[str, Any], label_set: LabelSet) -> Any:
    kind = NAMES[name]
    known = {field.name: field for field in fields(kind)}
    for key in values:
        if key not in known:
            raise BallspotError(f"edit: {name} has no field {brief(key)}; it has {', '.join(known) or 'none'}")
    for key, field in known.items():
        if key not in values and field.default is MISSING:
            raise BallspotError(f"edit: {name} needs {key}")
    checked = {key: _checked(name, key, value, label_set) for key, value in values.items()}
    if kind is Watch and checked["from_ms"] >= checked["to_ms"]:
        raise BallspotError(f"edit: watch: from_ms {checked['from_ms']} is not before to_ms {checked['to_ms']}")
    return kind(**checked)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _checked(name: str, key: str, value: Any, label_set: LabelSet) -> Any:
    """One field's value. Raises BallspotError where it cannot be what the field holds."""
    is_whole = _is_whole(value)
    if key == "label":
        if not is_text(value) or value not in label_set:
            said = label_set.unknown(value) if is_text(value) else f"label {brief(value)} is not text"
            raise BallspotError(f"edit: {name}: {said}")
        return label_set.labels[label_set.index(value)]
    if key in TIMES and is_whole and 0 <= value <= MAX_POSITION_MS:
        return value
    if key == "half" and is_whole and value in (1, 2):
        return value
    if key == "entry" and is_whole and value >= 0:
        return value
    if key == "team" and (value is None or (is_text(value) and 0 < len(value) <= MOST_TEAM)):
        return value
    if key == "text" and is_text(value) and len(value) <= MOST_NOTE:
        return value
    wanted = {
        **dict.fromkeys(TIMES, "a whole number of milliseconds from 0"),
        "half": "1 or 2",
        "entry": "the place of a label, from 0",
        "team": f"null or a text of 1 to {MOST_TEAM} letters",
        "text": f"a text of up to {MOST_NOTE} letters",
    }[key]
    raise BallspotError(f"edit: {name}: {key} {brief(value)} is not {wanted}")
