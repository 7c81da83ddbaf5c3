"""The worst mistakes of a class, against matches written by hand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.diagnosis.worst import ClassMistakes, HowMany, worst_mistakes
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap


@pytest.fixture
def folders(tmp_path: Path, label_file: Callable, spot_file: Callable) -> Path:
    label_file("m1", [("PASS", 10_020), ("PASS", 20_020), ("PASS", 30_020), ("DRIVE", 40_020)])
    label_file("m2", [("PASS", 50_020), ("SHOT", 60_020)])
    spot_file(
        "m1",
        [
            ("PASS", 10_060, 0.9),  # hit
            ("PASS", 10_260, 0.6),  # duplicate: 6 frames late
            ("PASS", 39_940, 0.8),  # confusion: 2 frames ahead of the DRIVE
            ("PASS", 21_220, 0.7),  # near miss: 1.2 s late
            ("PASS", 70_020, 0.95),  # background
            ("PASS", 30_020, 0.1),  # would hit, but below any good threshold
        ],
    )
    spot_file("m2", [("PASS", 50_020, 0.55), ("SHOT", 5020, 0.3)])
    return tmp_path


def worst_of(folders: Path, *classes: str, **settings) -> ClassMistakes:
    (row,) = worst_mistakes(
        folders / "predictions", DataSelection(folders / "data", BALL_12), classes=classes, **settings
    )
    return row


def test_false_predictions_come_by_falling_confidence_with_kind_truth_and_distance(folders: Path):
    row = worst_of(folders, "PASS", threshold=0.5, wanted=HowMany(false=9))
    seen = [(one.match, one.spot.position_ms, one.score, one.kind, one.late_s) for one in row.false]
    assert seen == [
        ("m1", 70_020, 0.95, "background", None),
        ("m1", 39_940, 0.8, "confusion", -0.08),
        ("m1", 21_220, 0.7, "near_miss", 1.2),
        ("m1", 10_260, 0.6, "duplicate", 0.24),
    ]
    assert [one.truth and one.truth.label for one in row.false] == [None, "DRIVE", "PASS", "PASS"]
    assert (row.n_truth, row.n_predictions, row.n_false, row.n_missed) == (4, 6, 4, 2)


def test_missed_truths_come_with_the_best_confidence_below_the_threshold_none_first(folders: Path):
    row = worst_of(folders, "PASS", threshold=0.5)
    assert [(one.match, one.spot.position_ms, one.score, one.kind) for one in row.missed] == [
        ("m1", 20_020, None, "missed"),
        ("m1", 30_020, 0.1, "missed"),
    ]
    assert len(worst_of(folders, "PASS", threshold=0.6).missed) == 3  # the hit of 0.55 no longer counts


def test_the_threshold_and_the_counts_are_those_of_the_diagnosis(folders: Path):
    row = worst_of(folders, "PASS")
    evaluation = evaluate_predictions(
        folders / "predictions", DataSelection(folders / "data", BALL_12), with_diagnosis=True, bootstrap=Bootstrap(0)
    )
    assert evaluation.diagnosis is not None
    point = evaluation.diagnosis.points[BALL_12.index("PASS")]
    assert (row.threshold, row.n_missed) == (point.threshold, point.mistakes["missed"])
    assert row.n_false == sum(n for kind, n in point.mistakes.items() if kind not in ("hit", "missed"))


def test_of_a_class_that_is_never_hit_all_predictions_are_false_and_all_truths_missed(folders: Path):
    row = worst_of(folders, "SHOT")
    assert (row.threshold, row.n_false, row.n_missed) == (None, 1, 1)
    assert [one.kind for one in (*row.false, *row.missed)] == ["background", "missed"]
    row = worst_of(folders, "GOAL")
    assert (row.n_predictions, row.n_truth, row.false, row.missed) == (0, 0, (), ())


def test_classes_come_in_the_order_asked_for_and_unknown_ones_are_refused(folders: Path):
    rows = worst_mistakes(folders / "predictions", DataSelection(folders / "data", BALL_12), classes=["SHOT", "PASS"])
    assert [row.label for row in rows] == ["SHOT", "PASS"]
    with pytest.raises(BallspotError, match="PAS"):
        worst_of(folders, "PAS")


def test_hits_come_by_falling_confidence_with_their_truth_and_only_where_asked_for(folders: Path):
    row = worst_of(folders, "PASS", threshold=0.5, wanted=HowMany(hits=1))
    (hit,) = row.hits
    assert (hit.match, hit.spot.position_ms, hit.score, hit.kind, hit.late_s) == ("m1", 10_060, 0.9, "hit", 0.04)
    assert hit.truth is not None and hit.truth.position_ms == 10_020
    assert len(worst_of(folders, "PASS", threshold=0.5, wanted=HowMany(hits=9)).hits) == 2
    assert worst_of(folders, "PASS", threshold=0.5).hits == ()
