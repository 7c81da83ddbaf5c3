"""Prediction straight from videos: features are made, scored and forgotten; spots are what stays."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..cache.console import ProgressLine, note
from ..cache.errors import BallspotError
from ..cache.files import make_folder, read_json, whole_file, write_json
from ..cache.hints import path_hint
from ..cache.layout import ORIGINAL
from ..evaluate.formats.table import write_csv
from ..evaluate.formats.videos import VideoSpots
from ..evaluate.matches import LABELS_FILE, PREFERRED_VIDEOS, VIDEO_SUFFIXES
from ..evaluate.predictions import SCORES_FILE
from ..evaluate.spots import SPOTS_FILE, read_spots
from ..temporal.checkpoints import Checkpoint
from ..temporal.match_stream import MatchStream, RowFile, needs_whole_match, scalings_of
from ..temporal.postprocessing import ClassDecoding
from ..temporal.predicting import PredictedMatch, saved_scores, write_prediction
from ..temporal.prediction import MatchScores
from ..temporal.streaming import joined
from .row_maker import RowMaker
from .video import DecodingError, VideoProbe, probe_video, video_bytes

TABLE_FILE = "spots.csv"
VIDEO_FILE = "video.json"


@dataclass(frozen=True)
class GivenVideo:
    """One video to predict; `name` is the folder that its spots get."""

    name: str
    path: Path


def given_videos(paths: Sequence[Path]) -> tuple[GivenVideo, ...]:
    """The videos among files and folders, in order; those of a folder are sorted, hidden ones left out.

    A file is named by its stem, one of a folder by its place below that. In SoccerNet's layout (a folder that holds
    224p.mp4, 720p.mp4, or labels and one video) the match folder is the name, so that its labels fit, and so it is for
    a 224p.mp4 that is itself given. Raises BallspotError for what is missing, a folder without a video, and two videos
    of one name.
    """
    found: dict[str, GivenVideo] = {}
    for path in paths:
        if path.is_dir():
            videos = list(_videos_below(path))
            if not videos:
                endings = ", ".join(sorted(VIDEO_SUFFIXES))
                raise BallspotError(f"{path}: no video in it ({endings}){path_hint(path)}; give another")
        elif path.exists():
            match_name = path.resolve().parent.name if path.name in PREFERRED_VIDEOS else ""
            videos = [GivenVideo(match_name or path.stem or path.name, path)]
        else:
            raise BallspotError(f"{path}: no such video{path_hint(path)}; check the path")
        for video in videos:
            _require_name(video)
            if video.name in found:
                other = found[video.name].path
                if other.resolve() == video.path.resolve():
                    continue
                raise BallspotError(
                    f"{video.path}: would be {video.name!r} as {other} is; give them one at a time, each its own --out"
                )
            found[video.name] = video
    return tuple(found.values())


def _require_name(video: GivenVideo) -> None:
    """Raises BallspotError for a name that cannot be a folder's below another, or no text."""
    try:
        video.name.encode()
    except UnicodeEncodeError as error:
        raise BallspotError(f"{str(video.path)!a}: its name is not UTF-8; rename it") from error
    if any(part in ("", ".", "..") for part in video.name.split("/")):
        raise BallspotError(f"{video.path}: its name without the suffix is {video.name!r}; rename it")


def _videos_below(root: Path) -> Iterator[GivenVideo]:
    folders = [root, *sorted(path for path in root.rglob("*") if path.is_dir())]
    for folder in folders:
        relative = folder.relative_to(root)
        if any(part.startswith(".") for part in relative.parts):
            continue
        try:
            videos = sorted(
                path
                for path in folder.iterdir()
                if path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES and not path.name.startswith(".")
            )
        except OSError as error:
            raise BallspotError(f"{folder}: cannot be listed ({error.strerror}); check its rights") from error
        names = {video.name: video for video in videos}
        of_match = next((names[name] for name in PREFERRED_VIDEOS if name in names), None)
        if of_match is None and len(videos) == 1 and (folder / LABELS_FILE).is_file():
            of_match = videos[0]
        if of_match is not None:
            yield GivenVideo(relative.as_posix() if folder != root else folder.resolve().name, of_match)
        else:
            yield from (GivenVideo((relative / video.stem).as_posix(), video) for video in videos)


def predict_videos(
    checkpoints: Sequence[Checkpoint],
    maker: RowMaker,
    videos: Sequence[GivenVideo],
    *,
    out: Path,
    device: torch.device,
    decoders: Sequence[str],
    tuned: Mapping[str, ClassDecoding] | None = None,
) -> Iterator[PredictedMatch]:
    """Writes ``out/<name>/``: results_spotting.json, scores.npz and spots.csv of each video, and yields it when done.

    A video whose table is there, which is written last, is left alone. One that cannot be decoded
    is tried with the next of the decoders; when none can, the others are still done, and a BallspotError at the end
    says which failed.
    """
    failed = {}
    labels, section = checkpoints[0].description.label_set.labels, checkpoints[0].description.config.prediction
    for video in videos:
        try:
            if is_done(out / video.name, video):
                note(f"{video.name}: was predicted before; remove {out / video.name} to do it again")
                continue
            probe = probe_video(video.path)
            scores = _scored(checkpoints, maker, video, probe, decoders=decoders, out=out, device=device)
            saved = saved_scores(scores, labels, video.name, fps=probe.fps, n_video_frames=probe.n_frames)
            done = write_prediction(out, saved, section, tuned=tuned)
            write_table(out / video.name, video.name, float(probe.fps))
            yield done
        except BallspotError as error:
            failed[video.name] = str(error)
            note(f"{video.name}: {error}")
    if failed:
        what = "; ".join(f"{name}: {text}" for name, text in failed.items())
        rest = f"{len(failed)} of {len(videos)} videos failed, the others are done: " if len(videos) > 1 else ""
        raise BallspotError(rest + what)


def is_done(folder: Path, video: GivenVideo) -> bool:
    """Whether the video's spots are there; else the folder is made the place of this video's.

    Raises BallspotError when the folder is that of another video.
    """
    try:
        said = {"video": video.path.name, "bytes": video_bytes(video.path)}
    except OSError as error:
        raise BallspotError(f"{video.path}: cannot be read ({error.strerror}); check the path") from error
    path = folder / VIDEO_FILE
    if path.is_file() and read_json(path) != said:
        if any((folder / name).exists() for name in (TABLE_FILE, SPOTS_FILE, SCORES_FILE)):
            raise BallspotError(f"{folder}: holds the spots of another {video.path.name}; choose another --out")
        path.unlink()  # of a video that failed, and was mended since
    if not path.is_file():
        make_folder(folder)
        write_json(path, said)
    return (folder / TABLE_FILE).is_file()


def write_table(folder: Path, name: str, fps: float) -> None:
    """Writes the folder's spots as a CSV table beside them, whole or not at all."""
    spots = read_spots(folder / SPOTS_FILE)
    with whole_file(folder / TABLE_FILE) as temporary:
        temporary.write_text(write_csv([VideoSpots(name, spots)], fps), encoding="utf-8", newline="")


def _scored(
    checkpoints: Sequence[Checkpoint],
    maker: RowMaker,
    video: GivenVideo,
    probe: VideoProbe,
    *,
    decoders: Sequence[str],
    out: Path,
    device: torch.device,
) -> MatchScores:
    """The scores of one video by the first of the decoders that can read it."""
    for number, decoder in enumerate(decoders):
        try:
            with ProgressLine(video.name, maker.n_rows(probe), unit="frames") as progress:
                rows = _watched(maker.rows(probe, decoder, match=video.name), progress)
                return score_rows(checkpoints, rows, maker=maker, spill=out, device=device)
        except DecodingError as error:
            if number + 1 == len(decoders):
                raise
            note(f"{video.name}: {error}; trying {decoders[number + 1]}")
    raise ValueError("no decoder was given")


def _watched(rows: Iterator[dict], progress: ProgressLine) -> Iterator[dict]:
    for piece in rows:
        progress.advance(len(piece[ORIGINAL]))
        yield piece


def score_rows(
    checkpoints: Sequence[Checkpoint], rows: Iterator[dict], *, maker: RowMaker, spill: Path, device: torch.device
) -> MatchScores:
    """The mean scores of the heads over rows that arrive piece by piece.

    Heads whose features are scaled by the whole match cannot begin before it has ended: its rows then wait in a file
    without a name in ``spill``.
    """
    if not needs_whole_match(checkpoints):
        return _streamed(checkpoints, rows, maker=maker, device=device, kept=None)
    with RowFile(spill, maker.views) as kept:
        for piece in rows:
            kept.append(piece)
        return _streamed(checkpoints, kept.pieces(), maker=maker, device=device, kept=kept)


def _streamed(
    checkpoints: Sequence[Checkpoint],
    rows: Iterator[dict],
    *,
    maker: RowMaker,
    device: torch.device,
    kept: RowFile | None,
) -> MatchScores:
    stream = MatchStream(
        checkpoints, frame_spacing=maker.stride, device=device, scalings=scalings_of(checkpoints, kept)
    )
    parts = [stream.push(piece) for piece in rows]
    return joined([*parts, stream.finish()])
