"""Predictions that a run has already are copied, where they are by the same head in the same way."""

import json
from pathlib import Path

import pytest

from ballspot.temporal.prediction import copy_predicted

RECORD = {"run_keys": ["a"], "checkpoints": [{"name": "best", "best_epoch": 3}], "matches": ["league/one", "two"]}
SPOTS, SCORES = "results_spotting.json", "scores.npz"


def predicted(folder: Path, record: object, names: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    text = record if isinstance(record, str) else json.dumps({"format": "ballspot-predictions/1", **record})
    (folder / "predictions.json").write_text(text)
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / SPOTS).write_text(f"spots of {name}")
        (folder / name / SCORES).write_text(f"scores of {name}")


def test_matches_of_the_same_record_are_copied_whatever_else_was_predicted_with_them(tmp_path: Path):
    predicted(tmp_path / "kept" / "valid", {**RECORD, "matches": ["league/one", "three"]}, ("league/one", "three"))
    left = copy_predicted(tmp_path / "kept", RECORD, RECORD["matches"], tmp_path / "out")
    assert left == ["two"]
    copied = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert copied == {f"league/one/{SPOTS}", f"league/one/{SCORES}"}
    assert (tmp_path / "out" / "league/one" / SPOTS).read_text() == "spots of league/one"


@pytest.mark.parametrize(
    "other",
    [
        {**RECORD, "run_keys": ["b"]},
        {**RECORD, "checkpoints": [{"name": "best", "best_epoch": 4}]},
        {**RECORD, "suppression": {"nms_window": 3}},
        "{damaged",
        "[]",
    ],
)
def test_nothing_is_copied_of_other_heads_ways_or_damaged_records(tmp_path: Path, other):
    predicted(tmp_path / "kept" / "valid", other, ("league/one",))
    assert copy_predicted(tmp_path / "kept", RECORD, ["league/one"], tmp_path / "out") == ["league/one"]
    assert not (tmp_path / "out").exists()


def test_a_match_whose_spots_are_not_there_yet_is_left(tmp_path: Path):
    predicted(tmp_path / "kept" / "all", RECORD, ("two",))
    (tmp_path / "kept" / "all" / "two" / SPOTS).unlink()
    assert copy_predicted(tmp_path / "kept", RECORD, ["two"], tmp_path / "out") == ["two"]
