import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.diagnosis.pitfalls import Pitfall
from ballspot.evaluate.results.evaluation import Evaluation, evaluate_predictions
from ballspot.evaluate.scoring.protocol import OFFICIAL, Protocol
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap

ONE = LabelSet("one", ("PASS",))


@pytest.fixture
def found(tmp_path: Path) -> Callable[..., dict[str, Pitfall]]:
    def evaluate(protocol: Protocol = OFFICIAL, label_set: LabelSet = ONE) -> dict[str, Pitfall]:
        return {pitfall.kind: pitfall for pitfall in evaluated(tmp_path, protocol, label_set).pitfalls}

    return evaluate


def evaluated(tmp_path: Path, protocol: Protocol = OFFICIAL, label_set: LabelSet = ONE) -> Evaluation:
    data = DataSelection(tmp_path / "data", label_set)
    return evaluate_predictions(tmp_path / "predictions", data, protocol=protocol, bootstrap=Bootstrap(0))


def test_clean_predictions_have_none(found: Callable, label_file: Callable, spot_file: Callable):
    label_file("l/m", [("PASS", 1020), ("PASS", 9020)])
    spot_file("l/m", [("PASS", 1020, 0.9), ("PASS", 9020, 0.4), ("PASS", 5020, 0.2)])
    assert found() == {}


def test_scores_above_1_cost_what_scaling_would_give(found: Callable, label_file: Callable, spot_file: Callable):
    # The false positive at 1.5 shares the top threshold with the hit at 3: precision 1/2; scaled they are apart.
    label_file("m", [("PASS", 1020)])
    spot_file("m", [("PASS", 1020, 3.0), ("PASS", 9020, 1.5)])
    pitfall = found()["score_range"]
    assert (pitfall.n, pitfall.cost) == (2, pytest.approx(0.5))
    assert pitfall.line().endswith("against scaling all into 0..1 it costs 50.00 points of mAP")


def test_a_negative_score_that_hides_a_better_one(found: Callable, label_file: Callable, spot_file: Callable):
    label_file("m", [("PASS", 1020)])
    spot_file("m", [("PASS", 1020, 0.9), ("PASS", 1021, -0.5)])
    pitfalls = found()
    assert pitfalls["same_frame"].n == 1 and pitfalls["same_frame"].cost == pytest.approx(1.0)
    assert pitfalls["score_range"].n == 1


def test_squeezed_scores_cost_what_finer_thresholds_would_give(
    found: Callable, label_file: Callable, spot_file: Callable
):
    label_file("m", [("PASS", 1020)])
    spot_file("m", [("PASS", 1020, 0.004), ("PASS", 9020, 0.003), ("PASS", 19_020, 0.001)])
    pitfall = found()["squeezed"]
    assert (pitfall.n, pitfall.cost) == (3, pytest.approx(1 - 1 / 3))


def test_positions_one_frame_early_cost_a_hit_at_the_edge(found: Callable, label_file: Callable, spot_file: Callable):
    # 1160 ms is the start of frame 29 and reads as 28; the truth in frame 41 is 12 away from 29, 13 from 28.
    label_file("m", [("PASS", 1660)])
    spot_file("m", [("PASS", 1160, 0.9)])
    pitfall = found()["early_frame"]
    assert (pitfall.n, pitfall.cost) == (1, 1.0)


def test_entries_without_half_and_files_in_other_folders_cost_everything(
    found: Callable, label_file: Callable, spot_file: Callable
):
    label_file("l/m", [("PASS", 1020)])
    entry = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1020", "confidence": "0.9"}
    spot_file("extra/l/m", [entry])
    pitfalls = found()
    assert [pitfalls[kind].cost for kind in ("no_half", "misplaced")] == [None, None]
    assert "extra/l/m/results_spotting.json" in pitfalls["misplaced"].line()
    assert "the whole score" in pitfalls["no_half"].line()


def test_predictions_of_a_half_without_labels_are_false_positives(
    found: Callable, label_file: Callable, spot_file: Callable
):
    label_file("m", [("PASS", 1020)])
    spot_file("m", [("PASS", 1020, 0.5), {**json_spot("PASS", 20, 0.9), "half": "2"}])
    pitfall = found()["other_half"]
    assert (pitfall.n, pitfall.cost) == (1, pytest.approx(0.5))


def test_misspelt_labels_cost_what_renaming_would_give(found: Callable, label_file: Callable, spot_file: Callable):
    label_file("m", [("PASS", 1020)])
    spot_file("m", [("Pass", 1020, 0.5)])
    assert (found()["unknown_label"].n, found()["unknown_label"].cost) == (1, 1.0)


def test_some_predictions_without_team_cost_team_map(found: Callable, label_file: Callable, spot_file: Callable):
    label_file("m", [{**json_truth("PASS", 1020), "team": "left"}, {**json_truth("PASS", 9020), "team": "right"}])
    spot_file("m", [{**json_spot("PASS", 1020, 0.9), "team": "left"}, ("PASS", 9020, 0.9)])
    pitfall = found()["no_team"]
    assert (pitfall.n, pitfall.measure, pitfall.cost) == (1, "Team-mAP", pytest.approx(0.5))


def test_no_team_at_all_is_no_fault(found: Callable, label_file: Callable, spot_file: Callable):
    label_file("m", [{**json_truth("PASS", 1020), "team": "left"}])
    spot_file("m", [("PASS", 1020, 0.9)])
    assert found() == {}


def test_the_worst_comes_first_and_json_holds_all(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m", [("PASS", 1020)])
    entry = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1020", "confidence": "3"}
    spot_file("m", [entry, ("PASS", 9020, 1.5)])
    record = evaluated(tmp_path).as_record(min_count=1)
    assert record["pitfalls"][0]["cost"] is None
    assert json.loads(json.dumps(record["pitfalls"])) == record["pitfalls"]


def json_truth(label: str, position_ms: int) -> dict:
    return {"gameTime": "1 - 00:00", "label": label, "position": str(position_ms), "visibility": "visible"}


def json_spot(label: str, position_ms: int, confidence: float) -> dict:
    return {"label": label, "position": str(position_ms), "half": "1", "confidence": str(confidence)}
