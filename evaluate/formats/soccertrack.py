"""SoccerTrack v2's ball action files, `<match>_12_class_events.json`, as released and as specified.

Source: the data set's `format-bas.md` and tools, read in 2026. Files as first released: ``{"match_id", "fps",
"actions": [{"gameTime", "label", "position", "team", "player_id"}]}``, labels in capitals, `position` in ms on the
match clock, where the second half begins at 45:00; actions of a third period have no half in gameTime, and no video.
In the later release an action has a ``frame`` too, from 1, and `position` counts from the start of its half, as the
specification's ``annotations`` do; all three are read. An action later than a half can last is one of a third period.
Clock and video can be some frames apart: the data set's own table of periods has them, its first files have not.
"""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...cache.disk import json_text, parse_json
from ...cache.errors import BallspotError
from ..dataset import Spot, game_time, half_of, read_confidence, read_label, read_position, read_team, read_visibility
from .videos import DEFAULT_FPS, Source, VideoSpots, has_note, odd_keys, read_fps, unheld

SECOND_HALF_MS = 45 * 60 * 1000
LONGEST_HALF_MS = 60 * 60 * 1000  # the data set's halves last up to 50 minutes
OTHER_PERIOD = re.compile(r"(?!.* - )|[3-9] - ")  # "90:10", without a half, and "3 - 00:10"
KEYS = ("gameTime", "label", "position", "frame", "team", "visibility", "score")


def read_soccertrack(content: bytes, source: Source) -> list[VideoSpots]:
    """The one match of a file, positions from the start of each half, labels in capitals."""
    document = parse_json(content, source.path)
    fields = document if isinstance(document, dict) else {}
    entries = fields.get("actions" if "actions" in fields else "annotations")
    if not isinstance(entries, list):
        raise BallspotError(f'{source}: holds no list "actions"; expected SoccerTrack v2\'s action format')
    fps = read_fps(fields.get("fps"), source.path)
    on_clock = "actions" in fields and not _count_from_halves(entries, fps, source)
    spots = []
    n_other_periods = 0
    for number, entry in enumerate(entries, start=1):
        place = f"{source}: action {number}"
        label = read_label(entry, place)
        if isinstance(entry.get("gameTime"), str) and OTHER_PERIOD.match(entry["gameTime"]):
            n_other_periods += 1
            continue
        spot = _spot(entry, label.upper(), place, on_clock=on_clock)
        if spot.position_ms < LONGEST_HALF_MS:
            spots.append(spot)
        else:
            n_other_periods += 1
    notes = odd_keys(entries, KEYS)
    if n_other_periods:
        notes += (f"{n_other_periods} actions of a period without video are not kept",)
    return [VideoSpots(source.match, tuple(spots), fps=fps, notes=notes)]


def _count_from_halves(entries: list[Any], fps: float | None, source: Source) -> bool:
    """Whether positions count from the start of each half: actions have frames, which do, and positions fit them."""
    has_frames = False
    for number, entry in enumerate(entries, start=1):
        if not isinstance(entry, dict) or not isinstance(entry.get("frame"), int):
            continue
        has_frames = True
        if str(entry.get("gameTime", "")).startswith("2 - "):
            shown_ms = 1000 * (entry["frame"] - 1) / (DEFAULT_FPS if fps is None else fps)
            position_ms = read_position(entry, f"{source}: action {number}")
            return abs(position_ms - shown_ms) <= abs(position_ms - SECOND_HALF_MS - shown_ms)
    return has_frames


def write_soccertrack(videos: Sequence[VideoSpots], fps: float) -> str:
    """The file of one match, as released."""
    (video,) = videos
    actions = [_action(spot) for spot in video.spots]
    return json_text({"match_id": video.name, "fps": fps if video.fps is None else video.fps, "actions": actions})


def soccertrack_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """Labels are in capitals; the length of the video is not told."""
    losses = unheld(
        videos,
        labels_that_are_not_in_capitals=lambda spot: spot.label != spot.label.upper(),
        spots_later_than_a_half_can_last=lambda spot: spot.position_ms >= LONGEST_HALF_MS,
        notes=has_note,
    )
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
