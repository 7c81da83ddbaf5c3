"""Predictions of whole matches written to a folder: spots in SoccerNet's format and the scores behind them."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from ..cache.errors import BallspotError
from ..cache.files import make_folder, read_json, write_json
from ..cache.sets import FeatureSet
from ..evaluate.predictions import SCORES_FILE
from ..evaluate.spots import SPOTS_FILE, write_spots
from .checkpoints import Checkpoint
from .decoding import decode_scores, spots_of
from .features import load_features, scale_features
from .prediction import prediction_of, score_match
from .scores import SavedScores, write_scores

RECORD_FILE = "predictions.json"
RECORD_FORMAT = "ballspot-predictions/1"
DTYPES = {"float16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True)
class PredictedMatch:
    """One match done: its name, how many frames have scores, how many spots were written."""

    name: str
    n_frames: int
    n_spots: int


def predict_matches(
    checkpoint: Checkpoint, feature_set: FeatureSet, names: Sequence[str], *, out: Path, device: torch.device
) -> Iterator[PredictedMatch]:
    """Writes ``out/<match>/results_spotting.json`` and ``scores.npz`` for each match and yields it when it is done.

    One match is in memory at a time. Raises BallspotError when the features are not the kind the head was trained on.
    """
    require_fingerprint(checkpoint, feature_set)
    description = checkpoint.description
    config, labels = description.config, description.label_set.labels
    section = config.prediction
    head = checkpoint.load(device)
    for name in names:
        features = load_features(feature_set, [name], device=device, dtype=DTYPES[config.clips.resident_dtype])
        scale_features(features, config.clips.scaling, fitted=checkpoint.scaling)
        match = features.matches[0]
        scored = score_match(head, features, 0, prediction_of(config))
        peaks = decode_scores(
            scored.scores,
            suppression=section.suppression,
            nms_window=section.nms_window,
            score_floor=section.score_floor,
        )
        spots = spots_of(peaks, scored.frame_index, fps=match.fps, labels=labels)
        saved = SavedScores(scored.scores, scored.frame_index, labels, match.fps, match.n_video_frames, name)
        write_scores(out / name / SCORES_FILE, saved)
        write_spots(out / name / SPOTS_FILE, name, spots)
        yield PredictedMatch(name, len(scored.scores), len(spots))


def require_fingerprint(checkpoint: Checkpoint, feature_set: FeatureSet) -> None:
    """Raises BallspotError when the set was not extracted as the one that the head was trained on."""
    wanted = checkpoint.description.features_fingerprint
    if feature_set.fingerprint != wanted:
        raise BallspotError(
            f"{feature_set.path}: fingerprint {feature_set.fingerprint[:12]} is not the run's {wanted[:12]}; give "
            "features of the same backbone, weights and size as the run was trained on"
        )


def claim_folder(out: Path, record: dict[str, Any]) -> None:
    """Makes ``out`` the place of the predictions that ``record`` describes, or takes it up where it is that already.

    Raises BallspotError when the folder holds anything else: predictions are never mixed or overwritten.
    """
    path, record = out / RECORD_FILE, {"format": RECORD_FORMAT, **record}
    if path.is_file():
        there = read_json(path)
        if there != record:
            names = there.keys() | record.keys() if isinstance(there, dict) else set()
            differing = [name for name in sorted(names) if there.get(name) != record.get(name)]
            raise BallspotError(
                f"{out}: holds other predictions ({', '.join(differing) or 'unreadable'} differ); choose another "
                "--out, or remove that folder"
            )
        return
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BallspotError(f"{out}: exists and holds no {RECORD_FILE}; choose another --out")
    make_folder(out)
    write_json(path, record)


def prediction_record(
    checkpoint: Checkpoint, *, run_key: str, checkpoint_name: str, names: Sequence[str]
) -> dict[str, Any]:
    """What decides a folder of predictions: the run, which of its checkpoints, how it predicts, and the matches."""
    progress = checkpoint.progress
    return {
        "run_key": run_key,
        "checkpoint": {"name": checkpoint_name, "best_epoch": progress.best_epoch, "n_epochs": progress.n_epochs_done},
        "prediction": asdict(prediction_of(checkpoint.description.config)),
        "suppression": checkpoint.description.config.prediction.model_dump(
            mode="json", include={"suppression", "nms_window", "score_floor"}
        ),
        "label_set": checkpoint.description.label_set.name,
        "matches": list(names),
    }
