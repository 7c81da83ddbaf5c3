"""What the fuzzers read: configurations, sweep files, and what lies in the folders of runs and sweeps."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tomli_w
from fuzz_damage import ODD_TOML, ODD_VALUES, Target, in_turn, json_line_values, json_values, toml_values
from fuzz_packings import npz_values
from fuzz_spots import spots_samples

from ballspot.cache.runs.run import RunFolder
from ballspot.cache.runs.sweep_record import SweepRecord, SweepSetting, expand_runs
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import BALL_12, label_set_of
from ballspot.evaluate.dataset.predictions import Predictions
from ballspot.evaluate.results.comparison import compare_runs
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap
from ballspot.evaluate.viewer.curves import read_curves
from ballspot.evaluate.viewer.view import find_view, match_record, open_sides
from ballspot.temporal.config.load import PLACES, as_table, config_from_table, load_config
from ballspot.temporal.config.sections import Config
from ballspot.temporal.sweep.space import read_space

SWEEP = b"""\
title = "all parts"
preset = "original"
seeds = [0, 7]
features = ["../a", "b"]
leave_out = "each"
[set]
n_epochs = 10
[axes]
warmup_epochs = [5, 3]
"head.temporal_stride" = [1, 2]
dilations = [[1, 2], [1]]
[[together]]
learning_rate = [1e-4, 5e-5]
offset_weight = [0.1, 0.3]
[[cases]]
kind = "tcn"
[[cases]]
kind = "transformer"
n_layers = 2
[[when]]
if = { temporal_stride = 1 }
set = { offsets = false }
[[when]]
if = { warmup_epochs = 3, kind = "tcn" }
skip = true
[baseline]
temporal_stride = 2
"""
SETTINGS = b"n_epochs=30\nkind=tcn\nhead.dilations=[1, 2, 4]\nlearning_rate=1e-3\nviews=['original', 'hflip']\n"


def config_targets(folder: Path) -> dict[str, Target]:
    """Presets, `--set` values and sweep files."""
    preset = tomli_w.dumps(as_table(load_config("original"))).encode()

    def read_settings(path: Path) -> object:
        return _config(lambda: load_config("best", path.read_bytes().decode("utf-8", "replace").splitlines()))

    return {
        "config": Target(
            (preset,), folder / "mine.toml", lambda path: _config(lambda: load_config(str(path))), toml_values
        ),
        "preset with settings": Target(
            (preset,),
            folder / "under.toml",
            lambda path: load_config(str(path), ["kind=tcn", "n_epochs=20"]),
            toml_values,
        ),
        "settings": Target((SETTINGS,), folder / "settings.txt", read_settings, _setting_values),
        "sweep file": Target((SWEEP, b"[axes]\nn_epochs = [3, 4]\n"), folder / "sweep.toml", _read_sweep, toml_values),
    }


def _config(load: Callable[[], Config]) -> Config:
    """A configuration that was taken must come back from its table, as JSON too."""
    config = load()
    if config_from_table(json.loads(json.dumps(as_table(config))), source="its table") != config:
        raise ValueError("the configuration is another after a round trip")
    tomli_w.dumps(as_table(config))
    return config


def _setting_values(draw: random.Random, content: bytes) -> bytes:
    """Settings of any key, most with an odd value."""
    lines = []
    for _ in range(draw.choice((1, 1, 2))):
        value = draw.choice((*ODD_VALUES, *ODD_TOML))
        text = ODD_TOML.get(value, value) if isinstance(value, str) else json.dumps(value)
        lines.append(f"{draw.choice(('.'.join, lambda one: one[1]))(draw.choice(list(PLACES.values())))}={text}")
    return "\n".join(lines).encode("utf-8", "replace")


def _read_sweep(path: Path) -> object:
    space = read_space(path, settings=["batch_clips=8"], matches=["m/1", "m/2", "m/3"])
    places = [space.baseline(), *list(space.points)[:3]]
    json.dumps([axis.values for axis in space.axes])  # as a search keeps them
    return space.sweep(dict.fromkeys([*places, *space.covering()[:3]]))


def run_files() -> dict[str, bytes]:
    """The text files of a finished run."""
    per_class = {label: {"ap": 0.5, "n_truth": 3} for label in BALL_12.labels}
    record = {
        "format": "ballspot-run/1", "key": "k", "status": "done", "version": "1", "seed": 0, "data": "data",
        "label_set": "ball-12", "labels": list(BALL_12.labels), "shuffle_labels": False,
        "features": {"set": "features/set", "fingerprint": "f" * 64, "files": {"m": "features/set/m.h5"}},
        "splits": {"train": ["a"], "valid": ["m"], "test": ["b"], "source": "here"},
    }  # fmt: skip
    metrics = {
        "split": "valid", "metric": "at1", "fps": 25.0, "mean_ap": 0.5, "headline_ap": 0.4, "per_class": per_class,
        "best_epoch": 2, "n_epochs": 2, "train_s": 1.5, "n_parameters": 10, "peak_memory_mb": 1.0,
    }  # fmt: skip
    line = {"epoch": 1, "loss": 0.5, "valid_mean_ap": 0.5, "valid_headline_ap": 0.5, "valid_per_class": per_class}
    return {
        "run.json": json.dumps(record).encode(),
        "metrics.json": json.dumps(metrics).encode(),
        "log.jsonl": "".join(json.dumps({**line, "epoch": epoch}) + "\n" for epoch in (1, 2)).encode(),
        "config.toml": tomli_w.dumps(as_table(Config())).encode(),
    }


def run_targets(folder: Path) -> dict[str, Target]:
    """Every text file of a run, read by all that reads it; the record of a sweep; scores beside predictions."""
    (folder / "data" / "m").mkdir(parents=True)
    valid = spots_samples()
    (folder / "data" / "m" / "Labels-ball.json").write_bytes(valid["labels-ball"])
    other = _write_run(folder / "other", valid["spots"])
    table = {}
    for name, content in run_files().items():
        run = _write_run(folder / name.partition(".")[0], valid["spots"])
        packing = {"toml": toml_values, "jsonl": json_line_values}.get(name.rpartition(".")[2], json_values)
        table[name] = Target((content,), run / name, lambda path: _read_run(path.parent, other), packing)
    sweep = folder / "sweep"
    _write_run(sweep / "a" / "seed-0", valid["spots"])
    SweepRecord("t", "t.toml", (0,), "a", (SweepSetting("a", {"n_epochs": 3}, ("a/seed-0",)),)).write(sweep)
    record = (sweep / "sweep.json").read_bytes()
    scores = other / "predictions" / "valid" / "m" / "scores.npz"
    np.savez(
        scores, scores=np.zeros((50, 2), np.float32), frame_index=np.arange(50), labels=np.array(["PASS", "GOAL"]),
        fps=25.0, fps_numerator=25, fps_denominator=1, n_video_frames=50, match="m",
    )  # fmt: skip
    sample = scores.read_bytes()
    return {
        **table,
        "sweep.json": Target(
            (record,), sweep / "sweep.json", lambda path: _compare(expand_runs([path.parent])), json_values
        ),
        "curves": Target((sample,), folder / "curves.npz", lambda path: read_curves(path).as_bytes("PASS"), npz_values),
        "video length": Target((sample,), folder / "spots" / "m" / "scores.npz", _video_length, npz_values),
        "view of a run": Target((sample,), scores, lambda _: _view(other, folder / "data"), npz_values),
    }


def _write_run(run: Path, spots: bytes) -> Path:
    place = run / "predictions" / "valid" / "m" / "results_spotting.json"
    place.parent.mkdir(parents=True)
    place.write_bytes(spots)
    for name, content in run_files().items():
        (run / name).write_bytes(content)
    return run


def _read_run(run: Path, other: Path) -> None:
    folder = RunFolder(run)
    in_turn(
        lambda: label_set_of(folder.record(), str(run)),
        lambda: _compare([other, run]),
        lambda: folder.keep_log(len(folder.log())),
        lambda: folder.prepare(key="k", record={}, config={}),
    )


def _compare(runs: list[Path]) -> object:
    return compare_runs(runs, bootstrap=Bootstrap(2), data=DataSelection(runs[0].parent / "data")).as_record()


def _video_length(path: Path) -> Any:
    (path.parent / "results_spotting.json").touch()
    return Predictions(path.parent.parent, None).video_length("m", fps=25.0)


def _view(run: Path, data: Path) -> object:
    view = find_view(open_sides([run], split=None), DataSelection(data, BALL_12), fps=25.0, names=["m"])
    return json.dumps(match_record(view, view.matches[0]), allow_nan=False)
