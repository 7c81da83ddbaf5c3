from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.reporting.charts import HEIGHT, WIDTH, Series, colour, dash, line_chart, point_chart, ticks

NUMBERS = st.floats(-1e6, 1e6).filter(lambda x: x == 0 or abs(x) > 1e-6)


@given(NUMBERS, NUMBERS)
def test_ticks_are_even_and_cover_what_they_should(one, other):
    low, high = min(one, other), max(one, other)
    found = ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), 1e-6)
    assert 2 <= len(found) <= 8
    assert found[0] <= low + slack
    assert found[-1] >= high - slack
    steps = [after - before for before, after in pairwise(found)]
    assert max(steps) - min(steps) <= 1e-6 * max(map(abs, found))


def test_ticks_of_counts_are_whole():
    assert ticks(1, 4, about=6, whole=True) == [1, 2, 3, 4]
    assert all(value == int(value) for value in ticks(1, 20, about=6, whole=True))


def test_ticks_of_a_percentage_are_round():
    assert ticks(3.2, 41.0) == [0, 10, 20, 30, 40, 50]


def points_of(svg: str) -> list[list[tuple[float, float]]]:
    root = ElementTree.fromstring(svg)
    lines = root.iter("{http://www.w3.org/2000/svg}polyline")
    return [[tuple(map(float, pair.split(","))) for pair in line.attrib["points"].split()] for line in lines]


def test_lines_rise_where_their_numbers_rise_and_stay_inside():
    svg = line_chart(
        [Series("up <1>", [0, 1, 2], [1.0, 2.0, 4.0], ([0.5, 1.0, 3.0], [2, 3, 5])), Series("flat", [0, 2], [3, 3])],
        x_label="epoch",
        y_label="mAP, %",
    )
    up, flat = points_of(svg)
    assert up[0][1] > up[1][1] > up[2][1]
    assert flat[0][1] == flat[1][1]
    assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in up + flat)
    assert up[1][0] == pytest.approx((up[0][0] + up[2][0]) / 2, abs=0.1)
    assert "up &lt;1&gt;" in svg


def test_points_carry_their_numbers():
    root = ElementTree.fromstring(point_chart([(1, "a & b", 10, 5.0), (2, "c", 20, 7.5)], x_label="s", y_label="mAP"))
    circles = list(root.iter("{http://www.w3.org/2000/svg}circle"))
    assert [circle[0].text for circle in circles] == ["1. a & b: 10, 5.00", "2. c: 20, 7.50"]
    assert float(circles[0].attrib["cx"]) < float(circles[1].attrib["cx"])
    assert float(circles[0].attrib["cy"]) > float(circles[1].attrib["cy"])


def test_lines_beyond_the_number_of_colours_are_told_apart_by_dashes():
    assert len({(colour(place), dash(place)) for place in range(24)}) == 24
