"""What a data root holds: frames, duration and events, by match, split and class."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from ...cache.errors import BallspotError
from ...cache.terminal import clock
from ...evaluate.dataset import LabelSet, Match, read_labels, spots_of_half
from ..video import probe_video


@dataclass(frozen=True)
class MatchStats:
    """One match: its frames, rate, and events per class (absent classes have no key)."""

    match: str
    n_frames: int
    fps: Fraction
    duration_s: float
    events: Mapping[str, int]


def match_stats(match: Match, label_set: LabelSet) -> MatchStats:
    """The counts of one match; without labels there are no events. Raises BallspotError without a readable video."""
    if match.video is None:
        raise BallspotError(f"{match.folder}: match {match.name!r} has no video; put one there or remove the folder")
    probe = probe_video(match.video)
    spots = read_labels(match.labels_path, label_set) if match.labels_path else ()
    spots = spots if match.half is None else spots_of_half(spots, match.half)
    return MatchStats(match.name, probe.n_frames, probe.fps, probe.duration_s, Counter(spot.label for spot in spots))


def summary(stats: Sequence[MatchStats], label_set: LabelSet) -> dict[str, Any]:
    """The sums over some matches: `{"matches", "n_frames", "duration_s", "n_events", "events": {label: count}}`.

    Every label of the set has a count, in its order.
    """
    events = {label: sum(match.events.get(label, 0) for match in stats) for label in label_set.labels}
    return {
        "matches": [match.match for match in stats],
        "n_frames": sum(match.n_frames for match in stats),
        "duration_s": round(sum(match.duration_s for match in stats), 3),
        "n_events": sum(events.values()),
        "events": events,
    }


def table_rows(parts: Mapping[str, Mapping[str, Any]], label_set: LabelSet) -> list[list[str]]:
    """The rows of the printed table, one column a part: matches, frames, duration, then events by class and in all."""
    columns = list(parts.values())
    return [
        ["matches", *(str(len(part["matches"])) for part in columns)],
        ["frames", *(str(part["n_frames"]) for part in columns)],
        ["duration", *(clock(part["duration_s"]) for part in columns)],
        *([label, *(str(part["events"][label]) for part in columns)] for label in label_set.labels),
        ["all events", *(str(part["n_events"]) for part in columns)],
        ["events a minute", *(_per_minute(part) for part in columns)],
    ]


def _per_minute(part: Mapping[str, Any]) -> str:
    return f"{60 * part['n_events'] / part['duration_s']:.1f}" if part["duration_s"] else "-"
