"""`ballspot export` as one calls it: choices, files, and what it refuses."""

import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from ballspot.cli import main
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.exports.family import EXPORTS
from ballspot.evaluate.formats.family import FORMATS, read_videos

LEFT, RIGHT = {"team": "left"}, {"team": "right"}


@pytest.fixture
def folder(tmp_path: Path, spot_file: Callable) -> Path:
    entries = [("SHOT", 61_000, 0.9), ("PASS", 1160, 0.6), ("PASS", 30_000, 0.3), ("PASS", 2000, 0.7)]
    spot_file("league/m1", [_entry(*one, **(LEFT if k % 2 else RIGHT)) for k, one in enumerate(entries)])
    spot_file("league/m2", [("GOAL", 5000, 0.5)])
    return tmp_path


def _entry(label: str, position_ms: int, confidence: float, **more: object) -> dict[str, object]:
    entry = {"gameTime": "1 - 00:00", "label": label, "position": str(position_ms), "half": "1"}
    return {**entry, "confidence": str(confidence), **more}


def export(folder: Path, form: str, *words: str, out: str = "out") -> Result:
    line = ["export", str(folder / "predictions"), "--format", form, "--out", str(folder / out), *words]
    return CliRunner().invoke(main, line)


def starts(path: Path) -> list[tuple[str | None, float, float]]:
    instances = ElementTree.parse(path).getroot().iterfind("ALL_INSTANCES/instance")
    return [(i.findtext("code"), float(i.findtext("start") or -1), float(i.findtext("end") or -1)) for i in instances]


@pytest.mark.parametrize("form", EXPORTS)
def test_every_format_is_a_file_a_match_with_the_same_bytes_each_time(folder: Path, form: str):
    for out in ("out", "again"):
        result = export(folder, form, out=out)
        assert result.exit_code == 0, result.output
    assert result.stdout == f"{folder / 'again'}: 4 spots of 2 matches in 2 files, as {form}\n"
    files = sorted(path.relative_to(folder / "out") for path in (folder / "out").rglob("*") if path.is_file())
    assert files == [Path(f"league/m{k}{EXPORTS[form].suffix}") for k in (1, 2)]
    for file in files:
        assert (folder / "out" / file).read_bytes() == (folder / "again" / file).read_bytes() != b""


def test_spots_from_the_threshold_up_come_in_order_of_time_five_seconds_ahead_and_three_behind(folder: Path):
    export(folder, "sportscode")
    assert starts(folder / "out/league/m1.xml") == [("PASS", 0, 4.16), ("PASS", 0, 5), ("SHOT", 56, 64)]
    assert starts(folder / "out/league/m2.xml") == [("GOAL", 0, 8)]  # a confidence equal to the threshold counts


def test_threshold_classes_team_match_and_seconds_are_obeyed(folder: Path):
    words = ["--threshold", "0.2", "--classes", "PASS, GOAL", "--team", "right", "--match", "m1"]
    result = export(folder, "sportscode", *words, "--before", "0", "--after", "0.5")
    assert result.exit_code == 0, result.output
    assert starts(folder / "out/league/m1.xml") == [("PASS", 30, 30.5)]
    assert not (folder / "out/league/m2.xml").exists()


def test_a_match_that_was_not_predicted_is_not_given_the_file_of_another(folder: Path, label_file: Callable):
    for match in ("league/m1", "league/m2", "old/league/m1"):
        label_file(match, [("PASS", 1000)])
    for form in ("csv", "soccernet-zip"):
        result = export(folder, form, "--data", str(folder / "data"))
        assert result.exit_code == 1
        assert "no predictions for match 'old/league/m1'" in result.output


def test_a_csv_reads_back_as_the_spots_that_were_taken(folder: Path):
    export(folder, "csv")
    (video,) = read_videos(folder / "out/league/m1.csv", FORMATS["csv"])
    wanted = [("PASS", 1160, "left", 0.6), ("PASS", 2000, "left", 0.7), ("SHOT", 61_000, "right", 0.9)]
    assert video.spots == tuple(Spot(label, at, 1, team, True, score) for label, at, team, score in wanted)


def test_a_split_of_a_data_root_is_what_is_exported(folder: Path, label_file: Callable):
    for match in ("league/m1", "league/m2"):
        label_file(match, [("PASS", 1000)])
    (folder / "data/splits.toml").write_text('train = ["league/m1"]\nvalid = []\ntest = ["league/m2"]\n')
    result = export(folder, "srt", "--data", str(folder / "data"), "--split", "test")
    assert "1 spots of 1 matches in 1 files" in result.stdout
    assert export(folder, "srt", "--split", "test", out="other").exit_code == 2


def test_each_half_has_a_file_of_its_own_with_times_of_its_own(tmp_path: Path, spot_file: Callable):
    halves = [_entry("PASS", 7000, 0.9), {**_entry("SHOT", 6000, 0.9), "half": "2"}]
    spot_file("m", halves)
    export(tmp_path, "sportscode")
    assert starts(tmp_path / "out/m/1.xml") == [("PASS", 2, 10)]
    assert starts(tmp_path / "out/m/2.xml") == [("SHOT", 1, 9)]


def test_a_span_ends_with_its_video_and_spots_beyond_are_named(folder: Path):
    np.savez(folder / "predictions/league/m1/scores.npz", n_video_frames=50, fps=25.0)  # 2 s
    result = export(folder, "sportscode")
    assert starts(folder / "out/league/m1.xml")[0] == ("PASS", 0, 2)
    assert "note: 2 spots lie beyond the end of their video" in result.stderr  # 2,000 ms is no longer within it
    assert starts(folder / "out/league/m1.xml")[2] == ("SHOT", 56, 64)


@pytest.mark.parametrize("form", EXPORTS)
def test_nothing_above_the_threshold_is_a_valid_file_and_a_note(folder: Path, form: str):
    result = export(folder, form, "--threshold", "0.99")
    assert result.exit_code == 0, result.output
    assert "2 files hold no spot; try a lower --threshold" in result.stderr
    assert len(list((folder / "out").rglob(f"*{EXPORTS[form].suffix}"))) == 2


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--classes", "PAS"], "no class 'PAS' in --classes; did you mean 'PASS'?"),
        (["--team", "home"], "no prediction is of team 'home'; there are left, right"),
        (["--match", "league/m3"], "no match 'league/m3' to take; did you mean 'league/m"),
    ],
)
def test_what_there_is_not_is_named_with_the_nearest(folder: Path, words: list[str], error: str):
    result = export(folder, "vtt", *words)
    assert result.exit_code == 1 and error in result.stderr and len(result.stderr.splitlines()) == 1
    assert not (folder / "out").exists()


def test_bad_times_and_options_of_other_formats_are_usage_errors(folder: Path):
    assert export(folder, "vtt", "--before", "-1").exit_code == 2
    result = export(folder, "csv", "--after", "2")
    assert result.exit_code == 2 and "--after does not go with it" in result.stderr
    result = export(folder, "soccernet-zip", "--threshold", "0.5")
    assert result.exit_code == 2 and "--threshold does not go with it" in result.stderr


def test_a_negative_position_is_named_and_nothing_is_written(folder: Path, spot_file: Callable):
    spot_file("league/m2", [_entry("GOAL", -5, 0.9)])
    result = export(folder, "sportscode")
    assert result.exit_code == 1 and "prediction 1: position '-5' is not a count of milliseconds" in result.stderr
    assert not (folder / "out").exists()


def test_a_folder_with_something_in_it_is_refused_and_an_empty_one_taken(folder: Path):
    (folder / "out").mkdir()
    assert export(folder, "vtt").exit_code == 0
    result = export(folder, "vtt")
    assert result.exit_code == 1 and "exists and is not empty; choose another --out" in result.stderr


def test_the_names_of_a_zip_that_lead_out_of_the_folder_stay_in_it(folder: Path, tmp_path: Path):
    import zipfile

    content = (folder / "predictions/league/m2/results_spotting.json").read_bytes()
    with zipfile.ZipFile(tmp_path / "odd.zip", "w") as archive:
        for name in ("../../x", "a/con", "a/Con", "c:d"):
            archive.writestr(f"{name}/results_spotting.json", content)
    words = ["export", str(tmp_path / "odd.zip"), "--format", "vtt", "--out", str(tmp_path / "out")]
    assert CliRunner().invoke(main, words).exit_code == 0
    files = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.vtt"))
    assert len(files) == 4 and "_/_/x.vtt" in files and "c_d.vtt" in files
    assert len({file.casefold() for file in files}) == 4
