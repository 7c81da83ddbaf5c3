import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.scoring.exact import exact_ap, match_predictions
from ballspot.evaluate.scoring.matching import pool_spots

Event = tuple[int, int, float]


def arrays(events: list) -> SpotArrays:
    table = np.array(events, dtype=float).reshape(len(events), -1) if events else np.zeros((0, 3))
    score = table[:, 2] if table.shape[1] > 2 else None
    return SpotArrays(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), score)


def by_definition(truths: list[tuple[int, int]], predictions: list[Event], label: int, reach: int) -> float:
    """The area for one class, one prediction after another, written from the paper's definition."""
    free = sorted(frame for frame, one in truths if one == label)
    n_truth = len(free)
    kept = {frame: score for frame, one, score in predictions if one == label}  # the last written of a frame
    ordered = sorted(kept.items(), key=lambda item: (-item[1], item[0]))
    precisions = []
    for rank, (frame, _) in enumerate(ordered, start=1):
        near = [truth for truth in free if abs(truth - frame) <= reach]
        if near:
            free.remove(min(near, key=lambda truth: (abs(truth - frame), truth)))
            precisions.append((len(precisions) + 1) / rank)
    best = [max(precisions[place:]) for place in range(len(precisions))]
    return sum(best) / n_truth if n_truth else 0.0


def test_two_of_three_found_with_a_false_positive_between_by_hand():
    # In order of score: hit (1/1), false, hit (2/3): the area is (1 + 2/3) / 3.
    pool = pool_spots(
        [arrays([(10, 0), (100, 0), (500, 0)])],
        [arrays([(10, 0, 0.9), (300, 0, 0.8), (100, 0, 0.7)])],
        n_labels=1,
        fps=25,
    )
    assert exact_ap(pool, 1.0).tolist() == [pytest.approx((1 + 2 / 3) / 3)]


def test_predictions_choose_the_nearest_truth_and_the_better_one_goes_first():
    # SoccerNet's rule gives frame 10 to the truth at 5 (its best prediction); here it goes to 12, the nearer one.
    pool = pool_spots([arrays([(5, 0), (12, 0)])], [arrays([(10, 0, 0.9), (11, 0, 0.1)])], n_labels=1, fps=25)
    assert match_predictions(pool, 1.0).tolist() == [1, 0]


def test_a_class_without_truths_or_without_predictions_scores_0():
    pool = pool_spots([arrays([(10, 0)])], [arrays([(10, 1, 0.5)])], n_labels=3, fps=25)
    assert exact_ap(pool, 1.0).tolist() == [0.0, 0.0, 0.0]


truth_lists = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 1)), max_size=12, unique=True)
spot_lists = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 1), st.integers(0, 5).map(lambda n: n / 5)), max_size=20
)


@given(truth_lists, spot_lists, st.integers(0, 8))
def test_the_area_is_that_of_the_definition(truths: list, predictions: list, reach: int):
    pool = pool_spots([arrays(truths)], [arrays(predictions)], n_labels=2, fps=2)
    expected = [by_definition(truths, predictions, label, reach) for label in (0, 1)]
    np.testing.assert_allclose(exact_ap(pool, float(reach)), expected, atol=1e-12)
