import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.cli import main
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.reporting import as_latex, comparison_tables, draw_comparison
from ballspot.evaluate.reporting.report import page_of, write_report
from ballspot.evaluate.results.comparison import Comparison, compare_runs
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap

VOID = {"meta", "line", "circle", "polyline", "polygon", "rect", "br"}


class Tags(HTMLParser):
    """Every tag is closed in the order in which it was opened; what is shown, and what would be loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []
        self.loads: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.loads += [str(value) for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


@pytest.fixture
def comparison(tmp_path: Path, label_file: Callable, spot_file: Callable) -> Comparison:
    """Strides 1 and 2 with lambda 0.1 and 0.5, two seeds each: more of 60 passes are found with stride 2."""
    times = [20_000 * n + 20 for n in range(60)]
    label_file("m", [("PASS", time) for time in times])
    paths = []
    for stride in (1, 2):
        for weight in (0.1, 0.5):
            for seed in (0, 1):
                folder = RunFolder(tmp_path / "runs" / f"stride={stride},<w>={weight}" / f"seed-{seed}")
                record = {
                    "seed": seed,
                    "data": str(tmp_path / "data"),
                    "features": {"set": "s", "fingerprint": "f"},
                    "splits": {"train": ["a"], "valid": ["m"], "test": ["m"]},
                    "label_set": "ball-12",
                    "command_line": "ballspot sweep <file>",
                }
                config = {"head": {"stride": stride}, "loss": {"weight": weight}}
                folder.prepare(key=str(folder.path), record=record, config=config)
                draw = np.random.default_rng([seed, stride])
                found = [time for time in times if draw.random() < 0.4 * stride]
                ap = {label: {"ap": 0.0, "n_truth": 0} for label in BALL_12.labels}
                ap["PASS"] = {"ap": len(found) / 60, "n_truth": 60}
                for epoch in (1, 2):
                    folder.append_log({"epoch": epoch, "valid_mean_ap": epoch * len(found) / 1440})
                numbers = {"metric": "at1", "fps": 25, "mean_ap": len(found) / 720, "headline_ap": 0.1}
                cost = {"train_s": 10.0 * stride, "n_parameters": 1000, "peak_memory_mb": 500.0}
                folder.finish({**numbers, **cost, "per_class": ap})
                name = f"{folder.path.parent.name}/{folder.path.name}"
                spot_file("m", [("PASS", time, 0.5) for time in found], root=f"runs/{name}/predictions/valid")
                paths.append(folder.path)
    return compare_runs(paths, bootstrap=Bootstrap(block_s=60))


def test_the_page_is_whole_loads_nothing_and_names_every_setting(comparison: Comparison, tmp_path: Path):
    page = write_report(comparison, tmp_path / "out" / "page.html", title="Strides & weights").read_text()
    tags = Tags()
    tags.feed(page)
    assert not tags.open
    assert not tags.loads
    assert "url(" not in page and "@import" not in page and "<script" not in page
    text = " ".join(tags.text)
    for setting in comparison.settings:
        assert setting.name in text
    assert "Strides & weights" in text
    assert "<w>" not in page.replace("&lt;w&gt;", "")
    assert "ballspot sweep <file>" in text
    for warning in comparison.warnings:
        assert warning in text


def test_settings_are_ranked_and_their_bars_lie_where_their_numbers_do(comparison: Comparison):
    ranking = page_of(comparison, "t")["rankings"][0]
    values = [float(row["number"].split()[0]) for row in ranking["rows"]]
    assert values == sorted(values, reverse=True)
    places = [row["at"] for row in ranking["rows"]]
    assert places == sorted(places, reverse=True)
    for row in ranking["rows"]:
        assert 0 <= row["low"] <= row["at"] <= row["low"] + row["width"] <= 100.01
    assert [row["base"] for row in ranking["rows"]].count(True) == 1


def test_the_effect_of_a_key_is_shown_against_the_baselines_value(comparison: Comparison):
    stride, weight = page_of(comparison, "t")["effects"]["groups"]
    assert (stride["key"], stride["reference"]) == ("stride", "1")
    (row,) = stride["rows"]
    assert row["name"] == "2 (2 pairs)"
    assert row["number"].startswith("+")
    assert row["at"] > row["zero"]
    (row,) = weight["rows"]  # the spots are the same with either weight
    assert row["number"].startswith("+0.0")
    assert row["at"] == row["zero"]
    assert "0" in [mark["text"] for mark in stride["scale"]]  # zero has no sign
    assert page_of(comparison, "t")["tables"][0]["note"].endswith("p is corrected for 3 comparisons (Holm).")


def test_one_comparison_is_one(comparison: Comparison, tmp_path: Path):
    runs = sorted((tmp_path / "runs").glob("stride=1*/seed-0"))
    two = compare_runs(runs, bootstrap=Bootstrap(block_s=60))
    assert page_of(two, "t")["tables"][0]["note"].endswith("p is corrected for 1 comparison (Holm).")


def test_curves_cost_and_classes_are_those_of_the_runs(comparison: Comparison):
    page = page_of(comparison, "t")
    titles = [chart["title"] for chart in page["charts"]]
    assert titles == ["Learning curves", "AP and tolerance", "Cost and mAP"]
    assert all(len(chart["legend"]) == 4 for chart in page["charts"][:2])
    first = {}
    for table in page["tables"]:
        by_name = {row["cells"][1]: dict(zip(table["headers"], row["cells"], strict=True)) for row in table["rows"]}
        first |= by_name[comparison.settings[0].name]
    assert (first["train s"], first["peak MB"], first["parameters"], first["difference"]) == ("10", "500", "1,000", "-")
    heat = page["heat"]
    assert heat["rows"][0]["name"] == "Pass (60)"
    assert [header["name"] for header in heat["headers"]] == [row["cells"][1] for row in page["tables"][0]["rows"]]
    best = heat["rows"][0]["cells"][0]
    assert re.fullmatch(r"rgb\(38, \d+, \d+\)", best["colour"])  # the deepest shade


def test_chosen_settings_stand_beside_the_baseline_with_their_own_numbers(comparison: Comparison):
    baseline, _, chosen, _ = comparison.names
    few = comparison.only([chosen])
    assert few.names == (baseline, chosen)
    assert [few.runs[run].path for run in few.groups[1]] == [comparison.runs[run].path for run in comparison.groups[2]]
    assert few.settings == (comparison.settings[0], comparison.settings[2])
    assert len(few.runs) == len(few.pools) == 4 and all(len(values) == 4 for values in few.differs.values())
    page_of(few, "t")
    with pytest.raises(BallspotError, match=r"--only stride=3: no setting of that name; "):
        comparison.only(["stride=3"])


def test_a_report_that_is_called_a_pdf_is_refused(tmp_path: Path):
    result = CliRunner().invoke(main, ["compare", str(tmp_path), "--report", str(tmp_path / "r.pdf")])
    assert result.exit_code == 1 and "the report is a page of HTML" in result.stderr
    assert "--plots FOLDER --plot-format pdf" in result.stderr and not (tmp_path / "r.pdf").exists()


@pytest.mark.parametrize(("form", "begins"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_figures_of_a_comparison_can_be_scaled_and_are_the_same_again(comparison, tmp_path, form, begins):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    paths = draw_comparison(comparison, tmp_path / "a", form)
    assert [path.name for path in paths] == [
        f"{name}.{form}" for name in ("settings", "settings-frequent", "classes", "learning")
    ]
    assert all(path.read_bytes().startswith(begins) for path in paths)
    again = draw_comparison(comparison, tmp_path / "b", form)
    assert [path.read_bytes() for path in again] == [path.read_bytes() for path in paths]
    if form == "svg":  # names are text, also where they look like formulas or tags
        assert "stride=2, &lt;w&gt;=0.5" in paths[0].read_text()


def test_the_best_of_a_class_stands_in_bold_and_tables_have_labels(comparison: Comparison):
    text = as_latex(comparison_tables(comparison))
    assert [name for name in re.findall(r"\\label\{tab:([a-z-]+)\}", text)][:2] == ["scores", "settings"]
    best = f"{100 * max(setting.mean_ap for setting in comparison.settings):.2f}"
    assert f"\\textbf{{{best}}}" in text
    assert "textbf{0.00}" not in text  # classes that nobody finds have no best


def test_without_spots_or_labels_the_page_has_no_intervals_and_says_so(comparison: Comparison, tmp_path: Path):
    plain = compare_runs([run.path for run in comparison.runs], bootstrap=Bootstrap(0))
    page = page_of(plain, "t")
    assert page["effects"] is None
    rows = page["rankings"][0]["rows"]
    assert [row["low"] for row in rows] == [None] * 4
    assert {row["name"] for row in rows} == {setting.name for setting in comparison.settings}
    assert [chart["title"] for chart in page["charts"]] == ["Learning curves", "Cost and mAP"]
    write_report(plain, tmp_path / "plain.html", title="t")


def test_the_command_writes_the_page_and_prints_every_format(comparison: Comparison, tmp_path: Path):
    words = ["compare", *(str(run.path) for run in comparison.runs), "--block", "60"]
    page = tmp_path / "page.html"
    result = CliRunner().invoke(main, [*words, "--report", str(page), "--format", "markdown"])
    assert result.exit_code == 0, result.output
    assert f"written: {page}" in result.stderr
    assert "<title>runs</title>" in page.read_text()  # four settings of a folder: its name
    assert "| setting | seeds | mean |" in result.stdout
    rows = CliRunner().invoke(main, [*words, "--format", "csv"]).stdout.splitlines()
    assert len(rows) == 5
    assert rows[0].split(",")[:3] == ["setting", "n_seeds", "mean_ap"]
    assert "loss.weight" in rows[0]
    assert r"\toprule" in CliRunner().invoke(main, [*words, "--format", "latex"]).stdout


def test_a_baseline_is_chosen_by_its_folder(comparison: Comparison):
    paths = [run.path for run in comparison.runs]
    chosen = compare_runs(paths, baseline=paths[4].parent, bootstrap=Bootstrap(block_s=60))
    assert chosen.settings[0].name == paths[4].parent.name
    assert chosen.settings[0].difference is None
    with pytest.raises(Exception, match="is none of the runs that are compared"):
        compare_runs(paths[:2], baseline=paths[4].parent)


def test_intervals_are_named_only_where_they_are_drawn(comparison: Comparison, tmp_path: Path):
    """Of too few blocks there are none; the page and the figures once said "with its 95 % interval" all the same."""
    few = compare_runs([run.path for run in comparison.runs], bootstrap=Bootstrap(block_s=3600))
    assert few.settings and all(setting.interval.known is None for setting in few.settings)
    for made, is_named in ((comparison, True), (few, False)):
        assert ("interval" in page_of(made, "t")["rankings"][0]["note"]) is is_named
        draw_comparison(made, tmp_path / str(is_named), "svg")
        texts = [path.read_text(encoding="utf-8") for path in (tmp_path / str(is_named)).glob("settings*.svg")]
        assert texts and all(("with 95 % intervals" in text) is is_named for text in texts)
