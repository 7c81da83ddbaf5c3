"""Heads whose scores are averaged: what they need, and their scores of stored matches and of rows that arrive."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...cache.stores import FLIPPED_VIEW, ORIGINAL
from ...cache.times import is_same_rate
from ...evaluate.dataset import Spot
from ..config import DTYPES, Config, prediction_views
from ..decoding import ClassDecoding, SavedScores, decode_as_configured, decode_classes, spots_of
from ..features import OF_MATCH, FeatureSource, ResidentFeatures, ScalingFit, common_dims, load_features, scale_features
from ..heads import Checkpoint, SpottingHead
from .score import MatchScores, joined, mean_scores
from .stream import ScoreStream, score_match


@dataclass(frozen=True)
class Ensemble:
    """Heads that score the same labels and frames, on one device; ``tuned`` decodes each class in its own way.

    Raises BallspotError for heads whose scores have no mean: other labels, or other frames.
    """

    checkpoints: tuple[Checkpoint, ...]
    device: torch.device
    tuned: Mapping[str, ClassDecoding] | None = None

    def __post_init__(self) -> None:
        label_set, grid = self.checkpoints[0].description.label_set, _scored_grid(self.config)
        for checkpoint in self.checkpoints[1:]:
            other = checkpoint.description
            if other.label_set.labels != label_set.labels:
                raise BallspotError(
                    f"a run of label set {other.label_set.name!r} cannot be averaged with one of "
                    f"{label_set.name!r}; choose runs of one label set"
                )
            rates = (other.fps, self.rate)
            if rates[0] is not None and rates[1] is not None and not is_same_rate(rates[0], rates[1]):
                told = [f"trained at {float(rate):.5g} frames a second" for rate in rates if rate is not None]
                raise BallspotError(
                    f"a run {told[0]} cannot be averaged with one {told[1]}; choose runs of one frame rate"
                )
            if _scored_grid(other.config) != grid:
                raise BallspotError(
                    f"a run that scores frames by phases {other.config.prediction.phases!r} cannot be averaged with "
                    f"one of {self.config.prediction.phases!r}; choose runs with one setting of phases and clip_stride"
                )

    @cached_property
    def heads(self) -> tuple[SpottingHead, ...]:
        """The trained heads. BallspotError where a checkpoint's tensors are not its head's."""
        return tuple(checkpoint.load(self.device) for checkpoint in self.checkpoints)

    @property
    def config(self) -> Config:
        """The first head's configuration, which says how scores become spots."""
        return self.checkpoints[0].description.config

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes of the scores."""
        return self.checkpoints[0].description.label_set.labels

    @property
    def rate(self) -> Fraction | None:
        """The frames a second that the heads were trained at, to which any other material is brought by time.

        None where no checkpoint says it, as those of 0.1.0: then material is read at its own rate.
        """
        said = (checkpoint.description.fps for checkpoint in self.checkpoints)
        return next((fps for fps in said if fps is not None), None)

    @property
    def views(self) -> tuple[str, ...]:
        """The views that any of the heads reads."""
        flipped = any(checkpoint.description.config.prediction.flip_average for checkpoint in self.checkpoints)
        return (ORIGINAL, FLIPPED_VIEW) if flipped else (ORIGINAL,)

    @property
    def needs_whole_match(self) -> bool:
        """Whether some head's features are scaled by the mean and deviation of the match that they come from."""
        return any(checkpoint.description.config.clips.scaling in OF_MATCH for checkpoint in self.checkpoints)

    def require_fingerprint(self, source: FeatureSource) -> None:
        """Raises BallspotError when the features were not extracted as those that the heads were trained on."""
        for checkpoint in self.checkpoints:
            wanted = checkpoint.description.features_fingerprint
            if not wanted:
                raise BallspotError(
                    "the last checkpoint of a fine-tuning is for going on with it; give --checkpoint best"
                )
            if source.fingerprint != wanted:
                raise BallspotError(
                    f"{source.path}: fingerprint {source.fingerprint[:12]} is not the run's {wanted[:12]}; give "
                    "features of the same backbone, weights and size as the run was trained on, several sets "
                    "(--features) in the same order"
                )

    def score(self, source: FeatureSource, name: str, *, spill: Path) -> MatchScores:
        """The mean of the heads' scores of a stored match; one head's features are in memory at a time."""
        scored = []
        for checkpoint, head in zip(self.checkpoints, self.heads, strict=True):
            features = match_features(checkpoint, source, name, device=self.device, spill=spill)
            scored.append(score_match(head, features, 0, checkpoint.description.config))
        return mean_scores(scored)

    def spots(self, saved: SavedScores) -> tuple[Spot, ...]:
        """The spots that the scores of a match stand for."""
        tuned, section = self.tuned, self.config.prediction
        peaks = decode_as_configured(saved.scores, section) if tuned is None else decode_classes(saved, tuned)
        return spots_of(peaks, saved.frame_index, axis=saved.axis, labels=saved.labels, right_share=saved.right_share)


class MatchStream:
    """The mean scores of all heads, as those of stored features, while the rows arrive.

    Heads whose features are scaled by the match use what `fit` was given by then.
    """

    def __init__(self, ensemble: Ensemble, *, frame_spacing: int) -> None:
        self._ensemble = ensemble
        self._configs = [checkpoint.description.config for checkpoint in ensemble.checkpoints]
        self._fits = [
            ScalingFit(common_dims=common_dims(config.clips.scaling, checkpoint.description.dims))
            if config.clips.scaling in OF_MATCH
            else None
            for checkpoint, config in zip(ensemble.checkpoints, self._configs, strict=True)
        ]
        self._streams = [
            ScoreStream(head, config, frame_spacing=frame_spacing, device=ensemble.device)
            for head, config in zip(ensemble.heads, self._configs, strict=True)
        ]
        self._waiting: list[list[MatchScores]] = [[] for _ in self._streams]

    @property
    def look_ahead_rows(self) -> int:
        """How many rows past a row must have come, at most, until its score is final."""
        return max(stream.look_ahead_rows for stream in self._streams)

    def fit(self, rows: Mapping[str, np.ndarray]) -> None:
        """Takes the rows (n, D) of the original view into account where features are scaled by the match."""
        for fit, config in zip(self._fits, self._configs, strict=True):
            if fit is not None:
                fit.add(_resident(rows[ORIGINAL], config))

    def push(self, rows: Mapping[str, np.ndarray]) -> MatchScores:
        """Takes the next rows (n, D) of every view and gives the scores that no later row can change."""
        for index, (stream, config) in enumerate(zip(self._streams, self._configs, strict=True)):
            fit = self._fits[index]
            scaling = self._ensemble.checkpoints[index].scaling if fit is None else fit.scaling
            given = {view: _resident(rows[view], config) for view in prediction_views(config)}
            if scaling is not None:
                for resident in given.values():
                    scaling.apply(resident)
            on_device = {view: resident.to(self._ensemble.device) for view, resident in given.items()}
            self._waiting[index].append(stream.push(on_device))
        return self._ready()

    def finish(self) -> MatchScores:
        """The scores of the rows that are left, once there are no more."""
        for waiting, stream in zip(self._waiting, self._streams, strict=True):
            waiting.append(stream.finish())
        return self._ready()

    def scores(self, pieces: Iterable[Mapping[str, np.ndarray]]) -> MatchScores:
        """The scores of all the rows of a match."""
        return joined([*[self.push(rows) for rows in pieces], self.finish()])

    def _ready(self) -> MatchScores:
        """The mean over the heads of what all of them have by now."""
        scored = [joined(parts) for parts in self._waiting]
        n_rows = min(len(scores.frame_index) for scores in scored)
        self._waiting = [[scores.part(n_rows)] for scores in scored]
        return mean_scores([scores.part(0, n_rows) for scores in scored])


def match_features(
    checkpoint: Checkpoint, source: FeatureSource, name: str, *, device: torch.device, spill: Path
) -> ResidentFeatures:
    """One match's features, scaled as the head of ``checkpoint`` wants them."""
    config = checkpoint.description.config
    features = load_features(
        source,
        [name],
        device=device,
        dtype=DTYPES[config.clips.resident_dtype],
        views=prediction_views(config),
        limit_gb=config.clips.resident_limit_gb,
        spill=spill,
    )
    scale_features(features, config.clips.scaling, fitted=checkpoint.scaling)
    return features


def _resident(rows: np.ndarray, config: Config) -> Tensor:
    """A copy of the rows, as precise as features in memory are."""
    return torch.from_numpy(np.array(rows)).to(DTYPES[config.clips.resident_dtype])


def _scored_grid(config: Config) -> tuple[str, int | None]:
    """Which frames of a match a head scores."""
    phases = config.prediction.phases
    return phases, None if phases == "all" else config.clips.clip_stride
