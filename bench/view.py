"""How fast the page of `ballspot view` opens, reckons and pans: python bench/view.py --data DATA

Predictions are drawn by chance over the first match of DATA that has labels. Frames are those that the browser asks for
(requestAnimationFrame) while the timeline is panned by its wheel; a screen of 60 Hz gives no less than 16.7 ms.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.viewer.server import ViewServer, resources_of
from ballspot.evaluate.viewer.view import find_view, open_sides

PAN = Path(__file__).with_name("pan.js").read_text(encoding="utf-8")
SLIDE = """(value) => {
  const slider = document.getElementById('tolerance');
  slider.value = value;
  const started = performance.now();
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  return performance.now() - started;
}"""


def draw_predictions(root: Path, match: str, n: int, minutes: float) -> Path:
    """``n`` predictions over ``minutes`` in a folder, by a fixed seed."""
    chance = random.Random(0)
    labels = load_label_set().labels
    times = sorted(chance.randrange(int(minutes * 60_000)) for _ in range(n))
    entries = [
        {"label": chance.choice(labels), "position": str(ms), "half": "1", "confidence": str(chance.random() ** 3)}
        for ms in times
    ]
    path = root / str(n) / match / "results_spotting.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"predictions": entries}))
    return root / str(n)


@contextmanager
def serving(path: Path, data: Path, match: str) -> Iterator[str]:
    """The address of a page that shows these predictions."""
    sides = open_sides([path], split=None)
    view = find_view(sides, DataSelection(data, load_label_set()), fps=25.0, wanted=[match])
    with ViewServer(resources_of(view)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.url
        server.shutdown()


def main() -> None:
    """Prints a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--counts", type=int, nargs="+", default=[1_000, 10_000, 50_000])
    parser.add_argument("--minutes", type=float, default=100.0)
    parser.add_argument("--frames", type=int, default=240)
    arguments = parser.parse_args()
    from playwright.sync_api import sync_playwright

    match = next(one.name for one in find_matches(arguments.data) if one.labels_path is not None)
    chromium = shutil.which("chromium") or sys.exit("no chromium on this machine")
    print("| predictions | in view, min | open, s | new tolerance, ms | pan, median ms | p95 ms | frames a second |")
    print("|---" * 7 + "|")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for n in arguments.counts:
            path = draw_predictions(Path(folder), match, n, arguments.minutes)
            with serving(path, arguments.data, match) as url:
                for span in (60, 600, 60 * arguments.minutes * 0.9):
                    page = browser.new_page(viewport={"width": 1366, "height": 768})
                    page.goto(f"{url}#score=0.2&span={span}&from=10")
                    page.wait_for_selector("#counts tr.total")
                    opened_s = page.evaluate("performance.now()") / 1000
                    page.wait_for_timeout(500)
                    slid = sorted(page.evaluate(SLIDE, value) for value in (0.5, 1.5, 2.5))[1]
                    times = page.evaluate(PAN, [arguments.frames, 15])
                    median, late = times[len(times) // 2], times[int(len(times) * 0.95)]
                    print(
                        f"| {n:,} | {span / 60:.0f} | {opened_s:.2f} | {slid:.0f} | {median:.1f} | {late:.1f} | "
                        f"{1000 / median:.0f} |",
                        flush=True,
                    )
                    page.close()
        browser.close()


if __name__ == "__main__":
    main()
