"""SoccerTrack v2's ball action files, `<match>_12_class_events.json`, as released and as specified.

Source: the data set's `format-bas.md`, read in 2026. Released files: ``{"match_id", "fps", "actions": [{"gameTime",
"label", "position", "team", "player_id"}]}``, labels in capitals, `position` in ms on the match clock, where the
second half begins at 45:00; actions of a third period have no half in gameTime, and no video. The specification says
``annotations`` with `position` from the start of the half; both are read. Clock and video can be some frames apart:
the data set's own table of periods has them, its action files have not.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...cache.disk import json_text, parse_json
from ...cache.errors import BallspotError
from ..dataset import Spot, game_time, half_of, read_confidence, read_label, read_position, read_team, read_visibility
from .videos import VideoSpots, odd_keys, read_fps, unheld

SECOND_HALF_MS = 45 * 60 * 1000


KEYS = ("gameTime", "label", "position", "team", "visibility", "score")


def read_soccertrack(text: str, source: str, name: str) -> list[VideoSpots]:
    """The one match of a file, positions from the start of each half, labels in capitals."""
    document = parse_json(text, source)
    fields = document if isinstance(document, dict) else {}
    on_clock = "actions" in fields
    entries = fields.get("actions" if on_clock else "annotations")
    if not isinstance(entries, list):
        raise BallspotError(f'{source}: holds no list "actions"; expected SoccerTrack v2\'s action format')
    spots = []
    n_other_periods = 0
    for number, entry in enumerate(entries, start=1):
        place = f"{source}: action {number}"
        label = read_label(entry, place)
        if isinstance(entry.get("gameTime"), str) and " - " not in entry["gameTime"]:
            n_other_periods += 1
            continue
        spots.append(_spot(entry, label.upper(), place, on_clock=on_clock))
    notes = odd_keys(entries, KEYS)
    if n_other_periods:
        notes += (f"{n_other_periods} actions of a period without video are not kept",)
    return [VideoSpots(name, tuple(spots), fps=read_fps(fields.get("fps"), source), notes=notes)]


def write_soccertrack(videos: Sequence[VideoSpots], fps: float) -> str:
    """The file of one match, as released."""
    (video,) = videos
    actions = [_action(spot) for spot in video.spots]
    return json_text({"match_id": video.name, "fps": fps if video.fps is None else video.fps, "actions": actions})


def soccertrack_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """Labels are in capitals; the length of the video is not told."""
    losses = unheld(videos, labels_that_are_not_in_capitals=lambda spot: spot.label != spot.label.upper())
    losses["video lengths"] = sum(video.n_frames is not None for video in videos)
    return losses


def _spot(entry: dict[str, Any], label: str, place: str, *, on_clock: bool) -> Spot:
    half = half_of(entry.get("gameTime"), place)
    position_ms = read_position(entry, place)
    if on_clock and half == 2:
        position_ms -= SECOND_HALF_MS
    if position_ms < 0:
        raise BallspotError(f"{place}: is of half 2, but its position is before 45:00 on the match clock; correct it")
    confidence = None if entry.get("score") is None else read_confidence(entry, place, "score")
    return Spot(label, position_ms, half, read_team(entry), read_visibility(entry, place), confidence)


def _action(spot: Spot) -> dict[str, Any]:
    position_ms = spot.position_ms + (SECOND_HALF_MS if spot.half == 2 else 0)
    action: dict[str, Any] = {
        "gameTime": game_time(spot.half, position_ms),
        "label": spot.label,
        "position": str(position_ms),
    }
    if spot.team is not None:
        action["team"] = spot.team
    if not spot.visible:
        action["visibility"] = "not shown"
    return action if spot.confidence is None else {**action, "score": spot.confidence}
