"""`ballspot learn`: from corrected labels to a new run beside the old one."""

import json
import shutil
from pathlib import Path

import pytest

from ballspot.cache.runs import following_run
from ballspot.evaluate.dataset import DataSelection, Match, Spot, load_label_set
from ballspot.evaluate.dataset.splits import Splits
from ballspot.evaluate.editing import Add, Delete, LabelBook, Reject, Undo, Watch, journal_of
from ballspot.temporal.learning import compare_spots
from ballspot.temporal.learning.corrected import (
    Correction,
    corrected_data,
    decided_of,
    find_corrections,
    labels_of,
)

from ...commands import ballspot

LABELS = load_label_set()
SMALL = ("--set", "epoch_frames=2000", "--set", "width=16", "--set", "n_epochs=4", "--head", "tcn", "--device", "cpu")


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


def test_a_corrected_test_match_is_learned_and_the_old_run_kept(
    season, trained: Path, data: Path, tmp_path: Path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
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
    threshold = json.loads((trained / "threshold.json").read_text())
    assert json.loads((tmp_path / "new" / "before" / "threshold.json").read_text()) == threshold
    assert told.stdout.endswith("\nnew: the new run\n")
    assert f"spots from {threshold['threshold']:.3g} up" in told.output


def test_what_nobody_decided_in_a_new_match_is_left_out_in_every_turn_and_a_new_class_begins_anew(
    season, trained: Path, data: Path, tmp_path: Path, match_writer
):
    name = "league/2026/match-9"
    features = tmp_path / "features"
    shutil.copytree(season.features, features)
    match_writer(data, features, name, seed=9)
    path = data / name / "Labels-ball.json"
    path.unlink()
    held = book(data, name)
    held.edit(Add("GOAL", 5000), revision=0)
    held.edit(Reject("PASS", 20_000), revision=1)
    (tmp_path / "own.toml").write_text(json.dumps([*LABELS.labels, "NEW"]).join(("labels = ", "\n")))
    words = (
        "--data", data, "--features", features, "--epochs", 1, "--labels", tmp_path / "own.toml", "--device", "cpu",
    )  # fmt: skip
    told = ballspot("learn", trained, *words, "--run", tmp_path / "new")
    assert told.exit_code == 0, told.output
    assert "new classes: NEW" in told.output
    assert f"{name}: labelled in part; learned from the 2 s that were decided" in told.output
    stretches = [[4500, 5501], [19_500, 20_501]]  # half a second either side
    learned = json.loads((tmp_path / "new" / "learned.json").read_text())
    assert learned["new_labels"] == ["NEW"] and learned["corrections"][0]["decided"] == stretches
    assert json.loads((tmp_path / "new" / "run.json").read_text())["decided_ms"] == {name: stretches}
    # The new run knows the match in part, and so does the next turn.
    held.edit(Watch(0, 10_000), revision=2)
    told = ballspot("learn", tmp_path / "new", *words, "--run", tmp_path / "next")
    assert told.exit_code == 0, told.output
    stretches = [[0, 10_000], stretches[1]]
    assert json.loads((tmp_path / "next" / "run.json").read_text())["decided_ms"] == {name: stretches}
    # Without the journal the labels are left, and what the run knew in part is not taken for whole.
    journal_of(path).unlink()
    book(data, season.names[3]).edit(Delete(0), revision=0)
    told = ballspot("learn", tmp_path / "next", *words, "--run", tmp_path / "last")
    assert told.exit_code == 0, told.output
    record = json.loads((tmp_path / "last" / "run.json").read_text())
    assert record["decided_ms"] == {name: [[4500, 5501]]}
    assert record["splits"]["train"] == [*season.names[:2], name, season.names[3]]


def test_matches_that_had_labels_or_that_the_run_was_trained_on_are_whole(tmp_path: Path):
    for name in ("had", "trained", "part", "none"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "224p.mp4").write_bytes(b"")
    (tmp_path / "had/Labels-ball.json").write_text(
        '{"annotations": [{"label": "PASS", "gameTime": "1 - 0:01", "position": "1000"}]}'
    )
    for name in ("had", "trained", "part", "none"):
        book(tmp_path, name).edit(Reject("OUT", 9000) if name == "none" else Add("PASS", 200), revision=0)
    data = DataSelection(tmp_path)
    of_run = Splits(train=("trained", "part"), valid=("v",), test=("had",), source="a run")
    found = {one.name: one.decided for one in find_corrections(data, of_run, in_part=["part"])}
    assert found == {"had": None, "trained": None, "part": ((0, 701),), "none": ((8500, 9501),)}


def test_decided_stretches_are_joined_and_of_one_half(tmp_path: Path):
    path = tmp_path / "Labels-ball.json"
    held = LabelBook(path, LABELS, match="m", root=tmp_path)
    actions = (
        Add("PASS", 5000), Add("DRIVE", 5900), Reject("OUT", 9000), Watch(5500, 6200), Watch(9501, 12_000),
        Watch(0, 1000, half=2), Watch(50_000, 60_000), Undo(),
    )  # fmt: skip
    for revision, action in enumerate(actions):
        held.edit(action, revision=revision)
    data = DataSelection(tmp_path)
    assert decided_of(data, Match("m", tmp_path, None, path)) == ((0, 1000), (4500, 6401), (8500, 12_000))
    assert decided_of(data, Match("m/1", tmp_path, None, path, 1)) == ((4500, 6401), (8500, 12_000))
    assert decided_of(data, Match("m/2", tmp_path, None, path, 2)) == ((0, 1000),)


def test_a_match_of_which_predictions_were_rejected_alone_is_corrected_too(tmp_path: Path):
    for name, videos in (("cup/m1", ["224p.mp4"]), ("cup/m2", [])):
        (tmp_path / name).mkdir(parents=True)
        for video in videos:
            (tmp_path / name / video).write_bytes(b"")
    (tmp_path / "cup/m2/Labels-ball.json").write_text('{"annotations": []}')
    book(tmp_path, "cup/m1").edit(Reject("OUT", 9000), revision=0)
    data, of_run = DataSelection(tmp_path), Splits(train=(), valid=("cup/m2",), test=(), source="a run")
    found = find_corrections(data, of_run)
    assert found == (Correction("cup/m1", 0, ((8500, 9501),)),)
    assert labels_of(data, data.matches["cup/m1"]) == ()
    assert corrected_data(data, of_run, found).spots_of_split("train") == {"cup/m1": ()}


def test_spots_of_two_heads_are_compared_by_class_and_time():
    before = [Spot("PASS", 1000, confidence=0.9), Spot("PASS", 9000, confidence=0.8), Spot("OUT", 1000, confidence=0.4)]
    after = [Spot("PASS", 1400, confidence=0.7), Spot("OUT", 5000, confidence=0.6)]
    labels = [Spot("PASS", 1200), Spot("OUT", 5100)]
    assert compare_spots(before, after, labels) == {
        "before": 2, "after": 2, "gained": 1, "lost": 1, "labels": 2, "hits_before": 1, "hits_after": 2,
    }  # fmt: skip
    assert compare_spots(before, after, labels, 0.75)["after"] == 0


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
    assert told.exit_code == 1 and "no such run; give the folder of a trained run" in told.output
