"""Labels-ball to another format and back, as analysts pass their labels on: what each can hold comes back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.evaluate.dataset import Spot, load_label_set, read_labels
from ballspot.evaluate.editing import Add, LabelBook, Note, SetTeam
from ballspot.evaluate.formats import FORMATS, VideoSpots, read_videos, write_videos

PLAIN = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "Z", "S")), min_size=1, max_size=12)
TEXTS = PLAIN.filter(lambda text: text == text.strip() and "\u2028" not in text and "\u2029" not in text)
SPOTS = st.builds(
    Spot,
    label=st.sampled_from(["PASS", "OUT", "HIGH PASS"]),
    position_ms=st.integers(0, 6_000_000),
    half=st.just(1),
    team=st.none() | TEXTS,
    visible=st.booleans(),
    note=st.none() | TEXTS,
)
KEPT: dict[str, Callable[[Spot], Spot]] = {
    "csv": lambda spot: spot,
    "sportscode": lambda spot: spot,
    "osl": lambda spot: replace(spot, team=None, visible=True, note=None),  # its events have a class and a time
}


@pytest.mark.parametrize("name", list(KEPT))
@settings(max_examples=40, deadline=None)
@given(spots=st.lists(SPOTS, max_size=6).map(tuple))
def test_labels_come_back_from_each_format_as_far_as_it_can_hold_them(tmp_path_factory, name: str, spots: tuple):
    folder, kind, labels = tmp_path_factory.mktemp("trip"), FORMATS[name], FORMATS["labels-ball"]
    write_videos(folder / "a", labels, [VideoSpots("cup/m", spots)], fps=25.0)
    (first,) = read_videos(folder / "a", labels)
    assert first.spots == spots and first.notes == ()
    other = folder / ("b" if kind.pattern else "b.file")
    write_videos(other, kind, [first], fps=25.0)
    between = read_videos(other, kind)
    write_videos(folder / "c", labels, between, fps=25.0)
    if not spots and name == "csv":  # a table has no row for a match without labels, which is named
        assert between == [] and kind.losses([first], 25.0)["matches without spots"] == 1
        return
    (back,) = read_videos(folder / "c", labels)
    assert back.spots == tuple(map(KEPT[name], spots))
    losses = +kind.losses([first], 25.0)
    is_changed = back.spots != spots
    assert bool({"teams", "spots not shown", "notes"} & set(losses)) == is_changed


def test_a_note_of_the_page_goes_into_other_formats_and_is_named_where_it_cannot(tmp_path: Path):
    path = tmp_path / "data" / "m" / "Labels-ball.json"
    path.parent.mkdir(parents=True)
    book = LabelBook(path, load_label_set(), match="m", root=tmp_path)
    for action in (Add("PASS", 5000), Note(0, 'he said "no"; twice'), SetTeam(0, "left")):
        book.edit(action, revision=book.revision)
    (video,) = read_videos(tmp_path / "data", FORMATS["labels-ball"])
    assert video.spots == (Spot("PASS", 5000, team="left", note='he said "no"; twice'),)
    assert read_labels(path, load_label_set()) == video.spots
    held = {name: (+one.losses([video], 25.0))["notes"] == 0 for name, one in FORMATS.items() if one.write is not None}
    assert held == {
        "labels-ball": True, "labels-v2": True, "csv": True, "sportscode": True,
        "spots": False, "soccertrack-v2": False, "osl": False, "e2e-spot": False,
    }  # fmt: skip


def test_a_note_that_is_no_text_is_named_as_left_out(tmp_path: Path):
    path = tmp_path / "m" / "Labels-ball.json"
    path.parent.mkdir()
    path.write_text('{"annotations": [{"gameTime": "1 - 00:00", "label": "PASS", "position": 1, "note": ["x"]}]}')
    (video,) = read_videos(tmp_path, FORMATS["labels-ball"])
    assert video.spots[0].note is None and video.notes == ("'note' of 1 entries is not kept",)
