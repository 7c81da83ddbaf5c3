import json
import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cache.times.axis import TimeAxis, frame_of, position_of
from ballspot.evaluate.dataset.labels import Spot, label_arrays, read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12

RATES = [Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(60000, 1001), Fraction(25, 2), Fraction(2)]


@pytest.mark.parametrize(
    ("position_ms", "fps", "frame"),
    [
        (0, Fraction(25), 0),
        (39, Fraction(25), 0),
        (40, Fraction(25), 1),
        (1159, Fraction(25), 28),
        (1160, Fraction(25), 29),  # SoccerNet's float product gives 28
        (33, Fraction(30000, 1001), 1),  # frame 1 begins at 33.37 ms
        (32, Fraction(30000, 1001), 0),
        (65, Fraction(30000, 1001), 1),
        (66, Fraction(30000, 1001), 2),  # frame 2 begins at 66.73 ms: cut to 66 ...
        (67, Fraction(30000, 1001), 2),  # ... or rounded to 67
    ],
)
def test_frame_of_a_time_by_hand(position_ms: int, fps: Fraction, frame: int):
    assert frame_of(position_ms, fps) == frame


@given(st.integers(0, 400_000), st.sampled_from(RATES))
def test_cut_and_rounded_times_of_every_frame_give_the_frame_back(frame: int, fps: Fraction):
    exact_ms = Fraction(1000 * frame) / fps
    assert frame_of(math.floor(exact_ms), fps) == frame
    assert frame_of(round(exact_ms), fps) == frame


@given(st.integers(0, 400_000), st.sampled_from(RATES))
def test_the_middle_of_a_frame_reads_back_exactly_and_by_soccernets_float_product(frame: int, fps: Fraction):
    position_ms = position_of(frame, fps)
    assert frame_of(position_ms, fps) == frame
    assert int(float(fps) * (position_ms / 1000)) == frame


def test_the_middle_of_frame_29_at_25_fps_is_1180_ms():
    assert position_of(29, Fraction(25)) == 1180


def test_labels_are_sorted_by_half_and_time_and_keep_all_that_is_written(label_file):
    path = label_file(
        "m",
        [
            {"gameTime": "2 - 00:01", "label": "GOAL", "position": "10", "team": "right", "visibility": "not shown"},
            {"gameTime": "1 - 00:01", "label": "PASS", "position": 1120, "team": "left"},
            {"gameTime": "1 - 00:00", "label": "DRIVE", "position": "40", "visibility": "visible"},
        ],
    )
    expected = (
        Spot("DRIVE", 40),
        Spot("PASS", 1120, team="left"),
        Spot("GOAL", 10, half=2, team="right", visible=False),
    )
    assert read_labels(path, BALL_12) == expected
    assert read_labels(path, BALL_12, in_file_order=True) == (expected[2], expected[1], expected[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "PASSS"}, "unknown label 'PASSS' in label set 'ball-12'; did you mean 'PASS'"),
        ({"label": None}, "label None is not text"),
        ({"position": "-40"}, "position '-40' is not a count of milliseconds"),
        ({"position": "soon"}, "position 'soon'"),
        ({"position": None}, "position None"),
        ({"position": True}, "position True"),
        ({"position": "1e3"}, "position '1e3'"),
        ({"position": 10**13}, "position 10000000000000"),
        ({"gameTime": "3 - 00:00"}, "gameTime '3 - 00:00' does not begin with half 1 or 2"),
        ({"gameTime": None}, "gameTime None"),
        ({"visibility": "hidden"}, "visibility 'hidden'"),
        ({"visibility": ["visible"]}, r"visibility \['visible'\]"),
    ],
)
def test_a_bad_annotation_is_named_by_file_and_number(label_file, change: dict, message: str):
    good = {"gameTime": "1 - 00:00", "label": "PASS", "position": "40", "visibility": "visible"}
    path = label_file("m", [good, {**good, **change}])
    with pytest.raises(BallspotError, match=message) as caught:
        read_labels(path, BALL_12)
    assert str(caught.value).startswith(f"{path}: annotation 2: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("document", [[], {}, {"annotations": {}}, 3, {"annotations": [7]}])
def test_a_document_of_another_shape_is_an_error_that_names_the_file(tmp_path: Path, document: object):
    path = tmp_path / "Labels-ball.json"
    path.write_text(json.dumps(document))
    with pytest.raises(BallspotError, match=r"annotations|is not a JSON object") as caught:
        read_labels(path, BALL_12)
    assert str(path) in str(caught.value)


def test_label_arrays_sort_count_collisions_and_drop_what_lies_past_the_end():
    spots = [
        Spot("GOAL", 3999, visible=False),  # frame 99, the last of 100
        Spot("PASS", 41, team="left"),  # frames 1 and 1: one collision, both kept
        Spot("DRIVE", 40, team="right"),
        Spot("OUT", 4000),  # frame 100 of 100: past the end
    ]
    arrays = label_arrays(spots, BALL_12, axis=TimeAxis(Fraction(25), 100))
    np.testing.assert_array_equal(arrays.frame_index, [1, 1, 99])
    np.testing.assert_array_equal(arrays.label_index, [1, 0, 11])
    np.testing.assert_array_equal(arrays.team, [1, 0, -1])
    np.testing.assert_array_equal(arrays.visible, [True, True, False])
    assert (arrays.n_collisions, arrays.n_outside) == (1, 1)
    one, other = (
        "1 event shares the frame of another (the rarer class is trained)",
        "1 event lies past the end (left out)",
    )
    assert arrays.oddities() == f"{one}, {other}"
    assert replace(arrays, n_collisions=0, n_outside=2).oddities() == "2 events lie past the end (left out)"
    assert (arrays.frame_index.dtype, arrays.label_index.dtype, arrays.team.dtype) == (np.int64, np.int64, np.int8)


def test_a_match_without_labels_gives_empty_arrays():
    arrays = label_arrays([], BALL_12, axis=TimeAxis(Fraction(25), 10))
    assert arrays.frame_index.shape == arrays.label_index.shape == arrays.team.shape == arrays.visible.shape == (0,)
    assert (arrays.n_collisions, arrays.n_outside) == (0, 0)


def test_label_arrays_of_a_second_half_are_refused():
    with pytest.raises(BallspotError, match="m1: PASS at 5 ms is of half 2"):
        label_arrays([Spot("PASS", 5, half=2)], BALL_12, axis=TimeAxis(Fraction(25), 10), match="m1")


@given(st.lists(st.integers(0, 8000), max_size=30), st.integers(1, 150))
def test_every_label_is_kept_or_counted_as_outside(positions: list[int], n_video_frames: int):
    spots = [Spot("PASS", position) for position in positions]
    arrays = label_arrays(spots, BALL_12, axis=TimeAxis(Fraction(25), n_video_frames))
    assert arrays.frame_index.size + arrays.n_outside == len(positions)
    assert len(set(arrays.frame_index.tolist())) + arrays.n_collisions == arrays.frame_index.size
    assert np.all(np.diff(arrays.frame_index) >= 0)
