"""Predictions of whole matches written to a folder: spots in SoccerNet's format and the scores behind them."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ...cache.code import portable
from ...cache.disk import find_temporary, locked_folder, make_folder, read_json, whole_file, write_json
from ...cache.errors import BallspotError
from ...cache.terminal import note
from ...cache.times import TimeAxis
from ...evaluate.dataset import SCORES_FILE, SPOTS_FILE, LabelSet, Spot, read_spots, write_spots, write_threshold
from ...evaluate.scoring import OFFICIAL_FPS, best_threshold, official_arrays, pool_spots
from ..decoding import SavedScores, as_plain, write_scores
from ..features import FeatureSource
from .ensemble import Ensemble
from .score import MatchScores, mean_scores

RECORD_FILE = "predictions.json"
RECORD_FORMAT = "ballspot-predictions/1"


@dataclass(frozen=True)
class PredictedMatch:
    """One match done: its name, how many frames have scores, how many spots were written."""

    name: str
    n_frames: int
    n_spots: int


def predict_matches(
    ensemble: Ensemble,
    source: FeatureSource,
    names: Sequence[str],
    *,
    out: Path,
    known: Mapping[str, MatchScores] | None = None,
) -> Iterator[PredictedMatch]:
    """Writes ``out/<match>/results_spotting.json`` and ``scores.npz`` for each match and yields it when it is done.

    One match is in memory at a time. ``known`` are scores that the only head has given already, by the names of
    matches. Raises BallspotError when the features are not the kind that the heads were trained on.
    """
    ensemble.require_fingerprint(source)
    source = source.at_rate(ensemble.rate)
    for line in source.resampled(names):
        note(line)
    for name in names:
        own = known.get(name) if known else None
        scored = ensemble.score(source, name, spill=out) if own is None else mean_scores([own])  # both round alike
        with source.open(name) as group:
            axis = group.axis
        yield write_prediction(ensemble, out, scored, name, axis=axis)


def write_prediction(
    ensemble: Ensemble, out: Path, scored: MatchScores, name: str, *, axis: TimeAxis
) -> PredictedMatch:
    """Writes a match's scores and the spots that the ensemble makes of them, below ``out``."""
    share = None if scored.right_share is None else scored.right_share.astype(np.float16)
    saved = SavedScores(
        scored.scores, scored.frame_index, ensemble.labels, axis.fps, axis.n_frames, name, share, axis.times_us
    )
    spots = ensemble.spots(saved)
    write_scores(out / name / SCORES_FILE, saved)
    write_spots(out / name / SPOTS_FILE, name, spots)
    return PredictedMatch(name, len(saved.scores), len(spots))


def write_wholes(out: Path, halves: Mapping[str, Sequence[str]]) -> None:
    """Writes the spots of each match whose halves are both predicted, as one file with both, in SoccerNet's layout.

    ``halves`` are the names of the recordings of each match, in their order.
    """
    for match, names in halves.items():
        paths = [out / name / SPOTS_FILE for name in names]
        if all(path.is_file() for path in paths):
            parts = [read_spots(path) for path in paths]
            spots = [replace(spot, half=half) for half, part in enumerate(parts, start=1) for spot in part]
            write_spots(out / match / SPOTS_FILE, match, spots)


def chosen_threshold(
    spots: Sequence[Sequence[Spot]], truths: Sequence[Sequence[Spot]], label_set: LabelSet
) -> float | None:
    """The threshold of the best F1 at 1 s over matches, by their predictions and labels, both in the order of files."""
    found, true = ([official_arrays(of_match, label_set) for of_match in matches] for matches in (spots, truths))
    return best_threshold(pool_spots(true, found, n_labels=len(label_set), fps=OFFICIAL_FPS), 1.0)


def keep_threshold(run: Path, out: Path, truths: Mapping[str, Sequence[Spot]], label_set: LabelSet) -> None:
    """Leaves in a run the threshold that is best for its predictions in ``out``, those of the validation matches."""
    spots = [read_spots(out / name / SPOTS_FILE) for name in truths]
    write_threshold(run, chosen_threshold(spots, list(truths.values()), label_set))


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
            f"{out}: holds other predictions ({', '.join(differing) or 'unreadable'} differ); choose another --out"
        )


def copy_predicted(kept: Path, record: dict[str, Any], names: Sequence[str], out: Path) -> list[str]:
    """Copies what a folder of ``kept`` holds of these matches by the same heads in the same way; the names of the rest.

    ``record`` is that of ``out``; its list of matches may differ.
    """
    wanted = {"format": RECORD_FORMAT, **record, "matches": None}
    left = list(names)
    for path in sorted(kept.glob(f"*/{RECORD_FILE}")):
        there: Any = None
        with suppress(BallspotError):  # of a damaged one nothing is taken
            there = read_json(path)
        if not isinstance(there, dict) or {**there, "matches": None} != wanted:
            continue
        for name in [name for name in left if (path.parent / name / SPOTS_FILE).is_file()]:
            for file in (SCORES_FILE, SPOTS_FILE):  # the spots are written last: a match that has them is whole
                make_folder(out / name)
                with whole_file(out / name / file) as copy:
                    shutil.copyfile(path.parent / name / file, copy)
            left.remove(name)
    return left


def prediction_record(
    ensemble: Ensemble, *, run_keys: Sequence[str], checkpoint_name: str, names: Sequence[str]
) -> dict[str, Any]:
    """What decides a folder of predictions: the runs, which of their checkpoints, how they predict, and the matches."""
    config, tuned = ensemble.config, ensemble.tuned
    of_spots = {"suppression", "nms_window", "score_floor"}
    unsaid = {"team_scores"} if config.prediction.team_scores == "shared" else set[str]()  # 0.1.0 did not have it
    progress = [checkpoint.progress for checkpoint in ensemble.checkpoints]
    return {
        "run_keys": list(run_keys),
        "checkpoints": [
            {"name": checkpoint_name, "best_epoch": of_head.best_epoch, "n_epochs": of_head.n_epochs_done}
            for of_head in progress
        ],
        "prediction": {
            "clip_frames": config.clips.clip_frames,
            "clip_stride": config.clips.clip_stride,
            "temporal_stride": config.head.temporal_stride,
            "class_loss": portable(config.loss.class_loss),
            **config.prediction.model_dump(mode="json", exclude=of_spots | unsaid),
        },
        "suppression": config.prediction.model_dump(mode="json", include=of_spots)
        if tuned is None
        else as_plain(tuned),
        "label_set": ensemble.checkpoints[0].description.label_set.name,
        "matches": list(names),
    }
