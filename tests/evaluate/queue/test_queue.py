"""What is asked of an annotator, in which order, and what is not asked."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset import Spot, load_label_set, open_predictions
from ballspot.evaluate.editing import LabelBook, Reject
from ballspot.evaluate.queue import (
    Budget,
    Head,
    Known,
    Question,
    Queue,
    find_questions,
    ranked,
    rarity,
    read_queue,
    write_queue,
)

LABELS = load_label_set()
EVEN = dict.fromkeys(LABELS.labels, 1.0)


def heads_of(spot_file: Callable, *heads: list) -> list[Head]:
    for number, spots in enumerate(heads):
        path = spot_file("m", spots, root=f"head-{number}")
    root = path.parent.parent.parent
    return [Head(str(number), open_predictions(root / f"head-{number}")) for number in range(len(heads))]


def test_a_spot_at_a_half_is_worth_1_and_heads_that_disagree_wholly_2(spot_file: Callable):
    """4 * 0.5 * 0.5 = 1; scores 1 and 0 have a mean of 0.5 and a standard deviation of 0.5, so 1 + 2 * 0.5 = 2."""
    (one,) = find_questions(heads_of(spot_file, [("PASS", 1000, 0.5)]), "m", Known(), EVEN)
    assert (one.label, one.position_ms, one.value, one.why) == ("PASS", 1000, 1.0, "doubt")
    (two,) = find_questions(heads_of(spot_file, [("PASS", 1000, 1.0)], []), "m", Known(), EVEN)
    assert (two.value, two.scores) == (2.0, (1.0, 0.0))
    (three,) = find_questions(heads_of(spot_file, [("PASS", 1000, 0.9)], [("PASS", 1400, 0.1)]), "m", Known(), EVEN)
    assert (three.scores, round(three.value, 6)) == ((0.9, 0.1), 1.8)


def test_what_has_a_label_or_was_rejected_is_not_asked(spot_file: Callable):
    spots = [("PASS", 1000, 0.5), ("PASS", 3000, 0.5), ("OUT", 5000, 0.5), ("OUT", 7000, 0.01)]
    known = Known((Spot("PASS", 1500),), (("OUT", 1, 5100),))
    (left,) = find_questions(heads_of(spot_file, spots), "m", known, EVEN)
    assert (left.label, left.position_ms) == ("PASS", 3000)
    assert find_questions(heads_of(spot_file, spots), "m", replace(known, watched=((1, 2900, 3001),)), EVEN) == []
    assert find_questions(heads_of(spot_file, spots), "m", replace(known, watched=((2, 0, 9000),)), EVEN) == [left]


def test_rare_classes_count_more_up_to_three_times():
    weights = rarity({"PASS": 1599, "OUT": 99, "GOAL": 0}, LABELS)
    assert weights["PASS"] == 1.0
    assert weights["OUT"] == pytest.approx(2.0)  # (100 / 1600) ** -0.25
    assert weights["GOAL"] == 3.0


def test_a_stretch_is_worth_twice_the_events_that_it_is_likely_to_hold(spot_file: Callable):
    (head,) = heads_of(spot_file, [("PASS", 1000, 0.9), ("OUT", 3000, 0.6)])
    scores = np.zeros((1500, len(LABELS)), dtype=np.float32)  # a minute
    scores[20:30, LABELS.index("PASS")] = 0.9  # that spot itself
    scores[1100, LABELS.index("SHOT")] = 0.3  # at 44 s
    path = head.predictions.path / "m" / "scores.npz"
    np.savez(path, scores=scores, frame_index=np.arange(1500), labels=np.array(LABELS.labels), fps=25.0)
    found = find_questions([head], "m", Known(), EVEN)
    first, third = (one for one in found if one.end_ms is not None)  # from 20 to 40 s all scores are 0
    assert (first.position_ms, first.end_ms, first.why) == (0, 20_000, "coverage")
    assert first.n_expected == pytest.approx(0.9 + 0.6) and first.value == pytest.approx(3.0)
    assert first.cost_s == pytest.approx(20 + 5 * 1.5)
    assert (third.position_ms, third.end_ms) == (40_000, 60_000)
    assert (third.n_expected, third.value) == (1.0, 2.0)  # 0.3 are expected, but one at least counts
    assert find_questions([head], "m", Known((Spot("OUT", 50_000), Spot("PASS", 1000), Spot("OUT", 3000))), EVEN) == []
    known = Known((Spot("PASS", 1000), Spot("OUT", 3000)), watched=((1, 30_000, 61_000),))
    assert find_questions([head], "m", known, EVEN) == []
    assert find_questions([head], "m", replace(known, watched=((1, 41_000, 61_000),)), EVEN) == [third]


def question(value: float, position_ms: int, **more: object) -> Question:
    fields: dict = {"match": "m", "half": 1, "label": "PASS", "scores": (), "why": "doubt", **more}
    return Question(position_ms=position_ms, value=value, **fields)


def test_the_best_come_first_and_many_of_one_minute_lose_worth():
    near = [question(1.0, 100 * number) for number in range(3)]
    far = question(0.6, 90_000)
    asked = ranked([*near, far], Budget())
    assert [one.position_ms for one in asked] == [0, 100, 90_000, 200]  # 1, 0.7, 0.6, 0.49
    assert [round(one.value, 6) for one in asked] == [1.0, 0.7, 0.6, 0.49]


def stretch(position_ms: int, n_expected: float, **more: object) -> Question:
    own: dict = {"label": None, "end_ms": position_ms + 20_000, "n_expected": n_expected, "why": "coverage", **more}
    return question(2 * n_expected, position_ms, **own)


def test_a_stretch_decides_the_spots_in_it_and_lowers_the_worth_of_its_minute():
    """Each is worth 2 an event; a second one of the same minute 0.7 of that, which a spot of 1.5 surpasses."""
    inside, beside = question(1.5, 9_000), question(1.5, 130_000)
    asked = ranked([stretch(0, 4.0), stretch(30_000, 9.0), stretch(60_000, 5.0), inside, beside], Budget())
    assert {one.position_ms // 60_000 for one in asked[:2]} == {0, 1} and all(one.end_ms for one in asked[:2])
    assert beside in asked and [one.value / one.n_expected for one in asked][-1] == pytest.approx(1.4)
    other = replace(inside, match="n")
    assert ranked([stretch(0, 4.0), inside, other], Budget())[1:] == [other]


def test_few_stretches_come_from_all_over_the_matches():
    """All are worth the same; by order of place they would be the first minutes of the first match."""
    made = [replace(stretch(60_000 * minute, 4.0), match=match) for match in "abc" for minute in range(40)]
    asked = ranked(made, Budget(80))
    assert len(asked) == 20
    for match in "abc":
        minutes = [one.position_ms // 60_000 for one in asked if one.match == match]
        assert len(minutes) >= 3 and max(minutes) - min(minutes) >= 15
    assert asked == ranked(made[::-1], Budget(80))


def test_minutes_buy_spots_where_little_happens_and_stretches_where_much_does():
    """By the second: 2 * 1 / 25 and 2 * 9 / 65 for stretches with one event and nine, 1 / 5 for a spot at a half."""
    spot = question(1.0, 300_000)
    asked = ranked([stretch(0, 1.0), spot, stretch(120_000, 9.0)], Budget(minutes=60))
    assert [one.position_ms for one in asked] == [120_000, 300_000, 0]
    assert [one.position_ms for one in ranked([stretch(0, 1.0), spot], Budget())] == [0, 300_000]


@given(
    st.lists(st.tuples(st.floats(0.01, 5), st.integers(0, 200_000), st.booleans()), max_size=30),
    st.integers(1, 40),
    st.floats(0.1, 5),
)
def test_a_budget_is_never_passed_and_nothing_is_asked_twice(made: list, n: int, minutes: float):
    questions = [
        stretch(ms, n_expected=1 + value) if is_stretch else question(value, ms) for value, ms, is_stretch in made
    ]
    for budget in (Budget(n, minutes), Budget(n)):
        asked = ranked(questions, budget)
        assert sum(one.n_expected for one in asked) <= n
        assert budget.minutes is None or sum(one.cost_s for one in asked) <= 60 * minutes
        places = [(one.position_ms, one.end_ms) for one in asked]
        assert all(places.count(one) <= [(q.position_ms, q.end_ms) for q in questions].count(one) for one in places)
        worth = [one.value / budget.effort(one) for one in asked]
        assert worth == sorted(worth, reverse=True)
    whole = ranked(questions, Budget())
    left = [one for one in questions if not any(other.covers(one) for other in whole)]
    of_whole = [(one.position_ms, one.end_ms) for one in whole]
    assert all((one.position_ms, one.end_ms) in of_whole for one in left)


def test_a_queue_reads_back_and_another_file_is_refused_by_item(tmp_path: Path):
    path = tmp_path / "queue.json"
    made = Queue(
        (question(1.25, 40, scores=(0.5, 0.25)), question(1, 0, label=None, end_ms=20_000, why="coverage")), ("a",)
    )
    write_queue(path, made)
    assert read_queue(path, LABELS) == made
    good = json.loads(path.read_text())
    for change, said in [
        ({"label": "PAS"}, "did you mean 'PASS'"),
        ({"half": 3}, "no match and half"),
        ({"position_ms": -1}, "not times in ms"),
        ({"position_ms": 5, "end_ms": 4}, "not times in ms"),
        ({"why": "<script>"}, "none of disagreement"),
        ({"scores": "ab"}, "are not numbers"),
        ({"value": None}, "are not numbers"),
        ({"match": 5}, "no match and half"),
    ]:
        path.write_text(json.dumps({**good, "items": [{**good["items"][0], **change}]}))
        with pytest.raises(BallspotError, match=re.escape(said)) as told:
            read_queue(path, LABELS)
        assert "item 1: " in str(told.value)
    path.write_text("[]")
    with pytest.raises(BallspotError, match="is not a queue"):
        read_queue(path, LABELS)


def test_the_command_asks_within_its_budget_and_says_what(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("league/m1", [("PASS", 1000)])
    spots = [("PASS", 1000, 0.5), ("OUT", 9000, 0.6), ("PASS", 20_000, 0.1), ("XYZ", 5, 0.5)]
    spot_file("league/m1", spots)
    line = ["queue", str(tmp_path / "predictions"), "--data", str(tmp_path / "data"), "--out", str(tmp_path / "q.json")]
    told = CliRunner().invoke(main, [*line, "--minutes", "0.1"])
    assert told.exit_code == 0 and "1 of 2 questions" in told.output
    (item,) = json.loads((tmp_path / "q.json").read_text())["items"]
    assert (item["match"], item["label"], item["position_ms"], item["why"]) == ("league/m1", "OUT", 9000, "doubt")
    own = tmp_path / "data" / "league" / "m1" / "own.json"  # not there yet: nothing but a rejection is known of it
    book = LabelBook(own, load_label_set(), match="league/m1", root=tmp_path / "data")
    book.edit(Reject("OUT", 9000), revision=0)
    other = [*line[:-1], str(tmp_path / "other.json"), "--labels-file", "own.json"]
    assert CliRunner().invoke(main, other).exit_code == 0
    items = json.loads((tmp_path / "other.json").read_text())["items"]
    assert [(one["label"], one["position_ms"]) for one in items] == [("PASS", 1000), ("PASS", 20_000)]
    again = CliRunner().invoke(main, line)
    assert again.exit_code == 1 and "already exists" in again.output
