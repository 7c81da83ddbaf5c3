"""Label files under correction: what is kept, what comes back, and who is told of whom."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import load_label_set, read_labels
from ballspot.evaluate.editing import (
    Accept,
    AcceptAll,
    Action,
    Add,
    ConflictError,
    Delete,
    LabelBook,
    Move,
    Note,
    Redo,
    Reject,
    SetClass,
    SetTeam,
    Stretch,
    Undo,
    Watch,
    decisions_beside,
    journal_of,
)

LABELS = load_label_set()
ODD = {
    "UrlLocal": "league/m1",
    "fps": 25.0,
    "annotations": [
        {"gameTime": "1 - 00:09", "label": "PASS", "position": "9000", "team": "left", "visibility": "visible"},
        {"zz": [1, {"b": None, "a": "ü"}], "label": "OUT", "gameTime": "1 - 00:02", "position": 2000, "id": 7},
        {"gameTime": "2 - 00:01", "label": "NO SUCH CLASS", "position": "1000"},
    ],
    "author": {"name": "somebody", "b": True},
}


def book_at(path: Path) -> LabelBook:
    return LabelBook(path, LABELS, match="league/m1", root=path.parent)


def do(book: LabelBook, *actions: Action) -> None:
    for action in actions:
        book.edit(action, revision=book.state().revision)


def written(path: Path, document: Any = ODD, **how: Any) -> Path:
    path.write_text(json.dumps(document, **how), encoding="utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "Labels-ball.json", indent=2, ensure_ascii=False)


def test_a_change_keeps_unknown_fields_order_indentation_and_the_rest_to_the_letter(path: Path):
    before = path.read_text(encoding="utf-8")
    do(book_at(path), Move(1, 2040), SetTeam(0, "right"))
    expected = before.replace('"position": 2000', '"position": 2040').replace('"team": "left"', '"team": "right"')
    assert path.read_text(encoding="utf-8") == expected


@pytest.mark.parametrize("how", [{}, {"indent": 4}, {"indent": "\t"}, {"separators": (", ", ": ")}])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_undo_brings_every_byte_back(tmp_path: Path, how: dict, line_end: str):
    path = tmp_path / "Labels-ball.json"
    before = json.dumps(ODD, **how).replace("\n", line_end).encode()
    path.write_bytes(before)
    do(book_at(path), Delete(0), Add("SHOT", 500, 2, "left"), Note(0, 'a "note" </script>'), SetClass(1, "GOAL"))
    assert path.read_bytes() != before
    do(book_at(path), Undo(), Undo(), Undo(), Undo())  # another book: the steps are on the disk
    assert path.read_bytes() == before
    do(book_at(path), Redo(), Redo(), Redo(), Redo())
    state = book_at(path).state()
    assert [(one.label, one.position_ms, one.half) for one in state.spots] == [
        ("OUT", 2000, 1), ("GOAL", 500, 2), ("NO SUCH CLASS", 1000, 2),
    ]  # fmt: skip
    assert state.entries[0]["note"] == 'a "note" </script>'
    assert state.undoes == "class SHOT" and state.redoes is None


def test_new_labels_go_behind_the_last_that_is_not_later_and_a_file_is_made(tmp_path: Path):
    path = tmp_path / "Labels-ball.json"
    book = book_at(path)
    assert not path.exists() and not journal_of(path).exists()
    do(book, Add("PASS", 5000), Add("OUT", 9000, 2), Add("DRIVE", 1000), Add("PASS", 7000), Add("SHOT", 5000))
    assert [(one.label, one.half, one.position_ms) for one in read_labels(path, LABELS, in_file_order=True)] == [
        ("DRIVE", 1, 1000), ("PASS", 1, 5000), ("SHOT", 1, 5000), ("PASS", 1, 7000), ("OUT", 2, 9000),
    ]  # fmt: skip
    assert json.loads(path.read_text())["annotations"][0] == {
        "gameTime": "1 - 00:01", "label": "DRIVE", "position": "1000", "visibility": "visible",
    }  # fmt: skip


def test_many_spots_are_accepted_in_one_step(path: Path):
    book = book_at(path)
    do(book, AcceptAll((Accept("SHOT", 10_000), Accept("PASS", 1), Accept("OUT", 2500, team="x"))))
    assert [one.position_ms for one in book.state().spots] == [1, 9000, 2000, 2500, 10_000, 1000]
    do(book, Undo())
    assert book.state().entries == tuple(ODD["annotations"])


def test_a_rejection_is_kept_and_taken_back_and_leaves_the_file_alone(path: Path):
    before = path.read_bytes()
    do(book_at(path), Reject("PASS", 4000), Reject("OUT", 1, 2))
    assert path.read_bytes() == before
    book = book_at(path)
    assert [one.as_record() for one in book.state().rejected] == [
        {"label": "PASS", "half": 1, "position_ms": 4000},
        {"label": "OUT", "half": 2, "position_ms": 1},
    ]
    do(book, Undo())
    assert [one.label for one in book_at(path).state().rejected] == ["PASS"]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (Delete(3), "there is no label 3; there are 3"),
        (Move(0, 9000), "how it is already"),
        (SetTeam(0, "left"), "how it is already"),
        (Note(0, ""), "how it is already"),
        (Add("PASS", 9000), "there is a PASS at 9000 ms already"),
        (AcceptAll((Accept("OUT", 1), Accept("OUT", 1))), "there is a OUT at 1 ms already"),
        (Undo(), "nothing to undo"),
        (Redo(), "nothing to redo"),
    ],
)
def test_what_does_not_fit_is_refused_and_writes_nothing(path: Path, action: Action, said: str):
    before = path.read_bytes()
    with pytest.raises(BallspotError, match=re.escape(said)):
        book_at(path).edit(action, revision=0)
    assert path.read_bytes() == before and sorted(path.parent.iterdir()) == [path]


def test_of_two_writers_the_second_is_told_what_the_first_did(path: Path):
    one, other = book_at(path), book_at(path)
    do(one, Delete(0))
    with pytest.raises(ConflictError) as told:
        other.edit(Delete(0), revision=0)
    assert [spot.label for spot in told.value.state.spots] == ["OUT", "NO SUCH CLASS"]
    assert told.value.state.revision == 1 and told.value.state.undoes == "delete PASS"
    other.edit(Delete(0), revision=1)
    assert [spot.label for spot in one.state().spots] == ["NO SUCH CLASS"]


def test_what_another_program_wrote_is_kept_and_ends_the_undo(path: Path):
    book = book_at(path)
    do(book, Delete(0), Reject("PASS", 4000))
    written(path, {"annotations": ODD["annotations"][:1]})
    with pytest.raises(ConflictError) as told:
        book.edit(Delete(0), revision=2)
    state = told.value.state
    assert (state.revision, [spot.label for spot in state.spots], state.undoes) == (3, ["PASS"], None)
    assert "changed by another program" in state.remark
    assert [one.label for one in state.rejected] == ["PASS"]
    old = journal_of(path).read_bytes()
    do(book, SetTeam(0, None))
    assert (path.parent / "Labels-ball.edits-1.jsonl").read_bytes() == old
    again = book_at(path).state()
    assert (again.revision, again.undoes, len(again.rejected)) == (4, "team PASS", 1)


def test_two_changes_by_another_program_are_two_revisions(path: Path):
    book = book_at(path)
    do(book, Move(0, 9040))
    seen = []
    for n in (1, 2):
        written(path, {"annotations": ODD["annotations"][:n]})
        seen.append(book.state().revision)
    assert seen == [2, 3]
    with pytest.raises(ConflictError):
        book.edit(Delete(0), revision=2)  # what was seen of the first change
    assert [one.label for one in book.state().spots] == ["PASS", "OUT"]


def test_two_servers_that_count_another_program_s_changes_apart_tell_the_files_by_their_digests(path: Path):
    early = book_at(path)
    written(path, {"annotations": ODD["annotations"][:2]})
    late = book_at(path)
    seen = late.state()
    assert early.state().revision == 1
    written(path, {"annotations": ODD["annotations"][1:]})
    do(late, Note(0, "x"))  # its journal numbers are those of the other's earlier look
    with pytest.raises(ConflictError):
        early.edit(Delete(0), revision=late.state().revision, digest=seen.digest)
    assert len(early.state().spots) == 2


def test_a_rejection_that_stands_is_not_made_again(path: Path):
    book = book_at(path)
    do(book, Reject("PASS", 4000))
    with pytest.raises(BallspotError, match="the PASS at 4000 ms is rejected already"):
        do(book, Reject("PASS", 4000))
    do(book, Undo(), Reject("PASS", 4000))
    assert len(book.state().rejected) == 1


@pytest.mark.parametrize(
    ("actions", "rejected"),
    [
        ([Delete(2)], [4000]),
        ([Move(2, 4500)], []),  # the prediction is half a second off, and still is the label's
        ([Move(2, 4501)], [4000]),
        ([Move(2, 4400), Move(2, 5000)], [4000]),
        ([SetClass(2, "SHOT")], [4000]),
        ([SetTeam(2, "left"), Note(2, "late")], []),
        ([Delete(2), Undo()], []),
        ([Delete(2), Undo(), Redo()], [4000]),
        ([Undo(), Add("HEADER", 4000), Delete(2)], []),  # the acceptance was taken back
        ([Delete(3)], []),  # a label of the file
    ],
)
def test_an_accepted_spot_whose_label_goes_is_rejected(path: Path, actions: list[Action], rejected: list[int]):
    book = book_at(path)
    do(book, Accept("HEADER", 4000), *actions)
    assert [one.position_ms for one in book.state().rejected] == rejected


def test_the_label_file_keeps_its_rights(path: Path):
    path.chmod(0o640)
    do(book_at(path), Delete(0))
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_file_that_somebody_put_back_stays_as_it_is(path: Path):
    before = path.read_bytes()
    do(book_at(path), Delete(0))
    path.write_bytes(before)
    assert len(book_at(path).state().spots) == 3
    assert path.read_bytes() == before


def test_a_damaged_journal_costs_undo_alone(path: Path):
    do(book_at(path), Delete(0), Delete(0))
    lines = journal_of(path).read_bytes().splitlines(keepends=True)
    journal_of(path).write_bytes(b"".join([*lines[:1], b"nonsense\n", *lines[2:]]))
    book = book_at(path)
    assert [spot.label for spot in book.state().spots] == ["NO SUCH CLASS"]
    do(book, Add("PASS", 1))
    assert [spot.label for spot in book_at(path).state().spots] == ["PASS", "NO SUCH CLASS"]


def test_nothing_outside_of_the_root_is_written(tmp_path: Path):
    outside, root = tmp_path / "outside", tmp_path / "data"
    for folder in (outside, root / "m1"):
        folder.mkdir(parents=True)
    there = written(outside / "Labels-ball.json")
    (root / "m1" / "Labels-ball.json").symlink_to(there)
    with pytest.raises(BallspotError, match="leads out of"):
        LabelBook(root / "m1" / "Labels-ball.json", LABELS, match="m1", root=root)
    (root / "m2").symlink_to(outside)
    with pytest.raises(BallspotError, match="leads out of"):
        LabelBook(root / "m2" / "Labels-ball.json", LABELS, match="m2", root=root)
    (root / "m1" / "Labels-ball.json").unlink()
    written(root / "m1" / "Labels-ball.json")
    (root / "m1" / "Labels-ball.edits.jsonl").symlink_to(outside / "x")
    with pytest.raises(BallspotError, match="is a link"):
        LabelBook(root / "m1" / "Labels-ball.json", LABELS, match="m1", root=root)
    assert sorted(outside.iterdir()) == [there]


def test_a_link_that_is_put_in_place_of_a_file_at_work_is_not_followed(tmp_path: Path, path: Path):
    outside = tmp_path.parent / f"{tmp_path.name}-outside.json"
    outside.write_bytes(path.read_bytes())
    book = book_at(path)
    path.unlink()
    path.symlink_to(outside)
    before = outside.read_bytes()
    with pytest.raises(BallspotError, match="leads out of"):
        book.edit(Delete(0), revision=0)
    assert outside.read_bytes() == before


def test_what_was_watched_stands_in_the_journal_and_the_label_file_is_left_alone(path: Path):
    book = book_at(written(path))
    before = path.read_bytes()
    do(book, Watch(0, 5000), Watch(8000, 9000, half=2))
    with pytest.raises(BallspotError, match="watched already"):
        do(book, Watch(0, 5000))
    assert path.read_bytes() == before
    assert book_at(path).state().watched == (Stretch(1, 0, 5000), Stretch(2, 8000, 9000))
    do(book, Undo())
    assert decisions_beside(path).watched == (Stretch(1, 0, 5000),)
    written(path, {"annotations": []})  # another program
    do(book, Add("PASS", 1))
    assert book_at(path).state().watched == (Stretch(1, 0, 5000),)


def test_a_journal_tells_whether_labels_began_with_nothing(tmp_path: Path):
    whole, empty, none = (tmp_path / f"{name}.json" for name in ("whole", "empty", "none"))
    written(whole)
    written(empty, {"annotations": []})
    for path in (whole, empty, none):
        do(book_at(path), Add("PASS", 1))
    assert [decisions_beside(path).began_empty for path in (whole, empty, none)] == [False, True, True]
    written(none)  # another program adds labels: the first journal is kept, and says how it all began
    do(book_at(none), Add("PASS", 1))
    assert decisions_beside(none).began_empty
    assert not decisions_beside(tmp_path / "other.json").began_empty  # no journal


POSITIONS = st.integers(0, 20).map(lambda n: 500 * n)
ENTRIES = st.integers(0, 5)
ACTIONS = st.one_of(
    st.builds(Add, st.sampled_from(["PASS", "OUT"]), POSITIONS, st.sampled_from([1, 2])),
    st.builds(Reject, st.just("PASS"), POSITIONS),
    st.builds(Watch, POSITIONS, POSITIONS.map(lambda ms: ms + 10_001)),
    st.builds(Move, ENTRIES, POSITIONS),
    st.builds(SetClass, ENTRIES, st.sampled_from(["SHOT", "GOAL"])),
    st.builds(SetTeam, ENTRIES, st.sampled_from([None, "left"])),
    st.builds(Note, ENTRIES, st.text(max_size=3)),
    st.builds(Delete, ENTRIES),
    st.just(Undo()),
    st.just(Redo()),
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(ACTIONS, max_size=12))
def test_undoing_all_and_redoing_all_visits_every_state_again(tmp_path_factory, actions: list[Action]):
    path = written(tmp_path_factory.mktemp("book") / "Labels-ball.json", indent=1)
    book, line, at = book_at(path), [], 0

    def seen(state: Any) -> tuple:
        return state.entries, {*state.rejected, *state.watched}

    line.append(seen(book.state()))
    for action in actions:
        try:
            state = book.edit(action, revision=book.revision)
        except BallspotError:
            continue
        if isinstance(action, (Undo, Redo)):
            at += 1 if isinstance(action, Redo) else -1
            assert seen(state) == line[at]
        else:
            at += 1
            line[at:] = [seen(state)]
    for _ in range(at):
        book.edit(Undo(), revision=book.revision)
    assert json.loads(path.read_text(encoding="utf-8")) == ODD
    for _ in line[1:]:
        book.edit(Redo(), revision=book.revision)
    assert book_at(path).state().entries == line[-1][0]
