"""Predictions of whole matches written to a folder: spots in SoccerNet's format and the scores behind them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...cache.disk import find_temporary, locked_folder, make_folder, read_json, write_json
from ...cache.errors import BallspotError
from ...cache.times import TimeAxis
from ...evaluate.dataset import SCORES_FILE, SPOTS_FILE, write_spots
from ..config import DTYPES, PredictionSection, prediction_views
from ..decoding import (
    ClassDecoding,
    SavedScores,
    as_plain,
    decode_as_configured,
    decode_classes,
    spots_of,
    write_scores,
)
from ..features import FeatureSource, ResidentFeatures, load_features, scale_features, store_axis
from ..heads import Checkpoint
from .score import MatchScores, mean_scores, prediction_of, score_match

RECORD_FILE = "predictions.json"


RECORD_FORMAT = "ballspot-predictions/1"


@dataclass(frozen=True)
class PredictedMatch:
    """One match done: its name, how many frames have scores, how many spots were written."""

    name: str
    n_frames: int
    n_spots: int


def predict_matches(
    checkpoints: Sequence[Checkpoint],
    source: FeatureSource,
    names: Sequence[str],
    *,
    out: Path,
    device: torch.device,
    tuned: Mapping[str, ClassDecoding] | None = None,
) -> Iterator[PredictedMatch]:
    """Writes ``out/<match>/results_spotting.json`` and ``scores.npz`` for each match and yields it when it is done.

    The scores are the mean of those of all ``checkpoints``; spots are made of them as the first one's configuration
    says, or ``tuned``. One match is in memory at a time. Raises BallspotError when the features are not the kind that
    the heads were trained on, or the heads do not score the same labels and frames.
    """
    for checkpoint in checkpoints:
        require_fingerprint(checkpoint, source)
    require_alike(checkpoints)
    description = checkpoints[0].description
    labels, section = description.label_set.labels, description.config.prediction
    heads = [checkpoint.load(device) for checkpoint in checkpoints]
    for name in names:
        every: list[MatchScores] = []
        for checkpoint, head in zip(checkpoints, heads, strict=True):
            features = match_features(checkpoint, source, name, device=device, spill=out)
            every.append(score_match(head, features, 0, prediction_of(checkpoint.description.config)))
        saved = saved_scores(mean_scores(every), labels, name, axis=_axis_of(source, name))
        yield write_prediction(out, saved, section, tuned=tuned)


def saved_scores(scored: MatchScores, labels: tuple[str, ...], name: str, *, axis: TimeAxis) -> SavedScores:
    """The scores of a match as its file holds them; ``axis`` is that of its video."""
    share = None if scored.right_share is None else scored.right_share.astype(np.float16)
    return SavedScores(
        scored.scores, scored.frame_index, labels, axis.fps, axis.n_frames, name, share, times_us=axis.times_us
    )


def write_prediction(
    out: Path, saved: SavedScores, section: PredictionSection, *, tuned: Mapping[str, ClassDecoding] | None = None
) -> PredictedMatch:
    """Writes a match's scores and the spots that ``section``, or ``tuned``, makes of them, below ``out``."""
    peaks = decode_as_configured(saved.scores, section) if tuned is None else decode_classes(saved, tuned)
    spots = spots_of(peaks, saved.frame_index, axis=saved.axis, labels=saved.labels, right_share=saved.right_share)
    write_scores(out / saved.match / SCORES_FILE, saved)
    write_spots(out / saved.match / SPOTS_FILE, saved.match, spots)
    return PredictedMatch(saved.match, len(saved.scores), len(spots))


def _axis_of(source: FeatureSource, name: str) -> TimeAxis:
    """The time axis of a match's video as the first set's store says it."""
    with source.open(name) as group:
        return store_axis(group.first)


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


def require_alike(checkpoints: Sequence[Checkpoint]) -> None:
    """Raises BallspotError for heads whose scores have no mean: other labels, or other frames."""
    first = checkpoints[0].description
    for checkpoint in checkpoints[1:]:
        other = checkpoint.description
        if other.label_set.labels != first.label_set.labels:
            raise BallspotError(
                f"a run of label set {other.label_set.name!r} cannot be averaged with one of "
                f"{first.label_set.name!r}; choose runs of one label set"
            )
        grids = [
            (one.config.prediction.phases, one.config.prediction.phases == "all" or one.config.clips.clip_stride)
            for one in (first, other)
        ]
        if grids[0] != grids[1]:
            raise BallspotError(
                f"a run that scores frames by phases {grids[1][0]!r} cannot be averaged with one of {grids[0][0]!r}; "
                "choose runs with one setting of phases and clip_stride"
            )


def require_fingerprint(checkpoint: Checkpoint, source: FeatureSource) -> None:
    """Raises BallspotError when the set was not extracted as the one that the head was trained on."""
    wanted = checkpoint.description.features_fingerprint
    if not wanted:
        raise BallspotError("the last checkpoint of a fine-tuning is for going on with it; give --checkpoint best")
    if source.fingerprint != wanted:
        raise BallspotError(
            f"{source.path}: fingerprint {source.fingerprint[:12]} is not the run's {wanted[:12]}; give features of "
            "the same backbone, weights and size as the run was trained on, several sets (--features) in the same order"
        )


def claim_folder(out: Path, record: dict[str, Any], *, replaces_own: bool = False) -> None:
    """Makes ``out`` the place of the predictions that ``record`` describes, or takes it up where it is that already.

    Raises BallspotError when the folder holds anything else: predictions are never mixed or overwritten, but for those
    of the same runs at an earlier epoch with ``replaces_own``.
    """
    path, record = out / RECORD_FILE, {"format": RECORD_FORMAT, **record}
    if replaces_own and path.is_file():
        there = read_json(path)
        if isinstance(there, dict) and there.get("run_keys") == record["run_keys"] and there != record:
            shutil.rmtree(out)
    if not path.is_file():
        if out.exists() and not out.is_dir():
            raise BallspotError(f"{out}: is a file, not a folder; choose another --out")
        with locked_folder(make_folder(out)):  # two at once would each take the other's for something else
            if not path.is_file():
                left = find_temporary(path)  # by a kill while the record was written
                if any(found not in left for found in out.iterdir()):
                    raise BallspotError(f"{out}: exists and holds no {RECORD_FILE}; choose another --out")
                for found in left:
                    found.unlink(missing_ok=True)
                write_json(path, record)
    there = read_json(path)
    if there != record:
        names = there.keys() | record.keys() if isinstance(there, dict) else set()
        differing = [name for name in sorted(names) if there.get(name) != record.get(name)]
        raise BallspotError(
            f"{out}: holds other predictions ({', '.join(differing) or 'unreadable'} differ); choose another "
            "--out, or remove that folder"
        )


def prediction_record(
    checkpoints: Sequence[Checkpoint],
    *,
    run_keys: Sequence[str],
    checkpoint_name: str,
    names: Sequence[str],
    tuned: Mapping[str, ClassDecoding] | None = None,
) -> dict[str, Any]:
    """What decides a folder of predictions: the runs, which of their checkpoints, how they predict, and the matches."""
    config = checkpoints[0].description.config
    return {
        "run_keys": list(run_keys),
        "checkpoints": [
            {"name": checkpoint_name, "best_epoch": one.progress.best_epoch, "n_epochs": one.progress.n_epochs_done}
            for one in checkpoints
        ],
        "prediction": asdict(prediction_of(config)),
        "suppression": config.prediction.model_dump(mode="json", include={"suppression", "nms_window", "score_floor"})
        if tuned is None
        else as_plain(tuned),
        "label_set": checkpoints[0].description.label_set.name,
        "matches": list(names),
    }
