"""E2E-Spot's JSON (also T-DEED's): one list of videos, each with events by frame.

Source: the data files of Hong et al. (ECCV 2022): ``[{"video", "num_frames", "fps", "num_events", "events":
[{"frame", "label", "comment"}]}]``, where the comment of SoccerNet's events is ``team; visibility``; predictions are
the same with a ``score`` per event. The halves of a match are the videos ``<match>/1`` and ``<match>/2``.
"""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from ...cache.disk import json_text, parse_json
from ...cache.errors import BallspotError
from ...cache.times import frame_of, position_of
from ..dataset import VISIBILITIES, Spot, brief, is_text, read_confidence, read_label
from .videos import (
    Source,
    VideoSpots,
    exact_fps,
    halves_losses,
    has_note,
    join_halves,
    odd_keys,
    read_count,
    read_fps,
    split_halves,
    unheld,
)

NO_TEAM = "not applicable"
VIDEO_KEYS = ("video", "num_frames", "fps", "num_events", "events")
EVENT_KEYS = ("frame", "label", "comment", "score")


def read_e2e_spot(content: bytes, source: Source) -> list[VideoSpots]:
    """Every video as a match (or half); a frame becomes its middle in ms. BallspotError names file, video and event.

    A video without a rate, or with -1, has that of ``source``; without one there it is refused.
    """
    document = parse_json(content, source.path)
    if not isinstance(document, list):
        raise BallspotError(f"{source}: is not a JSON list of videos; expected E2E-Spot's format")
    videos: list[VideoSpots] = []
    for number, entry in enumerate(document, start=1):
        place = f"{source}: video {number}"
        if not isinstance(entry, dict) or not is_text(entry.get("video")) or not entry["video"]:
            raise BallspotError(f'{place}: has no text "video"; expected {{"video", "num_frames", "fps", "events"}}')
        fps, events = read_fps(entry.get("fps"), place), entry.get("events")
        remarks: tuple[str, ...] = ()
        if fps is None and source.fps is not None:
            fps, remarks = source.fps, (f"its frames are read at {source.fps:g} a second, as asked for",)
        if fps is None:
            raise BallspotError(f"{place}: has no fps, and without it frames have no times; add it, or give --fps RATE")
        if not isinstance(events, list):
            raise BallspotError(f'{place}: holds no list "events"; correct it')
        n_frames = None if entry.get("num_frames") is None else read_count(entry["num_frames"], place, "num_frames")
        spots = tuple(_spot(event, exact_fps(fps), f"{place}, event {n}") for n, event in enumerate(events, start=1))
        notes = odd_keys(events, EVENT_KEYS) + odd_keys([entry], VIDEO_KEYS, "video")
        videos.append(VideoSpots(entry["video"], spots, fps, n_frames, notes, remarks))
    twice = next((one for one, n in Counter(video.name for video in videos).items() if n > 1), None)
    if twice is not None:
        raise BallspotError(f"{source}: video {brief(twice)} comes twice; join its events")
    return join_halves(videos)


def write_e2e_spot(videos: Sequence[VideoSpots], fps: float) -> str:
    """All matches as one file; a length that is not known is written as the last event's frame + 1."""
    entries = []
    for video in split_halves(videos):
        rate = fps if video.fps is None else video.fps
        events = [_event(spot, exact_fps(rate)) for spot in video.spots]
        last = max((event["frame"] for event in events), default=-1)
        entries.append(
            {
                "video": video.name,
                "num_frames": last + 1 if video.n_frames is None else video.n_frames,
                "num_events": len(events),
                "fps": rate,
                "events": events,
            }
        )
    return json_text(entries)


def e2e_spot_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """Times are whole frames; of teams only one text without a semicolon fits the comment."""
    losses = unheld(videos, teams=lambda spot: spot.team is not None and not _holds_team(spot.team), notes=has_note)
    losses += halves_losses(videos)
    for video in videos:
        rate = exact_fps(fps if video.fps is None else video.fps)
        losses["positions moved to the middle of their frame"] += sum(
            position_of(frame_of(spot.position_ms, rate), rate) != spot.position_ms for spot in video.spots
        )
        losses["video lengths written as last frame + 1, not known"] += video.n_frames is None
    return losses


def _holds_team(team: str) -> bool:
    return ";" not in team and team == team.strip() and team != NO_TEAM


def _spot(event: Any, fps: Fraction, place: str) -> Spot:
    label = read_label(event, place)
    frame = read_count(event.get("frame"), place, "frame")
    comment = event.get("comment")
    team, _, visibility = (part.strip() for part in (comment if is_text(comment) else "").partition(";"))
    confidence = None if event.get("score") is None else read_confidence(event, place, "score")
    position_ms = position_of(frame, fps)
    return Spot(
        label,
        position_ms,
        1,
        team if team not in ("", NO_TEAM) else None,
        VISIBILITIES.get(visibility, True),
        confidence,
    )


def _event(spot: Spot, fps: Fraction) -> dict[str, Any]:
    event: dict[str, Any] = {"frame": frame_of(spot.position_ms, fps), "label": spot.label}
    team = spot.team if spot.team is not None and _holds_team(spot.team) else NO_TEAM
    if spot.team is not None or not spot.visible:
        event["comment"] = f"{team}; {'visible' if spot.visible else 'not shown'}"
    return event if spot.confidence is None else {**event, "score": spot.confidence}
