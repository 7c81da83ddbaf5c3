import numpy as np
import pytest

from ballspot.evaluate.results.effects import effects_of
from ballspot.evaluate.results.settings import ComparedSetting
from ballspot.evaluate.uncertainty.bootstrap import Interval


def setting(mean_ap: float, draws: list[float]) -> ComparedSetting:
    return ComparedSetting("", (), 1, mean_ap, Interval(None, None), None, None, np.array(draws))


def test_an_effect_is_the_mean_over_pairs_that_differ_in_one_key_alone():
    values = [{"a": 1, "b": x, "c": "p"} for x in (1, 2)] + [{"a": 2, "b": x, "c": "p"} for x in (1, 2)]
    settings = [
        setting(0.10, [0.1, 0.2]),
        setting(0.20, [0.2, 0.2]),
        setting(0.40, [0.5, 0.2]),
        setting(0.70, [0.8, 0.1]),
    ]
    first, second = effects_of(settings, values)
    # a from 1 to 2: (0.4 - 0.1 + 0.7 - 0.2) / 2; b from 1 to 2: (0.2 - 0.1 + 0.7 - 0.4) / 2.
    assert (first.key, first.reference, first.value, first.n_pairs) == ("a", 1, 2, 2)
    assert first.difference.value == pytest.approx(0.4)
    assert first.difference.p_better == 0.5  # 0.5 in the first draw, -0.05 in the second
    assert (second.key, second.n_pairs) == ("b", 2)
    assert second.difference.value == pytest.approx(0.2)


def test_settings_without_a_twin_have_no_effect():
    values = [{"a": 1, "b": 1}, {"a": 2, "b": 2}]
    assert effects_of([setting(0.1, [0.1]), setting(0.2, [0.2])], values) == ()


def test_of_settings_with_equal_values_the_first_is_the_twin():
    values = [{"a": 1}, {"a": 2}, {"a": 1}]
    (effect,) = effects_of([setting(x, [x, x]) for x in (0.1, 0.3, 0.5)], values)
    assert (effect.n_pairs, effect.difference.value) == (1, pytest.approx(0.2))


def test_values_that_are_lists_and_absent_ones_are_values_like_others():
    values = [{"a": [1, 2]}, {"a": None}, {"a": [1, 3]}]
    effects = effects_of([setting(x, [x, x]) for x in (0.1, 0.3, 0.2)], values)
    assert [(one.value, round(one.difference.value, 6)) for one in effects] == [(None, 0.2), ([1, 3], 0.1)]


def test_a_record_tells_the_value_of_the_key_from_what_it_does():
    (effect,) = effects_of([setting(x, [x, x]) for x in (0.1, 0.3)], [{"a": 1}, {"a": 2}])
    record = effect.as_record()
    assert (record["key"], record["reference"], record["value"]) == ("a", 1, 2)
    assert record["difference"]["value"] == pytest.approx(0.2)
