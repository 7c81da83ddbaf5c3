"""Predicted spots on disk: SoccerNet's `results_spotting.json`, one file a match."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from types import NoneType
from typing import Any

import numpy as np

from ...cache.disk import parse_json, read_json, write_json
from ...cache.errors import BallspotError
from .columns import SpotColumns, columns_of, numbered
from .labels import MAX_POSITION_MS, Spot, brief, is_text, read_label, read_position, read_team

SPOTS_FILE = "results_spotting.json"
HALVES: dict[str | int, int] = {"1": 1, "2": 2, 1: 1, 2: 2}


@dataclass(frozen=True)
class SpotFile:
    """The predictions of one file in the order they are written, as columns, and what its form lacks.

    ``n_without_half`` entries have no "half" (it was read from gameTime; the official code stops at the first).
    ``found_at`` is the path in its folder or zip when it is not where the official code looks, else None.
    """

    columns: SpotColumns
    n_without_half: int = 0
    found_at: str | None = None

    @cached_property
    def spots(self) -> tuple[Spot, ...]:
        """The predictions one by one."""
        return self.columns.spots()


def write_spots(path: Path, match: str, spots: Sequence[Spot]) -> None:
    """Writes predictions in the given order, whole or not at all; of one class and frame the metric takes the last.

    Raises ValueError for a spot without a finite confidence: that is a caller's mistake, not a user's.
    """
    entries = []
    for spot in spots:
        if spot.confidence is None or not math.isfinite(spot.confidence):
            raise ValueError(f"{spot} has no finite confidence")
        entries.append(spot_entry(spot, spot.confidence))
    write_json(path, {"UrlLocal": match, "predictions": entries})


def spot_entry(spot: Spot, confidence: float) -> dict[str, str]:
    """The entry of one spot in a prediction file, with that confidence."""
    team = {} if spot.team is None else {"team": spot.team}
    return {
        "gameTime": game_time(spot.half, spot.position_ms),
        "label": spot.label,
        "position": str(spot.position_ms),
        "half": str(spot.half),
        "confidence": repr(float(confidence)),
        **team,
    }


def game_time(half: int, position_ms: int) -> str:
    """SoccerNet's clock text, ``1 - 12:34``; minutes go on past 99."""
    minutes, seconds = divmod(position_ms // 1000, 60)
    return f"{half} - {minutes:02d}:{seconds:02d}"


def read_spots(path: Path) -> tuple[Spot, ...]:
    """The predictions of one file in the order they are written; labels are not checked against a label set.

    Raises BallspotError naming the file and the entry (from 1) for a missing or malformed position, half or confidence.
    """
    return spots_in(read_json(path), str(path)).spots


def spots_in_bytes(content: bytes, source: str) -> SpotFile:
    """As `spots_in`, from the bytes of a file that ``source`` names (an entry of a zip file)."""
    return spots_in(parse_json(content, source), source)


def spots_in(document: Any, source: str) -> SpotFile:
    """The predictions of a parsed file that ``source`` names, in their order. Errors as `read_spots`."""
    entries = document.get("predictions") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise BallspotError(f'{source}: holds no list "predictions"; expected SoccerNet\'s results_spotting format')
    columns = _regular_columns(entries)
    if columns is not None:
        return SpotFile(columns)
    spots = []
    n_without_half = 0
    for number, entry in enumerate(entries, start=1):
        place = f"{source}: prediction {number}"
        label = read_label(entry, place)
        position_ms = read_position(entry, place)
        n_without_half += entry.get("half") is None
        spots.append(
            Spot(label, position_ms, _half(entry, place), read_team(entry), True, read_confidence(entry, place))
        )
    return SpotFile(columns_of(spots), n_without_half)


def _regular_columns(entries: list[Any]) -> SpotColumns | None:
    """The columns of entries that all have their keys and values as the format wants them, else None.

    Whatever it takes, reading entry by entry takes too and reads alike, but slower by far; what it does not take may
    be allowed all the same, or is an error that only reading entry by entry can name.
    """
    try:
        labels, positions, halves, confidences = (
            list(map(itemgetter(key), entries)) for key in ("label", "position", "half", "confidence")
        )
        teams = [entry.get("team") for entry in entries]
        if not all(
            set(map(type, values)) <= types
            for values, types in (
                (labels, {str}),
                (positions, {str, int, float}),
                (halves, {str, int}),  # no bool, which equals 1
                (confidences, {str, int, float}),
                (teams, {str, NoneType}),
            )
        ):
            return None
        n = len(entries)
        label_texts, label = numbered(labels)
        team_texts, team = numbered(teams)
        half_of = {half: HALVES[half] for half in set(halves)}
        position_ms = np.fromiter(map(int, positions), dtype=np.int64, count=n)
        confidence = np.fromiter(map(float, confidences), dtype=np.float64, count=n)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError):
        return None
    in_range = not n or (position_ms.min() >= 0 and position_ms.max() <= MAX_POSITION_MS)
    texts_hold = all(text and is_text(text) for text in (*label_texts, *team_texts))
    if not in_range or not texts_hold or not np.isfinite(confidence).all():
        return None
    half = np.fromiter(map(half_of.__getitem__, halves), dtype=np.int8, count=n)
    return SpotColumns(label_texts, team_texts, label, team, position_ms, half, np.ones(n, dtype=bool), confidence)


def _half(entry: dict[str, Any], place: str) -> int:
    """The half, 1 or 2: from "half", else the first character of gameTime; SoccerNet's code drops any other."""
    value = entry.get("half")
    if value is None:
        value = str(entry.get("gameTime", ""))[:1]
    if not isinstance(value, bool) and str(value).strip() in ("1", "2"):
        return int(value)
    raise BallspotError(f'{place}: half {brief(entry.get("half"))} is neither "1" nor "2"; a single video is half "1"')


def read_confidence(entry: dict[str, Any], place: str, key: str = "confidence") -> float:
    """The finite number under ``key``, from text or number. Else BallspotError."""
    value = entry.get(key)
    try:
        confidence = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        confidence = math.nan
    if not math.isfinite(confidence):
        raise BallspotError(f"{place}: {key} {brief(value)} is not a finite number; correct it")
    return confidence
