import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.reporting.plots import COLOURS, draw_evaluation, paint
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap

PICTURES = ("average-precision", "mistakes", "fixes", "tolerance", "confusion", "calibration")


@pytest.fixture
def folders(tmp_path: Path, label_file: Callable, spot_file: Callable) -> Path:
    label_file("m", [("PASS", 1000), ("GOAL", 5000)])
    spot_file("m", [("PASS", 1000, 0.9), ("GOAL", 9000, 0.9)])
    return tmp_path


def test_every_picture_is_a_png_of_some_size(folders: Path):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    words = [
        "evaluate",
        str(folders / "predictions"),
        "--data",
        str(folders / "data"),
        "--plots",
        str(folders / "pngs"),
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.output
    for name in PICTURES:
        content = (folders / "pngs" / f"{name}.png").read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n"
        assert int.from_bytes(content[16:20]) > 500 and len(content) > 5000


@pytest.fixture
def drawn(folders: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The axes of every picture by its name: one PASS hit, and a GOAL found 4 s off."""
    figure = pytest.importorskip("matplotlib.figure", reason="the extra plots is not installed").Figure
    kept = []
    save = figure.savefig

    def keep(self: Any, *words: Any, **more: Any) -> None:
        kept.append(self.axes[0])
        save(self, *words, **more)

    monkeypatch.setattr(figure, "savefig", keep)
    evaluation = evaluate_predictions(
        folders / "predictions", DataSelection(folders / "data", BALL_12), with_diagnosis=True, bootstrap=Bootstrap(0)
    )
    paths = draw_evaluation(evaluation, folders / "pngs")
    return dict(zip((path.stem for path in paths), kept, strict=True))


def words_on(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def bars_of(axes: Any, colour: str) -> float:
    """The summed length of all bars of that colour."""
    from matplotlib.colors import to_hex

    return sum(bar.get_width() for bar in axes.patches if to_hex(bar.get_facecolor()) == colour)


def test_the_pictures_show_the_numbers_of_the_evaluation(drawn: dict[str, Any]):
    classes = drawn["average-precision"]
    shown = dict(zip((text.get_text() for text in classes.get_yticklabels()), words_on(classes), strict=True))
    assert shown["PASS (1)"] == "100.0" and shown["GOAL (1)"] == "0.0" and shown["mAP@12"] == "8.3"  # 100 / 12
    mistakes = drawn["mistakes"]
    assert bars_of(mistakes, COLOURS["hit"]) == 2  # once among predictions, once among truths
    assert bars_of(mistakes, COLOURS["missed"]) == 1
    assert bars_of(mistakes, COLOURS["duplicate"]) == bars_of(mistakes, COLOURS["confusion"]) == 0
    gains = dict(
        zip((text.get_text() for text in drawn["fixes"].get_yticklabels()), words_on(drawn["fixes"]), strict=True)
    )
    # Whatever is put right, no GOAL is found: its only prediction is none, and a missed truth is only left out.
    assert set(gains.values()) == {"8.3 (+0.0)"} and {"near miss", "missed", "duplicate"} <= gains.keys()
    lines = {line.get_label(): line.get_ydata() for line in drawn["tolerance"].lines}
    assert set(lines["PASS (1)"]) == {100.0} and lines["mAP, all classes"][0] == pytest.approx(100 / 12)
    assert lines["GOAL (1)"][0] == 0.0
    columns = [text.get_text() for text in drawn["confusion"].get_xticklabels()]
    rows = [text.get_text() for text in drawn["confusion"].get_yticklabels()]
    found = {
        (rows[int(text.get_position()[1])], columns[int(text.get_position()[0])]) for text in drawn["confusion"].texts
    }
    assert found == {
        ("PASS", "PASS"),
        ("GOAL", "missed"),
    }  # a class without a hit has no prediction above its threshold
    assert words_on(drawn["calibration"]) == ["2"]  # predictions of 0.9, one of them a hit
    assert drawn["calibration"].lines[1].get_ydata().tolist() == [0.5]


def test_pictures_with_an_axis_of_numbers_have_a_grid_under_what_they_show(drawn: dict[str, Any]):
    for name, axes in drawn.items():
        is_lined = [any(line.get_visible() for line in axis.get_gridlines()) for axis in (axes.xaxis, axes.yaxis)]
        assert is_lined == {"confusion": [False, False], "tolerance": [True] * 2, "calibration": [True] * 2}.get(
            name, [True, False]
        )


def test_a_form_of_pictures_that_nobody_asked_for_is_told(folders: Path):
    words = ["evaluate", str(folders / "predictions"), "--data", str(folders / "data"), "--plot-format", "pdf"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert result.stderr.strip().endswith("is for the pictures of --plots; give --plots FOLDER with it")


def test_a_class_with_dollar_signs_is_no_formula(tmp_path: Path):
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    name = r"$\frac$"  # which no formula may end with
    paint(tmp_path / "one.svg", (2.0, 2.0), lambda axes: axes.set_yticks([0], [name]))
    assert name in (tmp_path / "one.svg").read_text()


def test_without_matplotlib_the_extra_is_named(folders: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    evaluation = evaluate_predictions(
        folders / "predictions", DataSelection(folders / "data", BALL_12), with_diagnosis=True, bootstrap=Bootstrap(0)
    )
    with pytest.raises(BallspotError, match=r"pip install 'ballspot\[plots\]'"):
        draw_evaluation(evaluation, folders / "none")
    assert not (folders / "none").exists()
