"""What editing labels in the page costs and stands: python bench/edit_page.py [felt|kills|flood ...]

felt   A video of 90 minutes with 3,000 labels in Chromium: seconds until the page shows them and takes keys, and from
       a key to the answer that the label is on the disk (add, move, undo). The bar is 0.2 s.
kills  `ballspot view VIDEO --edit` is killed (SIGKILL) at a random moment between edits and their answers, 100 times;
       every edit that was answered must be in the file, the file must be whole, and the next server must go on from it.
flood  So many requests a second as one machine can send to itself for five seconds, from eight threads: bodies of other
       origins, without a token, of 50 MB, with paths, and edits of an old revision. Nothing may be written.

Prints a line each. `felt` needs Chromium and the package playwright.
"""

import argparse
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from urllib.parse import parse_qs, urlsplit

import av
import numpy as np

FPS = 25
N_LABELS = 3000


@dataclass(frozen=True)
class Page:
    """A running server: its process, its address, and where edits of its first match go."""

    process: subprocess.Popen[str]
    url: str

    @property
    def port(self) -> int:
        return urlsplit(self.url).port or 80

    @property
    def token(self) -> str:
        return parse_qs(urlsplit(self.url).query)["token"][0]

    def headers(self, **other: str) -> dict[str, str]:
        """What the page itself sends."""
        own = {"Origin": f"http://127.0.0.1:{self.port}", "X-Ballspot-Token": self.token}
        return {"Content-Type": "application/json", **own, **other}

    def ask(
        self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
    ) -> tuple[int, bytes]:
        """Status and answer of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body or None, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def address(self) -> str:
        """Where edits of the first match go."""
        return json.loads(self.ask("GET", "/view.json")[1])["matches"][0]["edit"]

    def edit(self, where: str, action: dict[str, object], revision: int) -> tuple[int, bytes]:
        """Sends one edit as the page does."""
        body = json.dumps({"revision": revision, "client": "bench", "action": action}).encode()
        return self.ask("POST", where, body, self.headers())


@contextmanager
def edited(video: Path) -> Iterator[Page]:
    """The command `ballspot view VIDEO --edit`, until the end."""
    words = [sys.executable, "-m", "ballspot.cli", "view", str(video), "--edit", "--no-open"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield Page(process, str(process.stdout and process.stdout.readline()).strip())
    finally:
        process.kill()
        process.wait()


def write_video(path: Path, n_frames: int) -> Path:
    """A video of grey pictures that tell the time."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS, options={"preset": "ultrafast", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = 128, 72, "gray"
        for number in range(n_frames):
            picture = np.full((72, 128), number // FPS % 200, np.uint8)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="gray")))
        out.mux(stream.encode())
    return path


def write_labels(path: Path, n: int, step_ms: int) -> None:
    """So many passes, a label file as SoccerNet writes it."""
    entries = [{"gameTime": "1 - 00:00", "label": "PASS", "position": str(step_ms * (1 + one))} for one in range(n)]
    path.write_text(json.dumps({"annotations": entries}, indent=4))


def felt(folder: Path) -> None:
    """Seconds as a person at the page has them."""
    from playwright.sync_api import sync_playwright

    video = write_video(folder / "long.mp4", 90 * 60 * FPS)
    write_labels(folder / "long.json", N_LABELS, 1790)
    chromium = shutil.which("chromium") or sys.exit("no chromium on this machine")
    with edited(video) as page, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        window = browser.new_page(viewport={"width": 1366, "height": 768})
        window.add_init_script(WATCH_DRAWN)
        opened = []
        for _ in range(6):
            window.goto(page.url)
            window.wait_for_selector("#counts tr.total")
            window.wait_for_timeout(500)
            opened.append(window.evaluate("window.drawnAt") / 1000)
        took: dict[str, list[float]] = {"add": [], "move": [], "undo": []}
        for turn in range(10):
            window.evaluate(f"import('/app.js').then(({{ walking }}) => walking.seek({600 + 1.79 * turn}))")
            window.wait_for_timeout(400)
            for name, key in (("add", "3"), ("move", "i"), ("undo", "z")):
                took[name].append(window.evaluate(PRESSED, key) / 1000)
        browser.close()
    told = ", ".join(f"{name} {median(times):.3f} s (longest {max(times):.3f})" for name, times in took.items())
    first, *again = opened
    print(f"felt: spots drawn {first:.2f} s after the first opening, {median(again):.2f} s after others")
    print(f"felt: from the key to the answer that it is on the disk: {told}")


# Notes when the picture with the first spots is on the screen: the frame after that in which they were drawn.
WATCH_DRAWN = """new MutationObserver((_, watch) => {
  if (!document.querySelector('#counts tr.total')) return;
  watch.disconnect();
  requestAnimationFrame(() => requestAnimationFrame(() => { window.drawnAt = performance.now(); }));
}).observe(document, { childList: true, subtree: true });"""
PRESSED = """async (key) => {
  const state = document.getElementById('edit-state');
  state.textContent = '';
  const started = performance.now();
  document.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
  while (!/saved|took back/.test(state.textContent)) await new Promise((done) => setTimeout(done, 2));
  return performance.now() - started;
}"""


def kills(folder: Path, n: int = 100) -> None:
    """SIGKILL between edits and answers; an edit that was not answered may be there or not."""
    video, chance = write_video(folder / "short.mp4", 100 * FPS), random.Random(7)
    labels, acknowledged, tried, there = folder / "short.json", set[int](), set[int](), set[int]()
    for turn in range(n):
        with edited(video) as page:
            where = page.address()
            revision = json.loads(page.ask("GET", where)[1])["revision"]
            killer = threading.Timer(0.3 * chance.random(), os.kill, (page.process.pid, signal.SIGKILL))
            killer.start()
            with suppress(OSError, http.client.HTTPException):
                for number in range(900):
                    position_ms = 900 * turn + number
                    tried.add(position_ms)
                    status, said = page.edit(
                        where, {"do": "add", "label": "SHOT", "position_ms": position_ms}, revision
                    )
                    must(status == 200, f"turn {turn}: {status} {said!r}")
                    acknowledged.add(position_ms)
                    revision += 1
            killer.join()
        there = {int(one["position"]) for one in read_entries(labels)}
        must(acknowledged <= there <= tried, f"turn {turn}: lost {acknowledged - there}, made up {there - tried}")
    left = [one.name for one in folder.iterdir() if one.name.endswith(".tmp")]
    print(
        f"kills: {n} times; all {len(acknowledged)} answered edits are there, and {len(there - acknowledged)} "
        f"of the {len(tried - acknowledged)} unanswered; half files left: {len(left)}"
    )


def read_entries(path: Path) -> list[dict[str, str]]:
    """The entries of a label file, none where it is not there; fails where it is not whole."""
    return json.loads(path.read_text())["annotations"] if path.exists() else []


def must(holds: bool, what: str) -> None:
    """Ends the measurement where something does not hold."""
    if not holds:
        sys.exit(what)


def flood(folder: Path, seconds: float = 5) -> None:
    """Requests that must write nothing, as fast as they can be sent."""
    video = write_video(folder / "flood.mp4", 10 * FPS)
    write_labels(folder / "flood.json", 5, 1000)
    before, counts = (folder / "flood.json").read_bytes(), Counter()
    with edited(video) as page:
        where = page.address()
        body = json.dumps({"revision": 99, "client": "c", "action": {"do": "delete", "entry": 0}}).encode()
        plain = {"Content-Type": "application/json"}
        attacks = [
            (where, body, plain),
            (where, body, page.headers(Origin="http://elsewhere.example")),
            (where, body, page.headers(**{"X-Ballspot-Token": "guess"})),
            (f"{where}/../../../etc/passwd", body, page.headers()),
            ("/edit/%2e%2e%2fflood.json", body, page.headers()),
            (where, body, page.headers()),
            (where, b"<script>" * 1000, page.headers()),
        ]
        until = time.monotonic() + seconds

        def send(number: int) -> None:
            while time.monotonic() < until:
                path, sent, headers = attacks[number % len(attacks)]
                number += 1
                with suppress(OSError, http.client.HTTPException):
                    counts[page.ask("POST", path, sent, headers)[0]] += 1

        threads = [threading.Thread(target=send, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        large = "cut off"
        with suppress(OSError):
            large = str(page.ask("POST", where, b"x" * 50_000_000, page.headers())[0])
        must(page.ask("GET", where)[0] == 200, "the server answers no more")
    must((folder / "flood.json").read_bytes() == before, "something was written")
    told = ", ".join(f"{status}: {count}" for status, count in sorted(counts.items()))
    print(f"flood: {sum(counts.values()) / seconds:.0f} requests a second ({told}); 50 MB: {large}; nothing written")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", choices=["felt", "kills", "flood"], default=["felt", "kills", "flood"])
    for part in parser.parse_args().parts:
        with tempfile.TemporaryDirectory() as folder:
            {"felt": felt, "kills": kills, "flood": flood}[part](Path(folder))


if __name__ == "__main__":
    main()
