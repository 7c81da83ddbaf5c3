"""The sanity floor: a logistic regression on single frames, by scikit-learn, in seconds.

What it reaches is what the features say of a frame without any context. A head that does not beat it learns nothing
from time.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ...cache.errors import BallspotError
from ...evaluate.dataset import DataSelection, LabelArrays, SpotArrays, label_arrays
from ...evaluate.scoring import APResult, average_precision, metric_frames, official_arrays
from ..config import PredictionSection
from ..decoding import decode_as_configured
from ..features import FeatureSource, ResidentFeatures, load_features, scale_features

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

NEAR_S = 0.12  # frames this near to an event are its class's examples
CLEAR_S = 1.0  # background is drawn from frames farther than this from all events
N_BACKGROUND = 4  # times as many frames of background as near events
INVERSE_PENALTY = 0.01  # C of scikit-learn


@dataclass(frozen=True)
class FrameProbe:
    """A fitted probe: scores of frames from their features."""

    model: "LogisticRegression"
    n_labels: int

    def scores(self, rows: np.ndarray) -> np.ndarray:
        """The probability of every label, float32 (n, K), for features (n, D); labels never seen have zeros."""
        scores = np.zeros((len(rows), self.n_labels), dtype=np.float32)
        seen = self.model.classes_
        scores[:, seen[seen > 0] - 1] = self.model.predict_proba(rows)[:, seen > 0]
        return scores


def fit_probe(features: ResidentFeatures, labels: Sequence[LabelArrays], *, n_labels: int, seed: int) -> FrameProbe:
    """A probe fitted to the frames around the events of all matches, and four times as many others.

    Classes are weighed alike. Where two events are near a frame the nearer one's class counts.
    """
    from sklearn.linear_model import LogisticRegression  # takes seconds to import

    random = np.random.default_rng(seed)
    rows, classes = [], []
    for index, (match, arrays) in enumerate(zip(features.matches, labels, strict=True)):
        if not len(arrays.frame_index):
            continue
        frame = np.arange(match.n_rows) * features.frame_spacing
        after = np.searchsorted(arrays.frame_index, frame).clip(1, max(len(arrays.frame_index) - 1, 1))
        pair = np.stack([after - 1, np.minimum(after, len(arrays.frame_index) - 1)])  # (2, n)
        distance = np.abs(arrays.frame_index[pair] - frame)
        nearest = np.take_along_axis(pair, distance.argmin(axis=0)[None], axis=0)[0]
        distance_s = distance.min(axis=0) / float(match.fps)
        near = np.flatnonzero(distance_s <= NEAR_S)
        clear = np.flatnonzero(distance_s > CLEAR_S)
        clear = random.choice(clear, min(N_BACKGROUND * len(near), len(clear)), replace=False)
        of_match = features.match_rows(index).cpu()
        rows += [of_match[near].float().numpy(), of_match[clear].float().numpy()]
        classes += [arrays.label_index[nearest[near]] + 1, np.zeros(len(clear), dtype=np.int64)]
    if len(np.unique(np.concatenate([np.zeros(0, dtype=np.int64), *classes]))) < 2:
        raise BallspotError("the training matches have no event, or no frame far from one; a probe tells them apart")
    model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced", max_iter=300)
    return FrameProbe(model.fit(np.concatenate(rows), np.concatenate(classes)), n_labels)


def probe_split(
    source: FeatureSource, data: DataSelection, *, split: str, seed: int, section: PredictionSection
) -> APResult:
    """The average precision (1 s, 25 frames a second) on a split of a probe fitted to the training matches.

    Features are scaled match by match; ``section`` says how scores become spots. BallspotError for missing labels.
    """
    label_set, spots = data.label_set, {**data.spots_of_split("train"), **data.spots_of_split(split)}
    source = source.at_rate(source.usual_rate(data.splits.part("train")))
    training = load_features(source, data.splits.part("train"), device="cpu")
    scale_features(training, "match")
    labels = [label_arrays(spots[one.name], label_set, axis=one.axis, match=one.name) for one in training.matches]
    fitted = fit_probe(training, labels, n_labels=len(label_set), seed=seed)
    truths, predictions = [], []
    for name in data.splits.part(split):
        features = load_features(source, [name], device="cpu")
        scale_features(features, "match")
        match = features.matches[0]
        peaks = decode_as_configured(fitted.scores(features.rows.float().numpy()), section)
        frames = metric_frames(match.axis.positions_of(peaks.row * features.frame_spacing))
        predictions.append(SpotArrays(frame=frames, label_index=peaks.label_index, score=peaks.score))
        truths.append(official_arrays(spots[name], label_set))
    return average_precision(truths, predictions, n_labels=len(label_set))
