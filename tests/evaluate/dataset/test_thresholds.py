"""From which confidence up predictions count, where nobody says."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import Given, decided_threshold
from ballspot.evaluate.dataset.thresholds import rounded_down, usual_threshold
from ballspot.evaluate.scoring import best_threshold, match_truths
from ballspot.evaluate.scoring.matching import Pool


def test_what_is_asked_for_counts_before_what_was_chosen_and_that_before_the_usual(
    tmp_path: Path, spot_file: Callable
) -> None:
    spot_file("l/m", [("PASS", 1000 * second, 0.9) for second in range(20)])
    folder = tmp_path / "predictions"
    found = Given(folder, folder)
    assert decided_threshold(found, None).value == 0.5
    (folder / "threshold.json").write_text(json.dumps({"threshold": 0.31}))
    chosen = decided_threshold(found, None)
    assert chosen.remark() == (
        "predictions count from 0.31 up: the best F1 of all classes together on the validation matches"
    )
    assert decided_threshold(found, 0.8).value == 0.8


@pytest.mark.parametrize("content", ['{"threshold": "high"}', '{"threshold": NaN}', "[]", '{"threshold": true}'])
def test_a_garbled_record_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "threshold.json").write_text(content)
    with pytest.raises(BallspotError, match=r"threshold\.json"):
        decided_threshold(Given(tmp_path, tmp_path), None)


@given(st.lists(st.tuples(st.floats(0, 60), st.lists(st.floats(0, 1), max_size=60)), max_size=3))
@settings(deadline=None)
def test_where_none_was_chosen_half_or_enough_spots_count(scored: list[tuple[float, list[float]]]) -> None:
    value = usual_threshold(scored).value
    confidences = [one for _, of_match in scored for one in of_match]
    n_counted = sum(one >= value for one in confidences)
    assert 0 <= value <= 0.5
    assert value == 0.5 or n_counted >= min(20 * len(scored), len(confidences))


@given(st.floats(1e-300, 1e6), st.integers(1, 4))
def test_rounding_down_never_gives_more(number: float, n_digits: int) -> None:
    rounded = rounded_down(number, n_digits)
    assert rounded <= number < rounded * (1 + 10.0 ** (1 - n_digits)) * (1 + 1e-12)


@given(st.data())
@settings(deadline=None, max_examples=60)
def test_no_score_that_occurs_has_a_better_f1_than_the_chosen_one(data: st.DataObject) -> None:
    """Held to the plain count at every score."""
    keys = st.lists(st.integers(0, 60), max_size=12, unique=True).map(sorted)
    truth, key = (np.array(data.draw(keys), np.int64) for _ in range(2))
    score = np.array(data.draw(st.lists(st.sampled_from([0.1, 0.3, 0.5, 0.9]), min_size=len(key), max_size=len(key))))
    near = np.ones(len(key), bool)
    pool = Pool(1, 100, 2.0, truth, np.ones(len(truth), bool), key, score, near)
    hit = match_truths(pool, 2.0)
    is_hit = np.isin(np.arange(len(key)), hit[hit >= 0])

    def f1(least: float) -> float:
        return 2 * int((is_hit & (score >= least)).sum()) / (int((score >= least).sum()) + len(truth))

    best = best_threshold(pool, 2.0)
    if best is None:
        assert not is_hit.any()
    else:
        assert best == max(one for one in set(score.tolist()) if f1(one) == max(map(f1, score.tolist())))
