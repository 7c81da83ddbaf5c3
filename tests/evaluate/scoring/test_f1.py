"""The F1 of the player-centric task: the published counts of two systems, and small cases by hand."""

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cli import main
from ballspot.evaluate.dataset import PLAYER_8, Spot, SpotFile, columns_of
from ballspot.evaluate.scoring import Pairing, f1_at_confidence
from ballspot.evaluate.scoring.f1 import THRESHOLD, hits

FOOTPASS = Path(__file__).resolve().parents[4] / "shared" / "footpass"
PUBLISHED = {  # hits and misses a class, drive to block, with shirt numbers: the output of the authors' evaluation.py
    "TAAD": ([1556, 1982, 66, 43, 43, 86, 9, 37], [3595, 1901, 385, 188, 261, 926, 578, 920]),
    "DST": ([1763, 2273, 64, 65, 40, 45, 1, 16], [635, 662, 35, 39, 26, 100, 6, 36]),
}


@pytest.mark.parametrize("system", PUBLISHED)
def test_with_players_the_counts_are_those_of_the_published_code(system: str) -> None:
    if not FOOTPASS.is_dir():
        pytest.skip("shared/footpass is not beside this checkout")
    truth, found = (
        json.loads((FOOTPASS / f"playbyplay_{name}.json").read_text())["events"] for name in ("val", f"{system}_val")
    )
    n_hits, n_missed = np.zeros(9, int), np.zeros(9, int)
    for half, events in truth.items():
        of_truth, spots = (np.array([event[:5] for event in of]) for of in (events, found[half]))
        spots = spots[spots[:, 4] >= THRESHOLD]
        groups = [(one[:, 1] * 1000 + one[:, 2]).astype(int) * 10 + one[:, 3].astype(int) for one in (of_truth, spots)]
        is_hit = hits((groups[0], of_truth[:, 0].astype(int)), (groups[1], spots[:, 0].astype(int)), spots[:, 4])
        n_hits += np.bincount(spots[is_hit, 3].astype(int), minlength=9)
        n_missed += np.bincount(spots[~is_hit, 3].astype(int), minlength=9)
    assert (n_hits[1:].tolist(), n_missed[1:].tolist()) == PUBLISHED[system]


@pytest.mark.parametrize(
    ("system", "mean_ap", "macro", "micro"),
    [  # mAP by SoccerNet's own package, from shared/footpass/README.md; F1 as measured here, by the rule above
        ("TAAD", 0.3332777766324132, 0.25548323571754705, 0.4256140727233723),
        ("DST", 0.49674671367944523, 0.5710370811233606, 0.7775345234085551),
    ],
)
def test_published_predictions_are_converted_and_scored_to_the_last_digit(
    tmp_path: Path, system: str, mean_ap: float, macro: float, micro: float
) -> None:
    if not FOOTPASS.is_dir():
        pytest.skip("shared/footpass is not beside this checkout")
    for name, target, kind in (("val", "truth", "labels-ball"), (f"{system}_val", "found", "spots")):
        words = ["data", "convert", str(FOOTPASS / f"playbyplay_{name}.json"), str(tmp_path / target)]
        done = CliRunner().invoke(main, [*words, "--from", "player-centric", "--to", kind])
        assert done.exit_code == 0, done.stderr
    words = ["--data", str(tmp_path / "truth"), "--labels", "player-8", "--resamples", "0", "--json"]
    record = json.loads(CliRunner().invoke(main, ["evaluate", str(tmp_path / "found"), *words]).stdout)
    assert record["mean_ap"] == mean_ap
    f1 = record["f1_without_players"]
    assert f1["by_team"] and (f1["macro_f1"], f1["micro_f1"]) == pytest.approx((macro, micro), abs=1e-12)


def scored(truths: list[Spot], spots: list[Spot], *, with_sides: bool = True):
    pairing = Pairing(PLAYER_8, ("m",), (tuple(truths),), (SpotFile(columns_of(spots)),), (None,))
    return f1_at_confidence(pairing, with_sides=with_sides)


def spot(frame: int, confidence: float, label: str = "PASS", team: str | None = "left") -> Spot:
    return Spot(label, 40 * frame + 20, 1, team, confidence=confidence)


def test_the_most_confident_takes_the_nearest_truth_that_is_free() -> None:
    truths = [Spot("PASS", 40 * frame, 1, "left") for frame in (100, 110, 200)]
    spots = [spot(106, 0.9), spot(108, 0.8), spot(104, 0.7), spot(212, 0.2), spot(213, 0.95), spot(200, 0.149)]
    result = scored(truths, spots)  # 106 takes 110, 108 takes 100, 104 finds none; 212 is within 12, 213 is not
    assert (result.n_hits[1], result.n_spots[1], result.n_truth[1]) == (3, 5, 3)
    assert result.f1[1] == pytest.approx(2 * 3 / (5 + 3))
    assert result.macro_f1 == pytest.approx(result.f1[1] / 8) and result.micro_f1 == pytest.approx(0.75)


def test_a_hit_is_of_class_side_and_half() -> None:
    truths = [Spot("PASS", 4000, 1, "left"), Spot("SHOT", 4000, 1, None)]
    wrong = [spot(100, 0.9, team="right"), spot(100, 0.9, label="DRIVE"), Spot("PASS", 4000, 2, "left", confidence=1.0)]
    assert scored(truths, wrong).n_hits.sum() == 0
    assert scored(truths, wrong, with_sides=False).n_hits.tolist() == [0, 1, 0, 0, 0, 0, 0, 0]
    assert scored(truths, [spot(100, 0.9, label="SHOT", team=None)]).n_hits[4] == 1
    assert scored([], []).macro_f1 == 0.0
