"""The contact sheet: the frames on it, its size, and what it refuses."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ballspot.cli import main
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.diagnosis import Mistake
from ballspot.extract.media.sheet import _caption, read_pictures
from ballspot.extract.video.probe import probe_video

from ..barcoded import plain, read_number, variable_rate


@pytest.fixture
def folder(tmp_path: Path, video: Path) -> Path:
    """A match of ten seconds: one pass hit, one in the wrong place, two goals missed, one of them beyond the end."""
    match = tmp_path / "data" / "league" / "m$1$"
    match.mkdir(parents=True)
    (match / "224p.mp4").write_bytes(video.read_bytes())
    truths = [("PASS", 1020), ("GOAL", 4020), ("GOAL", 60_020)]
    annotations = [{"gameTime": "1 - 00:00", "label": name, "position": str(at)} for name, at in truths]
    (match / "Labels-ball.json").write_text(json.dumps({"annotations": annotations}))
    spots = [("PASS", 1020, 0.9), ("PASS", 7020, 0.95)]
    fields = [{"label": name, "position": str(at), "half": "1", "confidence": str(s)} for name, at, s in spots]
    path = tmp_path / "predictions" / "league" / "m$1$" / "results_spotting.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"predictions": fields}))
    return tmp_path


def sheet(folder: Path, *words: str, out: str = "sheet.png") -> Result:
    places = [str(folder / "predictions"), "--data", str(folder / "data"), "--out", str(folder / out)]
    return CliRunner().invoke(main, ["sheet", *places, *words])


def test_every_picture_is_the_very_frame_of_its_spot(tmp_path: Path) -> None:
    probes = {"a": probe_video(plain(tmp_path / "a.mp4")), "b": probe_video(variable_rate(tmp_path / "b.mp4"))}
    at = {"a": [0, 20, 1159, 1160, 9999, 10_000], "b": [4020]}
    spots = [(name, Spot("PASS", ms)) for name, times in at.items() for ms in times]
    pictures = read_pictures(probes, spots)
    assert [place for place in pictures if place[0] == "a"] == [("a", 0), ("a", 28), ("a", 29), ("a", 249)]
    assert [read_number(picture) for picture in pictures.values()] == [frame for _, frame in pictures]


def test_a_sheet_has_a_row_a_class_with_the_frame_on_it(folder: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    result = sheet(folder, "--width", "384", "--false", "1", "--missed", "2")
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{folder / 'sheet.png'}: 2 pictures of 2 classes\n"  # one goal lies beyond the video
    drawn = np.asarray(image.open(folder / "sheet.png").convert("RGB"))
    assert drawn.shape[0] > 2 * 256 and drawn.shape[1] > 3 * 384
    # The false pass at 7,020 ms is frame 175: its picture, 384 x 256, is below the title of the first row.
    found = {read_number(drawn[y : y + 256, 12 : 12 + 384][2::4, 2::4]) for y in range(30, 46)}  # 64 x 96 again
    assert found - {None} == {175}
    again = sheet(folder, "--width", "384", "--false", "1", "--missed", "2", out="again.png")
    assert again.exit_code == 0 and (folder / "again.png").read_bytes() == (folder / "sheet.png").read_bytes()


def test_hits_stand_first_and_a_long_name_does_not_hide_the_time(folder: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed")
    pytest.importorskip("matplotlib", reason="the extra plots is not installed")
    words = ("--width", "384", "--hits", "1", "--false", "1", "--missed", "0", "--classes", "PASS")
    assert sheet(folder, *words, out="hits.png").stdout.endswith("2 pictures of 1 classes\n")
    drawn = np.asarray(image.open(folder / "hits.png").convert("RGB"))
    at = {
        left: {read_number(drawn[y : y + 256, left : left + 384][2::4, 2::4]) for y in range(30, 46)}
        for left in (12, 420)
    }
    assert at[12] - {None} == {25} and at[420] - {None} == {175}  # 1,020 ms is frame 25; 12 + 384 + 8 + 16 = 420
    name = "england_efl/2019-2020/2019-10-01 - Leeds United - West Bromwich"
    mistake = Mistake(name, Spot("PASS", 61_020), "background", 0.5)
    assert _caption(mistake, several=True)[0] == "1:01.02  Leeds United - West Bromwich"
    assert _caption(replace(mistake, match="a/2019-10-01"), several=True)[0] == "1:01.02  2019-10-01"


def test_nothing_to_draw_unknown_classes_and_a_missing_video_are_named(folder: Path) -> None:
    assert sheet(folder, "--false", "0", "--missed", "0").exit_code == 2
    result = sheet(folder, "--classes", "DRIVE")
    assert result.exit_code == 1 and "no mistake to draw; lower --threshold or name other --classes" in result.stderr
    assert "PAS" in sheet(folder, "--classes", "PAS").stderr
    (folder / "data/league/m$1$/224p.mp4").unlink()
    result = sheet(folder)
    assert result.exit_code == 1 and "no video of match 'league/m$1$'; put it there" in result.stderr
    assert not (folder / "sheet.png").exists()


def test_without_matplotlib_the_extra_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = sheet(folder)
    assert result.exit_code == 1 and "pip install 'ballspot[plots]'" in result.stderr
