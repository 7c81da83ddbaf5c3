"""Which JSON is an action, and what is said of the rest."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import load_label_set
from ballspot.evaluate.editing import Accept, AcceptAll, Add, Delete, Move, Note, SetTeam, Undo, Watch, read_action

LABELS = load_label_set()


@pytest.mark.parametrize(
    ("record", "action"),
    [
        ({"do": "add", "label": "PASS", "position_ms": 40}, Add("PASS", 40)),
        ({"do": "add", "label": "OUT", "position_ms": 0, "half": 2, "team": "left"}, Add("OUT", 0, 2, "left")),
        ({"do": "move", "entry": 3, "position_ms": 7}, Move(3, 7)),
        ({"do": "team", "entry": 0, "team": None}, SetTeam(0, None)),
        ({"do": "delete", "entry": 0}, Delete(0)),
        ({"do": "note", "entry": 0, "text": "<script>"}, Note(0, "<script>")),
        ({"do": "watch", "from_ms": 0, "to_ms": 20_000}, Watch(0, 20_000)),
        ({"do": "undo"}, Undo()),
        (
            {"do": "accept all", "spots": [{"label": "PASS", "position_ms": 1, "team": "x"}]},
            AcceptAll((Accept("PASS", 1, 1, "x"),)),
        ),
    ],
)
def test_an_object_is_an_action(record: dict, action: object):
    assert read_action(record, LABELS) == action


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (None, "unknown action None"),
        ([], "unknown action []"),
        ({"do": ["add"]}, "unknown action ['add']"),
        ({"do": "write", "path": "/etc/passwd"}, "unknown action 'write'"),
        ({"do": "add", "label": "PAS", "position_ms": 1}, "did you mean 'PASS'?"),
        ({"do": "add", "label": "PASS"}, "add needs position_ms"),
        ({"do": "add", "label": "PASS", "position_ms": "1"}, "position_ms '1' is not a whole number"),
        ({"do": "add", "label": "PASS", "position_ms": True}, "position_ms True is not"),
        ({"do": "add", "label": "PASS", "position_ms": -1}, "position_ms -1 is not"),
        ({"do": "add", "label": "PASS", "position_ms": 10**13}, "position_ms 10000000000000 is not"),
        ({"do": "add", "label": "PASS", "position_ms": 1, "half": 3}, "half 3 is not 1 or 2"),
        ({"do": "add", "label": "PASS", "position_ms": 1, "path": "x"}, "add has no field 'path'"),
        ({"do": "add", "label": "\ud800", "position_ms": 1}, "is not text"),
        ({"do": "delete", "entry": -1}, "entry -1 is not the place"),
        ({"do": "delete", "entry": 1.0}, "entry 1.0 is not the place"),
        ({"do": "note", "entry": 0, "text": "x" * 2001}, "is not a text of up to 2000 letters"),
        ({"do": "team", "entry": 0, "team": ""}, "team '' is not null or a text"),
        ({"do": "watch", "from_ms": 0}, "watch needs to_ms"),
        ({"do": "watch", "from_ms": 5, "to_ms": 5}, "from_ms 5 is not before to_ms 5"),
        ({"do": "watch", "from_ms": 0.0, "to_ms": 5}, "from_ms 0.0 is not a whole number"),
        ({"do": "undo", "entry": 0}, "undo has no field 'entry'"),
        ({"do": "accept all", "spots": []}, "a list of 1 to"),
        ({"do": "accept all", "spots": ["PASS"]}, "each spot is an object"),
        ({"do": "accept all", "spots": [{"label": "PASS"}]}, "accept needs position_ms"),
    ],
)
def test_anything_else_is_refused_by_name(record: object, said: str):
    with pytest.raises(BallspotError, match=re.escape(said)):
        read_action(record, LABELS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)
FIELDS = ("label", "position_ms", "half", "team", "entry", "text", "spots")


@given(st.sampled_from(["add", "accept", "accept all", "reject", "move", "class", "team", "delete", "note", "undo"]),
       st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(["PASS", 1, 0])))  # fmt: skip
def test_no_json_breaks_the_reader(does: str, fields: dict):
    try:
        action = read_action({"do": does, **fields}, LABELS)
    except BallspotError as error:
        assert "\n" not in str(error)
    else:
        assert type(action).__module__.endswith("editing.actions")
