"""A process that is killed between any two things it asks of the system: nothing acknowledged is lost."""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import load_label_set
from ballspot.evaluate.editing import Action, Add, Delete, LabelBook, Reject, Undo, journal_of

LABELS = load_label_set()
START = {"annotations": [{"gameTime": "1 - 00:01", "label": "PASS", "position": "1000", "visibility": "visible"}]}
CALLS = ("open", "write", "fsync", "ftruncate", "close", "rename", "replace", "unlink")
EDITS: tuple[Action, ...] = (Add("OUT", 2000), Reject("PASS", 9), Delete(0), Undo(), Add("SHOT", 3000))

forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")


def book_at(path: Path) -> LabelBook:
    return LabelBook(path, LABELS, match="m", root=path.parent)


def seen(path: Path) -> tuple:
    state = book_at(path).state()
    return state.spots, state.rejected


def killed_at(number: int, work: Callable[[Callable[[int], None]], None]) -> tuple[int, bool]:
    """Does ``work`` in a process that dies before its call ``number`` of the system; the steps that it told of, and
    whether it came to its end.
    """
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        left, put = [number], os.write

        def counted(name: str):
            real = getattr(os, name)

            def call(*args, **more):
                if left[0] == 0:
                    os._exit(9)
                left[0] -= 1
                if name == "write" and left[0] == 0:  # a half-written line
                    real(args[0], bytes(args[1])[: len(args[1]) // 2])
                    os._exit(9)
                return real(*args, **more)

            return call

        code = 1
        try:  # whatever happens, the fork ends here and runs no further tests
            for name in CALLS:
                setattr(os, name, counted(name))
            work(lambda step: put(write, bytes([step])))
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    told = b"".join(iter(lambda: os.read(read, 100), b""))
    os.close(read)
    return (max(told) if told else 0), os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@forks
def test_after_a_kill_between_any_two_calls_the_state_is_the_acknowledged_one_or_the_next(tmp_path: Path):
    states = []
    straight = tmp_path / "straight.json"
    straight.write_text(json.dumps(START))
    book = book_at(straight)
    states.append(seen(straight))
    for action in EDITS:
        book.edit(action, revision=book.revision)
        states.append(seen(straight))
    number, is_over = 0, False
    while not is_over:
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "Labels.json"
        path.write_text(json.dumps(START))

        def work(tell: Callable[[int], None], path: Path = path) -> None:
            book = book_at(path)
            for step, action in enumerate(EDITS, start=1):
                book.edit(action, revision=book.revision)
                tell(step)

        told, is_over = killed_at(number, work)
        json.loads(path.read_text())  # whole before anything mends it
        assert seen(path) in states[told : told + 2], f"killed at {number}, after {told} were acknowledged"
        assert sorted(one.name for one in folder.iterdir() if one.name.endswith(".tmp")) == []
        book = book_at(path)
        book.edit(Add("GOAL", 1), revision=book.revision)
        book.edit(Undo(), revision=book.revision)
        assert seen(path) in states[told : told + 2]
        number += 7 if number > 60 else 1  # the first two steps call by call, the others here and there
    assert number > 60


@forks
def test_a_kill_while_what_another_program_changed_is_taken_over_loses_neither(tmp_path: Path):
    number, is_over = 0, False
    while not is_over:
        folder = tmp_path / str(number)
        folder.mkdir()
        path = folder / "Labels.json"
        path.write_text(json.dumps(START))
        book = book_at(path)
        book.edit(Reject("PASS", 9), revision=0)
        path.write_text(json.dumps({"annotations": []}))
        kept = journal_of(path).read_bytes()

        def work(tell: Callable[[int], None], path: Path = path) -> None:
            book = book_at(path)
            book.edit(Add("OUT", 5), revision=book.revision)
            tell(1)

        told, is_over = killed_at(number, work)
        spots, rejected = seen(path)
        assert [one.label for one in spots] in ([["OUT"]] if told else [[], ["OUT"]])
        assert [one.label for one in rejected] == ["PASS"]
        assert kept in [one.read_bytes() for one in folder.glob("*.jsonl")]
        number += 1
    assert number > 10


def test_a_journal_cut_anywhere_in_its_last_line_tells_of_the_steps_before(tmp_path: Path):
    path = tmp_path / "Labels.json"
    path.write_text(json.dumps(START))
    book = book_at(path)
    book.edit(Add("OUT", 2000), revision=0)
    text, whole = path.read_bytes(), journal_of(path).read_bytes()
    book.edit(Add("SHOT", 3000), revision=1)
    longer = journal_of(path).read_bytes()
    path.write_bytes(text)
    for length in range(len(whole), longer.rindex(b'{"saved"') - 1):
        journal_of(path).write_bytes(longer[:length])
        state = book_at(path).state()
        assert (state.revision, [one.label for one in state.spots]) == (1, ["PASS", "OUT"])
    assert path.read_bytes() == text


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_disk_that_refuses_leaves_file_and_journal_as_they_were(tmp_path: Path, monkeypatch, call: str):
    path = tmp_path / "Labels.json"
    path.write_text(json.dumps(START))
    book = book_at(path)
    book.edit(Add("OUT", 2000), revision=0)
    before = path.read_bytes(), book.state()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        if call == "replace":
            patch.setattr(Path, "replace", full)
        with pytest.raises(BallspotError, match=re.escape("No space left on device")):
            book.edit(Add("SHOT", 3000), revision=1)
    assert (path.read_bytes(), book.state()) == before
    book.edit(Add("SHOT", 3000), revision=1)
    assert [one.label for one in book_at(path).state().spots] == ["PASS", "OUT", "SHOT"]
