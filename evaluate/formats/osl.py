"""OSL JSON (OpenSportsLab): one file of samples, each with inputs and point events; version 1, too, is read.

Source: OpenSportsLab's format pages and what its programs write, seen in 2026: ``{"version": "2.0", "labels": {head:
{"type", "labels"}}, "data": [{"id", "inputs": [{"type", "path", "fps"}], "events": [{"head", "label", "position_ms",
"confidence_score"}]}]}``; older files write "confidence". SoccerNet's toolkit and annotation program leave out "id" and
write ``position_ms`` as text; a prediction has "frame" and "gameTime" as well. Version 1 has ``"videos": [{"path",
"annotations": [...]}]`` with annotations as in SoccerNet's label files. A sample is one video: the halves of a match
are two samples.
"""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any

from ...cache.disk import json_text, parse_json
from ...cache.errors import BallspotError
from ..dataset import Spot, brief, is_text, labels_in, read_confidence, read_label
from .videos import (
    Source,
    VideoSpots,
    half_of_name,
    halves_losses,
    has_note,
    join_halves,
    odd_keys,
    read_count,
    read_fps,
    split_halves,
    unheld,
)

HEAD = "ball_action"
SAMPLE_KEYS = ("id", "inputs", "events")
EVENT_KEYS = ("head", "label", "position_ms", "confidence_score", "confidence", "frame", "gameTime")
V1_KEYS = ("path", "path_features", "path_video", "annotations")
ANNOTATION_KEYS = ("gameTime", "label", "position", "team", "visibility", "confidence")
ENDING = re.compile(r"\.[A-Za-z0-9]{1,5}$")
WHOLE_VIDEO = re.compile(r"(\d+p|video)")  # a video's name that says nothing of its match: 224p


def read_osl(content: bytes, source: Source) -> list[VideoSpots]:
    """Every sample as a match (or half), named by its id, else by the path of its first input without the ending.

    BallspotError names the file, sample and event.
    """
    document = parse_json(content, source.path)
    if isinstance(document, dict) and "data" not in document and isinstance(document.get("videos"), list):
        return _read_v1(document["videos"], source)
    samples = document.get("data") if isinstance(document, dict) else None
    if not isinstance(samples, list):
        raise BallspotError(f'{source}: holds no list "data"; expected OSL JSON 2.0')
    videos = []
    for number, sample in enumerate(samples, start=1):
        place = f"{source}: sample {number}"
        if not isinstance(sample, dict):
            raise BallspotError(f"{place}: is not a JSON object; correct it")
        events, inputs = sample.get("events", []), sample.get("inputs", [])
        if not isinstance(events, list) or not isinstance(inputs, list):
            raise BallspotError(f'{place}: "events" and "inputs" must be lists; correct it')
        paths = (_name_of(one.get("path")) for one in inputs if isinstance(one, dict))
        name = sample.get("id") or next(filter(None, paths), "")
        if not is_text(name) or not name:
            raise BallspotError(f'{place}: has no text "id" and no "path" of an input, which would name it; add either')
        spots = tuple(_spot(event, f"{place}, event {n}") for n, event in enumerate(events, start=1))
        rates = [read_fps(one.get("fps"), place) for one in inputs if isinstance(one, dict)]
        heads = {str(event.get("head")) for event in events}
        notes = odd_keys(events, EVENT_KEYS) + odd_keys([sample], SAMPLE_KEYS, "sample")
        if len(heads) > 1:
            notes += (f"which of {len(heads)} heads an event is of is not kept",)
        fps = next((rate for rate in rates if rate is not None), None)
        videos.append(VideoSpots(name, spots, fps=fps, notes=notes))
    return join_halves(_checked(videos, source))


def _read_v1(entries: list[Any], source: Source) -> list[VideoSpots]:
    """The videos of a file of version 1: a video a half, whose positions count from its start."""
    videos = []
    for number, entry in enumerate(entries, start=1):
        place = f"{source}: video {number}"
        paths = [entry.get(key) for key in V1_KEYS[:3]] if isinstance(entry, dict) else []
        name = next(filter(None, map(_name_of, paths)), "")
        if not name:
            raise BallspotError(f'{place}: has no "path", which names it; add it')
        annotations = entry.get("annotations", [])
        if not isinstance(annotations, list):
            raise BallspotError(f'{place}: "annotations" must be a list; correct it')
        spots = []
        for at, (spot, one) in enumerate(zip(labels_in(annotations, place), annotations, strict=True), start=1):
            has_score = one.get("confidence") is not None
            confidence = read_confidence(one, f"{place}, annotation {at}") if has_score else None
            half = 1 if half_of_name(name)[1] else spot.half
            spots.append(replace(spot, half=half, confidence=confidence))
        notes = odd_keys(annotations, ANNOTATION_KEYS) + odd_keys([entry], V1_KEYS, "video")
        videos.append(VideoSpots(name, tuple(spots), notes=notes))
    return join_halves(_checked(videos, source))


def _name_of(path: Any) -> str:
    """The name that a video's path gives its match: without the ending, below the folder of all; "" without a path.

    Of a path on somebody's disk the last part; of a video named by its height alone (``match/224p.mp4``) the folder.
    """
    if not is_text(path) or not path:
        return ""
    whole = PureWindowsPath(path) if "\\" in path else PurePosixPath(path)
    parts = [part for part in whole.parts if part not in ("..", whole.anchor)]
    if not parts:
        return ""
    parts[-1] = ENDING.sub("", parts[-1]) or parts[-1]
    if WHOLE_VIDEO.fullmatch(parts[-1]) and len(parts) > 1:
        del parts[-1]
    return parts[-1] if whole.anchor else "/".join(parts)


def write_osl(videos: Sequence[VideoSpots], fps: float) -> str:
    """All matches as one file; a match with two halves becomes two samples, ``<match>/1`` and ``<match>/2``."""
    labels = sorted({spot.label for video in videos for spot in video.spots})
    samples = []
    for video in split_halves(videos):
        rate = fps if video.fps is None else video.fps
        inputs = [{"type": "video", "path": f"{video.name}/224p.mp4", "fps": rate}]
        samples.append({"id": video.name, "inputs": inputs, "events": [_event(spot) for spot in video.spots]})
    return json_text(
        {
            "version": "2.0",
            "date": "",
            "dataset_name": "",
            "description": "",
            "modalities": ["video"],
            "metadata": {},
            "labels": {HEAD: {"type": "single_label", "labels": labels}},
            "data": samples,
        }
    )


def osl_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """Events have no team and no visibility; a sample has a frame rate but no length."""
    losses = unheld(
        videos, teams=lambda spot: spot.team is not None, spots_not_shown=lambda spot: not spot.visible, notes=has_note
    ) + halves_losses(videos)
    losses["video lengths"] = sum(video.n_frames is not None for video in videos)
    losses["video lengths of matches with two halves"] = 0
    return losses


def _spot(event: Any, place: str) -> Spot:
    label = read_label(event, place)
    position_ms = read_count(event.get("position_ms"), place, "position_ms")
    key = "confidence_score" if event.get("confidence_score") is not None else "confidence"
    confidence = None if event.get(key) is None else read_confidence(event, place, key)
    return Spot(label, position_ms, confidence=confidence)


def _event(spot: Spot) -> dict[str, Any]:
    event: dict[str, Any] = {"head": HEAD, "label": spot.label, "position_ms": spot.position_ms}
    return event if spot.confidence is None else {**event, "confidence_score": spot.confidence}


def _checked(videos: list[VideoSpots], source: Source) -> list[VideoSpots]:
    twice = next((name for name, n in Counter(video.name for video in videos).items() if n > 1), None)
    if twice is not None:
        raise BallspotError(
            f"{source}: sample id {brief(twice)} comes twice; ids, or paths where there is none, must differ"
        )
    return videos
