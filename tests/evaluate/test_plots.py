import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.evaluation import evaluate_predictions
from ballspot.evaluate.labelsets import BALL_12
from ballspot.evaluate.plots import draw_evaluation

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


def test_without_matplotlib_the_extra_is_named(folders: Path, monkeypatch: pytest.MonkeyPatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    evaluation = evaluate_predictions(
        folders / "predictions", data_root=folders / "data", label_set=BALL_12, with_diagnosis=True, n_resamples=0
    )
    with pytest.raises(BallspotError, match=r"pip install 'ballspot\[plots\]'"):
        draw_evaluation(evaluation, folders / "none")
    assert not (folders / "none").exists()
