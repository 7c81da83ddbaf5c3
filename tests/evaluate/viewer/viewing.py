"""What the tests of `ballspot view` share: a server, made-up predictions, and Python's numbers for them."""

import http.client
import json
import random
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from ballspot.evaluate.dataset.columns import column_arrays, columns_of
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import LabelSet, load_label_set
from ballspot.evaluate.dataset.predictions import open_predictions
from ballspot.evaluate.diagnosis.mistakes import HIT, judge
from ballspot.evaluate.scoring.matching import match_truths, pool_spots
from ballspot.evaluate.scoring.metrics import pooled_average_precision
from ballspot.evaluate.viewer.server import ViewServer, resources_of
from ballspot.evaluate.viewer.view import find_view, open_sides

ROOT = Path(__file__).resolve().parents[3]
DATA = next(one for one in (ROOT.parent / "shared" / "data", ROOT / "tests" / "matches") if one.is_dir())
MATCH, OTHER = "gfootball/2026/match-05", "gfootball/2026/match-06"
LABELS = load_label_set()
NOTHING = "\N{EN DASH}"
PATIENCE_S = 120.0  # of a machine that has other things to do


@contextmanager
def serving(*paths: Path, data: Path = DATA, label_set: LabelSet = LABELS) -> Iterator[ViewServer]:
    view = find_view(open_sides(paths, split=None), DataSelection(data, label_set), fps=25.0)
    with ViewServer(resources_of(view)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def made_up(root: Path, match: str, seed: int, n_more: int = 150) -> Path:
    """Predictions near the truths and elsewhere, with equal scores, shared frames and teams."""
    chance = random.Random(seed)
    truths = read_labels(DATA / match / "Labels-ball.json", LABELS)
    entries = []
    for spot in truths:
        for _ in range(chance.choice((0, 1, 1, 2))):
            label = spot.label if chance.random() < 0.7 else chance.choice(LABELS.labels)
            entries.append((label, max(spot.position_ms + round(chance.gauss(0, 500)), 0)))
    entries += [(chance.choice(LABELS.labels), chance.randrange(60_000)) for _ in range(n_more)]
    predictions = [
        {
            "label": label,
            "position": str(position_ms),
            "half": "1",
            "gameTime": "1 - 00:00",
            "confidence": str(round(chance.random(), 2)),
            **({"team": chance.choice(("left", "right"))} if chance.random() < 0.6 else {}),
        }
        for label, position_ms in entries
    ]
    path = root / match / "results_spotting.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"UrlLocal": match, "predictions": predictions}))
    return root


def expected(path: Path, match: str, *, tolerance_s: float, threshold: float) -> list[list[str]]:
    """Python's row of every class and of all: truths, hits, false, missed, P, R, F1, AP, as the page writes them."""
    labels = read_labels(DATA / match / "Labels-ball.json", LABELS, in_file_order=True)
    truths = column_arrays(columns_of(labels), LABELS, fps=25.0)
    columns = open_predictions(path).read(match).columns
    pool = pool_spots([truths], [column_arrays(columns, LABELS, fps=25.0)], n_labels=len(LABELS), fps=25.0)
    is_hit = judge(pool, match_truths(pool, tolerance_s), tolerance_s).kind == HIT
    chosen = pool.score >= threshold
    counts = [
        (int((pool.truth_label == one).sum()), int((chosen & is_hit & (pool.label == one)).sum()),
         int((chosen & (pool.label == one)).sum()))
        for one in range(len(LABELS))
    ]  # fmt: skip
    counts.append((sum(c[0] for c in counts), sum(c[1] for c in counts), sum(c[2] for c in counts)))
    result = pooled_average_precision(pool, (tolerance_s,))
    ap = [*(value if n else None for value, n in zip(result.ap, result.n_truth, strict=True)), result.mean_ap]
    return [
        [
            str(n), str(hits), str(found - hits), str(n - hits), share(hits, found), share(hits, n),
            share(2 * hits, found + n), NOTHING if one is None else percent(one),
        ]
        for (n, hits, found), one in zip(counts, ap, strict=True)
    ]  # fmt: skip


def share(part: int, whole: int) -> str:
    return percent(part / whole) if whole else NOTHING


def percent(value: float) -> str:
    return f"{100 * value:.1f}"


ROWS = "[...document.querySelectorAll('#counts tbody tr')].map(r => [...r.cells].slice(1).map(c => c.textContent))"


def table(page) -> list[list[str]]:
    return page.evaluate(ROWS)


def near(rows: list[list[str]], wanted: list[list[str]]) -> None:
    """Equal texts; of two languages that round a half, percents may differ in the last place."""
    assert len(rows) == len(wanted)
    for row, want in zip(rows, wanted, strict=True):
        assert row[:4] == want[:4]
        for one, other in zip(row[4:], want[4:], strict=True):
            assert one == other or abs(float(one) - float(other)) < 0.11


def fill(page, name: str, value: float) -> None:
    page.fill(f"#{name}-number", str(value))


def tables(page, settings: Sequence[tuple[float, float]]) -> list[list[list[str]]]:
    """The counts at thresholds and tolerances, typed into their fields within the page: from here each takes long."""
    return page.evaluate(
        f"""(settings) => settings.map((values) => {{
          for (const [place, id] of ["threshold-number", "tolerance-number"].entries()) {{
            const field = document.getElementById(id);
            field.value = values[place];
            field.dispatchEvent(new Event("input", {{ bubbles: true }}));
          }}
          return {ROWS};
        }})""",
        [list(one) for one in settings],
    )


def told(page, key: str, *, times: int = 1000, until: str = "") -> list[str]:
    """What the page tells after each of so many presses of a key, within the page: from here each takes long.

    The last one begins with ``until``, where that is given.
    """
    return page.evaluate(
        """([key, times, until]) => {
          const told = [];
          while (told.length < times && !(until && told.length && told.at(-1).startsWith(until))) {
            document.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
            told.push(document.getElementById("told").textContent);
          }
          return told;
        }""",
        [key, times, until],
    )


def settled(page) -> dict[str, list[str]]:
    """The settings in the address, once the video is where it is to go and the address tells what the page shows."""
    until(
        page,
        """(async () => {
          const { clock, page: shown, timeline } = (await import('/app.js')).page;
          const { writeHash } = (await import('/app.js')).state;
          const whole = timeline.span >= timeline.duration - 1e-6;
          const view = whole ? { from: 0, span: 0 } : { from: timeline.from, span: timeline.span };
          const state = { ...shown.state, t: clock.time, ...view };
          const address = new URL(writeHash(state, shown.isThresholdChosen), location);
          return !clock.video.seeking && clock.pending === null && location.hash === address.hash;
        })()""",
    )
    return parse_qs(urlsplit(page.evaluate("location.href")).fragment)


def until(page, condition: str) -> None:
    """Waits for a condition; the browser's own waiting needs eval, which the page forbids."""
    give_up = time.monotonic() + PATIENCE_S
    while not page.evaluate(condition):
        assert time.monotonic() < give_up, f"not within {PATIENCE_S} s: {condition}"
        page.wait_for_timeout(20)


def now(page) -> float:
    return page.evaluate("document.getElementById('video').currentTime")


def ask(server: ViewServer, path: str, *, method: str = "GET", **headers: str):
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_S)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


def listed(server: ViewServer) -> dict:
    return json.loads(ask(server, "/view.json")[1])


def video_of(server: ViewServer) -> str:
    return listed(server)["matches"][0]["videos"]["1"]["url"]
