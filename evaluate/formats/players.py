"""SoccerNet's player-centric task of 2026 (FOOTPASS): one file of halves, each with events by frame and player.

Source: the task's files, seen in 2026: ``{"keys": ["game_18_H1", ...], "events": {"game_18_H1": [[frame, team, shirt,
class, ...], ...]}}`` at 25 frames a second, frames counted from the start of the game's video; team 0 is left and 1
right, classes count from 1. An event of the truth goes on with whether the player is visible (1) and another number, a
prediction with its score. A truth lies at the start of its frame, as SoccerNet's label files have it, and a prediction
at the middle of its own, as it is written here. A spot has no player, so the format is only read.
"""

from typing import Any

from ...cache.disk import parse_json
from ...cache.errors import BallspotError
from ...cache.times import position_of
from ..dataset import PLAYER_8, TEAMS, Spot, brief, is_text, read_confidence
from .videos import Source, VideoSpots, exact_fps, read_count

FPS, FRAME_MS = 25.0, 40
TRUTH, PREDICTION = 6, 5  # numbers of an event


def read_players(content: bytes, source: Source) -> list[VideoSpots]:
    """Every half as a match of its own, named by its key; BallspotError names the file, key and event."""
    document = parse_json(content, source.path)
    events = document.get("events") if isinstance(document, dict) else None
    if not isinstance(events, dict):
        raise BallspotError(f'{source}: holds no object "events"; expected {{"keys": [...], "events": {{key: [...]}}}}')
    keys = document.get("keys", [])
    if not isinstance(keys, list) or not all(is_text(key) and key for key in [*keys, *events]):
        raise BallspotError(f'{source}: "keys" must be a list of texts; correct it')
    videos = []
    for key in dict.fromkeys([*keys, *events]):
        entries = events.get(key, [])
        if not isinstance(entries, list):
            raise BallspotError(f"{source}: {brief(key)} holds no list of events; correct it")
        spots = tuple(_spot(entry, f"{source}: {key}, event {n}") for n, entry in enumerate(entries, start=1))
        notes = ("which player an event is of, by the shirt's number, is not kept",) if spots else ()
        videos.append(VideoSpots(key, spots, FPS, notes=notes))
    return videos


def _spot(entry: Any, place: str) -> Spot:
    if not isinstance(entry, list) or len(entry) not in (PREDICTION, TRUTH):
        raise BallspotError(
            f"{place}: {brief(entry)} is not [frame, team, shirt, class, score], nor a truth's [frame, team, shirt, "
            "class, visible, number]; correct it"
        )
    frame = read_count(entry[0], place, "frame")
    side, label = read_count(entry[1], place, "team"), read_count(entry[3], place, "class")
    if side not in TEAMS.values():
        raise BallspotError(f"{place}: team {side} is neither 0 (left) nor 1 (right); correct it")
    if not 1 <= label <= len(PLAYER_8):
        raise BallspotError(f"{place}: class {label} is not 1 to {len(PLAYER_8)}; correct it")
    team = next(name for name, number in TEAMS.items() if number == side)
    name = PLAYER_8.labels[label - 1]
    if len(entry) == PREDICTION:
        middle_ms = position_of(frame, exact_fps(FPS))
        return Spot(name, middle_ms, 1, team, confidence=read_confidence({"score": entry[4]}, place, "score"))
    if entry[4] not in (0, 1):
        raise BallspotError(f"{place}: visible {brief(entry[4])} is neither 1 nor 0; correct it")
    return Spot(name, frame * FRAME_MS, 1, team, visible=entry[4] == 1)
