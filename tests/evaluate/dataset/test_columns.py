"""Reading by columns against reading entry by entry: the same spots or the same error, whatever the file holds."""

from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import spots
from ballspot.evaluate.dataset.columns import column_arrays, columns_of
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.dataset.labelsets import BALL_12, LabelSet
from ballspot.evaluate.scoring.metrics import metric_frame

AB = LabelSet("ab", ("A", "B"))
ODD: tuple[Any, ...] = (
    None, True, 1, 2, 0, -1, 1.0, 2.5, 10**13, 10**30, float("nan"), float("inf"), "", " 1 ", "1", "2", "1.5", "1e3",
    "٢", "1_0", "nan", "\ud800", "left", [], [1], {}, {"label": "A"},
)  # fmt: skip
GOOD = {"gameTime": "1 - 00:01", "label": "A", "position": "1000", "half": "1", "confidence": "0.9", "team": "left"}


def outcome(document: Any) -> Any:
    try:
        file = spots.spots_in(document, "f")
        return file.spots, file.n_without_half
    except BallspotError as error:
        return str(error)


values = st.one_of(st.sampled_from(ODD), st.integers(-5, 10**6), st.floats(), st.text(max_size=3))
entries = st.one_of(
    st.builds(lambda changes: {**GOOD, **changes}, st.dictionaries(st.sampled_from(list(GOOD)), values, max_size=2)),
    st.builds(lambda left_out: {key: GOOD[key] for key in GOOD if key != left_out}, st.sampled_from(list(GOOD))),
    st.sampled_from(ODD),
)


@given(st.lists(entries, max_size=3))
def test_columns_and_single_entries_read_alike(written: list[Any]):
    document = {"predictions": [GOOD, *written]}
    by_columns = outcome(document)
    with mock.patch.object(spots, "_regular_columns", return_value=None):
        assert outcome(document) == by_columns


@pytest.mark.parametrize(
    "change", [{}, {"position": 1000}, {"half": 2}, {"confidence": 1}, {"confidence": -3.5}, {"team": None}]
)
def test_files_as_they_come_take_the_fast_way(change: dict[str, Any]):
    with mock.patch.object(spots, "read_label", side_effect=AssertionError("read entry by entry")):
        assert len(spots.spots_in({"predictions": [GOOD, {**GOOD, **change}]}, "f").spots) == 2


any_spot = st.builds(
    Spot,
    label=st.sampled_from(["A", "B", "C"]),
    position_ms=st.integers(0, 10**7),
    half=st.sampled_from([1, 2]),
    team=st.sampled_from([None, "left", "right", "home"]),
    visible=st.booleans(),
    confidence=st.one_of(st.none(), st.floats(-1, 2)),
)


@given(st.lists(any_spot, max_size=6))
def test_columns_hold_every_spot_and_give_the_metrics_arrays(written: list[Spot]):
    columns = columns_of(written)
    assert columns.spots() == tuple(written) and len(columns) == len(written)
    arrays = column_arrays(columns, AB, fps=25)
    known = [spot for spot in written if spot.label in AB]
    expected = {
        "frame": [metric_frame(spot.position_ms, 25) for spot in known],
        "label_index": [AB.index(spot.label) for spot in known],
        "visible": [spot.visible for spot in known],
        "half": [spot.half for spot in known],
        "score": [np.nan if spot.confidence is None else spot.confidence for spot in known],
    }
    if known and all(spot.confidence is None for spot in known):
        assert arrays.score is None
        del expected["score"]
    for name, values in expected.items():
        np.testing.assert_array_equal(getattr(arrays, name), values, err_msg=name)


def test_arrays_keep_the_order_and_leave_unknown_labels_out():
    written = [
        Spot("GOAL", 1161, confidence=0.5, visible=False),
        Spot("pass", 5, confidence=1),
        Spot("PASS", 0, 2, confidence=0.25),
    ]
    arrays = column_arrays(columns_of(written), BALL_12, fps=25)
    assert arrays.frame.tolist() == [29, 0]
    assert arrays.label_index.tolist() == [11, 0]
    assert arrays.score is not None and arrays.score.tolist() == [0.5, 0.25]
    assert arrays.visible is not None and arrays.visible.tolist() == [False, True]
    assert arrays.half is not None and arrays.half.tolist() == [1, 2]
    assert column_arrays(columns_of([Spot("PASS", 0)]), BALL_12, fps=25).score is None


def test_sided_arrays_keep_left_and_right_only():
    written = [Spot("B", 40, team="right"), Spot("A", 80), Spot("A", 120, team="home"), Spot("A", 160, team="left")]
    arrays = column_arrays(columns_of(written), AB, fps=25, sided=True)
    assert (arrays.label_index.tolist(), arrays.frame.tolist()) == ([3, 0], [1, 4])


def test_unknown_labels_are_counted_in_the_order_in_which_they_come():
    columns = columns_of([Spot("B", 0), Spot("C", 0), Spot("A", 0), Spot("B", 1)])
    assert list(columns.unknown_labels(LabelSet("one", ("A",))).items()) == [("B", 2), ("C", 1)]
