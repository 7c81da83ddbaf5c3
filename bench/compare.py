"""How long a comparison of many runs takes, beside the official SoccerNet package that scores each of them once.

    python bench/compare.py DATA [--runs 200] [--seeds 5] [--spots 1500] [--rounds 3]

Makes RUNS finished runs, SEEDS to a setting, with predictions of the first match of DATA: some of its truths, a few
frames off, among noise. Times `ballspot compare` on all of them in a new process, its start and 1,000 resamples of
blocks and seeds included, and with --report; the official `evaluate` on five of them, scaled to all, without intervals.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ballspot.cache.runs.run import RunFolder
from ballspot.evaluate.dataset.labels import Spot, read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.spots import write_spots

N_OFFICIAL = 5


def draw_spots(draw: np.random.Generator, truths: list[Spot], n_spots: int, quality: float) -> list[Spot]:
    """A share ``quality`` of the truths some frames off, and noise up to ``n_spots``."""
    found = [one for one in truths if draw.random() < quality]
    spots = [
        Spot(one.label, max(0, one.position_ms + 40 * int(draw.normal(0, 6))), confidence=float(draw.beta(4, 3)))
        for one in found
    ]
    last_ms = max(one.position_ms for one in truths)
    for label in draw.integers(0, len(BALL_12), n_spots - len(spots)):
        at = 40 * int(draw.integers(0, last_ms // 40)) + 20
        spots.append(Spot(BALL_12.labels[label], at, confidence=float(draw.beta(1, 12))))
    return sorted(spots, key=lambda one: one.position_ms)


def write_runs(root: Path, data: Path, options: argparse.Namespace) -> list[Path]:
    """The runs, the better the later their setting."""
    match = find_matches(data)[0]
    if match.labels_path is None:
        raise SystemExit(f"{match.folder}: has no labels")
    truths = list(read_labels(match.labels_path, BALL_12))
    draw, folders = np.random.default_rng(0), []
    for number in range(options.runs):
        setting, seed = divmod(number, options.seeds)
        folder = RunFolder(root / f"setting-{setting}" / f"seed-{seed}")
        record: dict[str, Any] = {
            "version": "1",
            "seed": seed,
            "shuffle_labels": False,
            "features": {"set": "drawn", "fingerprint": "f" * 64},
            "data": str(data),
            "splits": {"train": ["drawn"], "valid": [match.name], "test": []},
            "label_set": BALL_12.name,
            "labels": list(BALL_12.labels),
        }
        config = {"head": {"n_layers": setting + 1, "kind": ("tcn", "transformer")[setting % 2]}}
        folder.prepare(key=str(number), record=record, config=config)
        quality = 0.2 + 0.7 * number / options.runs
        spots = draw_spots(draw, truths, options.spots, quality)
        write_spots(folder.path / "predictions" / "valid" / match.name / "results_spotting.json", match.name, spots)
        for epoch in range(1, 11):
            folder.append_log({"epoch": epoch, "valid_mean_ap": quality * epoch / 10, "epoch_s": 1.0})
        per_class = {label: {"ap": quality, "n_truth": 10} for label in BALL_12.labels}
        folder.finish(
            {
                "split": "valid",
                "metric": "at1",
                "fps": 25,
                "mean_ap": quality,
                "headline_ap": quality,
                "per_class": per_class,
                "train_s": 60.0,
                "peak_memory_mb": 900.0,
                "n_parameters": 1_000_000,
                "best_epoch": 10,
                "n_epochs": 10,
            }
        )
        folders.append(folder.path)
    return folders


def compare_s(folders: list[Path], data: Path, *more: object) -> float:
    """Wall seconds of `ballspot compare`."""
    words = [sys.executable, "-m", "ballspot.cli", "compare", *map(str, folders), "--data", str(data)]
    words += ["--block", "30", *map(str, more)]  # six blocks of a match of three minutes
    began = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def official_s(folders: list[Path], data: Path, root: Path) -> float:
    """Wall seconds a run of the official code."""
    official: Any = import_module("SoccerNet.Evaluation.ActionSpotting")
    match = find_matches(data)[0]
    truth = root / "truth" / match.name
    truth.mkdir(parents=True)
    shutil.copy(match.folder / "Labels-ball.json", truth)
    began = time.perf_counter()
    for folder in folders:
        official.evaluate(
            str(root / "truth"),
            str(folder / "predictions" / "valid"),
            prediction_file="results_spotting.json",
            label_files="Labels-ball.json",
            framerate=25,
            metric="at1",
            dataset=None,
            EVENT_DICTIONARY={label: index for index, label in enumerate(BALL_12.labels)},
        )
    return (time.perf_counter() - began) / len(folders)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--spots", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        data = options.data.resolve()
        runs = write_runs(root / "runs", data, options)
        plain, with_report = [], []
        for _ in range(options.rounds):
            plain.append(compare_s(runs, data))
            with_report.append(compare_s(runs, data, "--report", root / "report.html"))
        theirs = official_s(runs[:N_OFFICIAL], data, root) * options.runs
        size = (root / "report.html").stat().st_size
    ours = statistics.median(plain)
    print(
        f"{options.runs} runs, {options.runs // options.seeds} settings of {options.seeds} seeds, {options.spots} spots"
    )
    print(f"compare               {ours:7.2f} s  (official package, once a run: {theirs:.0f} s, {theirs / ours:.0f}x)")
    print(f"compare --report      {statistics.median(with_report):7.2f} s  ({size / 1e6:.2f} MB of HTML)")


if __name__ == "__main__":
    main()
