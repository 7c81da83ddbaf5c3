import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.diagnosis.mistakes import FIXES, KINDS, confusions, fixed_ap, judge
from ballspot.evaluate.scoring.matching import Pool, match_truths, pool_spots
from ballspot.evaluate.scoring.metrics import pooled_average_precision


def arrays(events: list) -> SpotArrays:
    table = np.array(events, dtype=float).reshape(len(events), -1) if events else np.zeros((0, 3))
    score = table[:, 2] if table.shape[1] > 2 else None
    return SpotArrays(table[:, 0].astype(np.int64), table[:, 1].astype(np.int64), score)


def pooled(truths: list, predictions: list, n_labels: int = 3) -> Pool:
    return pool_spots([arrays(truths)], [arrays(predictions)], n_labels=n_labels, fps=25)


def kinds(pool: Pool, tolerance_s: float = 1.0) -> list[str]:
    verdicts = judge(pool, match_truths(pool, tolerance_s), tolerance_s)
    return [KINDS[kind] for kind in verdicts.kind]


def test_each_kind_of_mistake_by_hand():
    # Reach 12 frames, near misses to 50. Class 0 is true at 100, class 1 at 300.
    predictions = [(100, 0, 0.9), (108, 0, 0.5), (140, 0, 0.5), (151, 0, 0.5), (305, 0, 0.5), (600, 0, 0.5)]
    pool = pooled([(100, 0), (300, 1)], predictions)
    assert kinds(pool) == ["hit", "duplicate", "near_miss", "background", "confusion", "background"]


@pytest.mark.parametrize(
    ("frame", "kind"), [(112, "duplicate"), (113, "near_miss"), (150, "near_miss"), (151, "background")]
)
def test_the_bounds_of_duplicates_and_near_misses(frame: int, kind: str):
    assert kinds(pooled([(100, 0)], [(100, 0, 0.9), (frame, 0, 0.1)]))[1] == kind


def test_a_duplicate_near_another_class_is_a_duplicate_and_a_confusion_near_its_own_class_a_confusion():
    pool = pooled([(100, 0), (110, 1)], [(100, 0, 0.9), (104, 0, 0.5), (118, 0, 0.5)])
    # 104 is within reach of the hit truth of its class; 118 only of the other class, though its own is near.
    assert kinds(pool) == ["hit", "duplicate", "confusion"]


def test_of_two_truths_in_one_frame_a_confusion_is_about_the_missed_one():
    pool = pooled([(100, 0), (100, 1)], [(100, 0, 0.9), (105, 2, 0.8)])
    verdicts = judge(pool, match_truths(pool, 1.0), 1.0)
    assert pool.truth_label[verdicts.truth[1]] == 1


def test_other_matches_and_halves_are_never_near():
    here, there = arrays([(100, 0)]), arrays([(100, 0, 0.9)])
    pool = pool_spots([here, arrays([])], [arrays([]), there], n_labels=1, fps=25)
    assert kinds(pool) == ["background"]


def test_what_each_fix_gives_by_hand():
    # One truth a class; class 0 found behind a duplicate-free false positive, class 1 only as class 2.
    pool = pooled([(100, 0), (300, 1)], [(100, 0, 0.5), (600, 0, 0.9), (300, 2, 0.7)])
    verdicts = judge(pool, match_truths(pool, 1.0), 1.0)
    assert pooled_average_precision(pool, (1.0,)).ap.tolist() == [0.5, 0.0, 0.0]
    assert fixed_ap(pool, verdicts, "background").tolist() == [1.0, 0.0, 0.0]
    assert fixed_ap(pool, verdicts, "confusion").tolist() == [0.5, 1.0, 0.0]
    assert fixed_ap(pool, verdicts, "duplicate").tolist() == [0.5, 0.0, 0.0]
    assert fixed_ap(pool, verdicts, "missed").tolist() == [0.5, 0.0, 0.0]


def test_fixing_near_misses_moves_the_best_one_of_each_truth():
    pool = pooled([(100, 0)], [(130, 0, 0.5), (140, 0, 0.9), (600, 0, 0.7)])
    verdicts = judge(pool, match_truths(pool, 1.0), 1.0)
    assert fixed_ap(pool, verdicts, "near_miss").tolist() == [1.0, 0.0, 0.0]


def test_a_confusion_matrix_by_hand():
    # Class 0 at 100 hit; class 1 at 300 found as 2; class 1 at 500 missed; a false positive of class 0 at 900; a
    # prediction below the threshold does not count.
    predictions = [(100, 0, 0.9), (303, 2, 0.8), (900, 0, 0.7), (500, 1, 0.1)]
    pool = pooled([(100, 0), (300, 1), (500, 1)], predictions)
    matrix = confusions(pool, judge(pool, match_truths(pool, 1.0), 1.0), np.full(3, 0.5))
    assert matrix.tolist() == [[1, 0, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0]]


truth_lists = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2)), max_size=15)
spot_lists = st.lists(st.tuples(st.integers(0, 400), st.integers(0, 2), st.floats(0, 1)), max_size=30)


@given(truth_lists, spot_lists, st.sampled_from([0.2, 1.0, 6.0]), st.floats(0, 1))
def test_what_always_holds(truths: list, predictions: list, tolerance_s: float, threshold: float):
    pool = pooled(truths, predictions)
    verdicts = judge(pool, match_truths(pool, tolerance_s), tolerance_s)
    n_hits = int((verdicts.hit >= 0).sum())
    assert int((verdicts.kind == 0).sum()) == n_hits
    about = verdicts.truth >= 0
    assert np.array_equal(about, verdicts.kind != KINDS.index("background"))
    own = np.isin(verdicts.kind, [KINDS.index(kind) for kind in ("hit", "duplicate", "near_miss")])
    assert np.array_equal(pool.truth_label[verdicts.truth[own]], pool.label[own])
    other = verdicts.kind == KINDS.index("confusion")
    assert np.all(pool.truth_label[verdicts.truth[other]] != pool.label[other])
    matrix = confusions(pool, verdicts, np.full(3, threshold))
    assert (matrix >= 0).all()
    assert matrix[:3].sum(axis=1).tolist() == np.bincount(pool.truth_label, minlength=3).tolist()
    reaching = pool.label[pool.score >= threshold]
    assert matrix[:, :3].sum(axis=0).tolist() == np.bincount(reaching, minlength=3).tolist()


@given(truth_lists, spot_lists)
def test_removing_false_positives_never_lowers_an_ap(truths: list, predictions: list):
    pool = pooled(truths, predictions)
    verdicts = judge(pool, match_truths(pool, 1.0), 1.0)
    now = pooled_average_precision(pool, (1.0,)).ap
    for fix in FIXES:
        assert np.all((fixed_ap(pool, verdicts, fix) >= 0) & (fixed_ap(pool, verdicts, fix) <= 1))
    for fix in ("duplicate", "background", "missed"):
        assert np.all(fixed_ap(pool, verdicts, fix) >= now - 1e-12)
