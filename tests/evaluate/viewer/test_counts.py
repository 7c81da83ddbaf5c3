"""What the page of `ballspot view` counts, in a real browser, beside what Python counts."""

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from ballspot.evaluate.dataset.columns import SpotArrays
from ballspot.evaluate.diagnosis.mistakes import judge
from ballspot.evaluate.scoring.matching import match_truths, pool_spots
from ballspot.evaluate.scoring.metrics import pooled_average_precision

from .viewing import MATCH, expected, fill, made_up, near, serving, settled, table, tables, told


def test_counts_equal_pythons_at_every_threshold_and_tolerance(tmp_path: Path, opened: Callable):
    path = made_up(tmp_path / "p", MATCH, seed=1)
    with serving(path) as server:
        page = opened(server.url)
        settings = [*product((0.5, 0.0, 0.37, 0.92, 1.0), (1.0, 0.0, 0.2, 2.44, 5.0, 60.0))]
        for (threshold, tolerance_s), shown in zip(settings, tables(page, settings), strict=True):
            near(shown, expected(path, MATCH, tolerance_s=tolerance_s, threshold=threshold))
        fill(page, "threshold", 0.5)
        fill(page, "tolerance", 1.0)
        near(table(page), expected(path, MATCH, tolerance_s=1.0, threshold=0.5))


def test_the_sliders_themselves_change_the_counts(tmp_path: Path, opened: Callable):
    path = made_up(tmp_path / "p", MATCH, seed=2)
    with serving(path) as server:
        page = opened(server.url)
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
    cases, wanted = [], []
    for _ in range(150):
        sides = []
        for n in random_.integers(0, 60, 2):
            ms = random_.integers(0, random_.choice([1_500, 3_000, 10_000, 7_300_000]), n)
            score = np.round(random_.uniform(-0.1, 1.1, n), int(random_.choice([0, 1, 1, 3])))
            sides.append((ms, random_.integers(0, 3, n), score))
        tolerance_s = float(random_.choice([0, 0.2, 0.5, 1, 3.3]))
        fps = float(random_.choice([25, 12.5, 29.97]))
        arrays = [SpotArrays((fps * (ms / 1000)).astype(np.int64), label, score) for ms, label, score in sides]
        pool = pool_spots([arrays[0]], [arrays[1]], n_labels=3, fps=fps)
        verdicts = judge(pool, match_truths(pool, tolerance_s), tolerance_s)
        ap = pooled_average_precision(pool, (tolerance_s,)).ap
        wanted.append(([verdicts.hit.tolist(), verdicts.kind.tolist(), verdicts.truth.tolist()], ap))
        cases.append({"sides": [[a.tolist() for a in side] for side in sides], "tolerance": tolerance_s, "fps": fps})
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(server.url)
        found = page.evaluate(
            """async (cases) => {
              const { poolSpots, judge, averagePrecision } = (await import('/app.js')).matching;
              return cases.map(({ sides, tolerance, fps }) => {
                const [truths, spots] = sides.map(([ms, label, score], place) => poolSpots(
                  { ms, label, score, half: ms.map(() => 1) }, { half: 1, nLabels: 3, fps, scored: place === 1 }));
                const verdicts = judge(truths, spots, tolerance);
                return [verdicts.hit, verdicts.kind, verdicts.truth].map((one) => [...one])
                  .concat([averagePrecision(truths, spots, verdicts)]);
              });
            }""",
            cases,
        )
    for case, (ours, (verdicts, ap)) in enumerate(zip(found, wanted, strict=True)):
        assert ours[:3] == verdicts, case
        assert ours[3] == pytest.approx(ap, abs=1e-12)


def test_two_runs_are_counted_each_and_differences_are_visited(tmp_path: Path, opened: Callable):
    paths = [made_up(tmp_path / name, MATCH, seed=seed, n_more=20) for name, seed in (("a", 5), ("b", 6))]
    with serving(*paths) as server:
        page = opened(server.url)
        both = [expected(path, MATCH, tolerance_s=1.0, threshold=0.5) for path in paths]
        near([row[:8] for row in table(page)], both[0])
        near([[row[0], *row[8:]] for row in table(page)], both[1])
        page.keyboard.press("d")
        differences = [page.text_content("#told"), *told(page, "d", until="no later difference")]
        assert {one for text in differences for one in ("only A finds it", "only B finds it") if one in text} == {
            "only A finds it",
            "only B finds it",
        }
        page.keyboard.press("x")
        assert settled(page)["run"] == ["A"]


RATES = [12.5, 15, 25, 50, *(n * scale for n in (24, 30, 60) for scale in (1.0, 1000 / 1001))]


def test_the_rate_of_a_video_is_measured_to_a_thousandth(tmp_path: Path, opened: Callable):
    """From time stamps of 90 kHz and of whole ms, with and without frames that were not shown."""
    random_ = np.random.default_rng(4)
    cases = []
    for rate in (*RATES, 17.3):
        for per_second, n in ((90_000, 8), (1000, 96)):
            for share in (1.0, 0.7):
                frames = np.flatnonzero(random_.random(3 * n + 30) < share)
                times = np.round(frames / rate * per_second) / per_second
                apart = np.diff(times)
                cases.append((rate, apart[apart < 0.2][:n].tolist()))
    with serving(made_up(tmp_path / "p", MATCH, seed=1)) as server:
        page = opened(server.url)
        found = page.evaluate(
            """async (cases) => {
              const { measuredRate } = (await import('/app.js')).clock;
              return cases.map(measuredRate);
            }""",
            [samples for _, samples in cases],
        )
    for (rate, _), measured in zip(cases, found, strict=True):
        assert measured == pytest.approx(rate, rel=1e-3 if rate == 17.3 else 1e-9)
