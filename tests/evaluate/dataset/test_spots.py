import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.dataset.spots import game_time, read_spots, spots_in, spots_in_bytes, write_spots


def test_a_written_file_has_soccernets_shape(tmp_path: Path):
    path = tmp_path / "out" / "results_spotting.json"
    write_spots(path, "league/m1", [Spot("PASS", 754020, team="left", confidence=0.87), Spot("OUT", 20, confidence=1)])
    # The first entry is the example of SoccerNet's format description.
    assert json.loads(path.read_text()) == {
        "UrlLocal": "league/m1",
        "predictions": [
            {
                "gameTime": "1 - 12:34",
                "label": "PASS",
                "position": "754020",
                "half": "1",
                "confidence": "0.87",
                "team": "left",
            },
            {"gameTime": "1 - 00:00", "label": "OUT", "position": "20", "half": "1", "confidence": "1.0"},
        ],
    }


def test_game_time_goes_on_past_99_minutes():
    assert game_time(2, 102 * 60_000 + 3_999) == "2 - 102:03"


spots = st.builds(
    Spot,
    label=st.text(min_size=1, max_size=8),
    position_ms=st.integers(0, 10**7),
    half=st.sampled_from([1, 2]),
    team=st.sampled_from([None, "left", "right"]),
    confidence=st.floats(-1, 2),
)


@given(st.lists(spots, max_size=5))
def test_spots_read_back_bit_for_bit_and_in_order(tmp_path_factory: pytest.TempPathFactory, written: list[Spot]):
    path = tmp_path_factory.mktemp("spots") / "results_spotting.json"
    write_spots(path, "m", written)
    assert read_spots(path) == tuple(written)


@pytest.mark.parametrize("confidence", [None, math.nan, math.inf])
def test_a_spot_without_finite_confidence_is_not_written(tmp_path: Path, confidence: float | None):
    path = tmp_path / "results_spotting.json"
    with pytest.raises(ValueError, match="no finite confidence"):
        write_spots(path, "m", [Spot("PASS", 20, confidence=confidence)])
    assert not path.exists()


def test_numbers_may_be_written_as_numbers_and_the_half_come_from_the_game_time():
    entry = {"gameTime": "2 - 00:01", "label": "PASS", "position": 1120.9, "confidence": 1}
    assert spots_in({"predictions": [entry]}, "f").spots == (Spot("PASS", 1120, half=2, confidence=1.0),)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 3}, "label 3 is not text"),
        ({"position": None}, "position None"),
        ({"position": math.nan}, "position nan"),
        ({"position": "9" * 5000}, "position '99999"),
        ({"half": "3"}, "half '3' is neither"),
        ({"half": True}, "half True is neither"),
        ({"half": None, "gameTime": None}, "half None is neither"),
        ({"confidence": None}, "confidence None is not a finite number"),
        ({"confidence": "high"}, "confidence 'high'"),
        ({"confidence": "nan"}, "confidence 'nan'"),
        ({"confidence": [0.5]}, r"confidence \[0.5\]"),
        ({"confidence": 10**400}, "confidence 1000"),
    ],
)
def test_a_bad_prediction_is_named_by_file_and_number(change: dict, message: str):
    good = {"gameTime": "1 - 00:00", "label": "PASS", "position": "40", "half": "1", "confidence": "0.5"}
    with pytest.raises(BallspotError, match=message) as caught:
        spots_in({"predictions": [good, good, {**good, **change}]}, "the/file.json")
    assert str(caught.value).startswith("the/file.json: prediction 3: ")
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"predictions": ' + b"9" * 5000 + b"}", b'{"predictions": 1}']
)
def test_bytes_that_are_no_prediction_file_are_an_error_that_names_the_source(content: bytes):
    with pytest.raises(BallspotError, match=r"a\.zip: m"):
        spots_in_bytes(content, "a.zip: m")
