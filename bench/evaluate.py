"""How fast ballspot scores, beside the official SoccerNet package, on seven matches of the size of SN-BAS.

Twelve classes with the counts of SN-BAS, 50,000 predictions a match, drawn from a fixed seed. Both sides give the same
numbers (checked to 1e-9 here) and are timed in one process, in turns, by CPU time; medians of several rounds.

    python bench/evaluate.py [--rounds 3]

"spots in memory": the official `average_mAP` on its own dense vectors against `average_precision` on spot arrays,
pooling included. "from files": JSON files to numbers, reading included, the official `evaluate` against
`evaluate_predictions` without intervals, which the official code has not; the lines below it are its parts, down to
`json.loads`, which is the floor. The last lines are 1,000 paired bootstrap resamples of two runs: of mAP, and of
everything that a diagnosis of both holds.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from ballspot.evaluate.dataset.columns import SpotArrays, column_arrays, columns_of
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.dataset.spots import write_spots
from ballspot.evaluate.diagnosis.diagnosis import diagnose
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.scoring.matching import pool_spots
from ballspot.evaluate.scoring.metrics import average_precision
from ballspot.evaluate.scoring.pairing import read_pairing
from ballspot.evaluate.scoring.protocol import Protocol
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap, ap_replicates

COUNTS = (4703, 4067, 685, 778, 590, 320, 392, 190, 220, 73, 26, 14)  # SN-BAS, all seven matches
N_MATCHES, N_FRAMES, N_PREDICTIONS, FPS = 7, 146_000, 50_000, 25


def draw_truths(draw: np.random.Generator) -> list[Spot]:
    """The labels of one match, with the class counts of SN-BAS."""
    n_truth = [count // N_MATCHES + (draw.random() < count % N_MATCHES / N_MATCHES) for count in COUNTS]
    label = np.repeat(np.arange(len(COUNTS)), n_truth)
    frame = draw.integers(0, N_FRAMES, label.size)
    return [
        Spot(BALL_12.labels[one], int(at) * 40 + 20, visible=bool(shown))
        for one, at, shown in zip(label, frame, draw.random(label.size) < 0.95, strict=True)
    ]


def draw_predictions(draw: np.random.Generator, truths: list[Spot], quality: float) -> list[Spot]:
    """50,000 predictions of one match: a share ``quality`` of the truths is found, the rest is noise."""
    label = np.array([BALL_12.index(spot.label) for spot in truths])
    frame = np.array([spot.position_ms // 40 for spot in truths])
    found = draw.random(label.size) < quality
    near = np.clip(frame[found] + draw.normal(0, 6, found.sum()).round().astype(int), 0, N_FRAMES - 1)
    n_noise = N_PREDICTIONS - int(found.sum())
    shares = np.sqrt(COUNTS) / np.sqrt(COUNTS).sum()
    columns = (
        np.concatenate([label[found], draw.choice(len(COUNTS), n_noise, p=shares)]),
        np.concatenate([near, draw.integers(0, N_FRAMES, n_noise)]),
        np.concatenate([draw.beta(4, 3, found.sum()), draw.beta(1, 12, n_noise)]),
    )
    order = np.argsort(columns[1], kind="stable")
    return [
        Spot(BALL_12.labels[one], int(at) * 40 + 20, confidence=float(score))
        for one, at, score in zip(*(column[order] for column in columns), strict=True)
    ]


def official_vectors(truths: list[Spot], spots: list[Spot]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One match as the official code holds it: targets, detections and nearest targets, (120 * 60 * 25, 12) each."""
    shape = (120 * 60 * FPS, len(BALL_12))
    target, detection, closest = np.zeros(shape), np.full(shape, -1.0), np.zeros(shape)
    for spot in truths:
        target[int(FPS * (spot.position_ms / 1000)), BALL_12.index(spot.label)] = 1 if spot.visible else -1
    for spot in spots:
        detection[int(FPS * (spot.position_ms / 1000)), BALL_12.index(spot.label)] = spot.confidence or 0.0
    for index in range(len(BALL_12)):
        places = np.flatnonzero(target[:, index])
        middles = (places[1:] + places[:-1]) // 2
        closest[:, index] = target[places[np.searchsorted(middles, np.arange(shape[0]), side="right")], index]
    return target, detection, closest


def cpu_seconds(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.process_time()
    result = work()
    return time.process_time() - begun, result


def in_turns(rounds: int, ours: Callable[[], Any], theirs: Callable[[], Any]) -> tuple[float, float, Any, Any]:
    """Median CPU seconds of both, run alternately, and their last results."""
    our_times, their_times, our, their = [], [], None, None
    for _ in range(rounds):
        seconds, their = cpu_seconds(theirs)
        their_times.append(seconds)
        for _ in range(5):
            seconds, our = cpu_seconds(ours)
            our_times.append(seconds)
    return statistics.median(our_times), statistics.median(their_times), our, their


def report(name: str, ours_s: float, theirs_s: float, difference: float) -> None:
    if not difference < 1e-9:
        raise SystemExit(f"{name}: the numbers differ by {difference}")
    print(
        f"{name:28} official {theirs_s:8.2f} s   ballspot {ours_s:7.4f} s   {theirs_s / ours_s:6.0f}x   equal to 1e-9"
    )


def write_files(root: Path, matches: list[tuple[list[Spot], list[Spot]]]) -> None:
    for place, (truths, spots) in enumerate(matches):
        annotations = [
            {
                "gameTime": "1 - 00:00",
                "label": spot.label,
                "position": str(spot.position_ms),
                "visibility": "visible" if spot.visible else "not shown",
            }
            for spot in truths
        ]
        labels = root / "labels" / f"match-{place}" / "Labels-ball.json"
        labels.parent.mkdir(parents=True)
        labels.write_text(json.dumps({"annotations": annotations}))
        write_spots(root / "spots" / f"match-{place}" / "results_spotting.json", f"match-{place}", spots)


def from_files(official: Any, matches: list[tuple[list[Spot], list[Spot]]], rounds: int) -> None:
    """Times files to numbers, and the parts of it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        write_files(root, matches)
        data = DataSelection(root / "labels", BALL_12)
        our_s, their_s, our, their = in_turns(
            rounds,
            lambda: evaluate_predictions(root / "spots", data, bootstrap=Bootstrap(0)),
            lambda: official.evaluate(
                str(root / "labels"),
                str(root / "spots"),
                prediction_file="results_spotting.json",
                label_files="Labels-ball.json",
                framerate=FPS,
                metric="at1",
                dataset=None,
                EVENT_DICTIONARY={label: index for index, label in enumerate(BALL_12.labels)},
            ),
        )
        report("at1, from files", our_s, their_s, float(np.abs(our.result.ap - their["a_mAP_per_class"]).max()))
        paths = sorted(root.rglob("*.json"))
        parts = (
            (
                "all of it, with intervals and diagnosis",
                lambda: evaluate_predictions(root / "spots", data, with_diagnosis=True),
            ),
            ("reading and checking alone", lambda: read_pairing(root / "spots", data)),
            ("json.loads alone", lambda: [json.loads(path.read_text()) for path in paths]),
        )
        for text, work in parts:
            seconds = statistics.median(cpu_seconds(work)[0] for _ in range(3))
            print(f"    {text}: {seconds:.2f} s")


def main() -> None:
    parser = argparse.ArgumentParser(description="Time ballspot's evaluation beside the official package's.")
    parser.add_argument("--rounds", type=int, default=3, help="times that the official code runs")
    options = parser.parse_args()
    official: Any = import_module("SoccerNet.Evaluation.ActionSpotting")
    official.tqdm = lambda rounds, **_: rounds
    draw = np.random.default_rng(0)
    labels = [draw_truths(draw) for _ in range(N_MATCHES)]
    matches = [(one, draw_predictions(draw, one, 0.6)) for one in labels]
    truths = [column_arrays(columns_of(one), BALL_12, fps=FPS) for one, _ in matches]
    spots = [column_arrays(columns_of(one), BALL_12, fps=FPS) for _, one in matches]
    vectors = [official_vectors(*match) for match in matches]
    targets, detections, closests = ([match[place] for match in vectors] for place in range(3))
    for metric in ("at1", "tight"):
        protocol = Protocol(metric, FPS)
        our_s, their_s, our, their = in_turns(
            options.rounds,
            lambda p=protocol: average_precision(truths, spots, n_labels=len(BALL_12), protocol=p),
            lambda p=protocol: official.average_mAP(
                targets, detections, closests, FPS, deltas=np.array(p.tolerances_s)
            ),
        )
        report(f"{metric}, spots in memory", our_s, their_s, float(np.abs(our.ap - np.array(their[1])).max()))
    from_files(official, matches, options.rounds)
    other = [column_arrays(columns_of(draw_predictions(draw, one, 0.58)), BALL_12, fps=FPS) for one in labels]
    seconds, bounds = cpu_seconds(lambda: bootstrap(truths, spots, other))
    print(
        f"1,000 paired resamples of two runs, pooling and matching included: {seconds:.2f} s of CPU; "
        f"difference in mAP {100 * bounds[0]:.2f} to {100 * bounds[1]:.2f} points"
    )
    seconds, _ = cpu_seconds(lambda: diagnose_both(truths, spots, other))
    print(f"1,000 paired resamples of everything in the diagnoses of both runs: {seconds:.2f} s of CPU")


def bootstrap(truths: list[SpotArrays], one: list[SpotArrays], two: list[SpotArrays]) -> np.ndarray:
    pools = [pool_spots(truths, spots, n_labels=len(BALL_12), fps=FPS) for spots in (one, two)]
    resamples = Bootstrap(seed=0, n_resamples=1000).draw(pools)
    ours, theirs = (ap_replicates(pool, (1.0,), resamples).mean() for pool in pools)
    return np.quantile(ours - theirs, [0.025, 0.975])


def diagnose_both(truths: list[SpotArrays], one: list[SpotArrays], two: list[SpotArrays]) -> None:
    pools = [pool_spots(truths, spots, n_labels=len(BALL_12), fps=FPS) for spots in (one, two)]
    resamples = Bootstrap(seed=0, n_resamples=1000).draw(pools)
    for pool in pools:
        diagnose(pool, BALL_12, tolerance_s=1.0, resamples=resamples)


if __name__ == "__main__":
    main()
