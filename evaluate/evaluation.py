"""Predictions scored against labels: the official number, its headline means, and the original protocol's number."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..cache.errors import BallspotError
from .labels import Spot, read_labels
from .labelsets import LabelSet, nearest_name
from .matches import LABELS_FILE, Match, find_matches
from .metrics import APResult, average_precision, frequent_ap, headline_ap, spot_arrays, tolerances_of
from .predictions import Predictions, open_predictions

OFFICIAL_FPS = 25.0
MIN_FPS, MAX_FPS = 0.1, 1000.0  # positions are whole milliseconds
GRID_STRIDE = 2  # the original system scored every second frame


@dataclass(frozen=True)
class Evaluation:
    """What one set of predictions is worth; average precisions are in 0..1.

    ``result`` is SoccerNet's own number at ``fps``; ``original`` is the original protocol's: the same predictions and
    tolerances on a grid of ``fps / 2``, where labels after the end of a video count in its last grid frame and
    visibility is ignored. A match whose video length is not known (no ``scores.npz`` beside its spots) keeps its late
    labels where they are. ``unknown_labels`` counts predictions that were left out because of their label, and
    ``n_scores_outside`` those with a confidence below 0 (never counted) or above 1 (sharing the top threshold).
    """

    label_set: LabelSet
    metric: str
    fps: float
    matches: tuple[str, ...]
    n_labels: int
    n_predictions: int
    unknown_labels: Mapping[str, int]
    n_scores_outside: int
    result: APResult
    original: APResult

    def as_record(self, *, min_count: int) -> dict[str, Any]:
        """The evaluation as one JSON object; ``min_count`` truths make a class frequent."""
        result = self.result
        per_class = {
            label: {
                "ap": float(result.ap[index]),
                "n_truth": int(result.n_truth[index]),
                "ap_visible": float(result.ap_visible[index]),
                "n_visible": int(result.n_visible[index]),
                "ap_not_shown": float(result.ap_not_shown[index]),
                "n_not_shown": int(result.n_not_shown[index]),
            }
            for index, label in enumerate(self.label_set.labels)
        }
        return {
            "metric": self.metric,
            "tolerances_s": list(result.tolerances_s),
            "fps": self.fps,
            "label_set": self.label_set.name,
            "matches": list(self.matches),
            "n_labels": self.n_labels,
            "n_predictions": self.n_predictions,
            "unknown_labels": dict(self.unknown_labels),
            **self._means(result, min_count),
            "mean_ap_visible": result.mean_ap_visible,
            "mean_ap_not_shown": result.mean_ap_not_shown,
            "per_class": per_class,
            "original_protocol": {
                "fps": self.fps / GRID_STRIDE,
                **self._means(self.original, min_count),
                "per_class": {
                    label: {"ap": float(self.original.ap[index]), "n_truth": int(self.original.n_truth[index])}
                    for index, label in enumerate(self.label_set.labels)
                },
            },
        }

    def _means(self, result: APResult, min_count: int) -> dict[str, Any]:
        return {
            "mean_ap": result.mean_ap,
            "headline_ap": headline_ap(result.ap, self.label_set),
            "frequent_ap": frequent_ap(result.ap, result.n_truth, min_count),
            "min_count": min_count,
        }


def evaluate_predictions(
    path: Path,
    *,
    data_root: Path,
    label_set: LabelSet,
    matches: Iterable[str] | None = None,
    fps: float = OFFICIAL_FPS,
    metric: str = "at1",
    tolerance_s: float | None = None,
) -> Evaluation:
    """The predictions in folder or zip ``path`` scored against the labels below ``data_root``.

    ``matches`` names the matches to score, None all that have labels. ``tolerance_s`` (full width) replaces
    ``metric``. Predictions with unknown labels are left out and counted, as SoccerNet's code leaves them out silently.
    Raises BallspotError naming the match that has no labels or no predictions, the file and entry that is malformed.
    """
    if not MIN_FPS <= fps <= MAX_FPS:
        raise BallspotError(f"frame rate {fps} is outside {MIN_FPS}..{MAX_FPS} a second; SoccerNet scores at 25")
    if tolerance_s is not None and not (math.isfinite(tolerance_s) and tolerance_s >= 0):
        raise BallspotError(f"tolerance {tolerance_s} s is not a width of 0 seconds or more; SoccerNet's mAP@1 uses 1")
    tolerances_s = tolerances_of(metric) if tolerance_s is None else (tolerance_s,)
    predictions = open_predictions(path)
    chosen = _chosen(find_matches(data_root), data_root, matches)
    truths = [read_labels(labels, label_set, in_file_order=True) for labels in map(_labels_path, chosen)]
    spots = [predictions.spots(match.name) for match in chosen]
    every = [spot for match_spots in spots for spot in match_spots]
    unknown = Counter(spot.label for spot in every if spot.label not in label_set)
    last_frames = [_last_grid_frame(predictions, match.name, fps) for match in chosen]
    return Evaluation(
        label_set=label_set,
        metric=metric if tolerance_s is None else "tolerance",
        fps=fps,
        matches=tuple(match.name for match in chosen),
        n_labels=sum(map(len, truths)),
        n_predictions=len(every),
        unknown_labels=dict(sorted(unknown.items())),
        n_scores_outside=sum(not 0 <= (spot.confidence or 0.0) <= 1 for spot in every),
        result=_score(truths, spots, label_set, fps=fps, tolerances_s=tolerances_s),
        original=_score(truths, spots, label_set, fps=fps / GRID_STRIDE, tolerances_s=tolerances_s, last=last_frames),
    )


def _score(
    truths: Sequence[Sequence[Spot]],
    spots: Sequence[Sequence[Spot]],
    label_set: LabelSet,
    *,
    fps: float,
    tolerances_s: Sequence[float],
    last: Sequence[int | None] | None = None,
) -> APResult:
    """The average precision at ``fps``; with ``last`` frames in the original protocol's way."""
    truth_arrays = [spot_arrays(match_truths, label_set, fps=fps) for match_truths in truths]
    if last is not None:
        truth_arrays = [
            replace(arrays, visible=None, frame=arrays.frame if end is None else np.minimum(arrays.frame, end))
            for arrays, end in zip(truth_arrays, last, strict=True)
        ]
    spot_arrays_ = [spot_arrays(match_spots, label_set, fps=fps) for match_spots in spots]
    return average_precision(truth_arrays, spot_arrays_, n_labels=len(label_set), fps=fps, tolerance_s=tolerances_s)


def _last_grid_frame(predictions: Predictions, match: str, fps: float) -> int | None:
    """The last frame of the original protocol's grid within the match's video; None when its length is unknown."""
    length_s = predictions.video_length(match, fps=fps)
    return None if length_s is None else max(math.ceil(length_s * fps / GRID_STRIDE - 1e-6) - 1, 0)


def _chosen(found: Sequence[Match], data_root: Path, names: Iterable[str] | None) -> list[Match]:
    if names is None:
        labelled = [match for match in found if match.labels_path is not None]
        if not labelled:
            raise BallspotError(f"{data_root}: none of the {len(found)} matches has a {LABELS_FILE}; add the labels")
        return labelled
    by_name = {match.name: match for match in found}
    chosen = []
    for name in names:
        if name not in by_name:
            near = nearest_name(name, by_name)
            hint = f"did you mean {near!r}?" if near else "check the data root"
            raise BallspotError(f"{data_root}: no match {name!r}; {hint}")
        chosen.append(by_name[name])
    return chosen


def _labels_path(match: Match) -> Path:
    if match.labels_path is None:
        raise BallspotError(
            f"{match.folder}: match {match.name!r} has no {LABELS_FILE}; add it, or score other matches"
        )
    return match.labels_path
