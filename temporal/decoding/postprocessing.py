"""Post-processing of each class in its own way, in seconds, so that it fits scores on any grid; a small JSON file."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
from scipy.ndimage import gaussian_filter1d

from ...cache.disk import read_json, write_json
from ...cache.errors import BallspotError
from ...evaluate.dataset import Spot
from ..config import PredictionSection, Suppression
from .peaks import decode_scores, spots_of
from .scores import SavedScores
from .suppression import Peaks

POSTPROCESSING_FORMAT = "ballspot-postprocessing/1"

LONGEST_S = {
    "window_s": 1000.0,
    "smoothing_s": 60.0,
    "score_floor": 1e6,
}  # seconds but for the floor: costs grow with them


@dataclass(frozen=True)
class ClassDecoding:
    """How one class's scores become spots: smoothed by a Gaussian, then suppressed; floors are of smoothed scores."""

    suppression: Suppression
    window_s: float
    smoothing_s: float = 0.0
    score_floor: float = 0.005


def decode_class(scores: np.ndarray, how: ClassDecoding, *, rows_a_second: float) -> Peaks:
    """The peaks of one class's scores (n,), as those of its only column.

    Smoothing keeps the scale of the scores: each class's highest stays what it was.
    """
    column = scores.astype(np.float64)
    if how.smoothing_s:
        smooth = gaussian_filter1d(column, how.smoothing_s * rows_a_second, mode="constant")
        highest = float(smooth.max(initial=0.0))
        column = smooth * (float(column.max()) / highest) if highest > 0 else smooth
    window = round(how.window_s * rows_a_second)
    return decode_scores(column[:, None], suppression=how.suppression, nms_window=window, score_floor=how.score_floor)


def decode_classes(saved: SavedScores, how: Mapping[str, ClassDecoding]) -> Peaks:
    """The peaks of all classes, each as ``how`` says of its label. BallspotError for a label that it does not name."""
    rate = rows_a_second(saved)
    parts = []
    for index, label in enumerate(saved.labels):
        if label not in how:
            raise BallspotError(f"{saved.match}: no post-processing for class {label!r}; tune on scores of that class")
        peaks = decode_class(saved.scores[:, index], how[label], rows_a_second=rate)
        parts.append(Peaks(peaks.row, np.full_like(peaks.label_index, index), peaks.score))
    row = np.concatenate([part.row for part in parts])
    label_index = np.concatenate([part.label_index for part in parts])
    order = np.lexsort((label_index, row))
    return Peaks(row[order], label_index[order], np.concatenate([part.score for part in parts])[order])


def decoded_spots(saved: SavedScores, how: Mapping[str, ClassDecoding]) -> tuple[Spot, ...]:
    """The spots of a match, each class decoded as ``how`` says."""
    peaks = decode_classes(saved, how)
    return spots_of(peaks, saved.frame_index, axis=saved.axis, labels=saved.labels, right_share=saved.right_share)


def rows_a_second(saved: SavedScores) -> float:
    """Rows of the scores for a second of video."""
    return float(saved.fps) / saved.row_frames


def as_configured(section: PredictionSection, labels: tuple[str, ...], *, rate: float) -> dict[str, ClassDecoding]:
    """What the `prediction` section does with scores of ``rate`` rows a second, class by class."""
    how = ClassDecoding(section.suppression, section.nms_window / rate, 0.0, section.score_floor)
    return dict.fromkeys(labels, how)


def write_postprocessing(
    path: Path, how: Mapping[str, ClassDecoding], *, made_from: Mapping[str, Any], threshold: float | None = None
) -> None:
    """Writes the post-processing of every class, whole or not at all; ``made_from`` says what it was tuned on.

    ``threshold`` is the confidence from which on its spots were best.
    """
    document = {"format": POSTPROCESSING_FORMAT, "classes": as_plain(how), "made_from": dict(made_from)}
    write_json(path, document | ({} if threshold is None else {"threshold": threshold}))


def as_plain(how: Mapping[str, ClassDecoding]) -> dict[str, dict[str, Any]]:
    """The post-processing of every class as plain values."""
    return {label: asdict(decoding) for label, decoding in how.items()}


def read_postprocessing(path: Path) -> dict[str, ClassDecoding]:
    """The post-processing in a file that `write_postprocessing` wrote. BallspotError when it holds something else."""
    document = read_json(path)
    found = document.get("format") if isinstance(document, dict) else None
    if not isinstance(document, dict) or found != POSTPROCESSING_FORMAT:
        raise BallspotError(f"{path}: format {found!r} is not {POSTPROCESSING_FORMAT!r}; give a `ballspot tune` file")
    try:
        how = {label: class_decoding(values) for label, values in document["classes"].items()}
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BallspotError(f"{path}: lacks or garbles {error}; run `ballspot tune` again") from error
    return how


def class_decoding(values: Mapping[str, Any]) -> ClassDecoding:
    """One class's decoding from its plain values. KeyError, TypeError or ValueError when they are not such."""
    numbers = {name: float(values[name]) for name in LONGEST_S}
    fit = all(0.0 <= numbers[name] <= longest for name, longest in LONGEST_S.items())
    if values["suppression"] not in get_args(Suppression) or not fit:
        raise ValueError(f"a class of {dict(values)}")
    return ClassDecoding(values["suppression"], **numbers)
