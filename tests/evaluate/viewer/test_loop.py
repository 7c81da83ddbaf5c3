"""The page walks a queue of questions, and has a head learn from the answers."""

import json
import sys
import time
from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import DataSelection, load_label_set
from ballspot.evaluate.editing import LabelBook, Stretch
from ballspot.evaluate.viewer import (
    EditDesk,
    Session,
    Trainer,
    ViewServer,
    find_view,
    learned_lines,
    open_sides,
    resources_of,
)

from .test_edit_page import labels, press, saved
from .viewing import MATCH, PATIENCE_S, until

SAYS = "import sys, time; print('epoch 1', flush=True); time.sleep(0.3); print(sys.argv[1:], flush=True)"


@pytest.fixture
def root(tmp_path: Path, label_file: Callable) -> Path:
    label_file(MATCH, [("PASS", 1020)])
    label_file("gfootball/2026/match-06", [])
    return tmp_path / "data"


def asked(label: int | None, ms: int, *, match: str = MATCH, end_ms: int | None = None) -> dict:
    why = "coverage" if label is None else "doubt"
    return {"match": match, "half": 1, "ms": ms, "end_ms": end_ms, "label": label, "scores": [0.5], "why": why}


def serve(desk: EditDesk, server: ViewServer):
    import threading

    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    return thread


def test_f_walks_the_questions_and_every_answer_goes_on(
    root: Path, spot_file: Callable, tmp_path: Path, opened: Callable
):
    other = "gfootball/2026/match-06"
    spot_file(MATCH, [("PASS", 1020, 0.9), ("PASS", 4020, 0.5), ("OUT", 9020, 0.4)])
    spot_file(other, [("SHOT", 3020, 0.6)])
    view = find_view(open_sides([tmp_path / "predictions"], split=None), DataSelection(root), fps=25.0)
    questions = [
        asked(7, 3020, match=other), asked(0, 1020), asked(0, 4020), asked(4, 9020),
        asked(None, 20_000, end_ms=40_000),
    ]  # fmt: skip
    desk = EditDesk(view, root, extra={"queue": questions})
    with ViewServer(resources_of(view, desk), writes=desk.writes()) as server:
        serve(desk, server)
        page = opened(server.url)
        page.keyboard.press("f")
        until(page, "document.getElementById('told').textContent.startsWith('question 1 of 5: SHOT? (doubt, 0.5)')")
        page.keyboard.press("y")  # goes on to the other match, past what has a label there
        until(page, "document.getElementById('told').textContent.startsWith('question 3 of 5: PASS?')")
        page.keyboard.press("Delete")
        until(page, "document.getElementById('told').textContent.startsWith('question 4 of 5: OUT?')")
        page.keyboard.press("y")
        until(page, "document.getElementById('told').textContent.startsWith('question 5 of 5: what happens')")
        page.keyboard.press("Shift+Y")  # watched, and nothing was there
        until(page, "document.getElementById('told').textContent.startsWith('no question is left')")
        assert book_of(root).state().watched == (Stretch(1, 20_000, 40_000),)
        assert labels(root) == [("PASS", 1020), ("OUT", 9020)]
        there = json.loads((root / other / "Labels-ball.json").read_text())["annotations"]
        assert [(one["label"], one["position"]) for one in there] == [("SHOT", "3020")]
        server.shutdown()


def book_of(root: Path) -> LabelBook:
    return LabelBook(root / MATCH / "Labels-ball.json", load_label_set(), match=MATCH, root=root)


def write_turn(run: Path, spot_file: Callable) -> None:
    """What `ballspot learn` leaves: both heads' spots, and its record."""
    for part, score in (("before", 0.3), ("predictions/all", 0.8)):
        spot_file(MATCH, [("PASS", 5000, score)], root=f"runs/{run.name}/{part}")
    change = {"gained": 1, "lost": 0}
    record = {"run": str(run), "valid_before": 0.25, "valid_after": 0.5, "changes": {MATCH: change}}
    (run / "learned.json").write_text(json.dumps(record))


def wait(trainer: Trainer) -> dict:
    give_up = time.monotonic() + PATIENCE_S
    while (answer := trainer.answer({"do": "look"})[1])["state"] == "running":
        assert time.monotonic() < give_up
        time.sleep(0.05)
    return answer


def test_a_turn_is_made_by_the_command_and_the_next_begins_with_its_run(tmp_path: Path):
    done: list[Path] = []
    trainer = Trainer(
        tmp_path / "best",
        place_of=lambda run: tmp_path / f"{run.name}+",
        options=["--data", "D"],
        on_done=done.append,
        command=[sys.executable, "-c", SAYS],
    )
    assert trainer.answer({"do": "look"})[1]["state"] == "idle"
    status, answer = trainer.answer({"do": "start"})
    assert (status, answer["state"]) == (HTTPStatus.OK, "running")
    assert trainer.answer({"do": "start"})[1]["state"] == "running"  # one at a time
    answer = wait(trainer)
    assert answer["state"] == "done" and answer["lines"][0] == "epoch 1"
    assert answer["lines"][1] == str([str(tmp_path / "best"), "--run", str(tmp_path / "best+"), "--data", "D"])
    trainer.answer({"do": "start"})
    wait(trainer)
    assert done == [tmp_path / "best+", tmp_path / "best++"]
    with pytest.raises(BallspotError, match="expected"):
        trainer.answer({"do": "start", "run": "/etc"})


def test_a_turn_that_fails_is_told_and_the_next_begins_with_the_old_run(tmp_path: Path):
    fails = "import sys; print('Error: no labels were corrected'); sys.exit(1)"
    trainer = Trainer(
        tmp_path / "best", place_of=lambda run: tmp_path / "new", options=[], on_done=lambda run: None,
        command=[sys.executable, "-c", fails],
    )  # fmt: skip
    trainer.answer({"do": "start"})
    answer = wait(trainer)
    assert (answer["state"], answer["lines"]) == ("failed", ["Error: no labels were corrected"])
    assert trainer.run == tmp_path / "best"


def test_a_turn_whose_run_cannot_be_shown_has_failed(tmp_path: Path):
    def breaks(run: Path) -> None:
        raise OSError(28, "No space left on device")

    trainer = Trainer(
        tmp_path / "best", place_of=lambda run: tmp_path / "new", options=[], on_done=breaks,
        command=[sys.executable, "-c", "pass"],
    )  # fmt: skip
    trainer.answer({"do": "start"})
    answer = wait(trainer)
    assert answer["state"] == "failed" and "No space left on device" in answer["lines"][-1]


def test_r_learns_and_shows_before_and_after(root: Path, spot_file: Callable, tmp_path: Path, opened: Callable):
    spot_file(MATCH, [("PASS", 5000, 0.3)])
    data = DataSelection(root)
    view = find_view(open_sides([tmp_path / "predictions"], split=None), data, fps=25.0)
    desk = EditDesk(view, root)
    run = tmp_path / "runs" / "best-learned-1"
    write_turn(run, spot_file)
    with ViewServer(resources_of(view, desk)) as server:

        def swap(done: Path) -> None:
            sides = open_sides([done / "before", done / "predictions" / "all"], split=None)
            desk.extra["learned"] = learned_lines(done)
            server.resources = resources_of(find_view(sides, data, [MATCH], fps=25.0), desk)

        trainer = Trainer(
            tmp_path / "runs" / "best", place_of=lambda _: run, options=[], on_done=swap,
            command=[sys.executable, "-c", SAYS],
        )  # fmt: skip
        desk.extra["learns"] = "/learn/1"
        server.resources = resources_of(view, desk)
        server.writes = desk.writes({"/learn/1": trainer.answer})
        serve(desk, server)
        page = opened(server.url)
        page.keyboard.press("r")
        page.locator("#sides li:nth-child(2)").wait_for()  # the page opens itself again
        page.locator("#notes li", has_text="mAP@1 25.00 before, 50.00 after").wait_for()
        page.keyboard.press(".")
        press(page, "Delete")
        saved(page)
        assert labels(root) == []
        server.shutdown()


def test_a_record_that_says_nothing_is_refused(tmp_path: Path):
    (tmp_path / "learned.json").write_text('{"changes": []}')
    with pytest.raises(BallspotError, match="learn again"):
        learned_lines(tmp_path)


def test_a_class_is_added_to_the_label_set_that_was_named(root: Path, tmp_path: Path, opened: Callable):
    own = tmp_path / "own.toml"
    own.write_text('name = "own"  # mine ]\nlabels = [\n  "PASS", # the first ]\n  "OUT",\n]\n')
    label_set = load_label_set(str(own))
    data = DataSelection(root, label_set)
    view = find_view((), data, fps=25.0)
    session = Session(view, data, EditDesk(view, root), labels=str(own))
    writes = session.desk.writes(session.writes())
    with ViewServer(resources_of(view, session.desk), writes=writes) as server:
        session.server = server
        serve(session.desk, server)
        page = opened(server.url)
        page.click("#add-class")
        page.fill("#new-class-name", "CORNER <b>")
        page.keyboard.press("Enter")
        page.locator("#classes button:nth-child(3)").wait_for()  # the page opens itself again
        page.locator("#told", has_text="1 labels").wait_for()
        press(page, "3")
        assert labels(root)[0] == ("CORNER <b>", 20)
        server.shutdown()
    assert own.read_text().startswith('name = "own"  # mine ]\nlabels = [\n  "PASS", # the first ]\n  "OUT",')
    assert load_label_set(str(own)).labels == ("PASS", "OUT", "CORNER <b>")


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ({"label": "PASS"}, "already"),
        ({"label": " "}, "not a name of a class"),
        ({"label": "x" * 61}, "not a name of a class"),
        ({"label": "a\nb"}, "not a name of a class"),
        ({"label": 5}, "expected an object"),
        ({"label": "X", "path": "/etc/passwd"}, "expected an object"),
        (None, "expected an object"),
    ],
)
def test_what_is_no_new_class_is_refused(root: Path, tmp_path: Path, sent: object, said: str):
    own = tmp_path / "own.toml"
    own.write_text('labels = ["PASS"]\n')
    data = DataSelection(root, load_label_set(str(own)))
    view = find_view((), data, fps=25.0)
    session = Session(view, data, EditDesk(view, root), labels=str(own))
    with pytest.raises(BallspotError, match=said):
        session.add_class(sent)
    assert own.read_text() == 'labels = ["PASS"]\n'


def test_no_class_is_added_to_a_built_in_set(root: Path):
    view = find_view((), DataSelection(root), fps=25.0)
    assert Session(view, DataSelection(root), EditDesk(view, root), labels="ball-12").writes() == {}


def test_addresses_of_before_are_kept_for_windows_that_are_open(root: Path, tmp_path: Path):
    own = tmp_path / "own.toml"
    own.write_text('labels = ["PASS"]\n')
    data = DataSelection(root, load_label_set(str(own)))
    view = find_view((), data, fps=25.0)
    session = Session(view, data, EditDesk(view, root), labels=str(own))
    before = resources_of(view, session.desk)
    with ViewServer(before) as server:
        session.server = server
        session.add_class({"label": "NEW"})
        assert set(before) < set(server.resources)
        assert b"NEW" in server.resources["/view.json"].make()


def test_the_label_files_name_goes_to_the_command_that_learns(root: Path, tmp_path: Path):
    data = DataSelection(root, labels_file="mine.json")
    view = find_view((), data, fps=25.0)
    session = Session(view, data, EditDesk(view, root), run=tmp_path / "run")
    session.writes()
    assert session.trainer is not None
    place = session.trainer.options.index("--labels-file")
    assert session.trainer.options[place + 1] == "mine.json"
