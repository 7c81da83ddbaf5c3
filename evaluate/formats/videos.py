"""What every format reads into and writes from: the spots of one match, and the two ways of naming its halves."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ...cache.errors import BallspotError
from ..dataset import MAX_POSITION_MS, Spot, brief

DEFAULT_FPS = 25.0
BEFORE_S, AFTER_S = 5.0, 3.0  # of a span that shows an event: seconds ahead of it and behind
MOST_DIGITS = 30  # of a whole number in text

HALF_NAME = re.compile(r"(?s)(?P<match>.+)/(?P<half>[12])(?P<rest>_[^/]*)?")  # match/1, and SoccerNet's match/1_224p


@dataclass(frozen=True)
class VideoSpots:
    """The spots of one match in the order of its file; ``fps`` and ``n_frames`` where the format tells them.

    ``notes`` says what the file held and this does not, ``remarks`` how it was read where it does not say itself.
    """

    name: str
    spots: tuple[Spot, ...]
    fps: float | None = None
    n_frames: int | None = None
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """Where the bytes of a file come from: its ``path`` as errors name it, the ``match`` that its place means, and how
    to take what it does not tell: ``fps`` frames a second, None where nobody said, and seconds from the beginning of a
    span to its event.
    """

    path: str
    match: str = ""
    fps: float | None = None
    before_s: float = BEFORE_S
    after_s: float = AFTER_S

    def __str__(self) -> str:
        return self.path


def nothing_lost(videos: Sequence[VideoSpots], fps: float) -> Counter[str]:
    """What a format without a writer cannot hold: nobody asks."""
    return Counter()


@dataclass(frozen=True)
class Format:
    """One way of keeping spots in files.

    ``pattern`` is the name of its file in each match folder, None where one file holds all matches; of a format with
    ``is_file_per_match`` the file lies in the folder's place, ``league/match.xml``, and is of one video. ``read`` takes
    the bytes of a file and where they come from; ``write`` gives the text of matches, at a frame rate for those that
    tell none, and is None for a format that is only read; ``losses`` counts what it cannot hold, by name.
    """

    name: str
    pattern: str | None
    read: Callable[[bytes, Source], list[VideoSpots]]
    write: Callable[[Sequence[VideoSpots], float], str] | None = None
    losses: Callable[[Sequence[VideoSpots], float], Counter[str]] = nothing_lost
    is_file_per_match: bool = False


def exact_fps(fps: float | None) -> Fraction:
    """The frame rate as a fraction: 29.97 is 30000/1001. 25 where it is None."""
    value = Fraction(DEFAULT_FPS if fps is None else fps)
    ntsc = Fraction(round(value * 1001 / 1000) * 1000, 1001)
    near = ntsc if abs(ntsc - value) < Fraction(1, 200) and value.denominator != 1 else value
    return near.limit_denominator(1001)


def read_fps(value: Any, place: str) -> float | None:
    """A frame rate of a file, None where it has none or -1, which means the same. BallspotError for others."""
    if value is None or (value == -1 and not isinstance(value, bool)):
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.1 <= value <= 1000:
        raise BallspotError(f"{place}: fps {brief(value)} is not a frame rate of 0.1..1000; correct it")
    return float(value)


def read_count(value: Any, place: str, key: str) -> int:
    """A whole number from 0 of a file, also as text or with zeros behind the point. Else BallspotError."""
    number = _whole(value)
    if number is None or not 0 <= number <= MAX_POSITION_MS:
        raise BallspotError(f"{place}: {key} {brief(value)} is not a whole number from 0; correct it")
    return number


def _whole(value: Any) -> int | None:
    if isinstance(value, str) and len(value) <= MOST_DIGITS:
        try:
            value = float(value) if "." in value else int(value)
        except ValueError:
            return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


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

    So do ``<match>/1_224p`` and ``<match>/2_224p``, or any such ending that both have. Where there is a video
    ``<match>`` as well, all three stay matches of their own.
    """
    by_name = {video.name: video for video in videos}
    joined = []
    for video in videos:
        match, half, other_name = half_of_name(video.name)
        other = by_name.get(other_name) if match not in by_name else None
        if other is None:
            joined.append(video)
        elif half == 1:
            later = tuple(replace(spot, half=2) for spot in other.spots)
            joined.append(
                replace(
                    video,
                    name=match,
                    spots=video.spots + later,
                    n_frames=None,
                    notes=video.notes + other.notes,
                    remarks=video.remarks + other.remarks,
                )
            )
    return joined


def half_of_name(name: str) -> tuple[str, int, str]:
    """The match, the half, and the name of the other half's video, for a name of a half's; else empty, 0, empty."""
    found = HALF_NAME.fullmatch(name)
    if found is None:
        return "", 0, ""
    half = int(found["half"])
    return found["match"], half, f"{found['match']}/{3 - half}{found['rest'] or ''}"


def halves_losses(videos: Sequence[VideoSpots]) -> Counter[str]:
    """What `split_halves` followed by `join_halves` does not give back."""
    names = {video.name for video in videos}
    losses: Counter[str] = Counter()
    for name in names:
        match, _, other = half_of_name(name)
        losses["matches that read back as halves of one"] += other in names and match not in names
    for video in videos:
        halves = [spot.half for spot in video.spots]
        losses["matches whose order of halves changes"] += halves != sorted(halves)
        losses["video lengths of matches with two halves"] += 2 in halves and video.n_frames is not None
    return losses


def has_note(spot: Spot) -> bool:
    """Whether somebody wrote about a spot."""
    return spot.note is not None


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
