"""Post-processing found on saved scores: every class tries all candidates and keeps the one of the highest AP.

AP of one class does not depend on the others, so the search is exact over its candidates. Classes with few truths
would take whatever chance liked best; they share the candidate that serves the frequent classes best.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from ...evaluate.dataset import LabelSet, Spot, SpotArrays
from ...evaluate.scoring import average_precision, metric_frames, official_arrays
from ..config import Suppression
from .postprocessing import ClassDecoding, decode_class, rows_a_second
from .scores import SavedScores

WINDOWS_S: dict[Suppression, tuple[float, ...]] = {
    "soft": (0.24, 0.48, 0.72, 0.96, 1.44, 1.92),
    "hard": (0.24, 0.36, 0.48, 0.6, 0.8, 1.2),
    "peaks": (0.12, 0.24, 0.48, 0.8),
}

SMOOTHINGS_S = (0.0, 0.08, 0.2)

CANDIDATES = tuple(
    ClassDecoding(kind, window_s, smoothing_s)
    for kind, windows_s in WINDOWS_S.items()
    for window_s, smoothing_s in product(windows_s, SMOOTHINGS_S)
)


@dataclass(frozen=True)
class TunedClass:
    """One class's outcome: truths, AP (0..1) before and after on the scores it was tuned on, whether it chose alone."""

    n_truth: int
    ap_before: float
    ap_after: float
    decoding: ClassDecoding
    chose_alone: bool


def tune_classes(
    saved: Sequence[SavedScores],
    truths: Sequence[Sequence[Spot]],
    label_set: LabelSet,
    *,
    before: Mapping[str, ClassDecoding],
    min_count: int = 10,
) -> dict[str, TunedClass]:
    """The best candidate of every class by its AP at 1 s (25 frames a second) over the matches, by label.

    ``truths`` are the labels of each match in the order of its file. ``before`` is the post-processing to compare
    with; it is a candidate too, and wins where nothing is better. Classes with fewer than ``min_count`` truths take
    the candidate with the highest mean over the others, or keep ``before`` where there are no others.
    """
    truth_arrays = [official_arrays(spots, label_set) for spots in truths]
    frames = [metric_frames(scores.axis.positions_of(scores.frame_index)) for scores in saved]
    shared_before = [before[label] for label in label_set.labels]
    ap_before, n_truth = _class_aps(saved, frames, truth_arrays, label_set, shared_before)
    shared_by_all = [[candidate] * len(label_set) for candidate in CANDIDATES]
    ap = np.array([_class_aps(saved, frames, truth_arrays, label_set, how)[0] for how in shared_by_all])
    frequent = n_truth >= min_count
    shared = int(ap[:, frequent].mean(axis=1).argmax()) if frequent.any() else -1
    if shared >= 0 and ap[shared, frequent].mean() <= ap_before[frequent].mean():
        shared = -1
    tuned = {}
    for index, label in enumerate(label_set.labels):
        own = int(ap[:, index].argmax())
        best = own if frequent[index] else shared
        if frequent[index] and ap[own, index] <= ap_before[index]:
            best = -1
        tuned[label] = TunedClass(
            n_truth=int(n_truth[index]),
            ap_before=float(ap_before[index]),
            ap_after=float(ap_before[index] if best < 0 else ap[best, index]),
            decoding=before[label] if best < 0 else CANDIDATES[best],
            chose_alone=bool(frequent[index]),
        )
    return tuned


def _class_aps(
    saved: Sequence[SavedScores],
    frames: Sequence[np.ndarray],
    truths: Sequence[SpotArrays],
    label_set: LabelSet,
    how: Sequence[ClassDecoding],
) -> tuple[np.ndarray, np.ndarray]:
    """AP and truths of every class (K,), class k decoded as ``how[k]`` says."""
    predictions = []
    for match, frame_of_row in zip(saved, frames, strict=True):
        rate = rows_a_second(match)
        peaks = [decode_class(match.scores[:, k], decoding, rows_a_second=rate) for k, decoding in enumerate(how)]
        predictions.append(
            SpotArrays(
                frame=np.concatenate([frame_of_row[of_class.row] for of_class in peaks]),
                label_index=np.concatenate([np.full(len(of_class.row), k) for k, of_class in enumerate(peaks)]),
                score=np.concatenate([of_class.score for of_class in peaks]),
            )
        )
    result = average_precision(truths, predictions, n_labels=len(label_set))
    return result.ap, result.n_truth
