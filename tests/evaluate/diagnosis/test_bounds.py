"""Intervals of a diagnosis. The first test is the strongest: a draw of every block once is the number itself."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.diagnosis.bounds import TIMINGS, DiagnosisBounds
from ballspot.evaluate.diagnosis.diagnosis import Diagnosis, diagnose
from ballspot.evaluate.reporting.tables import diagnosis_tables
from ballspot.evaluate.scoring.matching import Pool, pool_spots
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap, Interval, Resamples, weighted_quantile

AB = LabelSet("ab", ("A", "B"))
CURVE_S = (0.2, 1.0, 4.0)


def pooled(matches: list) -> Pool:
    """Matches of truths (frame, class) and predictions (frame, class, score), at 10 frames a second."""
    sides = []
    for side in (0, 1):
        tables = [np.array(one[side], dtype=float).reshape(len(one[side]), 2 + side) for one in matches]
        sides.append(
            [
                SpotArrays(table[:, 0].astype(int), table[:, 1].astype(int), table[:, 2] if side else None)
                for table in tables
            ]
        )
    return pool_spots(*sides, n_labels=2, fps=10)


def bounds_of(diagnosis: Diagnosis) -> DiagnosisBounds:
    assert diagnosis.bounds is not None
    return diagnosis.bounds


def drawn_once(pool: Pool, block_s: float) -> Diagnosis:
    blocks = Bootstrap(seed=0, n_resamples=1, block_s=block_s).blocks([pool])
    once = Resamples(block_s, blocks, np.ones((1, blocks.size)))
    return diagnose(pool, AB, tolerance_s=1.0, resamples=once, curve_s=CURVE_S)


truth_lists = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 1)), max_size=12)
spot_lists = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 1), st.floats(0, 1.1)), max_size=25)


@settings(deadline=None)
@given(st.lists(st.tuples(truth_lists, spot_lists), min_size=1, max_size=3), st.sampled_from([1.0, 10.0, 300.0]))
def test_every_block_drawn_once_gives_the_numbers_themselves(matches: list, block_s: float):
    diagnosis = drawn_once(pooled(matches), block_s)
    bounds = bounds_of(diagnosis)

    def is_value(one: Interval, value: float | None) -> None:
        if one.low is not None:
            assert value is not None and one.low == one.high == pytest.approx(value, abs=1e-12)

    for point, intervals in zip(diagnosis.points, bounds.points, strict=True):
        assert bool(intervals) == (point.threshold is not None)
        for name, one in intervals.items():
            is_value(one, getattr(point, name))
    is_value(bounds.mean_ap, diagnosis.mean_ap)
    for fix, ap in diagnosis.fixed.items():
        is_value(bounds.fixed[fix], ap)
        is_value(bounds.gain[fix], ap - diagnosis.mean_ap)
    for place, row in enumerate(bounds.curve):
        is_value(bounds.curve_mean[place], diagnosis.curve[place].mean())
        for index, one in enumerate(row):
            is_value(one, diagnosis.curve[place, index])
    is_value(bounds.calibration_error, diagnosis.calibration.error)
    for one, share in zip(bounds.hit_share, diagnosis.calibration.share, strict=True):
        assert (one.low is None) == np.isnan(share)
        is_value(one, share)


def test_a_rescued_truth_counts_in_its_own_block():
    # Blocks of 10 s. The truth of B at 9.9 s is found as A at 10.1 s, in the next block. One draw is the first block
    # twice: B alone, missed, and found once the confusion is put right. The other is the second: A is found behind a
    # false positive, AP 1/2, and without it once that is put right. A class that a draw misses is left out of it.
    pool = pooled([([(99, 1), (150, 0)], [(101, 0, 0.9), (150, 0, 0.8)])])
    both = Resamples(10.0, np.array([0, 1]), np.array([[2.0, 0.0], [0.0, 2.0]]))
    bounds = bounds_of(diagnose(pool, AB, tolerance_s=1.0, resamples=both))
    assert bounds.fixed["confusion"].as_record() == [1.0, 1.0]

    def spread(low: float, high: float) -> list:
        return [pytest.approx(low + share * (high - low)) for share in (0.025, 0.975)]

    assert bounds.mean_ap.as_record() == spread(0.0, 0.5)
    assert bounds.gain["confusion"].as_record() == spread(0.5, 1.0)


def test_a_gain_is_paired_and_so_narrower_than_its_two_numbers_apart():
    draw = np.random.default_rng(0)
    truths = [(int(frame), 0) for frame in draw.integers(0, 30_000, 200)]
    near = [(frame + 30, 0, float(score)) for (frame, _), score in zip(truths[:40], draw.random(40), strict=True)]
    spots = near + [
        (frame, 0, float(score)) for (frame, _), score in zip(truths[40:150], draw.random(110), strict=True)
    ]
    pool = pooled([(truths, spots)])
    drawn = Bootstrap(seed=0, n_resamples=300, block_s=60).draw([pool])
    bounds = bounds_of(diagnose(pool, AB, tolerance_s=1.0, resamples=drawn))

    def width(one: Interval) -> float:
        assert one.low is not None and one.high is not None
        return one.high - one.low

    assert 0 < width(bounds.gain["near_miss"]) < 0.8 * width(bounds.fixed["near_miss"])


def test_a_certain_number_has_no_width_and_an_unsure_one_has():
    truths = [(frame, frame // 100 % 2) for frame in range(0, 6000, 100)]
    perfect = pooled([(truths, [(frame, label, 0.9) for frame, label in truths])])
    drawn = Bootstrap(seed=0, n_resamples=200, block_s=30).draw([perfect])
    certain = bounds_of(diagnose(perfect, AB, tolerance_s=1.0, resamples=drawn)).points[0]
    assert certain["f1"].as_record() == [1.0, 1.0] and certain["timing_p90_s"].as_record() == [0.0, 0.0]
    late = pooled([(truths, [(frame + frame // 1000 % 5, label, 0.9) for frame, label in truths])])
    unsure = bounds_of(diagnose(late, AB, tolerance_s=1.0, resamples=drawn)).points[0]
    for name in TIMINGS:
        low, high = unsure[name].as_record()
        assert low is not None and high is not None and low < high


def test_what_rests_on_one_block_has_no_interval():
    # A is in both blocks of 10 s, B in the first alone: its AP and its shares would be the same in every draw.
    truths = [(20, 0), (120, 0), (40, 1), (60, 1)]
    pool = pooled([(truths, [(22, 0, 0.9), (123, 0, 0.8), (40, 1, 0.9), (80, 1, 0.9)])])
    bounds = bounds_of(drawn_once(pool, 10.0))
    assert all(one.low is not None for one in bounds.points[0].values())
    assert all(one.low is None for one in bounds.points[1].values())
    assert [row[1].low for row in bounds.curve] == [None] * len(CURVE_S)
    assert bounds.mean_ap.low is not None


@given(
    st.dictionaries(st.floats(-10, 10), st.integers(0, 4), min_size=1, max_size=8),
    st.sampled_from([0.0, 0.25, 0.5, 0.9, 1.0]),
)
def test_the_weighted_quantile_is_numpys_of_repeated_values(weights: dict[float, int], level: float):
    values = np.array(sorted(weights))
    repeats = np.array([weights[value] for value in values.tolist()])
    (ours,) = weighted_quantile(values, repeats[None].astype(float), level)
    repeated = np.repeat(values, repeats)
    expected = np.quantile(repeated, level) if repeated.size else np.nan
    assert ours == pytest.approx(expected, abs=1e-9, nan_ok=True)


def test_tables_show_an_interval_beside_every_number_and_json_holds_all():
    truths = [(frame, frame // 100 % 2) for frame in range(0, 6000, 100)]
    pool = pooled([(truths, [(frame + 2, label, 0.9) for frame, label in truths[:40]] + [(5950, 0, 0.2)])])
    diagnosis = diagnose(pool, AB, tolerance_s=1.0, resamples=Bootstrap(seed=0, block_s=30).draw([pool]))
    n_intervals = [table.headers.count("95 %") for table in diagnosis_tables(diagnosis)]
    assert n_intervals == [3, 3, 0, 2, 1, 1, 0]  # counts have none
    for table in diagnosis_tables(diagnosis):
        assert all(len(row) == len(table.headers) for row in table.rows)
    record = diagnosis.as_record()["intervals"]
    assert set(record["per_class"]["A"]) == {"precision", "recall", "f1", *TIMINGS}
    assert len(record["tolerance_curve"]["per_class"]["B"]) == len(diagnosis.curve_s)
    assert len(record["calibration"]["hit_share"]) == 10
    low, high = record["calibration"]["expected_error"]
    assert low <= diagnosis.calibration.error <= high
