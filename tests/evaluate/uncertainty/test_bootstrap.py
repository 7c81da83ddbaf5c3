import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.scoring.exact import exact_ap
from ballspot.evaluate.scoring.matching import Pool, pool_spots
from ballspot.evaluate.scoring.metrics import pooled_average_precision
from ballspot.evaluate.uncertainty import bootstrap as intervals
from ballspot.evaluate.uncertainty.bootstrap import (
    Bootstrap,
    Replicates,
    Resamples,
    ap_replicates,
    blocks_of,
    exact_replicates,
    interval,
)
from ballspot.evaluate.uncertainty.intervals import holm, paired_difference


def arrays(events: list) -> SpotArrays:
    table = np.array(events, dtype=float).reshape(len(events), -1) if events else np.zeros((0, 3))
    score = table[:, 2] if table.shape[1] > 2 else None
    return SpotArrays(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), score)


def pooled(matches: list, n_labels: int = 2, fps: float = 10) -> Pool:
    truths, predictions = ([arrays(one[side]) for one in matches] for side in (0, 1))
    return pool_spots(truths, predictions, n_labels=n_labels, fps=fps)


truth_lists = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 1)), max_size=12)
spot_lists = st.lists(st.tuples(st.integers(0, 900), st.integers(0, 1), st.floats(0, 1)), max_size=25)
match_lists = st.lists(st.tuples(truth_lists, spot_lists), min_size=1, max_size=3)


def whole(pool: Pool, block_s: float) -> Resamples:
    """One draw with every block once."""
    drawn = Bootstrap(seed=0, n_resamples=1, block_s=block_s).draw([pool])
    return Resamples(block_s, drawn.blocks, np.ones((1, drawn.blocks.size)))


@settings(deadline=None)
@given(match_lists, st.sampled_from([1.0, 10.0, 300.0]), st.sampled_from([(1.0,), (0.2, 2.0, 5.0)]))
def test_every_block_drawn_once_gives_the_number_itself(matches: list, block_s: float, tolerances_s: tuple):
    pool = pooled(matches)
    once = whole(pool, block_s)
    result = pooled_average_precision(pool, tolerances_s)
    for kind, ap, n in (
        ("all", result.ap, result.n_truth),
        ("visible", result.ap_visible, result.n_visible),
        ("not shown", result.ap_not_shown, result.n_not_shown),
    ):
        drawn = ap_replicates(pool, tolerances_s, once, kind=kind)
        np.testing.assert_allclose(np.nan_to_num(drawn.ap[0]), ap, atol=1e-12)
        assert drawn.n_truth[0].tolist() == n.tolist()
    drawn = ap_replicates(pool, tolerances_s, once)
    is_spread = np.unique(blocks_of(pool, pool.truth_key, block_s)).size > 1
    assert drawn.mean()[0] == pytest.approx(result.mean_ap if is_spread else np.nan, nan_ok=True)
    exact = exact_replicates(pool, 1.0, once)
    np.testing.assert_allclose(np.nan_to_num(exact.ap[0]), exact_ap(pool, 1.0), atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(match_lists, st.integers(0, 100))
def test_a_draw_is_the_number_of_the_matches_it_holds(matches: list, seed: int):
    # With blocks longer than a half a block is a match, and a draw a list of whole matches, some of them twice.
    pool = pooled(matches)
    drawn = Bootstrap(seed=seed, n_resamples=3, block_s=7200).draw([pool])
    place = {int(block): number for number, block in enumerate(drawn.blocks)}
    replicates, exact = ap_replicates(pool, (1.0,), drawn), exact_replicates(pool, 1.0, drawn)
    for row, weights in enumerate(drawn.weights.astype(int)):
        chosen = [
            match
            for number, match in enumerate(matches)
            for _ in range(weights[place[2 * number]] if 2 * number in place else 0)
        ]
        again = pooled(chosen) if chosen else pooled([([], [])])
        np.testing.assert_allclose(
            np.nan_to_num(replicates.ap[row]), pooled_average_precision(again, (1.0,)).ap, atol=1e-12
        )
        if len(set(weights)) == 1:  # copies of a match share scores, whose order among themselves is not defined
            np.testing.assert_allclose(np.nan_to_num(exact.ap[row]), exact_ap(pool, 1.0), atol=1e-12)


def test_a_hit_counts_in_the_block_of_its_truth():
    # The truth at 9.9 s is of block 0, its prediction at 10.1 s of block 1: drawing block 0 alone holds both.
    pool = pooled([([(99, 0)], [(101, 0, 0.9)])])
    drawn = Resamples(10.0, np.array([0, 1]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert ap_replicates(pool, (1.0,), drawn).ap[:, 0].tolist()[0] == 1.0
    assert np.isnan(ap_replicates(pool, (1.0,), drawn).ap[1, 0])


@settings(deadline=None, max_examples=30)
@given(match_lists, st.integers(0, 100), st.integers(1, 40))
def test_the_exact_draws_are_the_same_however_many_are_made_at_once(matches: list, seed: int, n_at_once: int):
    pool = pooled(matches)
    drawn = Bootstrap(seed=seed, n_resamples=20, block_s=10).draw([pool])
    whole_ap = exact_replicates(pool, 1.0, drawn).ap
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(intervals, "PLACES_AT_ONCE", n_at_once)
        np.testing.assert_allclose(exact_replicates(pool, 1.0, drawn).ap, whole_ap, atol=1e-12)


def test_the_exact_draws_of_many_matches_take_no_room_for_all_hits_in_all_blocks_or_draws():
    # 600 blocks of 20 hits each: hits times blocks would be 58 MB, hits times 1,000 draws 96 MB, several times over.
    frames = np.arange(20) * 300
    one = (
        SpotArrays(frames, np.zeros(20, dtype=np.int64)),
        SpotArrays(frames, np.zeros(20, dtype=np.int64), np.ones(20)),
    )
    truths, predictions = ([side] * 600 for side in one)
    pool = pool_spots(truths, predictions, n_labels=1, fps=10)
    drawn = Bootstrap(seed=0, n_resamples=1000, block_s=7200).draw([pool])
    tracemalloc.start()
    exact_replicates(pool, 1.0, drawn)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < 70e6


def test_blocks_are_the_same_at_every_rate_and_label_count():
    matches = [([(70, 0), (605, 1)], [(300, 1, 0.5)])] * 2
    fine, coarse = pooled(matches, fps=10), pooled(matches, n_labels=24, fps=10)
    assert blocks_of(fine, fine.truth_key, 60).tolist() == blocks_of(coarse, coarse.truth_key, 60).tolist()
    assert blocks_of(fine, fine.truth_key, 60).tolist() == [0, 1, 240, 241]


def test_a_class_that_a_draw_misses_is_left_out_of_its_mean_and_one_without_truths_counts_as_0():
    ap = np.array([[0.5, 0.1, np.nan], [0.5, np.nan, np.nan]])
    drawn = Replicates(ap, np.zeros((2, 3)), np.array([[True, True, False], [True, False, False]]))
    assert drawn.mean().tolist() == [pytest.approx(0.6 / 3), pytest.approx(0.5 * 2 / 3)]
    assert drawn.mean(np.array([True, False, False])).tolist() == [0.5, 0.5]


# Predictions in four more blocks of 10 s at 10 frames a second: two blocks of truths are six blocks in all then.
MORE = [(n * 100 + 50, 0, 0.01) for n in range(2, 6)]


def test_truths_in_one_block_and_matches_of_few_blocks_give_no_interval():
    # Class 0 is in both blocks, class 1 in one: in every draw that has it, it scores alike.
    spots = [(10, 0, 0.9), (15, 1, 0.8), (110, 0, 0.5), *MORE]
    pool = pooled([([(10, 0), (15, 1), (110, 0), (170, 0)], spots)])
    drawn = ap_replicates(pool, (1.0,), Bootstrap(seed=0, n_resamples=50, block_s=10).draw([pool]))
    exact = exact_replicates(pool, 1.0, Bootstrap(seed=0, n_resamples=50, block_s=10).draw([pool]))
    for one in (drawn, exact):
        assert (one.n_blocks.tolist(), one.of_class(0).size, one.of_class(1).size) == ([2, 1], 50, 0)
        assert (np.isfinite(one.mean()) == (one.n_truth.sum(axis=1) > 0)).all()  # a draw without truths says nothing
        assert np.isnan(one.mean(np.array([False, True]))).all()  # as the class itself
    # 600 frames at 10 a second in blocks of 10, 12 and 60 s; five can be drawn in too few ways.
    sizes = [Bootstrap(seed=0, n_resamples=50, block_s=block_s).draw([pool]).weights.shape for block_s in (10, 12, 60)]
    assert sizes == [(50, 6), (0, 5), (0, 1)]


def test_a_mean_over_classes_whose_truths_are_all_in_one_block_has_no_interval():
    # The draws differ in the prediction of the other block only: they know of no other truths.
    pool = pooled([([(10, 0), (15, 1)], [(10, 0, 0.9), (15, 1, 0.8), (110, 0, 0.95)])])
    drawn = ap_replicates(pool, (1.0,), Bootstrap(seed=0, n_resamples=50, block_s=10).draw([pool]))
    assert interval(drawn.mean()).as_record() == [None, None]
    # Two classes in a block each: together they are in two.
    pool = pooled([([(10, 0), (115, 1)], [(10, 0, 0.9), (115, 1, 0.8), (110, 0, 0.95), *MORE])])
    drawn = ap_replicates(pool, (1.0,), Bootstrap(seed=0, n_resamples=50, block_s=10).draw([pool]))
    assert drawn.n_blocks.tolist() == [1, 1] and interval(drawn.mean()).low is not None


def test_an_interval_holds_the_middle_of_the_draws_and_none_without_any():
    bounds = interval(np.arange(1001) / 1000)
    assert (bounds.low, bounds.high) == (pytest.approx(0.025), pytest.approx(0.975))
    assert interval(np.full(5, np.nan)).as_record() == [None, None]


def test_the_same_seed_gives_the_same_draws_and_another_others():
    pool = pooled([([(n, 0) for n in range(0, 900, 30)], [])])
    one, two, other = (Bootstrap(seed=seed, n_resamples=5, block_s=10).draw([pool]).weights for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)
    assert (one.sum(axis=1) == one.shape[1]).all()


def test_identical_predictions_differ_by_nothing_and_better_ones_surely():
    draws = np.linspace(0.1, 0.3, 100)
    same, better = paired_difference(0.0, draws, draws), paired_difference(0.05, draws + 0.05, draws)
    assert (same.interval.low, same.interval.high, same.p_better, same.p_value) == (0.0, 0.0, 0.5, 1.0)
    assert (better.p_better, better.p_value) == (1.0, pytest.approx(2 / 101))


def test_the_smallest_difference_that_could_be_shown_is_half_the_width_of_the_interval():
    draws = np.linspace(-0.02, 0.06, 401)  # 95 % of them within -0.018..0.058
    assert paired_difference(0.02, draws, np.zeros(401)).smallest == pytest.approx(0.038)
    assert paired_difference(0.02, np.full(3, np.nan), np.zeros(3)).as_record()["smallest_shown"] is None


def test_holms_correction_by_hand():
    # Sorted 0.01, 0.02, 0.04: times 3, 2, 1, and never below the one before.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.5, 0.9]) == [1.0, 1.0]


def test_the_interval_covers_the_truth_about_as_often_as_it_says():
    # Predictions hit each truth with chance 0.6 and nothing else is predicted: recall is 0.6, and the exact AP too.
    covered = 0
    for seed in range(60):
        draw = np.random.default_rng(seed)
        truths = [(50 + 50 * n, 0) for n in range(200)]
        spots = [(frame, 0, 0.5) for frame, _ in truths if draw.random() < 0.6]
        pool = pooled([(truths, spots)], n_labels=1)
        drawn = Bootstrap(seed=seed, n_resamples=200, block_s=30).draw([pool])
        bounds = interval(exact_replicates(pool, 1.0, drawn).mean())
        covered += bounds.low is not None and bounds.high is not None and bounds.low <= 0.6 <= bounds.high
    assert 50 <= covered <= 60  # 95 % of 60 is 57
