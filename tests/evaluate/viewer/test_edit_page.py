"""The page of `ballspot view --edit` in a real browser: keys, mouse and fingers, and the file behind them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ballspot.evaluate.dataset import load_label_set
from ballspot.evaluate.editing import decisions_beside

from .editing import edit, editing
from .viewing import DATA, LABELS, MATCH, OTHER, PATIENCE_S, listed, until

HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One rendered match with three labels."""
    folder = tmp_path / "data" / MATCH
    folder.mkdir(parents=True)
    shutil.copy(DATA / MATCH / "224p.mp4", folder)
    made = [("PASS", 1020, "left"), ("DRIVE", 2020, "right"), ("OUT", 9020, None)]
    entries = [
        {"gameTime": "1 - 00:00", "label": label, "position": str(ms), **({"team": team} if team else {})}
        for label, ms, team in made
    ]
    (folder / "Labels-ball.json").write_text(json.dumps({"annotations": entries, "by": "hand"}))
    return tmp_path / "data"


@pytest.fixture
def found(tmp_path: Path, spot_file: Callable) -> Path:
    """Predictions: one that hits, three undecided ones."""
    spot_file(MATCH, [("PASS", 1060, 0.9), ("PASS", 4020, 0.8), ("HEADER", 5020, 0.7), ("SHOT", 6020, 0.6)])
    return tmp_path / "predictions"


def labels(root: Path) -> list[tuple[str, int]]:
    entries = json.loads((root / MATCH / "Labels-ball.json").read_text())["annotations"]
    return [(one["label"], int(one["position"])) for one in entries]


def saved(page, text: str = "saved") -> None:
    until(page, f"document.getElementById('edit-state').textContent.startsWith({json.dumps(text)})")


def press(page, *keys: str, says: str = "saved") -> None:
    """Presses keys that make an edit, and waits until it is acknowledged."""
    for key in keys[:-1]:
        page.keyboard.press(key)
    page.evaluate("document.getElementById('edit-state').textContent = ''")
    page.keyboard.press(keys[-1])
    saved(page, says)


def seek(page, seconds: float) -> None:
    page.evaluate(f"import('/app.js').then(({{ walking }}) => walking.seek({seconds}))")
    until(page, f"Math.abs(document.getElementById('video').currentTime - {seconds}) < 0.02")


def test_keys_accept_reject_add_change_move_note_delete_and_undo(root: Path, found: Path, opened: Callable):
    with editing(root, found) as server:
        page = opened(server.url)
        before = (root / MATCH / "Labels-ball.json").read_text()
        assert "3 labels, 3 predictions undecided" in page.text_content("#told")
        press(page, "f", "y")  # accepts the PASS at 4.02 and goes on
        assert labels(root)[2] == ("PASS", 4020)
        assert "HEADER" in page.text_content("#told")
        press(page, "Delete")  # rejects the HEADER
        assert page.text_content("#n-doubts") == "1"
        press(page, "5")  # the SHOT is an OUT
        assert labels(root)[3] == ("OUT", 6020)
        assert page.text_content("#n-doubts") == "0"
        seek(page, 7.5)
        press(page, "3")
        assert labels(root)[4] == ("HEADER", 7500)
        press(page, "i")  # a frame on, of 40 ms
        press(page, "Shift+2")  # FREE KICK, the eleventh class
        press(page, "v")
        assert labels(root)[4] == ("FREE KICK", 7540)
        page.keyboard.press("q")
        page.fill("#label-note-text", HOSTILE)
        page.keyboard.press("Enter")
        saved(page)
        entry = json.loads((root / MATCH / "Labels-ball.json").read_text())["annotations"][4]
        assert (entry["team"], entry["note"]) == ("left", HOSTILE)
        assert HOSTILE in page.text_content("#told")
        press(page, "Backspace")
        assert labels(root) == [("PASS", 1020), ("DRIVE", 2020), ("PASS", 4020), ("OUT", 6020), ("OUT", 9020)]
        page.reload()
        page.wait_for_selector("#counts tr.total")
        for _ in range(10):
            press(page, "z", says="took back")
        assert "other window" not in page.text_content("#edit-state")  # it is the same one as before
        press(page, "z", says="nothing to undo")
        assert "nothing to undo" in page.get_attribute("#undo", "title")
        assert (root / MATCH / "Labels-ball.json").read_text() == before
        for _ in range(10):
            press(page, "Shift+Z")
        assert len(labels(root)) == 5
        assert page.evaluate("window.hacked") is None


def test_the_lanes_of_a_match_without_labels_are_in_sight(root: Path, found: Path, opened: Callable):
    (root / MATCH / "Labels-ball.json").unlink()
    with editing(root, found) as server:
        page = opened(server.url, 1366, 768)
        assert page.locator("#n-doubts").text_content() == "4"
        assert page.evaluate("document.getElementById('canvases').getBoundingClientRect().top") < 768 - 150
        page.keyboard.press("?")
        assert page.evaluate("document.getElementById('help').scrollTop") == 0  # it is higher than the window here
        assert page.evaluate("(({ scrollHeight, clientHeight }) => scrollHeight > clientHeight)(help)")


def test_what_was_watched_is_decided_and_can_be_undone(root: Path, found: Path, opened: Callable):
    with editing(root, found) as server:
        page = opened(server.url)
        assert page.text_content("#n-doubts") == "3"
        before = labels(root)
        seek(page, 5.5)
        press(page, "Shift+Y")  # of the PASS at 4.02 and the HEADER at 5.02
        assert page.text_content("#n-doubts") == "1"
        (stretch,) = decisions_beside(root / MATCH / "Labels-ball.json").watched
        assert (stretch.half, stretch.from_ms) == (1, 0) and 5500 < stretch.to_ms <= 5580  # a frame takes 40 ms
        page.reload()
        page.wait_for_selector("#counts tr.total")
        assert page.text_content("#n-doubts") == "1"
        press(page, "z", says="took back")
        assert page.text_content("#n-doubts") == "3" and labels(root) == before


def pressed_at_once(page, *keys: str) -> None:
    """Keys that come faster than any answer, and the last answer."""
    page.evaluate("document.getElementById('edit-state').textContent = ''")
    page.evaluate(
        "(keys) => keys.forEach((key) => document.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true })))",
        list(keys),
    )
    page.evaluate("import('/app.js').then(({ desk }) => desk.settled())")


def test_keys_that_come_faster_than_answers_edit_the_label_that_was_chosen(root: Path, opened: Callable):
    with editing(root) as server:
        page = opened(server.url)
        page.keyboard.press(".")
        pressed_at_once(page, "i", "i", "v")  # two frames of 40 ms on; the team after left
        assert labels(root)[0] == ("PASS", 1100)
        entry = json.loads((root / MATCH / "Labels-ball.json").read_text())["annotations"][0]
        assert entry["team"] == "right"
        pressed_at_once(page, "Delete", "Delete")
        assert page.text_content("#edit-state").startswith("not done: the labels have changed")
        assert labels(root) == [("DRIVE", 2020), ("OUT", 9020)]
        pressed_at_once(page, ".", "i", ".", "i")  # two labels, the second chosen before the first edit was answered
        assert labels(root) == [("DRIVE", 2060), ("OUT", 9060)]


def test_all_leaves_out_what_was_corrected(root: Path, found: Path, opened: Callable, spot_file: Callable):
    spot_file(MATCH, [("SHOT", 1020, 0.9), ("PASS", 1060, 0.8), ("PASS", 1300, 0.8), ("OUT", 6020, 0.7)])
    with editing(root, found) as server:
        page = opened(server.url)
        page.evaluate("document.getElementById('edit-state').textContent = ''")
        page.click("#accept-all")
        saved(page)
        assert labels(root) == [("PASS", 1020), ("DRIVE", 2020), ("OUT", 6020), ("OUT", 9020)]


def test_a_match_that_is_not_there_yet_is_not_edited_as_the_one_before(root: Path, opened: Callable):
    other = root / OTHER
    shutil.copytree(root / MATCH, other)
    with editing(root) as server:
        page = opened(server.url)
        held: list = []
        page.route("**/spots/*", lambda route: held.append(route))
        page.keyboard.press(".")
        page.select_option("#match", index=1)
        until(page, "document.getElementById('edit').hidden")
        pressed_at_once(page, "Delete", "3")
        held[0].continue_()
        page.wait_for_selector("#edit:not([hidden])")
        page.evaluate("import('/app.js').then(({ desk }) => desk.settled())")
    assert len(labels(root)) == 3
    assert (other / "Labels-ball.json").read_bytes() == (root / MATCH / "Labels-ball.json").read_bytes()


def test_at_24_frames_a_second_a_class_key_changes_the_label_of_the_frame_shown(root: Path, opened: Callable):
    path = root / MATCH / "Labels-ball.json"
    path.write_text(path.read_text().replace('"1020"', '"1041"'))  # frame 25 begins at 1041.67
    with editing(root) as server:
        page = opened(server.url)
        page.evaluate("import('/app.js').then(({ page: { clock } }) => { clock.fps = 24; clock.knownFps = true; })")
        for ms, frame in ((1000, 24), (41, 1), (42, 1), (0, 0)):  # a frame is the last one that begins before ms + 1
            ask = f"import('/app.js').then(({{ page: {{ clock }} }}) => clock.frameOfSpot({ms}))"
            assert page.evaluate(ask) == frame
        page.keyboard.press(".")
        press(page, "3")
        assert labels(root) == [("HEADER", 1041), ("DRIVE", 2020), ("OUT", 9020)]


def test_a_label_is_dragged_by_mouse_and_by_finger(root: Path, opened: Callable, browser):
    with editing(root) as server:
        page = opened(server.url)
        drag(page, lambda x, y: page.mouse.move(x, y), page.mouse.down, page.mouse.up)
        moved = dict(labels(root))["OUT"]
        assert 10_000 < moved < 90_000
        assert moved % 40 == 20  # the middle of a frame
        context = browser.new_context(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(server.url)
        page.wait_for_selector("#counts tr.total")
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.locator("#next-spot").tap()
        page.evaluate("document.getElementById('edit-state').textContent = ''")
        page.locator("#classes button", has_text="SHOT").tap()
        saved(page)
        assert labels(root)[0] == ("SHOT", 1020)
        touch = context.new_cdp_session(page)
        page.locator("#overlay").scroll_into_view_if_needed()
        at = {}

        def finger(kind: str) -> None:
            points = [] if kind == "touchEnd" else [dict(at)]
            touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        def move(x: float, y: float) -> None:
            down = bool(at)
            at.update(x=x, y=y)
            if down:
                finger("touchMove")

        drag(page, move, lambda: finger("touchStart"), lambda: finger("touchEnd"))
        assert dict(labels(root))["OUT"] > moved
        context.close()


def drag(page, move: Callable, down: Callable, up: Callable) -> None:
    """Drags the one label in the lane of OUT a tenth of the timeline to the right."""
    box = page.locator("#overlay").bounding_box()
    lanes = page.evaluate("[...document.querySelectorAll('#gutter div')].map(d => d.title)")
    lane = page.evaluate("document.querySelector('#gutter div').offsetHeight")
    out = page.evaluate(
        "import('/app.js').then(({ page: { page, timeline } }) => { const t = page.model.truths;"
        " return timeline.x(t.time[t.start[4]]); })"
    )
    x, y = box["x"] + out, box["y"] + 20 + lanes.index("OUT") * lane + 6
    page.evaluate("document.getElementById('edit-state').textContent = ''")
    move(x, y)
    down()
    for part in range(1, 11):
        move(x + part * box["width"] / 100, y)
        page.wait_for_timeout(10)
    up()
    saved(page)


def test_two_windows_are_told_of_each_other(root: Path, browser):
    with editing(root) as server:
        page = browser.new_page()
        page.set_default_timeout(1000 * PATIENCE_S)
        page.goto(server.url)
        page.wait_for_selector("#counts tr.total")
        where = listed(server)["matches"][0]["edit"]
        assert edit(server, where, {"do": "delete", "entry": 0}, revision=0)[0] == 200
        page.keyboard.press(".")
        page.keyboard.press("Delete")
        saved(page, "not done: somebody else")
        assert "2 labels" in page.text_content("#counts tr.total") or len(labels(root)) == 2
        edit(server, where, {"do": "delete", "entry": 0}, revision=1)
        until(page, "document.getElementById('edit-state').textContent.includes('other window')")
        assert len(labels(root)) == 1
        page.close()


def test_without_the_token_the_page_only_reads_and_a_dead_server_is_told_of(root: Path, browser):
    with editing(root) as server:
        page = browser.new_page()
        page.goto(server.url.partition("?")[0])
        page.wait_for_selector("#counts tr.total")
        assert not page.is_visible("#edit")
        assert "open the page by the address" in page.text_content("#notes")
        page.goto(server.url)
        page.wait_for_selector("#edit:not([hidden])")
        page.context.set_offline(True)
        page.keyboard.press(".")
        page.keyboard.press("Delete")
        saved(page, "NOT SAVED: the server is gone")
        assert len(labels(root)) == 3
        page.context.close()


def test_keys_of_classes_are_changed_and_kept(root: Path, opened: Callable):
    with editing(root) as server:
        page = opened(server.url)
        page.click("#change-keys")
        page.click("#classes button:nth-child(8)")
        page.keyboard.press("n")
        assert "another use" in page.text_content("#edit-state")
        page.keyboard.press("h")
        page.click("#change-keys")
        page.reload()
        page.wait_for_selector("#counts tr.total")
        assert page.text_content("#classes button:nth-child(8)") == "hSHOT"
        seek(page, 3.02)
        press(page, "h")
        assert labels(root)[2] == ("SHOT", 3020)


def test_all_that_reach_the_threshold_are_accepted_at_once_and_wide_pictures_are_wide(
    root: Path, found: Path, opened: Callable
):
    (root / MATCH / "Labels-ball.json").unlink()
    with editing(root, found) as server:
        page = opened(server.url)
        page.evaluate("document.getElementById('edit-state').textContent = ''")
        page.click("#accept-all")
        saved(page)
        assert labels(root) == [("PASS", 1060), ("PASS", 4020), ("HEADER", 5020), ("SHOT", 6020)]
        narrow = page.locator("#video").bounding_box()["width"]
        page.keyboard.press("w")
        assert page.locator("#video").bounding_box()["width"] > 1.5 * narrow
        page.keyboard.press("g")
        box = page.locator("#video").bounding_box()
        page.mouse.move(box["x"] + 100, box["y"] + 100)
        page.mouse.move(box["x"] + 200, box["y"] + 150)
        until(page, "!document.getElementById('loupe').hidden")


def test_labels_of_classes_that_the_set_has_not_stay(root: Path, opened: Callable, tmp_path: Path):
    (tmp_path / "two.toml").write_text('labels = ["PASS", "<b>"]\n')
    with editing(root, label_set=load_label_set(str(tmp_path / "two.toml"))) as server:
        page = opened(server.url)
        assert "2 labels of classes that two has not are left as they are" in page.text_content("#notes")
        seek(page, 3.02)
        press(page, "2")
        assert labels(root) == [("PASS", 1020), ("DRIVE", 2020), ("<b>", 3020), ("OUT", 9020)]
        assert LABELS.name not in page.text_content("#notes")
