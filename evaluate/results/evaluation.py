"""Predictions scored against labels: the official number, its companions, how sure they are, and what spoils them."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset import HALF_S, PLAYER_8, TEAMS, DataSelection, LabelSet
from ..diagnosis import Diagnosis, Pitfall, diagnose, find_pitfalls
from ..scoring import (
    GRID_STRIDE,
    OFFICIAL,
    APResult,
    F1Result,
    Pairing,
    Pool,
    Protocol,
    TeamResult,
    exact_ap,
    f1_at_confidence,
    frequent_ap,
    headline_ap,
    pool_spots,
    pooled_average_precision,
    read_pairing,
    team_average_precision,
    trapezoid_mean,
)
from ..uncertainty import BOOTSTRAP, Bootstrap, Uncertainty, estimate_uncertainty

DIAGNOSIS_S = 1.0  # the tolerance of a diagnosis where the metric has several


@dataclass(frozen=True)
class Evaluation:
    """What one set of predictions is worth; average precisions are in 0..1.

    ``result`` is SoccerNet's own number at ``fps``; ``original`` is the original protocol's: the same predictions and
    tolerances on a grid of ``fps / 2``, where labels after the end of a video count in its last grid frame and
    visibility is ignored. A match whose video length is not known (no ``scores.npz`` beside its spots) keeps its late
    labels where they are. ``exact`` (n_labels,) is the area under the exact curve, ``teams`` None where no truth or no
    prediction has a side. ``unknown_labels`` counts predictions that were left out because of their label, and
    ``n_late`` labels and predictions after the 120 minutes that a half has in SoccerNet's code. ``f1`` is the score of
    the player-centric task of 2026 without its players, None for other classes than that task's.
    """

    label_set: LabelSet
    metric: str
    fps: float
    matches: tuple[str, ...]
    n_labels: int
    n_predictions: int
    unknown_labels: Mapping[str, int]
    n_late: int
    result: APResult
    original: APResult
    exact: np.ndarray
    teams: TeamResult | None
    f1: F1Result | None
    uncertainty: Uncertainty | None
    pitfalls: tuple[Pitfall, ...]
    diagnosis: Diagnosis | None

    def as_record(self, *, min_count: int = 10) -> dict[str, Any]:
        """The evaluation as one JSON object; ``min_count`` truths in SoccerNet's count make a class frequent."""
        result = self.result
        record = {
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
            "exact_mean_ap": float(self.exact.mean()),
            "team_mean_ap": None if self.teams is None else self.teams.mean_ap,
            "per_class": {label: self._class_record(index) for index, label in enumerate(self.label_set.labels)},
            "original_protocol": {
                "fps": self.fps / GRID_STRIDE,
                **self._means(self.original, min_count),
                "per_class": {
                    label: {"ap": float(self.original.ap[index]), "n_truth": int(self.original.n_truth[index])}
                    for index, label in enumerate(self.label_set.labels)
                },
            },
            "pitfalls": [pitfall.as_record() for pitfall in self.pitfalls],
        }
        if self.f1 is not None:
            record["f1_without_players"] = f1_record(self.f1, self.label_set)
        if self.uncertainty is not None:
            record["intervals"] = self.uncertainty.as_record(result.n_truth >= min_count)
        if self.diagnosis is not None:
            record["diagnosis"] = self.diagnosis.as_record()
        return record

    def _class_record(self, index: int) -> dict[str, Any]:
        result, teams = self.result, self.teams
        record: dict[str, Any] = {
            "ap": float(result.ap[index]),
            "n_truth": int(result.n_truth[index]),
            "ap_visible": float(result.ap_visible[index]),
            "n_visible": int(result.n_visible[index]),
            "ap_not_shown": float(result.ap_not_shown[index]),
            "n_not_shown": int(result.n_not_shown[index]),
            "exact_ap": float(self.exact[index]),
            "team_ap": None,
        }
        if teams is None or not teams.n_truth[index].any():
            return record
        record["team_ap"] = float(teams.ap[index])
        for name, side in TEAMS.items():
            record[f"team_ap_{name}"] = float(teams.ap_by_side[index, side])
            record[f"n_truth_{name}"] = int(teams.n_truth[index, side])
        return record

    def _means(self, result: APResult, min_count: int) -> dict[str, Any]:
        return {
            "mean_ap": result.mean_ap,
            "headline_ap": headline_ap(result.ap, self.label_set),
            "frequent_ap": frequent_ap(result.ap, self.result.n_truth, min_count),
            "min_count": min_count,
        }


def evaluate_predictions(
    path: Path,
    data: DataSelection,
    matches: Sequence[str] | None = None,
    *,
    protocol: Protocol = OFFICIAL,
    bootstrap: Bootstrap = BOOTSTRAP,
    with_diagnosis: bool = False,
) -> Evaluation:
    """The predictions in folder or zip ``path`` scored against the labels of ``data``.

    ``matches`` names the matches to score, None all that have labels. Predictions with unknown labels are left out and
    counted, as SoccerNet's code leaves them out silently. Errors as `read_pairing`.
    """
    pairing = read_pairing(path, data, matches)
    return evaluate_pairing(pairing, protocol=protocol, bootstrap=bootstrap, with_diagnosis=with_diagnosis)


def evaluate_pairing(
    pairing: Pairing, *, protocol: Protocol = OFFICIAL, bootstrap: Bootstrap = BOOTSTRAP, with_diagnosis: bool = False
) -> Evaluation:
    """The same of predictions and labels that are read already."""
    label_set, tolerances_s = pairing.label_set, protocol.tolerances_s
    pool, original = pairing.pool(protocol.fps), original_pool(pairing, protocol.fps)
    result = pooled_average_precision(pool, tolerances_s)
    with_teams = all(any((spots.side() >= 0).any() for spots in of) for of in (pairing.truth_columns, pairing.columns))
    sides = pairing.pool(protocol.fps, sided=True) if with_teams else None
    uncertainty = resamples = None
    if bootstrap.n_resamples:
        resamples = bootstrap.draw([pool])
        uncertainty = estimate_uncertainty(
            label_set, resamples, pool=pool, original=original, teams=sides, tolerances_s=tolerances_s
        )
    diagnosis_s = tolerances_s[0] if len(tolerances_s) == 1 else DIAGNOSIS_S
    every_spot = (*pairing.truth_columns, *pairing.columns)
    return Evaluation(
        label_set=label_set,
        metric=protocol.name,
        fps=protocol.fps,
        matches=pairing.matches,
        n_labels=pairing.n_labels,
        n_predictions=pairing.n_predictions,
        unknown_labels=dict(sorted(pairing.unknown_labels.items())),
        n_late=sum(int((spots.position_ms >= 1000 * HALF_S).sum()) for spots in every_spot),
        result=result,
        original=pooled_average_precision(original, tolerances_s),
        exact=trapezoid_mean(np.stack([exact_ap(pool, tolerance_s) for tolerance_s in tolerances_s])),
        teams=None if sides is None else team_average_precision(pairing, protocol),
        f1=f1_at_confidence(pairing, with_sides=with_teams) if label_set.labels == PLAYER_8.labels else None,
        uncertainty=uncertainty,
        pitfalls=find_pitfalls(pairing, pool, result.mean_ap, protocol),
        diagnosis=diagnose(pool, label_set, tolerance_s=diagnosis_s, resamples=resamples) if with_diagnosis else None,
    )


def f1_record(result: F1Result, label_set: LabelSet) -> dict[str, Any]:
    """The F1 of the player-centric task, without its players, as one JSON object."""
    numbers = zip(result.precision.tolist(), result.recall.tolist(), result.f1.tolist(), strict=True)
    counts = zip(result.n_hits.tolist(), result.n_spots.tolist(), result.n_truth.tolist(), strict=True)
    return {
        "macro_f1": result.macro_f1,
        "micro_f1": result.micro_f1,
        "by_team": result.with_sides,
        "per_class": {
            label: dict(
                zip(("precision", "recall", "f1", "n_hits", "n_predictions", "n_truth"), (*shares, *n), strict=True)
            )
            for label, shares, n in zip(label_set.labels, numbers, counts, strict=True)
        },
    }


def original_pool(pairing: Pairing, fps: float) -> Pool:
    """The pairing on the original protocol's grid of ``fps / 2``: visibility ignored, late labels in the last frame.

    A second half has a video of its own, whose length is not known: its labels stay where they are.
    """
    grid_fps = fps / GRID_STRIDE
    truths = []
    for arrays, length_s in zip(pairing.truth_arrays(grid_fps), pairing.lengths_s, strict=True):
        end = None if length_s is None else max(math.ceil(length_s * grid_fps - 1e-6) - 1, 0)
        in_first = True if arrays.half is None else arrays.half == 1
        frame = arrays.frame if end is None else np.where(in_first, np.minimum(arrays.frame, end), arrays.frame)
        truths.append(replace(arrays, visible=None, frame=frame))
    return pool_spots(truths, pairing.spot_arrays(grid_fps), n_labels=len(pairing.label_set), fps=grid_fps)
