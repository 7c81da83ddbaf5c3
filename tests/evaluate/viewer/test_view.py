"""Which matches `ballspot view` shows, and what it says of each."""

import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.video_records import LooseVideos
from ballspot.evaluate.viewer.view import distinct_names, find_view, match_record, open_sides, videos_of


def record_of(*paths: Path, data: Path, name: str) -> dict:
    view = find_view(open_sides(paths, split=None), DataSelection(data, load_label_set()), fps=25.0)
    return match_record(view, next(match for match in view.matches if match.name == name))


def test_spots_are_told_in_the_order_of_the_file_with_teams(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m1", [("OUT", 3000), ("PASS", 1000)])
    entry = {"gameTime": "2 - 00:00", "label": "OUT", "position": 5, "half": "2", "confidence": 0.1, "team": "left"}
    spot_file("m1", [("PASS", 1040, 0.5), entry])
    record = record_of(tmp_path / "predictions", data=tmp_path / "data", name="m1")
    assert (record["truth"]["label"], record["truth"]["ms"], record["truth"]["score"]) == (
        [4, 0],
        [3000, 1000],
        [None] * 2,
    )
    spots = record["runs"][0]["spots"]
    assert (spots["half"], spots["team"], spots["teams"], spots["score"]) == ([1, 2], [-1, 0], ["left"], [0.5, 0.1])


def test_matches_without_truth_are_shown_and_those_without_predictions_are_not(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    label_file("m1", [("PASS", 1000)])
    label_file("m2", [("PASS", 1000)])
    spot_file("m1", [("PASS", 1040, 0.5)])
    spot_file("foreign/m9", [("PASS", 1040, 0.5)])
    sides = open_sides([tmp_path / "predictions"], split=None)
    view = find_view(sides, DataSelection(tmp_path / "data", load_label_set()), fps=25.0)
    assert [match.name for match in view.matches] == ["m1", "foreign/m9"]
    assert match_record(view, view.matches[1])["truth"] is None


def test_a_zip_is_shown_as_its_folder_is(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m1", [("PASS", 1000)])
    path = spot_file("m1", [("PASS", 1040, 0.5)])
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        archive.write(path, "m1/results_spotting.json")
    both = [record_of(tmp_path / one, data=tmp_path / "data", name="m1") for one in ("predictions", "p.zip")]
    assert both[0] == both[1]


def test_what_cannot_be_read_is_a_note_and_the_rest_is_shown(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m1", [("PAS", 1000)])
    spot_file("m1", [("PASS", 1040, 0.5)])
    spot_file("m1", [("PASS", "soon", 0.5)], root="broken")
    np.savez(tmp_path / "predictions" / "m1" / "scores.npz", scores=np.zeros(3))
    record = record_of(tmp_path / "predictions", tmp_path / "broken", data=tmp_path / "data", name="m1")
    assert "unknown label 'PAS'" in record["notes"][0]
    assert record["runs"][0]["spots"]["ms"] == [1040]
    assert "scores.npz: holds no scores" in record["runs"][0]["notes"][0]
    assert record["runs"][1]["spots"] is None
    assert "position 'soon'" in record["runs"][1]["notes"][0]


def test_a_run_shows_its_test_predictions_unless_told_otherwise_or_has_none(tmp_path: Path, spot_file: Callable):
    spot_file("m1", [("PASS", 1, 0.5)], root="run/predictions/valid")
    spot_file("m2", [("PASS", 2, 0.5)], root="run/predictions/test")
    (tmp_path / "run" / "run.json").write_text("{}")
    for split, names in {None: ["m2"], "valid": ["m1"], "test": ["m2"]}.items():
        (side,) = open_sides([tmp_path / "run"], split=split)
        assert side.predictions.matches() == names
    with pytest.raises(BallspotError, match="no predictions of split 'train'; it has test, valid"):
        open_sides([tmp_path / "run"], split="train")
    with pytest.raises(BallspotError, match="holds runs"):
        open_sides([tmp_path], split=None)


def test_all_predictions_of_a_run_are_those_made_of_all_matches_at_once_or_those_of_its_splits(
    tmp_path: Path, label_file: Callable, spot_file: Callable
):
    for match in ("l/m1", "l/m2"):
        label_file(match, [("PASS", 1000)])
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text("{}")
    for place in ("valid/l/m1", "test/l/m1", "test/l/m2"):
        spot_file(place, [("PASS", 1040, 0.5)], root="run/predictions")

    def shown() -> dict[str, bool]:
        sides = open_sides([tmp_path / "run"], split="all")
        view = find_view(sides, DataSelection(tmp_path / "data", load_label_set()), fps=25.0)
        return {match.name: match_record(view, match)["truth"] is not None for match in view.matches}

    assert shown() == {"l/m2": True, "test/l/m1": True, "valid/l/m1": True}
    for match in ("l/m1", "l/m2"):
        spot_file(match, [("PASS", 1040, 0.5)], root="run/predictions/all")
    assert shown() == {"l/m1": True, "l/m2": True}


def test_a_foreign_match_of_a_like_name_has_no_truth(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m1", [("PASS", 1000)])
    for match in ("m1", "old/m1"):
        spot_file(match, [("PASS", 1040, 0.5)])
    assert record_of(tmp_path / "predictions", data=tmp_path / "data", name="m1")["truth"] is not None
    assert record_of(tmp_path / "predictions", data=tmp_path / "data", name="old/m1")["truth"] is None


@pytest.mark.parametrize(
    ("names", "halves"),
    [
        (["224p.mp4"], {1: "224p.mp4"}),
        (["2_224p.mkv"], {2: "2_224p.mkv"}),
        (["2.mkv"], {2: "2.mkv"}),
        (["1_720p.mkv"], {1: "1_720p.mkv"}),
        (["2nd leg.mp4"], {1: "2nd leg.mp4"}),
        (["2019.mp4"], {1: "2019.mp4"}),
        (["1_720p.mkv", "2_720p.mkv", "2_224p.mp4"], {1: "1_720p.mkv", 2: "2_224p.mp4"}),
    ],
)
def test_the_name_of_a_video_tells_its_half(
    tmp_path: Path, label_file: Callable, names: list[str], halves: dict[int, str]
):
    folder = label_file("m1", [("PASS", 1000)]).parent
    for name in names:
        (folder / name).write_bytes(b"")
    (match,) = find_matches(tmp_path / "data", one_video=False)
    assert {half: path.name for half, path in videos_of(match).items()} == halves


@pytest.mark.parametrize("name", ["2.mp4", "2-1.mp4", "2_x.mp4"])
def test_a_loose_video_is_of_half_1_whatever_its_name(tmp_path: Path, name: str):
    (tmp_path / name).write_bytes(b"")
    data = LooseVideos.of([tmp_path / name], load_label_set(), None)
    (match,) = find_view((), data, fps=25.0).matches
    assert match.videos == {1: tmp_path / name}
    (tmp_path / "Labels-ball.json").write_text('{"annotations": []}')  # now it is a match folder
    data = LooseVideos.of([tmp_path / name], load_label_set(), None)
    assert find_view((), data, fps=25.0).matches[0].videos == {2: tmp_path / name}


def test_a_video_and_a_data_root_or_a_path_for_the_label_files_name_are_refused(tmp_path: Path):
    (tmp_path / "my.mp4").write_bytes(b"")
    for more, said in (
        (["--data", str(tmp_path)], "has its labels beside it: leave out --data"),
        (["--labels-file", "sub/x.json"], "'sub/x.json' is not the name of a file"),
    ):
        told = CliRunner().invoke(main, ["view", str(tmp_path / "my.mp4"), "--edit", *more])
        assert told.exit_code == 2 and said in told.output


def test_a_folder_of_runs_is_told_as_such_with_and_without_a_data_root(tmp_path: Path):
    (tmp_path / "tcn" / "seed-0").mkdir(parents=True)
    (tmp_path / "tcn" / "seed-0" / "run.json").write_text("{}")
    for more in ([], ["--data", str(tmp_path)]):
        result = CliRunner().invoke(main, ["view", str(tmp_path / "tcn"), "--no-open", *more])
        assert result.exit_code == 1
        assert "is not a run but holds runs; give one or two of them" in result.output


def test_two_sides_are_called_by_what_tells_them_apart():
    names = distinct_names([Path("w/tcn/best/seed-0"), Path("w/gru/best/seed-0")])
    assert names == ["tcn/best/seed-0", "gru/best/seed-0"]
    assert distinct_names([Path("w/tcn"), Path("w/tcn")]) == ["tcn", "tcn"]


def test_a_match_that_is_not_there_is_named_with_the_nearest(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("league/m1", [("PASS", 1000)])
    spot_file("league/m1", [("PASS", 1040, 0.5)])
    words = [
        "view",
        str(tmp_path / "predictions"),
        "--data",
        str(tmp_path / "data"),
        "--no-open",
        "--match",
        "league/m2",
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert "no match 'league/m2' with predictions; did you mean 'league/m1'?" in result.output


def test_three_sets_of_predictions_are_a_usage_error(tmp_path: Path):
    assert CliRunner().invoke(main, ["view", "a", "b", "c", "--data", str(tmp_path)]).exit_code == 2
