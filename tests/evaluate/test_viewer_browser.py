"""The page of `ballspot view` in a real browser: what it counts, shows, plays and never runs."""

import csv
import json
import random
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest

from ballspot.evaluate.columns import column_arrays
from ballspot.evaluate.labels import read_labels
from ballspot.evaluate.labelsets import LabelSet, load_label_set
from ballspot.evaluate.matching import SpotArrays, match_truths, pool_spots
from ballspot.evaluate.metrics import pooled_average_precision, spot_arrays
from ballspot.evaluate.mistakes import HIT, judge
from ballspot.evaluate.predictions import open_predictions
from ballspot.evaluate.viewer import find_view, open_sides
from ballspot.evaluate.viewer_server import ViewServer, resources_of

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")

ROOT = Path(__file__).resolve().parents[2]
DATA = next(one for one in (ROOT.parent / "shared" / "data", ROOT / "tests" / "matches") if one.is_dir())
MATCH, OTHER = "gfootball/2026/match-05", "gfootball/2026/match-06"
LABELS = load_label_set()
NOTHING, SLASH = "\N{EN DASH}", "\N{DIVISION SLASH}"
PROBE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'`${window.hacked=1}"


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with playwright.sync_playwright() as driver:
        running = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield running
        running.close()


@pytest.fixture
def opened(browser) -> Iterator[Callable]:
    """Opens an address at a size and waits for its counts; what goes to the console as an error fails the test."""
    troubles: list[str] = []
    contexts = []

    def open_page(url: str, width: int = 1366, height: int = 768):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True))
        page = contexts[-1].new_page()
        page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#counts tr.total")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []


@contextmanager
def serving(*paths: Path, data: Path = DATA, label_set: LabelSet = LABELS) -> Iterator[str]:
    view = find_view(open_sides(paths, split=None), data_root=data, label_set=label_set, fps=25.0)
    with ViewServer(resources_of(view)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server.url
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
    truths = spot_arrays(read_labels(DATA / match / "Labels-ball.json", LABELS, in_file_order=True), LABELS, fps=25.0)
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


def table(page) -> list[list[str]]:
    return page.evaluate(
        "[...document.querySelectorAll('#counts tbody tr')].map(r => [...r.cells].slice(1).map(c => c.textContent))"
    )


def near(rows: list[list[str]], wanted: list[list[str]]) -> None:
    """Equal texts; of two languages that round a half, percents may differ in the last place."""
    assert len(rows) == len(wanted)
    for row, want in zip(rows, wanted, strict=True):
        assert row[:4] == want[:4]
        for one, other in zip(row[4:], want[4:], strict=True):
            assert one == other or abs(float(one) - float(other)) < 0.11


def fill(page, name: str, value: float) -> None:
    page.fill(f"#{name}-number", str(value))


def settled(page) -> dict[str, list[str]]:
    """The settings in the address, once it has been written."""
    page.wait_for_timeout(450)
    return parse_qs(urlsplit(page.url).fragment)


def until(page, condition: str) -> None:
    """Waits for a condition; the browser's own waiting needs eval, which the page forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"not within 10 s: {condition}")


def now(page) -> float:
    return page.evaluate("document.getElementById('video').currentTime")


def test_counts_equal_pythons_at_every_threshold_and_tolerance(tmp_path: Path, opened: Callable):
    path = made_up(tmp_path / "p", MATCH, seed=1)
    with serving(path) as url:
        page = opened(url)
        for threshold in (0.5, 0.0, 0.37, 0.92, 1.0):
            for tolerance_s in (1.0, 0.0, 0.2, 2.44, 5.0, 60.0):
                fill(page, "threshold", threshold)
                fill(page, "tolerance", tolerance_s)
                near(table(page), expected(path, MATCH, tolerance_s=tolerance_s, threshold=threshold))


def test_the_sliders_themselves_change_the_counts(tmp_path: Path, opened: Callable):
    path = made_up(tmp_path / "p", MATCH, seed=2)
    with serving(path) as url:
        page = opened(url)
        page.focus("#threshold")
        for _ in range(10):
            page.keyboard.press("ArrowRight")
        page.focus("#tolerance")
        for _ in range(5):
            page.keyboard.press("ArrowLeft")
        assert (page.input_value("#threshold-number"), page.input_value("#tolerance-number")) == ("0.55", "0.5")
        near(table(page), expected(path, MATCH, tolerance_s=0.5, threshold=0.55))


def test_every_hit_and_kind_equals_pythons_on_crowded_spots(tmp_path: Path, opened: Callable):
    random_ = np.random.default_rng(3)
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as url:
        page = opened(url)
        for case in range(30):
            sides = []
            for n in random_.integers(0, 60, 2):
                ms = random_.integers(0, random_.choice([3_000, 60_000, 7_300_000]), n)
                score = np.round(random_.uniform(-0.1, 1.1, n), int(random_.integers(1, 4)))
                sides.append((ms, random_.integers(0, 3, n), score))
            tolerance_s = float(random_.choice([0, 0.1, 0.5, 1, 3.3, 10]))
            fps = float(random_.choice([25, 12.5, 29.97]))
            arrays = [SpotArrays((fps * (ms / 1000)).astype(np.int64), label, score) for ms, label, score in sides]
            pool = pool_spots([arrays[0]], [arrays[1]], n_labels=3, fps=fps)
            verdicts = judge(pool, match_truths(pool, tolerance_s), tolerance_s)
            found = page.evaluate(
                """async ({ sides, tolerance, fps }) => {
                  const { poolSpots, judge, averagePrecision } = await import('/matching.js');
                  const [truths, spots] = sides.map(([ms, label, score], place) => poolSpots(
                    { ms, label, score, half: ms.map(() => 1) }, { half: 1, nLabels: 3, fps, scored: place === 1 }));
                  const verdicts = judge(truths, spots, tolerance);
                  return [verdicts.hit, verdicts.kind, verdicts.truth].map((one) => [...one])
                    .concat([averagePrecision(truths, spots, verdicts)]);
                }""",
                {"sides": [[a.tolist() for a in side] for side in sides], "tolerance": tolerance_s, "fps": fps},
            )
            wanted = [verdicts.hit.tolist(), verdicts.kind.tolist(), verdicts.truth.tolist()]
            assert found[:3] == wanted, case
            assert found[3] == pytest.approx(pooled_average_precision(pool, (tolerance_s,)).ap, abs=1e-12)


def test_the_video_plays_and_a_click_on_a_spot_goes_there(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as url:
        page = opened(url)
        until(page, "document.getElementById('video').readyState >= 3")
        page.keyboard.press("Space")
        until(page, "document.getElementById('video').currentTime > 0.4")
        page.keyboard.press("k")
        assert page.evaluate("document.getElementById('video').paused")
        first = read_labels(DATA / MATCH / "Labels-ball.json", LABELS)[1]
        span = page.evaluate("document.getElementById('video').duration")
        box = page.locator("#overlay").bounding_box()
        lanes = page.evaluate("[...document.querySelectorAll('#gutter div')].map(d => d.textContent)")
        lane = page.evaluate("document.querySelector('#gutter div').offsetHeight")
        y = box["y"] + 20 + lanes.index(first.label) * lane + 6
        page.mouse.click(box["x"] + first.position_ms / 1000 / span * box["width"], y)
        until(page, "!document.getElementById('video').seeking")
        assert now(page) == pytest.approx(first.position_ms / 1000 + 0.02, abs=0.021)
        assert first.label in page.text_content("#told")


def test_next_and_previous_error_visit_every_error_in_order_of_time(tmp_path: Path, opened: Callable):
    path = made_up(tmp_path / "p", MATCH, seed=4, n_more=20)
    with serving(path) as url:
        page = opened(f"{url}#score=0.6")
        total = expected(path, MATCH, tolerance_s=1.0, threshold=0.6)[-1]
        n_errors = int(total[2]) + int(total[3])
        told = []
        for _ in range(n_errors):
            page.keyboard.press("n")
            told.append(page.text_content("#told"))
        assert [text.rpartition("error ")[2] for text in told] == [f"{i + 1} of {n_errors}" for i in range(n_errors)]
        assert sum(text.startswith("missed ") for text in told) == int(total[3])
        page.keyboard.press("n")
        assert page.text_content("#told") == "no later error"
        page.keyboard.press("p")
        assert page.text_content("#told") == told[-2]


def test_filters_hide_errors_and_leave_the_counts_alone(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=4, n_more=600)) as url:
        page = opened(url)
        before = table(page)
        page.click("#kinds button[data-kind='missed']")
        page.click("#counts tbody tr:nth-child(1) th button", modifiers=["Shift"])
        page.select_option("#team", "=left")
        page.fill("#score-low", "0.7")
        page.fill("#score-high", "0.9")
        page.keyboard.press("Enter")
        assert table(page) == before
        assert page.locator("#gutter div").count() == 1
        page.keyboard.press("n")
        while page.text_content("#told") != "no later error":
            told = page.text_content("#told")
            assert "PASS" in told.split(" · ")[0]
            assert not told.startswith("missed")
            assert " · left · " in f"{told} · "
            assert 0.7 <= float(told.partition("score ")[2][:5]) <= 0.9
            page.keyboard.press("n")


def test_keys_step_zoom_and_help(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as url:
        page = opened(url)
        until(page, "document.getElementById('video').readyState >= 2")
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "l", "Shift+ArrowRight"):
            page.keyboard.press(key)
        until(page, "!document.getElementById('video').seeking")
        assert "frame 77" in page.text_content("#clock")  # 2 frames, 2 s and 1 s at 25 a second
        page.keyboard.press("j")
        until(page, "document.getElementById('clock').textContent.includes('frame 27')")
        page.keyboard.press("+")
        page.keyboard.press("+")
        span = float(settled(page)["span"][0])
        page.keyboard.press("-")
        assert float(settled(page)["span"][0]) == pytest.approx(1.6 * span, rel=1e-3)
        page.keyboard.press("0")
        assert "span" not in settled(page)
        page.keyboard.press("]")
        assert page.evaluate("document.getElementById('video').playbackRate") == 1.5
        page.keyboard.press("b")
        assert not page.is_checked("#below")
        page.keyboard.press("?")
        assert page.locator("#help dl div").count() > 10
        page.keyboard.press("Escape")
        assert not page.is_visible("#help")


def test_a_link_restores_the_view(tmp_path: Path, opened: Callable):
    root = made_up(tmp_path / "p", MATCH, seed=1)
    made_up(root, OTHER, seed=2)
    with serving(root) as url:
        page = opened(url)
        page.select_option("#match", label=OTHER)
        until(page, "document.getElementById('video').readyState >= 2")
        fill(page, "threshold", 0.31)
        fill(page, "tolerance", 2.5)
        page.click("#kinds button[data-kind='duplicate']")
        page.click("#counts tbody tr:nth-child(2) th button")
        page.select_option("#team", "=right")
        page.mouse.move(700, 600)
        page.mouse.wheel(0, -900)
        for key in "nnnne":
            page.keyboard.press(key)
        first = settled(page)
        assert {"match", "t", "score", "tolerance", "classes", "kinds", "team", "from", "span"} <= set(first)
        again = opened(page.url)
        until(again, "document.getElementById('video').readyState >= 2")
        assert settled(again) == first
        assert table(again) == table(page)
        assert now(again) == pytest.approx(now(page), abs=0.002)


@pytest.mark.parametrize(
    "text", ["score=9&tolerance=-4&t=NaN&span=1e999", "match=%3Cscript%3E&classes=x.99.1e5&half=7", "%%%"]
)
def test_a_link_that_makes_no_sense_still_opens(tmp_path: Path, opened: Callable, text: str):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as url:
        page = opened(f"{url}#{text}")
        assert len(table(page)) == len(LABELS) + 1
        assert page.evaluate("document.getElementById('base').width") > 100


def test_marks_are_saved_as_csv(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as url:
        page = opened(url)
        until(page, "document.getElementById('video').readyState >= 2")
        notes = ['late, "very" late', "=1+1"]
        for note in notes:
            page.keyboard.press("n")
            page.keyboard.press("m")
            page.fill("#note-text", note)
            page.keyboard.press("Enter")
        page.keyboard.press("m")
        page.keyboard.press("Escape")
        assert page.text_content("#n-marks") == "2"
        with page.expect_download() as caught:
            page.click("#export-marks")
        caught.value.save_as(tmp_path / "marks.csv")
    rows = list(csv.DictReader((tmp_path / "marks.csv").open(encoding="utf-8", newline="")))
    assert [row["note"] for row in rows] == [notes[0], "'=1+1"]  # a spreadsheet would run what begins with =
    assert all(row["match"] == MATCH and row["label"] in LABELS and float(row["time_s"]) >= 0 for row in rows)


def test_two_runs_are_counted_each_and_differences_are_visited(tmp_path: Path, opened: Callable):
    paths = [made_up(tmp_path / name, MATCH, seed=seed, n_more=20) for name, seed in (("a", 5), ("b", 6))]
    with serving(*paths) as url:
        page = opened(url)
        both = [expected(path, MATCH, tolerance_s=1.0, threshold=0.5) for path in paths]
        near([row[:8] for row in table(page)], both[0])
        near([[row[0], *row[8:]] for row in table(page)], both[1])
        told = set()
        while page.text_content("#told") != "no later difference":
            page.keyboard.press("d")
            told.add(page.text_content("#told"))
        assert {one for text in told for one in ("only A finds it", "only B finds it") if one in text} == {
            "only A finds it",
            "only B finds it",
        }
        page.keyboard.press("x")
        assert settled(page)["run"] == ["A"]


def test_names_from_files_are_text_and_never_run(tmp_path: Path, opened: Callable):
    name = f"{PROBE.replace('/', SLASH)} ünï " + "x" * 100
    data, labels = tmp_path / "data", LabelSet("hostile", (PROBE, "PASS" * 200, "日本"))
    (data / name).mkdir(parents=True)
    spot = {"gameTime": "1 - 00:01", "label": PROBE, "position": "1000", "team": PROBE, "visibility": "visible"}
    (data / name / "Labels-ball.json").write_text(json.dumps({"annotations": [spot]}))
    odd = {**spot, "half": "1", "confidence": "0.9"}
    entries = [odd, {**odd, "label": f"unknown {PROBE}"}, {**odd, "label": "日本", "position": "3000"}]
    for side in (f"a {PROBE.replace('/', SLASH)}", "b"):
        (tmp_path / side / name).mkdir(parents=True)
        (tmp_path / side / name / "results_spotting.json").write_text(json.dumps({"predictions": entries}))
    with serving(tmp_path / f"a {PROBE.replace('/', SLASH)}", tmp_path / "b", data=data, label_set=labels) as url:
        page = opened(url)
        for key in ("n", "n", "d", "?", "Escape", "m"):
            page.keyboard.press(key)
        page.fill("#note-text", PROBE)
        page.keyboard.press("Enter")
        page.mouse.move(300, 600)
        page.wait_for_timeout(200)
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.querySelectorAll('img, body script').length") == 0
        assert PROBE in page.text_content("#notes")
        assert page.text_content("#gutter div:first-child span") == PROBE
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_truth_video_or_scores_predictions_are_still_shown(tmp_path: Path, opened: Callable):
    root = made_up(tmp_path / "p", MATCH, seed=1)
    (root / MATCH).rename(root / "foreign")
    with serving(root) as url:
        page = opened(url)
        assert "no labels" in page.text_content("#notes")
        assert "No video" in page.text_content("#video-message")
        assert table(page)[0][2] != "0"
        page.keyboard.press("l")
        until(page, "document.getElementById('clock').textContent.includes('0:02.00')")


def test_a_video_that_cannot_be_decoded_is_told(
    tmp_path: Path, label_file: Callable, spot_file: Callable, opened: Callable
):
    folder = label_file("m1", [("PASS", 1000)]).parent
    (folder / "224p.mp4").write_bytes(b"no video at all")
    spot_file("m1", [("PASS", 1040, 0.9)])
    with serving(tmp_path / "predictions", data=tmp_path / "data") as url:
        page = opened(url)
        until(page, "document.getElementById('video-message').textContent.includes('cannot show 224p.mp4')")
        assert "H.264" in page.text_content("#video-message")


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
def test_nothing_is_wider_than_the_window_and_all_controls_are_in_it(
    tmp_path: Path, opened: Callable, width: int, height: int
):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as url:
        page = opened(url, width, height)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.evaluate(
            "[...document.querySelectorAll('button, select, input')]"
            ".filter(e => e.offsetParent && !e.closest('.scroll'))"
            ".map(e => e.getBoundingClientRect()).map(b => [b.left, b.right])"
        )
        assert len(boxes) > 20
        assert all(left >= 0 and right <= width + 0.5 for left, right in boxes)


def test_fifty_thousand_predictions_pan_smoothly(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=1, n_more=50_000)) as url:
        page = opened(f"{url}#score=0.2&from=20&span=120")
        medians = []
        for _ in range(4):  # a busy machine is no failure
            medians.append(page.evaluate(PAN, 60))
            if medians[-1] <= 1000 / 30:
                break
        assert min(medians) <= 1000 / 30, medians


PAN = """(frames) => new Promise((resolve) => {
  const overlay = document.getElementById('overlay');
  const times = [];
  let last = null;
  const frame = (now) => {
    if (last !== null) times.push(now - last);
    last = now;
    if (times.length === frames) return resolve(times.sort((a, b) => a - b)[frames >> 1]);
    const deltaX = times.length % 40 < 20 ? 25 : -25;
    overlay.dispatchEvent(new WheelEvent('wheel', { deltaX, deltaY: 0, cancelable: true, bubbles: true }));
    requestAnimationFrame(frame);
  };
  requestAnimationFrame(frame);
})"""
