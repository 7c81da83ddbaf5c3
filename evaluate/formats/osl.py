"""OSL JSON 2.0 (OpenSportsLab): one file of samples, each with inputs and point events.

Source: OpenSportsLab's format pages, read in 2026: ``{"version": "2.0", "labels": {head: {"type", "labels"}}, "data":
[{"id", "inputs": [{"type", "path", "fps"}], "events": [{"head", "label", "position_ms", "confidence_score"}]}]}``;
older files write "confidence". A sample is one video: the halves of a match are two samples.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from ...cache.disk import json_text, parse_json
from ...cache.errors import BallspotError
from ..dataset import Spot, brief, is_text, read_confidence, read_label
from .videos import VideoSpots, halves_losses, join_halves, odd_keys, read_count, read_fps, split_halves, unheld

HEAD = "ball_action"


SAMPLE_KEYS = ("id", "inputs", "events")


EVENT_KEYS = ("head", "label", "position_ms", "confidence_score", "confidence")


def read_osl(text: str, source: str, name: str) -> list[VideoSpots]:
    """Every sample as a match (or half), named by its id. BallspotError names the file, sample and event."""
    document = parse_json(text, source)
    samples = document.get("data") if isinstance(document, dict) else None
    if not isinstance(samples, list):
        raise BallspotError(f'{source}: holds no list "data"; expected OSL JSON 2.0')
    videos = []
    for number, sample in enumerate(samples, start=1):
        place = f"{source}: sample {number}"
        if not isinstance(sample, dict) or not is_text(sample.get("id")) or not sample["id"]:
            raise BallspotError(f'{place}: has no text "id"; every sample of OSL JSON needs one')
        events, inputs = sample.get("events", []), sample.get("inputs", [])
        if not isinstance(events, list) or not isinstance(inputs, list):
            raise BallspotError(f'{place}: "events" and "inputs" must be lists; correct it')
        spots = tuple(_spot(event, f"{place}, event {n}") for n, event in enumerate(events, start=1))
        rates = [read_fps(one.get("fps"), place) for one in inputs if isinstance(one, dict)]
        heads = {str(event.get("head")) for event in events}
        notes = odd_keys(events, EVENT_KEYS) + odd_keys([sample], SAMPLE_KEYS, "sample")
        if len(heads) > 1:
            notes += (f"which of {len(heads)} heads an event is of is not kept",)
        fps = next((rate for rate in rates if rate is not None), None)
        videos.append(VideoSpots(sample["id"], spots, fps=fps, notes=notes))
    return join_halves(_checked(videos, source))


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
        videos, teams=lambda spot: spot.team is not None, spots_not_shown=lambda spot: not spot.visible
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


def _checked(videos: list[VideoSpots], source: str) -> list[VideoSpots]:
    twice = next((name for name, n in Counter(video.name for video in videos).items() if n > 1), None)
    if twice is not None:
        raise BallspotError(f"{source}: sample id {brief(twice)} comes twice; ids must differ")
    return videos
