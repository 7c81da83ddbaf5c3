"""Rates as files say them."""

from fractions import Fraction

import pytest

from ballspot.cache.times import rate_of


@pytest.mark.parametrize(
    "said", ["", "x", "25.0", "-25", "0", "25/0", "1001", "1/2/3", "1e9", "1e999999999", 25, "\u00b2", None, "9" * 5000]
)
def test_what_is_no_rate_is_refused_at_once(said: object) -> None:
    with pytest.raises(ValueError, match=r"^fps ") as caught:
        rate_of(said)
    assert len(str(caught.value)) < 80


def test_rates_of_broadcasts_are_read_as_they_are_written() -> None:
    for rate in (Fraction(30000, 1001), Fraction(25), Fraction(1, 2), Fraction(1000)):
        assert rate_of(str(rate)) == rate
