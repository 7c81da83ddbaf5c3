"""A head judged on whole matches as SoccerNet judges it, fast enough to do so every epoch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...evaluate.dataset import LabelSet, Spot, SpotArrays
from ...evaluate.scoring import APResult, average_precision, metric_frames, official_arrays
from ..config import Config
from ..decoding import decode_as_configured
from ..features import ResidentFeatures
from ..heads import SpottingHead
from ..prediction import MatchScores, score_match


@dataclass(frozen=True)
class ValidationMaterial:
    """Scaled features of the validation matches, their true spots as the metric reads them, and its frame numbers.

    ``metric_frames[m][f]`` is where the metric sees a spot that was written for frame f of match m.
    """

    features: ResidentFeatures
    truths: tuple[SpotArrays, ...]
    metric_frames: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Validation:
    """What came of judging a head: its average precision (at1, 25 frames a second), and its scores of each match."""

    result: APResult
    scored: tuple[MatchScores, ...]


def validation_material(
    features: ResidentFeatures, spots: Sequence[Sequence[Spot]], label_set: LabelSet
) -> ValidationMaterial:
    """``spots``: the labels of each match of ``features``, in the order of their file."""
    return ValidationMaterial(
        features=features,
        truths=tuple(official_arrays(of_match, label_set) for of_match in spots),
        metric_frames=tuple(
            metric_frames(match.axis.positions_of(np.arange(match.n_video_frames))) for match in features.matches
        ),
    )


def validate(head: SpottingHead, material: ValidationMaterial, config: Config, *, n_labels: int) -> Validation:
    """Judges ``head`` on the validation matches."""
    scored = tuple(score_match(head, material.features, index, config) for index in range(len(material.truths)))
    found = [_as_metric_reads(one, frames, config) for one, frames in zip(scored, material.metric_frames, strict=True)]
    return Validation(average_precision(material.truths, found, n_labels=n_labels), scored)


def found_spots(head: SpottingHead, material: ValidationMaterial, config: Config) -> list[SpotArrays]:
    """The spots that ``head`` finds in each validation match, as the metric reads them."""
    return [
        _as_metric_reads(score_match(head, material.features, index, config), frames, config)
        for index, frames in enumerate(material.metric_frames)
    ]


def _as_metric_reads(scored: MatchScores, frames: np.ndarray, config: Config) -> SpotArrays:
    """The spots of a match's scores; ``frames`` (n_video_frames,) are where the metric sees its frames."""
    peaks = decode_as_configured(scored.scores, config.prediction)
    frame = frames[scored.frame_index[peaks.row]]
    return SpotArrays(frame=frame, label_index=peaks.label_index, score=peaks.score)
