"""Scaled features in mapped files, which all jobs of a machine read from the same pages of memory.

A folder ``<resident>/<digest>/`` holds ``train.npy``, ``valid.npy`` (rows as `ResidentFeatures` has them), the scaling
if it was fitted, and ``layout.json``, which says what the rows are. It is made under another name and renamed, so it is
whole or absent; the digest covers all that decides its content.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ...cache.disk import (
    content_digest,
    fingerprint,
    locked_folder,
    make_folder,
    read_json,
    reason_of,
    sync,
    write_json,
)
from ...cache.errors import BallspotError
from ...cache.stores import FeatureStore
from ..config import DTYPES, prediction_views
from ..features import MatchRows, ResidentFeatures, Scaling, limit_on, read_layout
from .material import LoadedFeatures, load_both
from .task import SPLIT, Experiment

LAYOUT, SCALING = "layout.json", "scaling.npy"
PARTS = ("train", SPLIT)
COPY_ROWS = 2**18


def shared_features(experiment: Experiment, resident: Path) -> LoadedFeatures:
    """The features of an experiment, mapped from ``resident``, where the first that asks for them writes them.

    So the stores are read and scaled once, whatever the number of jobs. On another device than the CPU those that it
    may hold (`limit_on`) are then copied onto it, for this process alone; the others stay mapped. Raises BallspotError
    where there is no room.
    """
    folder = make_folder(resident) / shared_name(experiment)
    if not (folder / LAYOUT).is_file():
        with locked_folder(resident):
            if not (folder / LAYOUT).is_file():
                _write(experiment, folder)
    loaded = _read(folder)
    if experiment.device.type != "cpu" and not is_beyond_limit(experiment):
        training, validation = (_brought(features, experiment.device) for features in _both(loaded))
    else:
        training, validation = (replace(features, device=experiment.device) for features in _both(loaded))
    return replace(loaded, training=training, validation=validation)


def _brought(features: ResidentFeatures, device: torch.device) -> ResidentFeatures:
    """The same features on a device, copied in pieces: the map of a large file is never held twice."""
    rows = torch.empty(features.rows.shape, dtype=features.rows.dtype, device=device)
    for there, here in zip(rows.split(COPY_ROWS), features.rows.split(COPY_ROWS), strict=True):
        there.copy_(here)
    return replace(features, rows=rows, device=device)


def is_beyond_limit(experiment: Experiment) -> bool:
    """Whether the training features take more than may lie on the device, or in memory: they stay mapped then."""
    section = experiment.config.clips
    layout = read_layout(experiment.rows, experiment.splits.part("train"), section.views)
    n_numbers = len(section.views) * layout.n_rows * sum(layout.dims)
    return (
        n_numbers * DTYPES[section.resident_dtype].itemsize
        > limit_on(experiment.device, section.resident_limit_gb) * 1e9
    )


def shared_name(experiment: Experiment) -> str:
    """The folder of an experiment's features: a digest of stores, split, views, precision and scaling."""
    section, splits = experiment.config.clips, experiment.splits
    rows: dict[str, list[str]] = {}
    for name in sorted({name for part in PARTS for name in splits.part(part)}):
        with experiment.source.open(name) as group:
            rows[name] = [_what_it_holds(store) for store in group.stores]
    digest = fingerprint(
        {
            "sets": [str(one.path.resolve()) for one in experiment.source.sets],
            "fingerprint": experiment.source.fingerprint,
            "fps": str(experiment.rows.rate),
            "matches": {part: list(splits.part(part)) for part in PARTS},
            "rows": rows,
            "views": {"train": list(section.views), SPLIT: list(prediction_views(experiment.config))},
            "dtype": section.resident_dtype,
            "scaling": section.scaling,
        }
    )
    return digest[:16]


def _what_it_holds(store: FeatureStore) -> str:
    """What tells the rows of a store, and the times of its frames, from others."""
    rows = f"{store.rows_sha256 or store.path.stat().st_mtime_ns} {store.n_rows}"
    times = "" if store.frame_time_us is None else f" {content_digest({}, {'times': store.frame_time_us})}"
    return rows + times


def _write(experiment: Experiment, folder: Path) -> None:
    unfinished = folder.with_name(f"{folder.name}.part")
    shutil.rmtree(unfinished, ignore_errors=True)  # of one that was killed: this process holds the lock
    make_folder(unfinished)
    try:
        loaded = load_both(
            experiment, spill=unfinished, files=(unfinished / f"{PARTS[0]}.npy", unfinished / f"{PARTS[1]}.npy")
        )
        if loaded.scaling is not None:
            np.save(unfinished / SCALING, np.stack([loaded.scaling.mean.numpy(), loaded.scaling.sd.numpy()]))
        layout = {part: _layout(features) for part, features in zip(PARTS, _both(loaded), strict=True)}
        for array in unfinished.glob("*.npy"):  # mapped, so nobody has forced them to the disk
            sync(array)
        write_json(unfinished / LAYOUT, layout)
        unfinished.rename(folder)
        sync(folder.parent)
    except OSError as error:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise BallspotError(f"{folder}: cannot be written ({reason_of(error)}); free space or check rights") from error


def _both(loaded: LoadedFeatures) -> tuple[ResidentFeatures, ResidentFeatures]:
    return loaded.training, loaded.validation


def _layout(features: ResidentFeatures) -> dict[str, Any]:
    matches = [
        {
            "name": match.name,
            "first_row": match.first_row,
            "n_rows": match.n_rows,
            "n_video_frames": match.n_video_frames,
            "fps": str(match.fps),
            "times_us": None if match.times_us is None else match.times_us.tolist(),
        }
        for match in features.matches
    ]
    return {
        "matches": matches,
        "frame_spacing": features.frame_spacing,
        "dims": list(features.dims),
        "views": list(features.views),
    }


def _read(folder: Path) -> LoadedFeatures:
    layout = read_json(folder / LAYOUT)
    training, validation = (_mapped(folder / f"{part}.npy", layout[part]) for part in PARTS)
    scaling = None
    if (folder / SCALING).is_file():
        mean, sd = torch.from_numpy(np.load(folder / SCALING))
        scaling = Scaling(mean, sd)
    return LoadedFeatures(training, validation, scaling)


def _mapped(path: Path, layout: Mapping[str, Any]) -> ResidentFeatures:
    rows = torch.from_numpy(np.load(path, mmap_mode="c"))  # torch wants memory it may write to; nothing writes
    matches = tuple(_match_rows(match) for match in layout["matches"])
    return ResidentFeatures(
        rows, matches, layout["frame_spacing"], torch.device("cpu"), tuple(layout["dims"]), tuple(layout["views"])
    )


def _match_rows(match: Mapping[str, Any]) -> MatchRows:
    times_us = match.get("times_us")
    times_us = None if times_us is None else np.array(times_us, np.int64)
    return MatchRows(**{**match, "fps": Fraction(match["fps"]), "times_us": times_us})
