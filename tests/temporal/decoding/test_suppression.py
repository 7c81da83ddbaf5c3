"""The reference takes the highest score over and over, as the sequential rule says."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ballspot.temporal.decoding.suppression import (
    WEAKENINGS,
    Peaks,
    Weakening,
    hard_weakening,
    local_peaks,
    lopsided_weakening,
    soft_weakening,
    suppress,
)


def one_by_one(scores: np.ndarray, weakening: Weakening, *, floor: float) -> list[tuple[int, int, float]]:
    taken = []
    for label, column in enumerate(scores.T.astype(np.float64)):
        left = column.copy()
        while left.size:
            row = int(left.argmax())
            if left[row] < floor or left[row] <= 0:
                break
            taken.append((row, label, float(left[row])))
            left[row] = 0.0
            for factors, sign in ((weakening.earlier, -1), (weakening.later, 1)):
                for distance, factor in enumerate(factors, start=1):
                    place = row + sign * distance
                    if 0 <= place < left.size:
                        left[place] *= factor
    return sorted(taken)


def listed(peaks: Peaks) -> list[tuple[int, int, float]]:
    return list(zip(peaks.row.tolist(), peaks.label_index.tolist(), peaks.score.tolist(), strict=True))


COARSE = arrays(np.float32, st.tuples(st.integers(1, 60), st.integers(1, 3)), elements=st.integers(0, 8)).map(
    lambda whole: (whole / 8).astype(np.float32)
)


@settings(max_examples=300, deadline=None)
@given(
    scores=COARSE,
    kind=st.sampled_from(["hard", "lopsided"]),
    window=st.integers(0, 9),
    floor=st.sampled_from([0.0, 0.3]),
)
def test_hard_suppression_is_the_sequential_rule_ties_included(scores, kind, window, floor):
    weakening = WEAKENINGS[kind](window)
    assert listed(suppress(scores, weakening, floor=floor)) == one_by_one(scores, weakening, floor=floor)


@pytest.mark.parametrize("window", [0, 1, 2, 5, 12])
@pytest.mark.parametrize("shape", [(1, 1), (40, 2), (400, 3)])
@pytest.mark.parametrize("power", [1, 8])
def test_soft_suppression_is_the_sequential_rule_to_rounding(window, shape, power):
    for seed in range(5):
        scores = (np.random.default_rng(seed).random(shape) ** power).astype(np.float32)
        weakening = soft_weakening(window)
        found, expected = suppress(scores, weakening, floor=0.01), one_by_one(scores, weakening, floor=0.01)
        assert [peak[:2] for peak in listed(found)] == [peak[:2] for peak in expected]
        np.testing.assert_allclose(found.score, [score for _, _, score in expected], rtol=1e-12)


def test_soft_suppression_by_hand():
    # Peak 0.9 at row 4; its neighbour at distance 2 of window 4 keeps 0.8 * (2 / 4)^2 = 0.2, at distance 4 all of 0.5.
    scores = np.zeros((10, 1), dtype=np.float32)
    scores[[4, 6, 8], 0] = [0.9, 0.8, 0.5]
    found = listed(suppress(scores, soft_weakening(4), floor=0.01))
    # The 0.5 at row 8 is taken second and weakens row 6, two away, once more: 0.2 * 0.25 = 0.05.
    assert [row for row, _, _ in found] == [4, 6, 8]
    np.testing.assert_allclose([score for _, _, score in found], [0.9, 0.05, 0.5], rtol=1e-6)


def test_hard_suppression_removes_up_to_its_window_either_side():
    scores = np.full((11, 1), 0.1, dtype=np.float32)
    scores[5] = 0.9
    assert [row for row, _, _ in listed(suppress(scores, hard_weakening(3), floor=0.05))] == [0, 5, 9]


def test_the_originals_window_of_five_removes_three_before_and_one_after():
    weakening = lopsided_weakening(5)
    assert (len(weakening.earlier), len(weakening.later)) == (3, 1)
    # As cut by SoccerNet's code: from int(peak - 2.5) up to, not including, int(peak + 2.5).
    for width in range(2, 10):
        weakening = lopsided_weakening(width)
        removed = range(int(50 - width / 2), int(50 + width / 2))
        assert (50 - removed[0], removed[-1] - 50) == (len(weakening.earlier), len(weakening.later))


def test_classes_do_not_touch_each_other():
    scores = np.random.default_rng(0).random((50, 3)).astype(np.float32)
    together = suppress(scores, soft_weakening(6), floor=0.01)
    for label in range(3):
        alone = suppress(scores[:, label : label + 1], soft_weakening(6), floor=0.01)
        mine = together.label_index == label
        np.testing.assert_array_equal(together.row[mine], alone.row)
        np.testing.assert_array_equal(together.score[mine], alone.score)


@given(shift=st.integers(0, 40))
def test_shifting_the_scores_shifts_the_peaks(shift):
    scores = np.random.default_rng(1).random((60, 2)).astype(np.float32)
    moved = np.concatenate([np.zeros((shift, 2), np.float32), scores])
    first, second = suppress(scores, soft_weakening(5), floor=0.01), suppress(moved, soft_weakening(5), floor=0.01)
    np.testing.assert_array_equal(first.row + shift, second.row)
    np.testing.assert_array_equal(first.score, second.score)


def test_scores_below_the_floor_and_zeros_are_never_taken():
    scores = np.array([[0.0, 0.2], [0.04, 0.0], [0.0, 0.06]], dtype=np.float32)
    assert [(row, label) for row, label, _ in listed(suppress(scores, hard_weakening(0), floor=0.05))] == [
        (0, 1),
        (2, 1),
    ]
    assert listed(suppress(np.zeros((5, 2), np.float32), soft_weakening(3), floor=0.0)) == []
    assert listed(suppress(np.zeros((0, 2), np.float32), soft_weakening(3), floor=0.0)) == []


@given(scores=COARSE, window=st.integers(0, 9), floor=st.sampled_from([0.0, 0.01, 0.3]))
def test_with_ties_an_event_goes_only_where_a_strictly_higher_one_is_within_the_window(scores, window, floor):
    """The rule of E2E-Spot's evaluation: the higher one counts whether or not it is dropped itself."""
    found = listed(local_peaks(scores, window, floor=floor, ties=True))
    expected = []
    for label, column in enumerate(scores.T.tolist()):
        events = [(row, score) for row, score in enumerate(column) if score >= floor and score > 0]
        for row, score in events:
            if not any(higher > score and abs(other - row) <= window for other, higher in events):
                expected.append((row, label, score))
    assert found == sorted(expected)


@given(
    scores=st.lists(st.sampled_from([0.0, 0.1, 0.2, 0.5, 0.9]), min_size=1, max_size=40),
    window=st.integers(0, 6),
)
def test_local_peaks_are_the_scores_that_nothing_near_exceeds_the_first_of_equals(scores, window):
    column = np.array(scores)[:, None]
    found = local_peaks(column, window, floor=0.15)
    expected = [
        row
        for row, score in enumerate(scores)
        if score >= 0.15
        and score >= max(scores[max(row - window, 0) : row + window + 1])
        and score > max(scores[max(row - window, 0) : row], default=0.0)
    ]
    assert found.row.tolist() == expected
    assert found.score.tolist() == [scores[row] for row in expected]


@pytest.mark.parametrize("kind", [*WEAKENINGS, "peaks"])
def test_a_score_that_is_no_number_is_never_taken_and_holds_nothing_up(kind):
    scores = np.array([[0.5], [np.nan], [0.9], [np.nan]])
    for floor in (0.0, 0.3):
        if kind == "peaks":
            found = local_peaks(scores, 1, floor=floor)
        else:
            found = suppress(scores, WEAKENINGS[kind](1), floor=floor)
        assert found.row.tolist() == [0, 2]
