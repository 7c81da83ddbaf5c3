import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.scoring.matching import match_truths, pool_spots


def spots(*places: tuple[int, ...], label: int = 0) -> SpotArrays:
    """Spots of one class from (frame,) or (frame, score)."""
    scores = [place[1] for place in places if len(place) > 1]
    return SpotArrays(
        frame=np.array([place[0] for place in places], dtype=np.int64),
        label_index=np.full(len(places), label, dtype=np.int64),
        score=np.array(scores, dtype=float) if len(scores) == len(places) else None,
    )


def hits(truths: SpotArrays, predictions: SpotArrays, *, tolerance_s: float = 1.0, fps: float = 25) -> list:
    """For each truth the frame of its hit, or None."""
    pool = pool_spots([truths], [predictions], n_labels=2, fps=fps)
    found = match_truths(pool, tolerance_s)
    return [None if hit < 0 else int(pool.key[hit] % pool.n_frames) for hit in found]


def test_one_second_at_25_fps_reaches_12_frames_either_side():
    # 1 s * 25 / 2 = 12.5 frames.
    assert hits(spots((100,)), spots((88, 0.5))) == [88]
    assert hits(spots((100,)), spots((112, 0.5))) == [112]
    assert hits(spots((100,)), spots((87, 0.5), (113, 0.5))) == [None]


def test_a_truth_takes_the_highest_score_and_of_equal_scores_the_earliest():
    assert hits(spots((100,)), spots((95, 0.3), (105, 0.9), (100, 0.5))) == [105]
    assert hits(spots((100,)), spots((105, 0.5), (95, 0.5))) == [95]


def test_truths_are_served_in_order_of_time_each_prediction_once():
    # The earlier truth takes the better prediction although the later is nearer to it.
    assert hits(spots((100,), (110,)), spots((104, 0.4), (110, 0.9))) == [110, 104]
    assert hits(spots((100,), (104,)), spots((102, 0.9))) == [102, None]


def test_a_prediction_never_hits_a_truth_of_another_class_half_or_match():
    truth = spots((100,))
    assert hits(truth, spots((100, 0.9), label=1)) == [None]
    half_2 = SpotArrays(np.array([100]), np.array([0]), np.array([0.9]), half=np.array([2]))
    assert hits(truth, half_2) == [None]
    pool = pool_spots([truth, spots()], [spots(), spots((100, 0.9))], n_labels=2, fps=25)
    assert match_truths(pool, 1.0).tolist() == [-1]
    assert pool.match.tolist() == [1]


def test_windows_do_not_reach_over_the_border_of_two_classes():
    # Frame 0 of class 1 follows the last frame of class 0 in the order of keys.
    last = 120 * 60 * 25 - 1
    assert hits(spots((last,)), spots((0, 0.9), label=1)) == [None]
    assert hits(spots((0,), label=1), spots((last, 0.9))) == [None]


def test_of_one_class_and_frame_the_last_written_counts():
    pool = pool_spots([spots((5,), (5,))], [spots((7, 0.9), (3, 0.2), (7, 0.1))], n_labels=1, fps=25)
    assert pool.truth_key.tolist() == [5]
    assert dict(zip(pool.key.tolist(), pool.score.tolist(), strict=True)) == {3: 0.2, 7: 0.1}


def test_a_negative_score_written_last_hides_the_prediction_before_it():
    pool = pool_spots([spots()], [spots((7, 0.9), (7, -0.1), (8, np.nan))], n_labels=1, fps=25)
    assert pool.key.size == 0


def test_times_past_two_hours_count_in_the_last_frame():
    pool = pool_spots([spots((10**7,))], [spots((10**8, 0.5))], n_labels=1, fps=25)
    assert pool.truth_key.tolist() == pool.key.tolist() == [179_999]


def test_the_nearest_truth_decides_between_visible_and_not_shown():
    truths = SpotArrays(np.array([10, 20, 41]), np.zeros(3, int), visible=np.array([True, False, True]))
    # Between 10 and 20 the middle is 15, between 20 and 41 it is 30.5, cut to 30; from the middle on, the later counts.
    predictions = spots((0, 0.5), (14, 0.5), (15, 0.5), (29, 0.5), (30, 0.5), (900, 0.5))
    pool = pool_spots([truths], [predictions], n_labels=1, fps=25)
    assert pool.is_near_visible.tolist() == [True, True, False, False, True, True]


def test_where_a_match_has_no_truth_of_the_class_predictions_count_as_not_shown():
    pool = pool_spots([spots((5,)), spots()], [spots((5, 0.5)), spots((5, 0.5))], n_labels=1, fps=25)
    assert pool.is_near_visible.tolist() == [True, False]


@pytest.mark.parametrize(
    ("truths", "predictions", "message"),
    [
        ([spots()], [], "1 matches with truths and 0"),
        ([spots((5,))], [spots((5,))], "predictions need scores"),
        ([spots((-1,))], [spots()], "frame below 0"),
        ([spots((5,), label=2)], [spots()], "outside 0..1"),
        ([SpotArrays(np.array([1, 2]), np.array([0]))], [spots()], "differ in length"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(truths: list, predictions: list, message: str):
    with pytest.raises(ValueError, match=message):
        pool_spots(truths, predictions, n_labels=2, fps=25)


events = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 1)), max_size=25)
scored = st.lists(st.tuples(st.integers(0, 120), st.integers(0, 1), st.sampled_from([0.0, 0.2, 0.5, 1.0])), max_size=40)


def arrays(places: list[tuple]) -> SpotArrays:
    table = np.array(places, dtype=float).reshape(len(places), -1) if places else np.zeros((0, 3))
    score = table[:, 2] if table.shape[1] > 2 else None
    return SpotArrays(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), score)


@given(events, scored, st.sampled_from([0.0, 0.2, 1.0, 4.0]))
def test_matching_is_one_to_one_within_reach_and_leaves_no_free_prediction_to_a_missed_truth(
    truths: list, predictions: list, tolerance_s: float
):
    pool = pool_spots([arrays(truths)], [arrays(predictions)], n_labels=2, fps=10)
    found = match_truths(pool, tolerance_s)
    claimed = found[found >= 0].tolist()
    assert len(claimed) == len(set(claimed))
    for truth_key, hit in zip(pool.truth_key.tolist(), found.tolist(), strict=True):
        distance = np.abs(pool.key - truth_key)  # another class is 72,000 keys away
        near = np.flatnonzero(distance <= tolerance_s * 10 / 2).tolist()
        if hit >= 0:
            assert hit in near
        else:
            assert set(near) <= set(claimed)
