"""`ballspot learn`: from corrected labels to a new run beside the old one."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ballspot.cache.runs import following_run
from ballspot.cli import main
from ballspot.evaluate.dataset import DataSelection, Match, Spot, load_label_set
from ballspot.evaluate.dataset.splits import Splits
from ballspot.evaluate.editing import Add, Delete, LabelBook, Reject
from ballspot.temporal.learning import compare_spots
from ballspot.temporal.learning.corrected import (
    Correction,
    corrected_data,
    fill,
    find_corrections,
    labels_of,
    rejected_of,
)

LABELS = load_label_set()
SMALL = ("--set", "epoch_frames=2000", "--set", "width=16", "--set", "n_epochs=4", "--head", "tcn", "--device", "cpu")


def ballspot(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def trained(season, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "best"
    result = ballspot("train", season.features, "--data", season.data, "--run", path, *SMALL)
    assert result.exit_code == 0, result.output
    return path


@pytest.fixture
def data(season, tmp_path: Path) -> Path:
    """A copy of the season's data root, to correct labels in."""
    shutil.copytree(season.data, tmp_path / "data")
    return tmp_path / "data"


def book(data: Path, name: str) -> LabelBook:
    return LabelBook(data / name / "Labels-ball.json", LABELS, match=name, root=data)


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_corrected_test_match_is_learned_and_the_old_run_kept(season, trained: Path, data: Path, tmp_path: Path):
    test, valid = season.names[3], season.names[2]
    book(data, test).edit(Delete(0), revision=0)
    before = everything(trained)
    told = ballspot("learn", trained, "--data", data, "--run", tmp_path / "new", "--epochs", 1, "--device", "cpu")
    assert told.exit_code == 0, told.output
    assert everything(trained) == before
    record = json.loads((tmp_path / "new" / "run.json").read_text())
    assert record["splits"]["train"] == [*season.names[:2], test] and record["splits"]["valid"] == [valid]
    assert record["splits"]["test"] == [] and record["init"]["path"] == str(trained)
    learned = json.loads((tmp_path / "new" / "learned.json").read_text())
    assert learned["valid"] == [valid] and learned["corrections"][0]["name"] == test
    assert learned["valid_before"] == pytest.approx(json.loads((trained / "metrics.json").read_text())["mean_ap"])
    assert learned["valid_after"] == json.loads((tmp_path / "new" / "metrics.json").read_text())["mean_ap"]
    change = learned["changes"][test]
    assert change["labels"] == len(DataSelection(data).spots_of(DataSelection(data).matches[test]))
    assert change["after"] == change["before"] + change["gained"] - change["lost"]
    for part in ("before", "predictions/all"):
        assert (tmp_path / "new" / part / test / "results_spotting.json").is_file()
    assert f"validation ({valid}): mAP@1" in told.output


def test_what_nobody_decided_in_a_new_match_is_filled_and_a_new_class_begins_anew(
    season, trained: Path, data: Path, tmp_path: Path, match_writer
):
    name = "league/2026/match-9"
    features = tmp_path / "features"
    shutil.copytree(season.features, features)
    match_writer(data, features, name, seed=9)
    path = data / name / "Labels-ball.json"
    path.unlink()
    book(data, name).edit(Add("GOAL", 5000), revision=0)
    (tmp_path / "own.toml").write_text(json.dumps([*LABELS.labels, "NEW"]).join(("labels = ", "\n")))
    told = ballspot(
        "learn", trained, "--data", data, "--features", features, "--run", tmp_path / "new", "--epochs", 1,
        "--labels", tmp_path / "own.toml", "--fill", 0.05, "--device", "cpu",
    )  # fmt: skip
    assert told.exit_code == 0, told.output
    assert "new classes: NEW" in told.output
    learned = json.loads((tmp_path / "new" / "learned.json").read_text())
    assert learned["new_labels"] == ["NEW"] and learned["corrections"][0]["is_new"]
    found = json.loads((tmp_path / "new" / "before" / name / "results_spotting.json").read_text())["predictions"]
    wanted = [one for one in found if float(one["confidence"]) >= 0.05 and abs(int(one["position"]) - 5000) > 500]
    assert learned["n_filled"] == len(wanted) > 0
    assert [one["label"] for one in json.loads(path.read_text())["annotations"]] == ["GOAL"]  # nothing is written there


def test_predictions_fill_where_nobody_has_decided_alone(tmp_path: Path):
    path = tmp_path / "Labels-ball.json"
    held = LabelBook(path, LABELS, match="m", root=tmp_path)
    held.edit(Add("PASS", 5000), revision=0)
    held.edit(Reject("OUT", 9000), revision=1)
    spots = [
        Spot("PASS", 5400, confidence=0.9),  # near a label
        Spot("DRIVE", 4600, confidence=0.9),  # near one of another class, which somebody has looked at
        Spot("OUT", 9400, confidence=0.9),  # rejected
        Spot("PASS", 9400, confidence=0.9),
        Spot("PASS", 20_000, confidence=0.4),  # below the score
        Spot("SHOT", 30_000, confidence=0.5, team="left"),
    ]
    data = DataSelection(tmp_path)
    rejected = rejected_of(data, Match("m", tmp_path, None, path))
    filled = fill(spots, held.state().spots, rejected, 0.5)
    assert filled == (Spot("PASS", 9400), Spot("SHOT", 30_000, team="left"))
    assert fill(spots, held.state().spots, rejected, 2) == ()
    assert rejected_of(data, Match("m/2", tmp_path, None, path, 2)) == ()  # of the other half


def test_a_match_of_which_predictions_were_rejected_alone_is_corrected_too(tmp_path: Path):
    for name, videos in (("cup/m1", ["224p.mp4"]), ("cup/m2", [])):
        (tmp_path / name).mkdir(parents=True)
        for video in videos:
            (tmp_path / name / video).write_bytes(b"")
    (tmp_path / "cup/m2/Labels-ball.json").write_text('{"annotations": []}')
    book(tmp_path, "cup/m1").edit(Reject("OUT", 9000), revision=0)
    data, of_run = DataSelection(tmp_path), Splits(train=(), valid=("cup/m2",), test=(), source="a run")
    found = find_corrections(data, of_run)
    assert found == (Correction("cup/m1", 0, 1, True),)
    match = data.matches["cup/m1"]
    assert rejected_of(data, match) == (("OUT", 9000),) and labels_of(data, match) == ()
    filled = {"cup/m1": (Spot("PASS", 5000),)}
    assert corrected_data(data, of_run, found, filled).spots_of_split("train") == filled


def test_spots_of_two_heads_are_compared_by_class_and_time():
    before = [Spot("PASS", 1000, confidence=0.9), Spot("PASS", 9000, confidence=0.8), Spot("OUT", 1000, confidence=0.4)]
    after = [Spot("PASS", 1400, confidence=0.7), Spot("OUT", 5000, confidence=0.6)]
    labels = [Spot("PASS", 1200), Spot("OUT", 5100)]
    assert compare_spots(before, after, labels) == {
        "before": 2, "after": 2, "gained": 1, "lost": 1, "labels": 2, "hits_before": 1, "hits_after": 2,
    }  # fmt: skip


def test_runs_that_follow_are_numbered_on(tmp_path: Path):
    assert following_run(tmp_path / "best") == tmp_path / "best-learned-1"
    (tmp_path / "best-learned-1").mkdir()
    assert following_run(tmp_path / "best") == tmp_path / "best-learned-2"
    assert following_run(tmp_path / "best-learned-1") == tmp_path / "best-learned-2"


def test_what_cannot_be_learned_from_is_said(season, trained: Path, data: Path, tmp_path: Path):
    told = ballspot("learn", trained, "--data", data)
    assert told.exit_code == 1 and "no labels were corrected here; correct some with" in told.output
    folder = data / "league" / "2026" / "match-8"
    folder.mkdir()
    (folder / "Labels-ball.json").write_text('{"annotations": []}')
    book(data, "league/2026/match-8").edit(Add("PASS", 1), revision=0)
    told = ballspot("learn", trained, "--data", data)
    assert told.exit_code == 1 and "no features of the corrected match 'league/2026/match-8'" in told.output
    told = ballspot("learn", tmp_path / "none", "--data", data)
    assert told.exit_code == 1 and "no trained head" in told.output
