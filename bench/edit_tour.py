"""Drives every action of `ballspot view --edit` in Chromium as a person would, and takes the pictures of the docs.

    python bench/edit_tour.py RUN [RUN ...] --data DATA --out docs/pictures [--all FOLDER]

RUN was trained on DATA and has predictions of its test matches; several are heads for the queue. The first test match
is corrected in a copy of DATA's labels: its labels of the first minute stay, the rest is to be decided. At 1366 pixels
keys and mouse do each action, at 390 pixels fingers do; after each, the label file or its journal must hold what was
done. Prints a line for each action. ``--all`` takes a picture after each of them, too.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ballspot.evaluate.dataset import DataSelection, load_label_set
from ballspot.evaluate.editing import decisions_beside

KNOWN_MS = 60_000
PATIENCE_S, LEARN_S = 20, 300


def ballspot(*words: object) -> None:
    """Runs a command; ends where it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "ballspot.cli", *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)


def copy_data(data: Path, to: Path, corrected: str) -> Path:
    """The matches with links to their videos; the one to correct keeps the labels of its first minute."""
    for match in DataSelection(data, load_label_set("ball-12"), one_video=True).matches.values():
        labels, folder = data / match.name / "Labels-ball.json", to / match.name
        folder.mkdir(parents=True)
        for video in labels.parent.glob("*.mp4"):
            (folder / video.name).symlink_to(video.resolve())
        document = json.loads(labels.read_text())
        if folder == to / corrected:
            document["annotations"] = [one for one in document["annotations"] if int(one["position"]) < KNOWN_MS]
        (folder / labels.name).write_text(json.dumps(document, indent=4))
    shutil.copy(data / "splits.toml", to)
    return to


@contextmanager
def serving(*words: object) -> Iterator[str]:
    """The address of `ballspot view --edit`, until the end."""
    line = [sys.executable, "-m", "ballspot.cli", "view", *map(str, words), "--edit", "--no-open"]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield str(process.stdout and process.stdout.readline()).strip()
    finally:
        process.terminate()
        process.wait()


@dataclass
class Tour:
    """One window, the label file behind it, and where pictures go (None: nowhere)."""

    window: Any
    labels: Path
    name: str
    pictures: Path | None = None
    touch: bool = False
    done: list[str] = field(default_factory=list)

    def entries(self) -> list[dict[str, str]]:
        """What the label file holds."""
        return json.loads(self.labels.read_text())["annotations"]

    def act(self, what: str, how: Callable[[], None], holds: Callable[[], bool], *, says: str = "saved") -> None:
        """Does something, waits until the page says that it is saved, and ends where it is not in the file."""
        self.window.evaluate("document.getElementById('edit-state').textContent = ''")
        how()
        until(self.window, f"document.getElementById('edit-state').textContent.startsWith({json.dumps(says)})")
        if not holds():
            self.window.screenshot(path=Path(tempfile.gettempdir()) / "edit-tour-failed.png")
            sys.exit(f"{self.name}: {what}: the page says {says!r}, but the file holds something else")
        self.look(what)

    def look(self, what: str) -> None:
        """Takes a picture, and notes that this works."""
        self.done.append(what)
        if self.pictures is not None:
            self.window.screenshot(path=str(self.pictures / f"{self.name}-{len(self.done):02}-{what}.png"))

    def button(self, place: str) -> None:
        """Presses a button by mouse or finger, which must be within the window's width."""
        found = self.window.locator(place).first
        found.scroll_into_view_if_needed()
        box = found.bounding_box()
        width = self.window.viewport_size["width"]
        if not 0 <= box["x"] <= box["x"] + box["width"] <= width:
            sys.exit(f"{self.name}: {place} is out of the window: {box}")
        found.tap() if self.touch else found.click()

    def seek(self, seconds: float) -> None:
        """Shows a moment."""
        self.window.evaluate(f"import('/app.js').then(({{ walking }}) => walking.seek({seconds}))")
        until(self.window, f"Math.abs(document.getElementById('video').currentTime - {seconds}) < 0.05")


def until(window: Any, holds: str, *, patience_s: float = PATIENCE_S) -> None:
    """Waits for an expression to hold; the page's own rules forbid what the driver would do for it."""
    from playwright.sync_api import Error

    ends = time.monotonic() + patience_s
    while True:
        with suppress(Error):  # the page opens itself again
            if window.evaluate(holds):
                return
        if time.monotonic() > ends:
            sys.exit(f"waited in vain for {holds}")
        window.wait_for_timeout(20)


def opened(browser: Any, url: str, *, width: int, height: int, touch: bool = False) -> Any:
    """A new window at the page."""
    context = browser.new_context(viewport={"width": width, "height": height}, has_touch=touch, is_mobile=touch)
    window = context.new_page()
    window.set_default_timeout(1000 * PATIENCE_S)
    window.goto(url)
    window.wait_for_selector("#edit:not([hidden])")
    until(window, "document.getElementById('video').readyState >= 2")
    return window


def at(entries: list[dict[str, str]], label: str) -> list[int]:
    """When the labels of a class happen, ms."""
    return [int(one["position"]) for one in entries if one["label"] == label]


def decide(tour: Tour) -> None:
    """Every decision and its undoing; each is looked up in the file or its journal."""
    n = len(tour.entries())

    def press(key: str, place: str) -> Callable[[], None]:
        return lambda: tour.button(place) if tour.touch else tour.window.keyboard.press(key)

    tour.seek(KNOWN_MS / 1000)
    press("f", "#next-doubt")()
    tour.look("doubt")
    tour.act("accept", press("y", "#accept"), lambda: len(tour.entries()) == n + 1)
    said = decisions_beside(tour.labels)
    tour.act("reject", press("Delete", "#remove"), lambda: decisions_beside(tour.labels).rejected != said.rejected)
    tour.act("class", press("5", "#classes button:nth-child(5)"), lambda: len(tour.entries()) == n + 2)
    tour.seek(2.02)
    tour.act("add", press("8", "#classes button:nth-child(8)"), lambda: 2020 in at(tour.entries(), "SHOT"))
    tour.act("move on", press("i", "#move-on"), lambda: 2060 in at(tour.entries(), "SHOT"))
    tour.act("move back", press("u", "#move-back"), lambda: 2020 in at(tour.entries(), "SHOT"))
    moved = drag(tour)
    tour.act("team", press("v", "#next-team"), lambda: entry_at(tour, moved).get("team") == "left")
    press("q", "#note-label")()
    tour.look("note asked")
    tour.window.fill("#label-note-text", "keeper unsighted <b>")
    tour.act("note", lambda: tour.window.keyboard.press("Enter"),
             lambda: entry_at(tour, moved)["note"] == "keeper unsighted <b>")  # fmt: skip
    tour.act("delete", press("Backspace", "#remove"), lambda: moved not in at(tour.entries(), "SHOT"))
    tour.act("undo", press("z", "#undo"), lambda: moved in at(tour.entries(), "SHOT"), says="took back")
    tour.act("redo", press("Shift+Z", "#redo"), lambda: moved not in at(tour.entries(), "SHOT"))
    tour.seek(25 if tour.touch else 20)
    said = decisions_beside(tour.labels)
    tour.act("watched", press("Shift+Y", "#watch"), lambda: decisions_beside(tour.labels).watched != said.watched)
    n = len(tour.entries())
    tour.act("all", lambda: tour.button("#accept-all"), lambda: len(tour.entries()) > n)
    tour.act("undo all", press("z", "#undo"), lambda: len(tour.entries()) == n, says="took back")
    before = tour.labels.read_text()
    tour.window.reload()
    tour.window.wait_for_selector("#edit:not([hidden])")
    tour.look("reload")
    for _ in range(3):
        tour.act("undo after reload", press("z", "#undo"), lambda: True, says="took back")
    for _ in range(3):
        tour.act("redo after reload", press("Shift+Z", "#redo"), lambda: True)
    if tour.labels.read_text() != before:
        sys.exit(f"{tour.name}: three steps back and on leave another file")


def entry_at(tour: Tour, position_ms: int) -> dict[str, str]:
    """The SHOT at a time."""
    return next(one for one in tour.entries() if (one["label"], one["position"]) == ("SHOT", str(position_ms)))


def drag(tour: Tour) -> int:
    """Drags the SHOT at 2.02 s a tenth of the timeline to the right, by mouse or finger; where it is then, ms."""
    window = tour.window
    before = at(tour.entries(), "SHOT")
    window.locator("#overlay").scroll_into_view_if_needed()
    x, y = window.evaluate(
        """() => import('/app.js').then(({ page: { timeline } }) => {
          const box = timeline.overlay.getBoundingClientRect();
          const lane = document.querySelector('#gutter div').offsetHeight;
          const place = [...document.querySelectorAll('#gutter div')].findIndex((one) => one.title === 'SHOT');
          const spot = timeline.selected;
          return [box.left + timeline.x(spot.time), box.top + 20 + place * lane + 6];
        })"""
    )
    step = window.locator("#overlay").bounding_box()["width"] / 100

    def by_hand() -> None:
        if not tour.touch:
            window.mouse.move(x, y)
            window.mouse.down()
            window.mouse.move(x + 5 * step, y, steps=5)
            tour.look("dragging")
            window.mouse.move(x + 10 * step, y, steps=5)
            return window.mouse.up()
        finger = window.context.new_cdp_session(window)
        for part in range(11):
            kind = "touchMove" if part else "touchStart"
            points = [{"x": x + part * step, "y": y}]
            finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
            window.wait_for_timeout(10)
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
        return None

    tour.act("drag", by_hand, lambda: 2020 not in at(tour.entries(), "SHOT"))
    return next(one for one in at(tour.entries(), "SHOT") if one not in before)


def views(tour: Tour) -> None:
    """Wide picture, magnifying glass, help, keys; nothing is wider than the window."""

    def press(key: str, place: str) -> None:
        tour.button(place) if tour.touch else tour.window.keyboard.press(key)

    press("w", "#wide")
    press("g", "#loupe-button")
    box = tour.window.locator("#video").bounding_box()
    spot = (box["x"] + 0.4 * box["width"], box["y"] + 0.55 * box["height"])
    finger = tour.window.context.new_cdp_session(tour.window)
    if tour.touch:  # the glass is there as long as the finger
        points = [{"x": spot[0], "y": spot[1]}]
        finger.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": points})
    else:
        tour.window.mouse.move(*spot)
        tour.window.mouse.move(spot[0] + 1, spot[1])
    until(tour.window, "!document.getElementById('loupe').hidden")
    tour.look("wide")
    if tour.touch:
        finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    press("g", "#loupe-button")
    press("w", "#wide")
    press("?", "#help-button")
    tour.look("help")
    tour.window.keyboard.press("Escape")
    if not tour.touch:  # fingers have no keys
        tour.button("#change-keys")
        tour.look("keys")
        tour.button("#change-keys")
    width = tour.window.evaluate("document.documentElement.scrollWidth")
    if width > tour.window.viewport_size["width"]:
        sys.exit(f"{tour.name}: the page is {width} pixels wide")


def add_class(tour: Tour) -> None:
    """A new class, and a label of it."""
    tour.button("#add-class")
    tour.window.fill("#new-class-name", "CORNER")
    tour.look("class asked")
    tour.window.keyboard.press("Enter")
    tour.window.locator("#classes button", has_text="CORNER").wait_for()
    tour.window.wait_for_selector("#edit:not([hidden])")
    until(tour.window, "document.getElementById('video').readyState >= 2")
    tour.seek(3.02)
    tour.act("new class", lambda: tour.button("#classes button:has-text('CORNER')"),
             lambda: at(tour.entries(), "CORNER") == [3020])  # fmt: skip


def walk_queue(tour: Tour) -> None:
    """Answers the first three questions."""
    for _ in range(3):
        tour.window.keyboard.press("f")
        until(tour.window, "document.getElementById('told').textContent.startsWith('question')")
        tour.look("question")
        key = "Shift+Y" if "what happens" in tour.window.text_content("#told") else "y"
        tour.act("answer", lambda key=key: tour.window.keyboard.press(key), lambda: True)


def learn(tour: Tour) -> None:
    """A turn of learning, and A beside B."""
    tour.window.evaluate("window.isBefore = true")
    tour.window.keyboard.press("r")
    until(tour.window, "document.getElementById('edit-state').textContent.startsWith('learning')")
    tour.look("learning")
    until(tour.window, "!window.isBefore || document.querySelector('#edit-state b')", patience_s=LEARN_S)
    tour.window.wait_for_selector("#edit:not([hidden])")
    until(tour.window, "document.getElementById('video').readyState >= 2")
    tour.window.keyboard.press("d")
    tour.look("A and B")
    if "learned" not in tour.window.text_content("#notes"):
        sys.exit(f"learning failed: {tour.window.text_content('#edit-state')}")


def pictures(browser: Any, url: str, out: Path) -> None:
    """The three pictures of the docs."""
    from PIL import Image

    for name, width, height, touch in (
        ("edit", 1366, 860, False), ("edit-wide", 1366, 768, False), ("edit-phone", 390, 844, True),
    ):  # fmt: skip
        window = opened(browser, url, width=width, height=height, touch=touch)
        window.evaluate("import('/app.js').then(({ walking }) => walking.seek(60))")
        window.locator("#next-doubt").tap() if touch else window.keyboard.press("f")
        tour = Tour(window, Path(), name)
        if name == "edit-wide":
            window.keyboard.press("w")
            window.keyboard.press("g")
            box = window.locator("#video").bounding_box()
            for off in (0, 1):
                window.mouse.move(box["x"] + 0.27 * box["width"] + off, box["y"] + 0.31 * box["height"])
            until(window, "!document.getElementById('loupe').hidden")
        window.evaluate("window.scrollTo(0, 0)")
        window.wait_for_timeout(500)
        window.screenshot(path=str(out / f"{name}.png"))
        with Image.open(out / f"{name}.png") as picture:
            small = picture.convert("RGB").quantize(256, method=Image.Quantize.MAXCOVERAGE)  # a quarter of the bytes
            small.save(out / f"{name}.png", optimize=True)
        tour.window.context.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="where edit.png, edit-wide.png and edit-phone.png go")
    parser.add_argument("--all", type=Path, help="where a picture of each action goes")
    parser.add_argument("--without-learning", action="store_true")
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or sys.exit("no chromium on this machine")
    match = tomllib.loads((options.data / "splits.toml").read_text())["test"][0]
    if options.all is not None:
        options.all.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        root = Path(folder)
        data = copy_data(options.data, root / "data", match)
        run = root / "runs" / "first"
        shutil.copytree(options.runs[0], run)
        own = root / "own.toml"
        own.write_text(f'name = "own"\nlabels = {json.dumps(list(load_label_set("ball-12").labels))}\n')
        words, only = ("--data", data, "--labels", own), ("--match", match, "--split", "all")
        ballspot("queue", *options.runs, *words, *only, "--minutes", 5, "--out", root / "queue.json")
        labels = data / match / "Labels-ball.json"
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        with serving(run, *words, *only) as url:
            if options.out is not None:
                pictures(browser, url, options.out)
            for name, width, height, touch in (("laptop", 1366, 768, False), ("phone", 390, 844, True)):
                window = opened(browser, url, width=width, height=height, touch=touch)
                tour = Tour(window, labels, name, options.all, touch)
                views(tour)
                decide(tour)
                tour.window.context.close()
                print(f"{name}, {width} pixels: {', '.join(dict.fromkeys(tour.done))}", flush=True)
        with serving(run, *words, *only, "--queue", root / "queue.json") as url:
            tour = Tour(opened(browser, url, width=1366, height=768), labels, "loop", options.all)
            walk_queue(tour)
            add_class(tour)
            if not options.without_learning:
                learn(tour)
            print(f"loop: {', '.join(dict.fromkeys(tour.done))}", flush=True)
        browser.close()


if __name__ == "__main__":
    main()
