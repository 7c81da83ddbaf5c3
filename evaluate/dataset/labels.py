"""The spots of a match as its annotation file gives them, and their place among the video's frames.

Source of the format: `Labels-ball.json` of SN-BAS, ``{"annotations": [{"gameTime": "1 - 00:01", "label": "PASS",
"position": "1120", "team": "left", "visibility": "visible"}, ...]}``, `position` in ms from the start of the video.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.disk import read_json
from ...cache.errors import BallspotError
from ...cache.times import TimeAxis
from .labelsets import LabelSet

VISIBILITIES = {"visible": True, "not shown": False}
TEAMS = {"left": 0, "right": 1}
MAX_POSITION_MS = 10**12  # 31 years: beyond any video, within int64 and exact floats


@dataclass(frozen=True, slots=True)
class Spot:
    """One (class, time) point, predicted or true; ``position_ms`` counts from the start of its half's video.

    ``note`` is what somebody wrote about it; no part of what it is, so it is not shown with it.
    """

    label: str
    position_ms: int
    half: int = 1
    team: str | None = None
    visible: bool = True
    confidence: float | None = None
    note: str | None = field(default=None, repr=False)  # runs are known by how their labels are shown


@dataclass(frozen=True)
class LabelArrays:
    """The labels of one match as arrays of e events, sorted by frame, events of one frame in order of time.

    ``team`` is 0 left, 1 right, -1 other or unknown. ``n_collisions`` counts the events that share their frame with
    an earlier one (they are kept); ``n_outside`` those past the video's last frame (they are not).
    """

    frame_index: np.ndarray  # int64 (e,)
    label_index: np.ndarray  # int64 (e,)
    team: np.ndarray  # int8 (e,)
    visible: np.ndarray  # bool (e,)
    n_collisions: int
    n_outside: int

    def oddities(self) -> str:
        """How many events share a frame or lie past the end, and what becomes of them; empty where none does."""
        told = (
            (self.n_collisions, ("shares", "share"), "the frame of another (the rarer class is trained)"),
            (self.n_outside, ("lies", "lie"), "past the end (left out)"),
        )
        return ", ".join(f"{n} event{'s' * (n > 1)} {verbs[n > 1]} {rest}" for n, verbs, rest in told if n)


def read_labels(path: Path, label_set: LabelSet, *, in_file_order: bool = False) -> tuple[Spot, ...]:
    """The spots of an annotation file, sorted by half and position (entries of one time keep their order).

    ``in_file_order`` leaves them as written: of two labels of one class and frame the metric takes the last written.
    Strict: raises BallspotError naming the file and the entry (from 1) for an unknown label, a position that is no
    number of milliseconds from 0, a half other than 1 and 2, or a visibility other than "visible" and "not shown".
    """
    spots = labels_in(annotation_entries(read_json(path), path), str(path), label_set)
    return tuple(spots if in_file_order else sorted(spots, key=lambda spot: (spot.half, spot.position_ms)))


def spots_of_half(spots: Iterable[Spot], half: int) -> tuple[Spot, ...]:
    """The spots of one half, as those of a recording of its own: in that their half is 1."""
    return tuple(replace(spot, half=1) for spot in spots if spot.half == half)


def labels_in(entries: Sequence[Any], source: str, label_set: LabelSet | None = None) -> list[Spot]:
    """The spots of parsed annotation entries that ``source`` names, as written. Errors as `read_labels`.

    Without a ``label_set`` any label will do.
    """
    spots = []
    for number, entry in enumerate(entries, start=1):
        place = f"{source}: annotation {number}"
        label = read_label(entry, place)
        if label_set is not None and label not in label_set:
            raise BallspotError(f"{place}: {label_set.unknown(label)}")
        half = half_of(entry.get("gameTime"), place)
        position_ms = read_position(entry, place)
        visible = read_visibility(entry, place)
        spots.append(Spot(label, position_ms, half, read_team(entry), visible, note=read_note(entry)))
    return spots


def read_visibility(entry: dict[str, Any], place: str) -> bool:
    """Whether one entry is "visible" (also when it does not say) rather than "not shown". Else BallspotError."""
    visibility = entry.get("visibility", "visible")
    if not isinstance(visibility, str) or visibility not in VISIBILITIES:
        raise BallspotError(f'{place}: visibility {brief(visibility)} is not "visible" or "not shown"; correct it')
    return VISIBILITIES[visibility]


def annotation_entries(document: Any, path: Path) -> list[Any]:
    """The list under "annotations". Raises BallspotError when the document holds none."""
    entries = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BallspotError(f'{path}: holds no list "annotations"; expected SoccerNet\'s label format')
    return entries


def read_label(entry: Any, place: str) -> str:
    """The label text of one entry of a label or prediction file. Raises BallspotError when there is none."""
    label = entry.get("label") if isinstance(entry, dict) else None
    if not label or not is_text(label):
        found = f"label {brief(label)} is not text" if isinstance(entry, dict) else "is not a JSON object"
        raise BallspotError(f'{place}: {found}; expected {{"gameTime": ..., "label": ..., "position": ...}}')
    return str(label)


def is_text(value: Any) -> bool:
    """Whether a value of a JSON file is text that can be written again: half a surrogate pair cannot."""
    if not isinstance(value, str):
        return False
    return value.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in value)


def read_position(entry: dict[str, Any], place: str) -> int:
    """The position of one entry in whole milliseconds, from text or number; a fraction is cut as SoccerNet cuts it.

    Raises BallspotError when it is missing, no number, negative or absurdly large.
    """
    value = entry.get("position")
    try:
        position_ms = int(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None
    except (ValueError, OverflowError):
        position_ms = None
    if position_ms is None or not 0 <= position_ms <= MAX_POSITION_MS:
        raise BallspotError(f"{place}: position {brief(value)} is not a count of milliseconds from 0; correct it")
    return position_ms


def brief(value: Any) -> str:
    """How a value is shown in an error: its first 40 characters."""
    text = repr(value)
    return text if len(text) <= 40 else text[:40] + "..."


def read_team(entry: dict[str, Any]) -> str | None:
    """The team text of one entry, None where it is missing or no text."""
    team = entry.get("team")
    return team if is_text(team) and team else None


def read_note(entry: dict[str, Any]) -> str | None:
    """The note of one entry, None where it is missing or no text."""
    note = entry.get("note")
    return note if is_text(note) and note else None


def half_of(game_time: Any, place: str) -> int:
    """The half that a gameTime such as "1 - 12:34" begins with."""
    if isinstance(game_time, str) and game_time[:1] in ("1", "2") and not game_time[1:2].isdigit():
        return int(game_time[0])
    raise BallspotError(f'{place}: gameTime {brief(game_time)} does not begin with half 1 or 2 ("1 - 12:34")')


def label_arrays(
    spots: Sequence[Spot], label_set: LabelSet, *, axis: TimeAxis, match: str = "the match"
) -> LabelArrays:
    """The events of one video as arrays sorted by frame; two events in one frame are both kept, and counted.

    An event is in the frame that the video, of the time axis ``axis``, shows at its position. ``spots`` all belong to
    half 1: a match is one video. Raises BallspotError for an unknown label or another half.
    """
    ordered = sorted(spots, key=lambda spot: spot.position_ms)
    for spot in ordered:
        if spot.half != 1:
            raise BallspotError(
                f"{match}: {spot.label} at {spot.position_ms} ms is of half {spot.half}, but a match is one video; "
                "make each half a match of its own"
            )
    frame_index = np.array([axis.frame_of(spot.position_ms) for spot in ordered], dtype=np.int64)
    label_index = np.array([label_set.index(spot.label) for spot in ordered], dtype=np.int64)
    team = np.array([TEAMS.get(spot.team or "", -1) for spot in ordered], dtype=np.int8)
    visible = np.array([spot.visible for spot in ordered], dtype=bool)
    inside = frame_index < axis.n_frames
    kept = frame_index[inside]
    return LabelArrays(
        frame_index=kept,
        label_index=label_index[inside],
        team=team[inside],
        visible=visible[inside],
        n_collisions=int(kept.size - np.unique(kept).size),
        n_outside=int(np.count_nonzero(~inside)),
    )
