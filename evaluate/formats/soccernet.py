"""SoccerNet's files: labels (`Labels-ball.json`, `Labels-v2.json`) and predictions (`results_spotting.json`)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...cache.disk import json_text, parse_json
from ..dataset import Spot, annotation_entries, game_time, labels_in, read_note, spot_entry, spots_in
from .videos import Source, VideoSpots, has_note, odd_keys, unheld

LABEL_KEYS = ("gameTime", "label", "position", "team", "visibility")
SPOT_KEYS = ("gameTime", "label", "position", "half", "confidence", "team")


def read_label_file(content: bytes, source: Source) -> list[VideoSpots]:
    """The one match of a label file; every key that has no place in a spot is noted."""
    document = parse_json(content, source.path)
    entries = annotation_entries(document, Path(source.path))
    spots = labels_in(entries, source.path)
    rest = [{key: value for key, value in one.items() if key != "note" or read_note(one) is None} for one in entries]
    notes = odd_keys([document], ("UrlLocal", "annotations")) + odd_keys(rest, LABEL_KEYS)
    return [VideoSpots(source.match, tuple(spots), notes=notes)]


def write_label_file(videos: Sequence[VideoSpots], fps: float) -> str:
    """The label file of one match; ``fps`` plays no part."""
    (video,) = videos
    return json_text(
        {"UrlLocal": video.name, "UrlYoutube": "", "annotations": [_annotation(one) for one in video.spots]}
    )


def label_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """Labels have no confidence."""
    return unheld(videos, confidences=lambda spot: spot.confidence is not None) + video_losses(videos)


def read_spot_file(content: bytes, source: Source) -> list[VideoSpots]:
    """The one match of a prediction file."""
    document = parse_json(content, source.path)
    spots = spots_in(document, source.path).spots
    notes = odd_keys([document], ("UrlLocal", "predictions")) + odd_keys(document["predictions"], SPOT_KEYS)
    return [VideoSpots(source.match, spots, notes=notes)]


def write_spot_file(videos: Sequence[VideoSpots], fps: float) -> str:
    """The prediction file of one match; a spot without a confidence gets 1."""
    (video,) = videos
    entries = [spot_entry(one, 1.0 if one.confidence is None else one.confidence) for one in video.spots]
    return json_text({"UrlLocal": video.name, "predictions": entries})


def spot_losses(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """Predictions are all visible and all have a confidence."""
    return unheld(
        videos,
        spots_not_shown=lambda spot: not spot.visible,
        spots_without_confidence_written_as_1=lambda spot: spot.confidence is None,
        notes=has_note,
    ) + video_losses(videos)


def video_losses(videos: Sequence[VideoSpots]) -> Counter[str]:
    """SoccerNet's files tell neither frame rate nor length."""
    losses: Counter[str] = Counter()
    losses["frame rates"] = sum(video.fps is not None for video in videos)
    losses["video lengths"] = sum(video.n_frames is not None for video in videos)
    return losses


def _annotation(spot: Spot) -> dict[str, Any]:
    entry = {"gameTime": game_time(spot.half, spot.position_ms), "label": spot.label, "position": str(spot.position_ms)}
    team = {} if spot.team is None else {"team": spot.team}
    note = {} if spot.note is None else {"note": spot.note}
    return {**entry, **team, "visibility": "visible" if spot.visible else "not shown", **note}
