from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.results.evaluation import Evaluation, evaluate_predictions
from ballspot.evaluate.scoring.protocol import OFFICIAL, Protocol


def scored(tmp_path: Path, protocol: Protocol = OFFICIAL, matches: list[str] | None = None) -> Evaluation:
    data = DataSelection(tmp_path / "data", BALL_12)
    return evaluate_predictions(tmp_path / "predictions", data, matches, protocol=protocol)


def test_headline_means_by_hand(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m", [("PASS", 1000), ("GOAL", 5000), ("GOAL", 60_000)])
    spot_file("m", [("PASS", 1020, 0.9), ("GOAL", 5020, 0.9)])
    record = scored(tmp_path).as_record(min_count=2)
    # PASS 1, GOAL 6/11 (one of two found), ten classes without truths 0; mAP@10 leaves GOAL out.
    assert record["mean_ap"] == pytest.approx((1 + 6 / 11) / 12)
    assert record["headline_ap"] == pytest.approx(1 / 10)
    assert record["frequent_ap"] == pytest.approx(6 / 11)
    assert record["per_class"]["GOAL"] == {
        "ap": pytest.approx(6 / 11),
        "n_truth": 2,
        "ap_visible": pytest.approx(6 / 11),
        "n_visible": 2,
        "ap_not_shown": 0.0,
        "n_not_shown": 0,
        "exact_ap": 0.5,
        "team_ap": None,
    }
    assert (record["metric"], record["fps"], record["matches"], record["n_predictions"]) == ("at1", 25.0, ["m"], 2)


def test_the_original_protocol_scores_every_second_frame(tmp_path: Path, label_file: Callable, spot_file: Callable):
    # At 25 fps the label at 1000 ms is frame 25 and the reach 12 frames; on the grid it is frame 12 and the reach 6.
    # 1520 ms: frames 38 and 19, 13 and 7 away: twice a miss. 1519 ms: 37 and 18, 12 and 6 away: twice a hit.
    # 487 ms: 12 and 6, 13 and 6 away: a hit on the grid only.
    label_file("m", [("PASS", 1000), ("DRIVE", 1000), ("OUT", 1000)])
    spot_file("m", [("PASS", 1520, 0.9), ("DRIVE", 1519, 0.9), ("OUT", 487, 0.9)])
    evaluation = scored(tmp_path)
    places = [BALL_12.index(label) for label in ("PASS", "DRIVE", "OUT")]
    assert evaluation.result.ap[places].tolist() == [0, 1, 0]
    assert evaluation.original.ap[places].tolist() == [0, 1, 1]


@pytest.mark.parametrize(("n_video_frames", "original"), [(100, 1.0), (None, 0.0)])
def test_the_original_protocol_puts_late_labels_into_the_last_grid_frame(
    tmp_path: Path, label_file: Callable, spot_file: Callable, n_video_frames: int | None, original: float
):
    # 100 frames end at 4 s; the label at 10 s counts in grid frame 49, near the prediction in frame 98.
    label_file("m", [("PASS", 10_000)])
    spot_file("m", [("PASS", 3940, 0.9)])
    if n_video_frames is not None:
        path = tmp_path / "predictions" / "m" / "scores.npz"
        np.savez(path, n_video_frames=n_video_frames, fps=25.0)
    evaluation = scored(tmp_path)
    assert evaluation.original.ap[0] == original
    assert evaluation.result.ap[0] == 0.0


def test_the_length_of_the_first_half_says_nothing_of_the_second(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    label_file("m", [{"gameTime": "2 - 00:10", "label": "PASS", "position": "10000", "visibility": "visible"}])
    entry = {"gameTime": "2 - 00:10", "label": "PASS", "position": "10000", "half": "2", "confidence": "0.9"}
    path = spot_file("m", [entry]).with_name("scores.npz")
    np.savez(path, n_video_frames=100, fps=25.0)
    evaluation = scored(tmp_path)
    assert evaluation.result.ap[0] == evaluation.original.ap[0] == 1.0


def test_frequent_classes_of_the_original_protocol_are_those_of_the_official_count(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    # The passes at 980 and 1020 ms are two frames at 25 fps and one on the grid.
    label_file("m", [("PASS", 980), ("PASS", 1020), ("GOAL", 60_000)])
    spot_file("m", [("PASS", 1000, 0.9)])
    evaluation = scored(tmp_path)
    assert (evaluation.result.n_truth[0], evaluation.original.n_truth[0]) == (2, 1)
    record = evaluation.as_record(min_count=2)
    assert record["original_protocol"]["frequent_ap"] == evaluation.original.ap[0] == 1.0


def test_the_original_protocol_ignores_visibility(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file(
        "m",
        [
            (
                "PASS",
                1000,
            ),
            {"gameTime": "1 - 00:09", "label": "PASS", "position": "9000", "visibility": "not shown"},
        ],
    )
    spot_file("m", [("PASS", 1000, 0.9)])
    evaluation = scored(tmp_path)
    assert (evaluation.result.n_not_shown[0], evaluation.original.n_not_shown[0]) == (1, 0)
    assert evaluation.original.n_visible[0] == 2


def test_only_the_named_matches_are_scored(tmp_path: Path, label_file: Callable, spot_file: Callable):
    for match in ("a", "b"):
        label_file(match, [("PASS", 1000)])
    spot_file("b", [("PASS", 1000, 0.9)])
    assert scored(tmp_path, matches=["b"]).result.ap[0] == 1.0
    with pytest.raises(BallspotError, match=r"no predictions for match 'a' \(no a/results_spotting.json\); predict"):
        scored(tmp_path)
    with pytest.raises(BallspotError, match="no match 'bb'"):
        scored(tmp_path, matches=["bb"])


def test_of_two_labels_in_a_frame_the_last_written_decides_visibility(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    hidden = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1010", "visibility": "not shown"}
    spot_file("m", [])
    for entries, n_visible in (([("PASS", 1020), hidden], 0), ([hidden, ("PASS", 1020)], 1)):
        label_file("m", entries)
        evaluation = scored(tmp_path)
        assert (evaluation.n_labels, evaluation.result.n_truth[0], evaluation.result.n_visible[0]) == (2, 1, n_visible)


def test_unknown_labels_are_counted(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m", [("PASS", 1000)])
    spot_file("m", [("PASS", 1000, 0.5), ("Pass", 1000, 0.5), ("Pass", 9000, 0.5)])
    evaluation = scored(tmp_path)
    assert evaluation.unknown_labels == {"Pass": 2}
    assert evaluation.n_predictions == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.0}, "frame rate 0.0"),
        ({"fps": float("nan")}, "frame rate nan"),
        ({"tolerance_s": -1.0}, "tolerance -1.0 s"),
        ({"tolerance_s": float("inf")}, "tolerance inf s"),
        ({"metric": "at9"}, "unknown metric 'at9'"),
    ],
)
def test_impossible_settings_are_named(options: dict, message: str):
    with pytest.raises(BallspotError, match=message):
        Protocol(**options)


@pytest.mark.parametrize(("teams", "is_scored"), [(("left", "right"), True), (("home", "away"), False)])
def test_teams_are_scored_where_they_are_left_and_right_however_short_the_match(
    tmp_path: Path, label_file: Callable, spot_file: Callable, teams: tuple[str, str], is_scored: bool
):
    # 10 s are a single block: no draws, and so no intervals.
    entry = {"gameTime": "1 - 00:01", "label": "PASS", "half": "1", "confidence": "0.9", "visibility": "visible"}
    entries = [{**entry, "position": str(1000 * place), "team": team} for place, team in enumerate(teams, start=1)]
    label_file("m", entries)
    spot_file("m", entries)
    record = scored(tmp_path).as_record(min_count=1)
    assert record["team_mean_ap"] == (1.0 if is_scored else None)
    assert record["intervals"]["team_mean_ap"] == ([None, None] if is_scored else None)
    assert record["per_class"]["PASS"]["team_ap"] == (1.0 if is_scored else None)


def test_a_match_without_labels_is_left_out_of_all_and_refused_by_name(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    label_file("m", [("PASS", 1000)])
    spot_file("m", [("PASS", 1000, 1)])
    (tmp_path / "data" / "v").mkdir()
    (tmp_path / "data" / "v" / "224p.mp4").touch()
    assert scored(tmp_path).matches == ("m",)
    with pytest.raises(BallspotError, match=r"match 'v' has no Labels-ball\.json"):
        scored(tmp_path, matches=["v"])


def test_a_tolerance_replaces_the_metric(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m", [("PASS", 1000)])
    spot_file("m", [("PASS", 2000, 0.9)])  # 25 frames off: reached from 2 s full width on
    assert scored(tmp_path, Protocol(tolerance_s=1.9)).result.ap[0] == 0.0
    assert scored(tmp_path, Protocol(tolerance_s=2.0)).result.ap[0] == 1.0
    assert scored(tmp_path, Protocol(tolerance_s=2.0)).as_record(min_count=1)["metric"] == "tolerance"
    assert scored(tmp_path, Protocol(tolerance_s=1e300)).result.ap[0] == 1.0
