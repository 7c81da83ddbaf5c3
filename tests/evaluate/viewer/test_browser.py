"""The page of `ballspot view` in a real browser: what it shows, plays and never runs."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import LabelSet

from .viewing import (
    DATA,
    LABELS,
    MATCH,
    OTHER,
    ROOT,
    expected,
    fill,
    made_up,
    now,
    serving,
    settled,
    table,
    told,
    until,
)

SLASH = "\N{DIVISION SLASH}"
# What the clock shows, in seconds.
CLOCK_S = (
    "((text) => 60 * text[1] + Number(text[2]))(document.getElementById('clock').textContent.match(/(\\d+):([\\d.]+)/))"
)
PROBE = "<img src=x onerror='window.hacked=1'><script>window.hacked=1</script>\"'`${window.hacked=1}"


def test_the_video_plays_and_a_click_on_a_spot_goes_there(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(server.url)
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
        settled(page)
        assert now(page) == pytest.approx(first.position_ms / 1000 + 0.02, abs=0.021)
        assert first.label in page.text_content("#told")


def test_next_and_previous_error_visit_every_error_in_order_of_time(tmp_path: Path, opened: Callable):
    path = made_up(tmp_path / "p", MATCH, seed=4, n_more=20)
    with serving(path) as server:
        page = opened(f"{server.url}#score=0.6")
        total = expected(path, MATCH, tolerance_s=1.0, threshold=0.6)[-1]
        n_errors = int(total[2]) + int(total[3])
        page.keyboard.press("n")
        errors = [page.text_content("#told"), *told(page, "n", times=n_errors - 1)]
        assert [text.rpartition("error ")[2] for text in errors] == [f"{i + 1} of {n_errors}" for i in range(n_errors)]
        assert sum(text.startswith("missed ") for text in errors) == int(total[3])
        page.keyboard.press("n")
        assert page.text_content("#told") == "no later error"
        page.keyboard.press("p")
        assert page.text_content("#told") == errors[-2]


def test_filters_hide_errors_and_leave_the_counts_alone(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=4, n_more=2000)) as server:
        page = opened(server.url)
        before = table(page)
        page.click("#kinds button[data-kind='missed']")
        page.click("#counts tbody tr:nth-child(1) th button", modifiers=["Shift"])
        page.select_option("#team", "=left")
        page.fill("#score-low", "0.7")
        page.fill("#score-high", "0.9")
        page.keyboard.press("Enter")
        assert table(page) == before
        assert page.locator("#gutter div").count() == 1
        *errors, last = told(page, "n", until="no later error")
        assert errors and last == "no later error"
        for error in errors:
            assert "PASS" in error.split(" · ")[0]
            assert not error.startswith("missed")
            assert " · left · " in f"{error} · "
            assert 0.7 <= float(error.partition("score ")[2][:5]) <= 0.9


def test_keys_step_zoom_and_help(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(server.url)
        until(page, "document.getElementById('video').readyState >= 2")
        for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "l", "Shift+ArrowRight"):
            page.keyboard.press(key)
        until(page, "document.getElementById('clock').textContent.includes('frame 77')")  # 2 frames, 2 s, 1 s at 25
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
        assert page.evaluate("document.getElementById('help').scrollTop") == 0
        page.keyboard.press("Escape")
        until(page, "!document.getElementById('help').open")


@pytest.mark.parametrize("event", ["seeking", "timeupdate", "seeked"])
def test_no_key_is_lost_while_the_video_seeks(tmp_path: Path, opened: Callable, event: str):
    """Keys in bursts as a seek begins, once it is over but `seeked` has not been told (at `timeupdate`), and after."""
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(server.url)
        until(page, "document.getElementById('video').readyState >= 2")
        frames = page.evaluate(
            """async (event) => {
              const { clock } = (await import('/app.js')).page;
              const keys = [["l", 50], ["ArrowRight", 25, true], ["ArrowRight", 1], ["ArrowLeft", -1], ["j", -50]];
              const found = [];
              let wanted = 0;
              const burst = (round) => {
                for (const [key, frames, shiftKey] of [...keys.slice(round % 5), ...keys.slice(0, 3)]) {
                  document.dispatchEvent(new KeyboardEvent("keydown", { key, shiftKey }));
                  wanted = Math.max(wanted + frames, 0);
                }
              };
              for (let round = 0; round < 12; round++) {
                const told = new Promise((resolve) => clock.video.addEventListener(event, resolve, { once: true }));
                burst(round);
                await told;
                burst(round + 1);
                while (clock.video.seeking || clock.pending !== null) {
                  await new Promise((resolve) => setTimeout(resolve, 5));
                }
                found.push([clock.frame, wanted]);
                document.dispatchEvent(new KeyboardEvent("keydown", { key: "j" }));
                wanted = Math.max(wanted - 50, 0);
              }
              return found;
            }""",
            event,
        )
        assert len(frames) == 12
        assert all(found == wanted for found, wanted in frames), frames


def test_a_link_restores_the_view(tmp_path: Path, opened: Callable):
    root = made_up(tmp_path / "p", MATCH, seed=1)
    made_up(root, OTHER, seed=2)
    with serving(root) as server:
        page = opened(server.url)
        page.select_option("#match", label=OTHER.rpartition("/")[2])
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
        again = opened(page.evaluate("location.href"))
        until(again, "document.getElementById('video').readyState >= 2")
        assert settled(again) == first
        assert table(again) == table(page)
        assert now(again) == pytest.approx(now(page), abs=0.002)


@pytest.mark.parametrize(
    "text", ["score=9&tolerance=-4&t=NaN&span=1e999", "match=%3Cscript%3E&classes=x.99.1e5&half=7", "%%%"]
)
def test_a_link_that_makes_no_sense_still_opens(tmp_path: Path, opened: Callable, text: str):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(f"{server.url}#{text}")
        assert len(table(page)) == len(LABELS) + 1
        assert page.evaluate("document.getElementById('base').width") > 100


def test_marks_are_saved_as_csv(tmp_path: Path, opened: Callable):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(server.url)
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


def test_a_mark_leads_back_to_its_match_and_moment_and_can_be_removed(tmp_path: Path, opened: Callable):
    root = made_up(tmp_path / "p", MATCH, seed=1)
    made_up(root, OTHER, seed=2)
    with serving(root) as server:
        page = opened(server.url)
        for key in ("l", "m", "Enter", "l", "m", "Enter"):  # marks at 2 s and 4 s
            page.keyboard.press(key)
        page.select_option("#match", label=OTHER.rpartition("/")[2])
        until(page, "document.getElementById('video').readyState >= 2 && !document.getElementById('video').seeking")
        page.click("#marks li:nth-child(2) button:first-child")
        until(page, "document.getElementById('clock').textContent.startsWith('0:04.00')")
        assert page.input_value("#match") == "0"
        page.click("#marks li:nth-child(1) button.away")
        assert page.text_content("#n-marks") == "1"
        assert page.text_content("#marks li button:first-child") == "0:04.00"
        page.click("#clear-marks")
        assert page.text_content("#n-marks") == "0"


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
    with serving(tmp_path / f"a {PROBE.replace('/', SLASH)}", tmp_path / "b", data=data, label_set=labels) as server:
        page = opened(server.url)
        for key in ("n", "n", "d", "?", "Escape", "m"):
            page.keyboard.press(key)
        page.fill("#note-text", PROBE)
        page.keyboard.press("Enter")
        page.mouse.move(300, 600)
        settled(page)
        assert page.evaluate("window.hacked") is None
        assert page.evaluate("document.querySelectorAll('img, body script').length") == 0
        assert PROBE in page.text_content("#notes")
        assert page.text_content("#gutter div:first-child span") == PROBE
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_without_truth_video_or_scores_predictions_are_still_shown(tmp_path: Path, opened: Callable):
    root = made_up(tmp_path / "p", MATCH, seed=1)
    (root / MATCH).rename(root / "foreign")
    with serving(root) as server:
        page = opened(server.url)
        assert "no labels" in page.text_content("#notes")
        assert "No video" in page.text_content("#video-message")
        assert table(page)[0][2] != "0"
        page.keyboard.press("l")
        until(page, "document.getElementById('clock').textContent.includes('0:02.00')")


def test_without_labels_n_walks_over_spots_and_a_line_of_the_list_goes_there(tmp_path: Path, opened: Callable):
    root = made_up(tmp_path / "p", MATCH, seed=1)
    (root / MATCH).rename(root / "foreign")
    shown = json.loads((root / "foreign" / "results_spotting.json").read_text())["predictions"]
    times = sorted({int(one["position"]) for one in shown if float(one["confidence"]) >= 0.5})
    with serving(root) as server:
        page = opened(server.url)
        until(page, "document.querySelectorAll('#spots li').length > 0")
        lines = page.locator("#spots li")
        assert page.text_content("#n-spots") == f"{lines.count()} spots"
        assert page.text_content("#next-error").startswith("spot")
        assert page.locator("#counts thead th").nth(3).text_content() == "spots"  # nothing says that they are false
        page.keyboard.press("n")
        assert lines.nth(0).get_attribute("aria-current") == "true"
        until(page, f"{CLOCK_S} > {times[0] / 1000 - 0.05} && {CLOCK_S} < {times[0] / 1000 + 0.05}")
        page.keyboard.press(".")
        assert lines.nth(1).get_attribute("aria-current") == "true"
        lines.nth(lines.count() - 1).locator("button").click()
        until(page, f"{CLOCK_S} > {times[-1] / 1000 - 0.05} && {CLOCK_S} < {times[-1] / 1000 + 0.05}")
        assert page.text_content("#match option:first-child") == "foreign"


def test_a_match_of_low_scores_opens_at_a_threshold_that_shows_spots(tmp_path: Path, opened: Callable):
    """Without labels at the 20th strongest score, with them at the best F1; a link that names one is obeyed."""
    root = made_up(tmp_path / "p", MATCH, seed=1)
    file = root / MATCH / "results_spotting.json"
    document = json.loads(file.read_text())
    for entry in document["predictions"]:
        entry["confidence"] = str(float(entry["confidence"]) * 0.45)
    file.write_text(json.dumps(document))
    number = "document.getElementById('threshold-number').valueAsNumber"
    strongest = sorted((float(entry["confidence"]) for entry in document["predictions"]), reverse=True)
    with serving(root) as server:
        page = opened(server.url)
        until(page, f"{number} < 0.45")
        chosen = page.evaluate("document.getElementById('threshold-number').valueAsNumber")
        page.click("#best")
        assert chosen == pytest.approx(
            page.evaluate("document.getElementById('threshold-number').valueAsNumber"), abs=0.011
        )
        assert opened(f"{server.url}#score=0.5").input_value("#threshold-number") == "0.5"
    (root / MATCH).rename(root / "foreign")
    with serving(root) as server:
        page = opened(server.url)
        until(page, "document.getElementById('threshold-number').valueAsNumber < 0.45")
        assert (
            page.evaluate("document.getElementById('threshold-number').valueAsNumber") == int(100 * strongest[19]) / 100
        )


def test_a_video_that_cannot_be_decoded_is_told(
    tmp_path: Path, label_file: Callable, spot_file: Callable, opened: Callable
):
    folder = label_file("m1", [("PASS", 1000)]).parent
    (folder / "224p.mp4").write_bytes(b"no video at all")
    spot_file("m1", [("PASS", 1040, 0.9)])
    with serving(tmp_path / "predictions", data=tmp_path / "data") as server:
        page = opened(server.url)
        until(page, "document.getElementById('video-message').textContent.includes('cannot show 224p.mp4')")
        assert "H.264" in page.text_content("#video-message")


@pytest.mark.parametrize(("width", "height"), [(1366, 768), (390, 844)])
def test_nothing_is_wider_than_the_window_and_all_controls_are_in_it(
    tmp_path: Path, opened: Callable, width: int, height: int
):
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(server.url, width, height)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        boxes = page.evaluate(
            "[...document.querySelectorAll('button, select, input')]"
            ".filter(e => e.offsetParent && !e.closest('.scroll'))"
            ".map(e => e.getBoundingClientRect()).map(b => [b.left, b.right])"
        )
        assert len(boxes) > 20
        assert all(left >= 0 and right <= width + 0.5 for left, right in boxes)


def test_fifty_thousand_predictions_pan_smoothly(tmp_path: Path, opened: Callable):
    pan = (ROOT / "bench" / "pan.js").read_text(encoding="utf-8")
    with serving(made_up(tmp_path / "p", MATCH, seed=1, n_more=50_000)) as server:
        page = opened(f"{server.url}#score=0.2&from=20&span=120")
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable")

        def cpu_s() -> float:
            """CPU time of the page's main thread, which other processes do not add to."""
            return next(
                one["value"] for one in session.send("Performance.getMetrics")["metrics"] if one["name"] == "ThreadTime"
            )

        page.evaluate(pan, [20, 25])  # compiled, and all drawn once
        before = cpu_s()
        assert len(page.evaluate(pan, [40, 25])) == 40
        assert 0 < (cpu_s() - before) / 40 <= 1 / 30
