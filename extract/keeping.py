"""Prediction of videos whose features are kept: extracted into feature sets first, then predicted from these."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch

from ..cache.errors import BallspotError
from ..cache.sets import open_feature_set
from ..evaluate.matches import Match
from ..temporal.checkpoints import Checkpoint
from ..temporal.postprocessing import ClassDecoding
from ..temporal.predicting import PredictedMatch, predict_matches
from ..temporal.sources import open_source
from .bundled_features import BundledFeatures
from .extraction import ExtractionError, extract_matches
from .pca import FIT_FILE, project_set, save_components
from .segments import ExtractionJob
from .video_prediction import GivenVideo, is_done, write_table


def predict_keeping(
    checkpoints: Sequence[Checkpoint],
    features: Sequence[BundledFeatures],
    videos: Sequence[GivenVideo],
    *,
    folder: Path,
    out: Path,
    device: torch.device,
    weights: str | None = None,
    engine: str | None = None,
    tuned: Mapping[str, ClassDecoding] | None = None,
) -> Iterator[PredictedMatch]:
    """As `predict_videos`, by way of feature sets in ``folder``, which an interrupted extraction goes on with."""
    matches = [Match(video.name, video.path.parent, video.path, None) for video in videos]
    if len({one.name for one in features}) < len(features):
        raise BallspotError("--keep-features: two of the head's sets have one name; predict without it")
    names = [video.name for video in videos if not is_done(out / video.name, video)]
    matches = [match for match in matches if match.name in names]
    failure: ExtractionError | None = None
    paths = []
    for one in features if matches else ():
        job = one.job(device=device, weights=weights, engine=engine)
        try:
            paths.append(_made(one, matches, folder, job))
        except ExtractionError as error:
            failure, whole = error, {result.match for result in error.results}
            matches = [match for match in matches if match.name in whole]
            if not matches:
                raise
            paths.append(_made(one, matches, folder, job))
    if not paths:
        return
    source, names = open_source(paths[0], paths[1:]), [match.name for match in matches]
    for done in predict_matches(checkpoints, source, names, out=out, device=device, tuned=tuned):
        with source.open(done.name) as group:
            write_table(out / done.name, done.name, float(group.first.fps))
        yield done
    if failure is not None:
        raise failure


def _made(features: BundledFeatures, matches: Sequence[Match], folder: Path, job: ExtractionJob) -> Path:
    """The feature set of these videos, in ``folder``, under the name that it has in training."""
    path = folder / features.name
    if features.components is None:
        extract_matches(matches, path, job)
        return path
    parent = folder / f"{features.name}-whole"
    extract_matches(matches, parent, job)
    save_components(features.components, path / FIT_FILE)
    project_set(open_feature_set(parent), features.components, path)
    return path
