import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.scoring.metrics import (
    average_precision,
    frequent_ap,
    headline_ap,
    interpolated_ap,
    metric_frame,
    score_bins,
)
from ballspot.evaluate.scoring.protocol import Protocol


def one_class(frames: list[int], scores: list[float] | None = None) -> SpotArrays:
    score = None if scores is None else np.array(scores, dtype=float)
    return SpotArrays(np.array(frames, dtype=np.int64), np.zeros(len(frames), dtype=np.int64), score)


def ap(truths: SpotArrays, predictions: SpotArrays, **options) -> float:
    return average_precision([truths], [predictions], n_labels=1, protocol=Protocol(**options)).mean_ap


def test_perfect_predictions_score_1_and_none_score_0():
    truths = one_class([10, 100, 500])
    assert ap(truths, one_class([10, 100, 500], [0.9, 0.2, 0.5])) == 1.0
    assert ap(truths, one_class([], [])) == 0.0


def test_half_the_truths_found_without_error_score_six_elevenths():
    # Recall 0.5 is reached: the levels 0, 0.1 ... 0.5 are six of eleven, each at precision 1.
    assert ap(one_class([10, 100]), one_class([10], [0.9])) == pytest.approx(6 / 11)


def test_a_false_positive_above_the_hits_halves_precision_everywhere():
    assert ap(one_class([10]), one_class([10, 1000], [0.5, 0.9])) == pytest.approx(0.5)
    assert ap(one_class([10]), one_class([10, 1000], [0.9, 0.5])) == pytest.approx(1.0)


def test_scores_in_one_of_the_200_bins_cannot_be_told_apart():
    # The second threshold is 1/199 = 0.00503: 0 and 0.005 share the first bin, and scores above 1 the last.
    assert score_bins(np.array([-0.1, 0.0, 0.005, 0.00503, 1.0, 7.0])).tolist() == [0, 1, 1, 2, 200, 200]
    assert ap(one_class([10]), one_class([10, 1000], [0.005, 0.0])) == pytest.approx(0.5)
    assert ap(one_class([10]), one_class([10, 1000], [7.0, 1.0])) == pytest.approx(0.5)


def test_a_class_without_truths_scores_0_and_counts_in_the_mean():
    truths = SpotArrays(np.array([10]), np.array([1]))
    predictions = SpotArrays(np.array([10, 10]), np.array([1, 0]), np.array([0.9, 0.9]))
    result = average_precision([truths], [predictions], n_labels=3)
    assert result.ap.tolist() == [0.0, 1.0, 0.0]
    assert result.n_truth.tolist() == [0, 1, 0]
    assert result.mean_ap == pytest.approx(1 / 3)


def test_several_tolerances_are_averaged_with_half_weight_at_the_ends():
    # Reaches at 25 fps: 1 s 12, 2 s 25, 3 s 37 frames; 20 frames off is a hit from 2 s on.
    truths, predictions = one_class([100]), one_class([120], [0.9])
    assert [ap(truths, predictions, tolerance_s=s) for s in (1, 2, 3)] == [0.0, 1.0, 1.0]
    assert ap(truths, predictions, metric="tight") == pytest.approx((0 / 2 + 1 + 1 + 1 + 1 / 2) / 4)


def test_visible_and_not_shown_truths_are_scored_apart():
    truths = SpotArrays(np.array([10, 1000]), np.zeros(2, int), visible=np.array([True, False]))
    result = average_precision([truths], [one_class([10], [0.9])], n_labels=1)
    assert (result.mean_ap, result.mean_ap_visible, result.mean_ap_not_shown) == (pytest.approx(6 / 11), 1.0, 0.0)
    assert (result.n_visible.tolist(), result.n_not_shown.tolist()) == ([1], [1])


def test_no_match_at_all_scores_0():
    assert average_precision([], [], n_labels=2).ap.tolist() == [0.0, 0.0]


def test_soccernets_frame_is_one_early_for_1160_ms():
    assert metric_frame(1160, 25) == 28
    assert metric_frame(1161, 25) == 29


def test_about_six_percent_of_frame_starts_at_25_fps_read_one_frame_early():
    early = [metric_frame(40 * frame, 25) == frame - 1 for frame in range(150_000)]
    assert 0.04 < np.mean(early) < 0.08
    assert all(metric_frame(40 * frame + 20, 25) == frame for frame in range(150_000))


def test_the_metrics_are_soccernets_tolerances():
    assert Protocol("at3").tolerances_s == (3.0,)
    assert Protocol("tight").tolerances_s == (1, 2, 3, 4, 5)
    assert Protocol("loose").tolerances_s == (5, 10, 15, 20, 25, 30, 35, 40, 45, 50, 55, 60)
    with pytest.raises(BallspotError, match="unknown metric 'at6'; known are at1, at2"):
        Protocol("at6")


def test_headline_and_frequent_means():
    label_set = LabelSet("abc", ("A", "B", "C"), headline_excludes=("B",))
    ap_by_class = np.array([0.2, 0.9, 0.4])
    assert headline_ap(ap_by_class, label_set) == pytest.approx(0.3)
    assert frequent_ap(ap_by_class, np.array([10, 3, 9]), 9) == pytest.approx(0.3)
    assert frequent_ap(ap_by_class, np.array([10, 3, 9]), 11) is None


places = st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 2), st.floats(0, 1)), max_size=30)


def scored(events: list[tuple[int, int, float]], *, shift: int = 0) -> SpotArrays:
    table = np.array(events, dtype=float).reshape(-1, 3)
    return SpotArrays(table[:, 0].astype(np.int64) + shift, table[:, 1].astype(np.int64), table[:, 2])


@given(places, places, st.integers(0, 100_000))
def test_shifting_truths_and_predictions_alike_changes_nothing(truths: list, predictions: list, shift: int):
    before = average_precision([scored(truths)], [scored(predictions)], n_labels=3)
    moved = [scored(truths, shift=shift)], [scored(predictions, shift=shift)]
    np.testing.assert_array_equal(average_precision(*moved, n_labels=3).ap, before.ap)


@given(places, places)
def test_every_match_given_twice_changes_nothing(truths: list, predictions: list):
    once = average_precision([scored(truths)], [scored(predictions)], n_labels=3)
    twice = average_precision([scored(truths)] * 2, [scored(predictions)] * 2, n_labels=3)
    np.testing.assert_allclose(twice.ap, once.ap, atol=1e-12)
    np.testing.assert_array_equal(twice.n_truth, 2 * once.n_truth)


@given(places, places)
def test_average_precision_is_between_0_and_1_and_perfect_for_the_truths_themselves(truths: list, predictions: list):
    result = average_precision([scored(truths)], [scored(predictions)], n_labels=3)
    for values in (result.ap, result.ap_visible, result.ap_not_shown):
        assert np.all((values >= 0) & (values <= 1))
    own = average_precision([scored(truths)], [scored(truths)], n_labels=3, protocol=Protocol(tolerance_s=0))
    np.testing.assert_array_equal(own.ap, (own.n_truth > 0).astype(float))


@given(st.integers(0, 2**32 - 1))
def test_thresholds_that_no_hit_ends_at_change_no_average_precision(seed):
    draw = np.random.default_rng(seed)
    label_bins = draw.integers(0, 201, draw.integers(1, 60))
    is_hit = draw.random(label_bins.size) < 0.4
    thresholds = np.arange(1, 201)
    n_detected = (label_bins >= thresholds[:, None]).sum(1)
    n_hits = (label_bins[is_hit] >= thresholds[:, None]).sum(1)
    n_truth = np.array(is_hit.sum() + draw.integers(0, 5))
    kept = np.unique(label_bins[is_hit & (label_bins > 0)]) - 1
    whole = interpolated_ap(n_detected, n_hits, n_truth)
    assert (interpolated_ap(n_detected[kept], n_hits[kept], n_truth) if kept.size else 0.0) == whole
