"""A folder of clips, one a predicted spot: planned, cut, and listed in ``clips.csv``; it can be gone on with."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from ...cache.disk import locked_folder, make_folder, read_json, whole_file, write_json
from ...cache.errors import BallspotError
from ...cache.terminal import ProgressLine, note
from ...evaluate.dataset import Match, Spot, spots_of_half
from ...evaluate.exports import Chosen, safe_names
from ...evaluate.formats import VideoSpots
from ..video import DecodingError, VideoProbe, probe_video
from .cuts import Cut, audio_note, container_of, plan_cut, write_cut

FORMAT = "ballspot-clips/1"
INDEX_FILE, SETTINGS_FILE = "clips.csv", "clips.json"

COLUMNS = (
    "file",
    "match",
    "label",
    "team",
    "confidence",
    "position_ms",
    "cut",
    "spot_frame",
    "wanted_frame",
    "start_frame",
    "n_frames",
    "spot_s",
)


@dataclass(frozen=True)
class ClipSettings:
    """What decides the content of a clip, beside its spot: kind of cut, seconds ahead of the spot and behind it."""

    cut: str
    before_s: float
    after_s: float


@dataclass(frozen=True)
class Clip:
    """One clip: its file below the folder, its match and spot, and the frames it is cut from."""

    file: str
    match: str
    spot: Spot
    cut: Cut


@dataclass(frozen=True)
class Plan:
    """All clips in the order of matches and time, the video of each match, what sound is kept, and what to know."""

    clips: tuple[Clip, ...]
    probes: Mapping[str, VideoProbe]
    with_audio: Mapping[str, bool]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Cutting:
    """How many clips there are now, how many of them were there before, and why others could not be cut."""

    n_clips: int
    n_kept: int
    failures: tuple[str, ...]


def plan_clips(chosen: Chosen, matches: Sequence[Match], settings: ClipSettings, *, limit: int | None = None) -> Plan:
    """The clips of chosen spots; with a ``limit`` only so many of each class, those of the highest confidence.

    Spots beyond the end of their video have no clip, which is noted. Raises BallspotError for a match that is not among
    ``matches``, one without a video that can be read, and a spot of a second half of a match that has one video.
    """
    by_name = {match.name: match for match in matches}
    videos = in_recordings(limited(chosen.videos, limit), by_name)
    folders = safe_names(video.name for video in videos)
    names = safe_names({*chosen.classes, *(spot.team for video in videos for spot in video.spots if spot.team)})
    clips: list[Clip] = []
    probes, with_audio, notes = {}, {}, []
    for video in videos:
        probe = probe_match(video, by_name)
        why = audio_note(probe, settings.cut)
        probes[video.name], with_audio[video.name] = probe, why is None
        ending = "mp4" if container_of(probe, settings.cut) == "mp4" else "mkv"
        n_beyond, files = 0, set()
        for spot in video.spots:
            frame = probe.axis.frame_of(spot.position_ms)
            if frame >= probe.n_frames:
                n_beyond += 1
                continue
            team = "" if spot.team is None else f"-{names[spot.team]}"
            file = f"{folders[video.name]}/{names[spot.label]}-{_time(spot.position_ms)}{team}.{ending}"
            if file not in files:  # of one class, time and team one clip, that of the higher confidence
                cut = plan_cut(probe, frame, before_s=settings.before_s, after_s=settings.after_s, how=settings.cut)
                clips.append(Clip(file, video.name, spot, cut))
            files.add(file)
        if n_beyond:
            notes.append(f"{video.name}: {n_beyond} spots lie beyond its {probe.n_frames} frames and have no clip")
        if why is not None:
            notes.append(f"{video.name}: {why}")
    return Plan(tuple(clips), probes, with_audio, tuple(notes))


def in_recordings(videos: Iterable[VideoSpots], by_name: Mapping[str, Match]) -> list[VideoSpots]:
    """The spots of matches by their recordings: of a match that has a video for each half, those of every half."""
    found = []
    for video in videos:
        names = {half: f"{video.name}/{half}" for half in (1, 2)}
        if video.name in by_name or not all(name in by_name for name in names.values()):
            found.append(video)
            continue
        for half, name in names.items():
            found.append(replace(video, name=name, spots=spots_of_half(video.spots, half)))
    return found


def probe_match(video: VideoSpots, by_name: Mapping[str, Match]) -> VideoProbe:
    """The probe of a match's video. Raises BallspotError where there is none, or the match has a second half."""
    match = by_name.get(video.name)
    if match is None:
        raise BallspotError(f"match {video.name!r} has predictions, but is not in --data; check the data root")
    if match.video is None:
        raise BallspotError(
            f"{match.folder}: no video of match {video.name!r}; put it there, or name others by --match"
        )
    late = next((spot for spot in video.spots if spot.half != 1), None)
    if late is not None:
        raise BallspotError(
            f"{video.name}: {late.label} at {late.position_ms} ms is of half {late.half}, but the match is one video; "
            "put a video of each half there, 1_224p.mp4 and 2_224p.mp4"
        )
    return probe_video(match.video)


def limited(videos: Sequence[VideoSpots], limit: int | None) -> list[VideoSpots]:
    """The videos with the ``limit`` spots of each class that have the highest confidence, of all videos together."""
    if limit is None:
        return list(videos)
    ranked = sorted(
        ((-(spot.confidence or 0.0), place, number) for place, video in enumerate(videos)
         for number, spot in enumerate(video.spots))
    )  # fmt: skip
    taken: dict[str, int] = {}
    kept = set()
    for _, place, number in ranked:
        label = videos[place].spots[number].label
        taken[label] = taken.get(label, 0) + 1
        if taken[label] <= limit:
            kept.add((place, number))
    return [
        VideoSpots(video.name, tuple(spot for number, spot in enumerate(video.spots) if (place, number) in kept))
        for place, video in enumerate(videos)
    ]


def cut_clips(plan: Plan, out: Path, settings: ClipSettings) -> Cutting:
    """Cuts every clip of the plan that is not there yet, then lists all of them in ``clips.csv``.

    A clip that cannot be cut does not stop the others. Raises BallspotError when ``out`` holds something else than
    clips of the same settings and videos.
    """
    make_folder(out)
    with locked_folder(out, waits=False):
        _require_same(out, plan, settings)
        rows: list[tuple[object, ...]] = []
        failures: list[str] = []
        n_kept = 0
        with ProgressLine("clips", len(plan.clips), unit="clips") as progress:
            for clip in plan.clips:
                path, probe = out / clip.file, plan.probes[clip.match]
                try:
                    if path.is_file():
                        n_kept += 1
                    else:
                        write_cut(probe, clip.cut, path, how=settings.cut, with_audio=plan.with_audio[clip.match])
                    rows.append(_row(clip, probe, settings, probe_video(path).n_frames))
                except DecodingError as error:
                    failures.append(str(error))
                    note(f"{clip.file}: not cut: {error}")
                progress.advance()
        stream = io.StringIO(newline="")
        writer = csv.writer(stream, lineterminator="\r\n")
        writer.writerows([COLUMNS, *rows])
        with whole_file(out / INDEX_FILE) as temporary:
            temporary.write_text(stream.getvalue(), encoding="utf-8", newline="")
    return Cutting(len(rows), n_kept, tuple(failures))


def _row(clip: Clip, probe: VideoProbe, settings: ClipSettings, n_frames: int) -> tuple[object, ...]:
    spot, cut = clip.spot, clip.cut
    start_us, spot_us = probe.frame_times_us(np.array([cut.start, cut.spot])).tolist()
    where = (clip.file, clip.match, spot.label, spot.team or "", repr(spot.confidence), spot.position_ms)
    return (*where, settings.cut, cut.spot, cut.wanted, cut.start, n_frames, f"{(spot_us - start_us) / 1e6:.3f}")


def _require_same(out: Path, plan: Plan, settings: ClipSettings) -> None:
    """Holds the folder to its settings and to the videos that it has clips of; writes both down."""
    path = out / SETTINGS_FILE
    wanted = {"format": FORMAT, **asdict(settings)}
    videos = {name: {"video": probe.path.name, "bytes": probe.n_bytes} for name, probe in plan.probes.items()}
    if path.is_file():
        there = read_json(path)
        there = there if isinstance(there, dict) else {}
        for key, value in wanted.items():
            if there.get(key) != value:
                raise BallspotError(
                    f"{out}: holds clips with {key} {there.get(key)!r}, not {value!r}; give another --out"
                )
        before = there.get("videos")
        before = before if isinstance(before, dict) else {}
        changed = next((name for name, video in videos.items() if before.get(name, video) != video), None)
        if changed is not None:
            raise BallspotError(f"{out}: holds clips of another video of match {changed!r}; give another --out")
        videos = {**before, **videos}
    elif any(out.iterdir()):
        raise BallspotError(f"{out}: is not empty and holds no {SETTINGS_FILE}; give another --out")
    write_json(path, {**wanted, "videos": videos})


def _time(position_ms: int) -> str:
    seconds, ms = divmod(position_ms, 1000)
    return f"{seconds // 60:03d}m{seconds % 60:02d}s{ms:03d}"
