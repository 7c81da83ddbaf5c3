"""Prediction straight from videos: features are made, scored and forgotten; spots are what stays."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from ...cache.disk import make_folder, read_json, whole_file, write_json
from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL, open_feature_set
from ...cache.terminal import ProgressLine, note
from ...evaluate.dataset import SCORES_FILE, SPOTS_FILE, VIDEO_FILE, Match, is_recorded, read_spots, video_record
from ...evaluate.formats import VideoSpots, write_csv
from ...extract.rows import (
    AUTO_DECODER,
    FIT_FILE,
    BundledFeatures,
    ExtractionError,
    ExtractionJob,
    RowMaker,
    extract_matches,
    gpu_crew,
    project_set,
    save_components,
)
from ...extract.video import VideoProbe, at_rate, probe_video, video_bytes
from ..features import RowFile, open_source
from ..prediction import Ensemble, MatchScores, MatchStream, PredictedMatch, predict_matches, write_prediction
from .videos import GivenVideo

TABLE_FILE = "spots.csv"


class VideoScorer(Protocol):
    """What turns a video into the scores of its rows."""

    def n_rows(self, probe: VideoProbe) -> int:
        """How many rows a video has."""
        ...

    def score(self, probe: VideoProbe, *, match: str, on_rows: Callable[[int], None]) -> MatchScores:
        """The scores of a video; ``on_rows`` is told how many rows were read. DecodingError for a frame that is not
        there.
        """
        ...


@dataclass(frozen=True)
class RowScorer:
    """Heads over the rows of a backbone: what waits for the end of a video waits in ``spill``."""

    ensemble: Ensemble
    maker: RowMaker
    spill: Path
    decoder: str = AUTO_DECODER

    def n_rows(self, probe: VideoProbe) -> int:
        """How many rows a video has."""
        return self.maker.n_rows(probe)

    def score(self, probe: VideoProbe, *, match: str, on_rows: Callable[[int], None]) -> MatchScores:
        """The mean scores of the heads."""
        rows = _watched(self.maker.rows(probe, self.decoder, match=match), on_rows)
        return score_rows(self.ensemble, rows, maker=self.maker, spill=self.spill)


def predict_videos(
    ensemble: Ensemble, scorer: VideoScorer, videos: Sequence[GivenVideo], *, out: Path
) -> Iterator[PredictedMatch]:
    """Writes ``out/<name>/``: results_spotting.json, scores.npz and spots.csv of each video, and yields it when done.

    A video whose table is there, which is written last, is left alone. Where one cannot be decoded, the others are
    still done, and a BallspotError at the end says which failed.
    """
    failed = {}
    for video in videos:
        try:
            if is_done(out / video.name, video):
                note(f"{video.name}: was predicted before; remove {out / video.name} to do it again")
                continue
            own = probe_video(video.path)
            probe = at_rate(own, ensemble.rate)
            if probe is not own:
                note(f"{video.name}: {probe.notes()[-1]}")
            with ProgressLine(video.name, scorer.n_rows(probe), unit="frames") as progress:
                scored = scorer.score(probe, match=video.name, on_rows=progress.advance)
            done = write_prediction(ensemble, out, scored, video.name, axis=probe.axis)
            write_table(out / video.name, video.name, float(own.fps))
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
        n_bytes = video_bytes(video.path)
    except OSError as error:
        raise BallspotError(f"{video.path}: cannot be read ({error.strerror}); check the path") from error
    path = folder / VIDEO_FILE
    there = read_json(path) if path.is_file() else None
    if path.is_file() and not is_recorded(there, video.path, n_bytes):
        if any((folder / name).exists() for name in (TABLE_FILE, SPOTS_FILE, SCORES_FILE)):
            raise BallspotError(f"{folder}: holds the spots of another {video.path.name}; choose another --out")
        path.unlink()  # of a video that failed, and was mended since
    said = video_record(video.path, n_bytes)
    if there != said:  # also where the video was moved since
        write_json(make_folder(folder) / VIDEO_FILE, said)
    return (folder / TABLE_FILE).is_file()


def write_table(folder: Path, name: str, fps: float) -> None:
    """Writes the folder's spots as a CSV table beside them, whole or not at all."""
    spots = read_spots(folder / SPOTS_FILE)
    with whole_file(folder / TABLE_FILE) as temporary:
        temporary.write_text(write_csv([VideoSpots(name, spots)], fps), encoding="utf-8", newline="")


def _watched(rows: Iterator[dict], on_rows: Callable[[int], None]) -> Iterator[dict]:
    for piece in rows:
        on_rows(len(piece[ORIGINAL]))
        yield piece


def score_rows(ensemble: Ensemble, rows: Iterator[dict], *, maker: RowMaker, spill: Path) -> MatchScores:
    """The mean scores of the heads over rows that arrive piece by piece.

    Heads whose features are scaled by the whole match cannot begin before it has ended: its rows then wait in a file
    without a name in ``spill``.
    """
    stream = MatchStream(ensemble, frame_spacing=maker.stride)
    if not ensemble.needs_whole_match:
        return stream.scores(rows)
    with RowFile(spill, maker.views) as waiting:
        for piece in rows:
            stream.fit(piece)
            waiting.append(piece)
        return stream.scores(waiting.pieces())


def predict_keeping(
    ensemble: Ensemble,
    features: Sequence[BundledFeatures],
    videos: Sequence[GivenVideo],
    *,
    folder: Path,
    out: Path,
    weights: str | None = None,
    engine: str | None = None,
) -> Iterator[PredictedMatch]:
    """As `predict_videos`, by way of feature sets in ``folder``, which an interrupted extraction goes on with."""
    matches = [Match(video.name, video.path.parent, video.path, None) for video in videos]
    if len({made.name for made in features}) < len(features):
        raise BallspotError("--keep-features: two of the head's sets have one name; predict without it")
    names = [video.name for video in videos if not is_done(out / video.name, video)]
    matches = [match for match in matches if match.name in names]
    failure: ExtractionError | None = None
    paths = []
    for made in features if matches else ():
        job = made.job(device=ensemble.device, weights=weights, engine=engine)
        job = replace(job, settings=replace(job.settings, fps=ensemble.rate))
        try:
            paths.append(_made(made, matches, folder, job))
        except ExtractionError as error:
            failure, whole = error, {result.match for result in error.results}
            matches = [match for match in matches if match.name in whole]
            if not matches:
                raise
            paths.append(_made(made, matches, folder, job))
    if not paths:
        return
    path_of = {video.name: video.path for video in videos}
    source, names = open_source(paths[0], paths[1:]), [match.name for match in matches]
    for done in predict_matches(ensemble, source, names, out=out):
        write_table(out / done.name, done.name, float(probe_video(path_of[done.name]).fps))
        yield done
    if failure is not None:
        raise failure


def _made(features: BundledFeatures, matches: Sequence[Match], folder: Path, job: ExtractionJob) -> Path:
    """The feature set of these videos, in ``folder``, under the name that it has in training."""
    path = folder / features.name
    if features.spec.decoder is not None:
        raise BallspotError(
            f"--keep-features {folder}: {features.name} is of pictures that a GPU decoded (--decoder "
            f"{features.spec.decoder}); leave it out, and features are made of exact ones and not kept"
        )
    wanted = features.backbone_spec.precision
    if job.spec.precision != wanted:
        raise BallspotError(
            f"--keep-features {folder}: {features.name} is of {wanted}, which cannot be computed here; "
            "leave it out, and features are made and not kept"
        )
    parent = path if features.components is None else folder / f"{features.name}-whole"
    crew = gpu_crew(job) if job.device.type == "cuda" else None
    extract_matches(matches, parent, job, crew=crew, takes_any_rate=True)  # brought to the rate when they are read
    if features.components is None:
        return path
    save_components(features.components, path / FIT_FILE)
    project_set(open_feature_set(parent), features.components, path)
    return path
