"""Everything found wrong with the videos and labels of a data root, one finding a line, nothing raised."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.disk import read_json
from ...cache.errors import BallspotError
from ...evaluate.dataset import MAX_POSITION_MS, LabelSet, Match, why_no_video
from ..video import PyavSource, VideoProbe, probe_video

ERROR, WARNING = "ERROR", "WARNING"
SCORED_FPS = 25
MOST_RATE_APART = 0.01  # of the rate by the usual step from that on average
MOST_ALIKE = 3  # findings that differ in numbers only, each with a line of its own
TEAMS = ("left", "right", "not applicable")
VISIBILITIES = ("visible", "not shown")
GAME_TIME = re.compile(r"([12]) - (\d{1,9}):(\d\d)")


@dataclass(frozen=True)
class Finding:
    """One thing wrong: an ERROR loses data or stops a command, a WARNING is worth a look; `where` names the file."""

    level: str
    match: str
    what: str
    where: str

    def line(self) -> str:
        """`LEVEL match: what (where)`."""
        return f"{self.level} {self.match}: {self.what} ({self.where})"


def lint_matches(
    matches: Sequence[Match], label_set: LabelSet, *, decode: bool = False, with_videos: bool = True
) -> Iterator[Finding]:
    """All findings, match by match, each match's video before its labels; last, what shows between matches.

    With `decode` every frame of every video is decoded; else packets are read and one picture. Without `with_videos`,
    and where no match has a video (labels can be had alone), videos are not asked for.
    """
    has_videos = with_videos and any(match.video is not None for match in matches)
    if with_videos and not has_videos:
        why = next(filter(None, (why_no_video(match.folder) for match in matches)), "").replace(": ", "; ", 1)
        yield Finding(WARNING, "all matches", f"no video: labels alone are checked{why}", f"{len(matches)} matches")
    probes = []
    for match in matches:
        probe = None
        if has_videos:
            probe, found = lint_video(match, decode=decode)
            yield from found
        yield from lint_labels(match, label_set, probe)
        if probe is not None:
            probes.append((match, probe))
    yield from lint_rates(probes)


def lint_video(match: Match, *, decode: bool = False) -> tuple[VideoProbe | None, list[Finding]]:
    """The video's probe, None when it cannot be read, and what is wrong with it."""
    if match.video is None:
        return None, [Finding(ERROR, match.name, f"no video{why_no_video(match.folder)}", str(match.folder))]
    where = match.video.name
    try:
        probe = probe_video(match.video)
    except BallspotError as error:
        return None, [Finding(ERROR, match.name, _without_path(error, match.video), where)]
    found = [Finding(level, match.name, what, where) for level, what in _odd_video(probe)]
    if decode:
        try:
            with PyavSource(probe) as source:
                for _ in source.frames(0, probe.n_frames):
                    pass
        except BallspotError as error:
            found.append(Finding(ERROR, match.name, _without_path(error, match.video), where))
    return probe, found


def lint_labels(match: Match, label_set: LabelSet, probe: VideoProbe | None) -> list[Finding]:
    """What is wrong with a match's label file; without a probe, what depends on the video is left out."""
    if match.labels_path is None:
        return [Finding(WARNING, match.name, f"no {label_set.file}: it can be predicted on only", str(match.folder))]
    path = match.labels_path
    try:
        document = read_json(path)
    except BallspotError as error:
        return [Finding(ERROR, match.name, _without_path(error, path), path.name)]
    entries = document.get("annotations") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        return [Finding(ERROR, match.name, 'no list "annotations"', path.name)]
    numbered = [(n, entry) for n, entry in enumerate(entries, start=1) if _is_of(entry, match.half)]
    odd = [(n, *one) for n, entry in numbered for one in _odd_entry(entry, label_set, probe)]
    odd += [(number, WARNING, what) for number, what in _odd_order(numbered, probe)]
    if match.half is None and probe is not None:
        late = [n for n, entry in numbered if _is_of(entry, 2) and not _is_of(entry, 1)]
        odd += [(n, ERROR, "is of half 2, but the match has one video") for n in late]
    found = [Finding(level, match.name, what, f"{path.name}, {where}") for level, what, where in _summed(odd)]
    if not entries:
        found.append(Finding(WARNING, match.name, "no annotation", path.name))
    return found


def lint_rates(probes: Sequence[tuple[Match, VideoProbe]]) -> list[Finding]:
    """Videos whose frame rate is not the one most matches have."""
    if not probes:
        return []
    (usual, _), *_ = Counter(probe.fps for _, probe in probes).most_common(1)
    return [
        Finding(WARNING, match.name, f"{_rate(probe)} fps, other matches have {float(usual):g}", probe.path.name)
        for match, probe in probes
        if probe.fps != usual
    ]


def _odd_video(probe: VideoProbe) -> Iterator[tuple[str, str]]:
    n_packets = probe.n_frames + probe.n_hidden + probe.n_undecodable + (probe.cut_stamp is not None)
    if probe.n_container_frames > n_packets:
        yield ERROR, f"the container counts {probe.n_container_frames} frames, but holds {n_packets}: cut short?"
    elif 0 < probe.n_container_frames < n_packets:
        yield WARNING, f"the container counts {probe.n_container_frames} frames, but holds {n_packets}"
    if probe.n_hidden:
        yield WARNING, f"an edit list hides {probe.n_hidden} of {n_packets} frames"
    for what in probe.notes():
        yield WARNING, what
    mean = _mean_rate(probe)
    if abs(mean / float(probe.fps) - 1) > MOST_RATE_APART:
        yield (
            ERROR,
            f"{mean:.5g} frames a second on average, {_rate(probe)} by the usual step; labels go by time stamps",
        )
    if probe.fps != SCORED_FPS:
        yield WARNING, f"{_rate(probe)} frames a second; SoccerNet scores at {SCORED_FPS}"


def _mean_rate(probe: VideoProbe) -> float:
    """Frames a second from the first to the last of them."""
    first_us, last_us = probe.frame_times_us(np.array([0, probe.n_frames - 1])).tolist()
    return (probe.n_frames - 1) * 1_000_000 / (last_us - first_us) if last_us > first_us else float(probe.fps)


def _summed(odd: Sequence[tuple[int, str, str]]) -> Iterator[tuple[str, str, str]]:
    """Level, text and place of what is odd about numbered annotations; what repeats is one line with a count.

    More than `MOST_ALIKE` that differ in their numbers only are one line, too, which tells the first.
    """
    kinds: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for number, level, what in odd:
        kinds.setdefault((level, re.sub(r"-?\d+([:.]\d+)*", "#", what)), []).append((number, what))
    for (level, _), of_kind in kinds.items():
        groups: dict[str, list[int]] = {}
        for number, what in of_kind:
            groups.setdefault("" if len(of_kind) > MOST_ALIKE else what, []).append(number)
        for what, numbers in groups.items():
            where = f"annotation {numbers[0]}"
            if len(numbers) > 1:
                alike = "" if what or len({text for _, text in of_kind}) == 1 else "like it "
                where = f"{len(numbers)} annotations {alike}from {numbers[0]} on"
            yield level, what or of_kind[0][1], where


def _odd_entry(entry: Any, label_set: LabelSet, probe: VideoProbe | None) -> Iterator[tuple[str, str]]:
    if not isinstance(entry, dict):
        yield ERROR, f"{_short(entry)} is not an object"
        return
    label, team, visibility = entry.get("label"), entry.get("team"), entry.get("visibility", "visible")
    if not isinstance(label, str):
        yield ERROR, f"label {_short(label)} is not text" if "label" in entry else "no label"
    elif label not in label_set:
        near = label_set.nearest(label)
        yield ERROR, f"unknown label {label!r}" + (f", did you mean {near!r}?" if near else f" in {label_set.name}")
    position_ms = position_of_entry(entry)
    if position_ms is None:
        yield ERROR, f"position {_short(entry.get('position'))} is not a number of milliseconds"
    elif position_ms < 0:
        yield ERROR, f"negative position {position_ms}"
    elif position_ms > MAX_POSITION_MS:
        yield ERROR, f"position {_short(entry.get('position'))} is beyond any video"
        position_ms = None
    elif probe is not None and probe.axis.frame_of(position_ms) >= probe.n_frames:
        yield ERROR, f"{label} at {position_ms} ms is past the end of the video, {1000 * probe.duration_s:.0f} ms"
    yield from _odd_time(entry.get("gameTime"), position_ms)
    if team in (None, ""):
        yield WARNING, "no team"
    elif team not in TEAMS:
        yield WARNING, f"team {_short(team)} is not one of {', '.join(TEAMS)}"
    if visibility not in VISIBILITIES:
        yield ERROR, f"visibility {_short(visibility)} is not one of {', '.join(VISIBILITIES)}"


def _odd_time(game_time: Any, position_ms: int | None) -> Iterator[tuple[str, str]]:
    parts = GAME_TIME.fullmatch(game_time) if isinstance(game_time, str) else None
    if parts is None:
        yield ERROR, f'gameTime {_short(game_time)} is not like "1 - 12:34"'
    elif position_ms is not None and position_ms >= 0:
        seconds = 60 * int(parts[2]) + int(parts[3])
        if not seconds - 1 <= position_ms / 1000 < seconds + 2:  # cut or rounded seconds, either way
            yield WARNING, f"gameTime {game_time!r} contradicts position {position_ms} ms"


def _is_of(entry: Any, half: int | None) -> bool:
    """Whether an annotation is checked with a half: with half 1 also one that says no half."""
    said = entry.get("gameTime") if isinstance(entry, dict) else None
    found = GAME_TIME.match(said) if isinstance(said, str) else None
    return half is None or (1 if found is None else int(found[1])) == half


def _odd_order(entries: list[tuple[int, Any]], probe: VideoProbe | None) -> Iterator[tuple[int, str]]:
    """Entries, numbered from 1, that come before their forerunner, or share a frame with an earlier entry."""
    last_ms = -1
    seen: dict[int, int] = {}
    for number, entry in entries:
        position_ms = position_of_entry(entry) if isinstance(entry, dict) else None
        if position_ms is None or position_ms < 0:
            continue
        if position_ms < last_ms:
            yield number, f"unsorted: {position_ms} ms comes after {last_ms} ms"
        last_ms = position_ms
        if probe is not None:
            frame_index = probe.axis.frame_of(position_ms)
            if frame_index in seen:
                yield number, f"two events in frame {frame_index}, the other is annotation {seen[frame_index]}"
            seen.setdefault(frame_index, number)


def position_of_entry(entry: dict[str, Any]) -> int | None:
    """The milliseconds of an annotation, None when they are missing or not a number."""
    value = entry.get("position")
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return None
    try:
        return int(value)
    except (ValueError, OverflowError):
        return None


def _rate(probe: VideoProbe) -> str:
    return f"{float(probe.fps):.5g}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, default=str).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 40 else f"{text[:37]}..."


def _without_path(error: BallspotError, path: Path) -> str:
    return str(error).removeprefix(f"{path}: ").partition(";")[0]
