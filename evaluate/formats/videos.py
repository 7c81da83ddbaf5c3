"""What every format reads into and writes from: the spots of one match, and the two ways of naming its halves."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ...cache.errors import BallspotError
from ..dataset import MAX_POSITION_MS, Spot, brief

DEFAULT_FPS = 25.0


@dataclass(frozen=True)
class VideoSpots:
    """The spots of one match in the order of its file; ``fps`` and ``n_frames`` where the format tells them.

    ``notes`` says what the file held and this does not.
    """

    name: str
    spots: tuple[Spot, ...]
    fps: float | None = None
    n_frames: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """One way of keeping spots in files.

    ``pattern`` is the name of its file in each match folder, None where one file holds all matches. ``read`` takes the
    text of a file, what to call it in errors, and the name of its match (ignored where the file tells names);
    ``write`` gives the text of matches, at a frame rate for those that tell none; ``losses`` counts what it cannot
    hold, by name.
    """

    name: str
    pattern: str | None
    read: Callable[[str, str, str], list[VideoSpots]]
    write: Callable[[Sequence[VideoSpots], float], str]
    losses: Callable[[Sequence[VideoSpots], float], Counter[str]]


def exact_fps(fps: float | None) -> Fraction:
    """The frame rate as a fraction: 29.97 is 30000/1001. 25 where it is None."""
    value = Fraction(DEFAULT_FPS if fps is None else fps)
    ntsc = Fraction(round(value * 1001 / 1000) * 1000, 1001)
    near = ntsc if abs(ntsc - value) < Fraction(1, 200) and value.denominator != 1 else value
    return near.limit_denominator(1001)


def read_fps(value: Any, place: str) -> float | None:
    """A frame rate of a file, None where it has none. Raises BallspotError for what is no rate."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.1 <= value <= 1000:
        raise BallspotError(f"{place}: fps {brief(value)} is not a frame rate of 0.1..1000; correct it")
    return float(value)


def read_count(value: Any, place: str, key: str) -> int:
    """A whole number from 0 of a file. Else BallspotError."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_POSITION_MS:
        raise BallspotError(f"{place}: {key} {brief(value)} is not a whole number from 0; correct it")
    return value


def split_halves(videos: Iterable[VideoSpots]) -> list[VideoSpots]:
    """Matches with a second half as two videos, ``<match>/1`` and ``<match>/2``; others as they are.

    Raises BallspotError where another match has such a name.
    """
    parts = []
    for video in videos:
        if all(spot.half == 1 for spot in video.spots):
            parts.append(video)
            continue
        for half in (1, 2):
            spots = tuple(replace(spot, half=1) for spot in video.spots if spot.half == half)
            parts.append(replace(video, name=f"{video.name}/{half}", spots=spots, n_frames=None))
    twice = next((name for name, n in Counter(part.name for part in parts).items() if n > 1), None)
    if twice is not None:
        raise BallspotError(f"match name {brief(twice)} is also that of a half of another match; rename one of them")
    return parts


def join_halves(videos: Sequence[VideoSpots]) -> list[VideoSpots]:
    """The inverse of `split_halves`: ``<match>/1`` and ``<match>/2`` become one match where both are there.

    Where there is a video ``<match>`` as well, all three stay matches of their own.
    """
    by_name = {video.name: video for video in videos}
    joined = []
    for video in videos:
        match, _, half = video.name.rpartition("/")
        is_half = match and half in ("1", "2") and match not in by_name
        other = by_name.get(f"{match}/{3 - int(half)}") if is_half else None
        if other is None:
            joined.append(video)
        elif half == "1":
            later = tuple(replace(spot, half=2) for spot in other.spots)
            notes = video.notes + other.notes
            joined.append(replace(video, name=match, spots=video.spots + later, n_frames=None, notes=notes))
    return joined


def halves_losses(videos: Sequence[VideoSpots]) -> Counter[str]:
    """What `split_halves` followed by `join_halves` does not give back."""
    names = {video.name for video in videos}
    losses: Counter[str] = Counter()
    losses["matches that read back as halves of one"] = 2 * sum(
        name.endswith("/1") and f"{name[:-1]}2" in names and name[:-2] not in names for name in names
    )
    for video in videos:
        halves = [spot.half for spot in video.spots]
        losses["matches whose order of halves changes"] += halves != sorted(halves)
        losses["video lengths of matches with two halves"] += 2 in halves and video.n_frames is not None
    return losses


def unheld(videos: Sequence[VideoSpots], **tests: Callable[[Spot], bool]) -> Counter[str]:
    """How many spots meet each test, under the test's name with spaces for underscores."""
    counts: Counter[str] = Counter()
    for name, test in tests.items():
        counts[name.replace("_", " ")] = sum(test(spot) for video in videos for spot in video.spots)
    return counts


def odd_keys(entries: Iterable[Mapping[str, Any]], known: Sequence[str], of: str | None = None) -> tuple[str, ...]:
    """A note for each key of entries that is not among the ``known`` ones and has a value.

    ``of`` names what has one entry alone ("video"); else the note counts them.
    """
    counts = Counter(
        key for entry in entries for key, value in entry.items() if key not in known and value not in (None, "", [], {})
    )
    return tuple(
        f"{key!r} of {f'{count} entries' if of is None else f'the {of}'} is not kept"
        for key, count in sorted(counts.items())
    )
