import numpy as np
import pytest

from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.diagnosis.diagnosis import best_thresholds, calibration, diagnose
from ballspot.evaluate.diagnosis.mistakes import judge
from ballspot.evaluate.reporting.tables import diagnosis_tables
from ballspot.evaluate.scoring.matching import Pool, match_truths, pool_spots
from ballspot.evaluate.scoring.metrics import pooled_average_precision

AB = LabelSet("ab", ("A", "B"))


def pooled(truths: list[tuple[int, int]], predictions: list[tuple[int, int, float]]) -> Pool:
    truth_table, table = np.array(truths), np.array(predictions)
    return pool_spots(
        [SpotArrays(truth_table[:, 0], truth_table[:, 1])],
        [SpotArrays(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2])],
        n_labels=2,
        fps=25,
    )


# Class A: four truths, three hit (2 frames late, 5 early, 10 late), false positives at 0.8 and 0.1.
TRUTHS = [(100, 0), (300, 0), (500, 0), (700, 0), (900, 1)]
SPOTS = [(102, 0, 0.9), (2000, 0, 0.8), (295, 0, 0.7), (510, 0, 0.6), (3000, 0, 0.1)]


def test_the_best_threshold_and_what_it_gives_by_hand():
    # F1 from the top: 2/5, 2/6, 4/7, 6/8 = 0.75, 6/9: best at 0.6, precision 3/4, recall 3/4.
    (first, second) = diagnose(pooled(TRUTHS, SPOTS), AB, tolerance_s=1.0).points
    assert (first.threshold, first.precision, first.recall, first.f1) == (0.6, 0.75, 0.75, 0.75)
    assert first.mistakes == {
        "hit": 3, "duplicate": 0, "confusion": 0, "near_miss": 0, "background": 1, "missed": 1
    }  # fmt: skip
    assert (second.threshold, second.f1, second.n_truth, second.mistakes["missed"]) == (None, None, 1, 1)


def test_timing_of_hits_in_seconds_by_hand():
    point = diagnose(pooled(TRUTHS, SPOTS), AB, tolerance_s=1.0).points[0]
    assert point.timing_median_s == pytest.approx(5 / 25)
    assert point.timing_p90_s == pytest.approx(9 / 25)  # between 5 and 10 frames
    assert point.timing_bias_s == pytest.approx(2 / 25)


def test_equal_scores_are_taken_together():
    pool = pooled(TRUTHS, [(100, 0, 0.5), (2000, 0, 0.5), (3000, 0, 0.5)])
    assert best_thresholds(pool, np.array([True, False, False])).tolist() == [0.5, np.inf]
    assert diagnose(pool, AB, tolerance_s=1.0).points[0].precision == pytest.approx(1 / 3)


def test_the_curve_is_the_ap_at_each_tolerance():
    pool = pooled(TRUTHS, SPOTS)
    diagnosis = diagnose(pool, AB, tolerance_s=1.0, curve_s=(0.1, 0.4, 1.0))
    expected = [pooled_average_precision(pool, (one,)).ap.tolist() for one in (0.1, 0.4, 1.0)]
    assert diagnosis.curve.tolist() == expected
    assert diagnosis.curve[:, 0].tolist() == sorted(diagnosis.curve[:, 0])


def test_calibration_by_hand():
    pool = pooled(TRUTHS, SPOTS)
    known = calibration(pool, judge(pool, match_truths(pool, 1.0), 1.0), n_bins=2)
    assert known.count.tolist() == [1, 4]
    assert known.score.tolist() == [pytest.approx(0.1), pytest.approx(0.75)]
    assert known.share.tolist() == [0.0, 0.75]
    assert known.error == pytest.approx((0.1 + 4 * 0.0) / 5)


def test_the_record_is_plain_and_the_tables_are_whole():
    diagnosis = diagnose(pooled(TRUTHS, SPOTS), AB, tolerance_s=1.0)
    record = diagnosis.as_record()
    assert record["per_class"]["A"]["counts"]["hit"] == 3
    assert set(record["mean_ap_if_fixed"]) == {"duplicate", "confusion", "near_miss", "background", "missed"}
    assert np.array(record["confusion"]["counts"]).shape == (3, 3)
    for table in diagnosis_tables(diagnosis):
        assert all(len(row) == len(table.headers) for row in table.rows)
        assert "95 %" not in table.headers  # nothing was resampled
