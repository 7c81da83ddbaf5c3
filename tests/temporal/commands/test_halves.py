"""A match that was filmed as two videos: from the check of the data to its evaluation it is one match of two halves."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cli import main
from ballspot.evaluate.dataset import load_label_set
from ballspot.evaluate.dataset.spots import read_spots
from ballspot.evaluate.editing import Delete, LabelBook

M = "league/2015"
SMALL = (
    "n_epochs=2",
    "width=16",
    "clip_frames=16",
    "pad_frames=2",
    "epoch_frames=600",
    "batch_clips=8",
    "unet_levels=1",
)


def run(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, f"{result.output}\n{result.stderr}\n{result.exception!r}"
    return result.stdout if code == 0 else result.stderr


@pytest.fixture(scope="module")
def place(brief: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three matches of two halves each, made of drawn ones, with their features and a head."""
    root = tmp_path_factory.mktemp("halves")
    labels: set[str] = set()
    for number, sources in enumerate(((1, 2), (2, 3), (3, 1)), start=1):
        folder = root / "data" / M / f"m{number}"
        folder.mkdir(parents=True)
        annotations = []
        for half, source in enumerate(sources, start=1):
            old = brief / "synth" / "drawn" / f"match-0{source}"
            shutil.copy(old / "64p.mp4", folder / f"{half}_224p.mp4")
            for entry in json.loads((old / "Labels-ball.json").read_text())["annotations"]:
                annotations.append({**entry, "gameTime": f"{half}{entry['gameTime'][1:]}"})
        labels |= {entry["label"] for entry in annotations}
        (folder / "Labels-v2.json").write_text(json.dumps({"annotations": annotations}))
    (root / "data" / "splits.toml").write_text(f'train = ["{M}/m1"]\nvalid = ["{M}/m2"]\ntest = ["{M}/m3"]\n')
    classes = json.dumps(sorted(labels))
    (root / "own.toml").write_text(f'name = "own"\nlabels_file = "Labels-v2.json"\nlabels = {classes}\n')
    run("extract", root / "data", "--out", root, "--set", "plain", "--weights", "random:4", "--size", "64x96")
    words = [word for one in SMALL for word in ("--set", one)]
    run("train", root / "plain", "--data", root / "data", "--labels", root / "own.toml", "--run", root / "run", *words)
    run("predict", root / "run", root / "plain", "--data", root / "data", "--split", "test")
    return root


def test_the_check_takes_each_annotation_with_its_own_half(place: Path, tmp_path: Path) -> None:
    assert "6 matches: 0 errors" in run("data", "check", place / "data", "--labels", place / "own.toml")
    shutil.copytree(place / "data", tmp_path / "data")
    file = tmp_path / "data" / M / "m1" / "Labels-v2.json"
    document = json.loads(file.read_text())
    last = len(document["annotations"])
    document["annotations"][-1] |= {"gameTime": "2 - 00:59", "position": "59000"}
    file.write_text(json.dumps(document))
    told = CliRunner().invoke(main, ["data", "check", str(tmp_path / "data"), "--labels", str(place / "own.toml")])
    (line,) = [line for line in told.output.splitlines() if line.startswith("ERROR")]
    assert f"{M}/m1/2" in line and "past the end of the video" in line and f"annotation {last}" in line


def test_each_half_has_a_store_and_the_run_names_whole_matches(place: Path) -> None:
    stores = sorted(path.relative_to(place / "plain").as_posix() for path in (place / "plain").rglob("*.h5"))
    assert stores == [f"{M}/m{number}/{half}.h5" for number in (1, 2, 3) for half in (1, 2)]
    record = json.loads((place / "run" / "run.json").read_text())
    assert [record["splits"][part] for part in ("train", "valid", "test")] == [[f"{M}/m{n}"] for n in (1, 2, 3)]
    assert json.loads((place / "run" / "predictions" / "test" / "predictions.json").read_text())["matches"] == [
        f"{M}/m3"
    ]


def test_the_predictions_of_a_match_are_those_of_its_halves(place: Path) -> None:
    folder = place / "run" / "predictions" / "test" / M / "m3"
    whole = read_spots(folder / "results_spotting.json")
    for half in (1, 2):
        own = read_spots(folder / str(half) / "results_spotting.json")
        assert [(spot.label, spot.position_ms, spot.confidence) for spot in whole if spot.half == half] == [
            (spot.label, spot.position_ms, spot.confidence) for spot in own
        ]


@pytest.mark.parametrize("fps", [2, 25])
def test_the_score_is_that_of_the_official_package(place: Path, fps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As SoccerNet's package scores Labels-v2.json, at its own rate of 2 frames a second and at 25."""
    official = pytest.importorskip("SoccerNet.Evaluation.ActionSpotting", reason="the official package is missing")
    monkeypatch.setattr(official, "tqdm", lambda rounds, **_: rounds)
    ours = json.loads(run("evaluate", place / "run", "--fps", fps, "--metric", "tight", "--json"))
    labels = json.loads(run("evaluate", place / "run", "--json"))["per_class"]
    test = place / "only-test"
    shutil.copytree(place / "data" / M / "m3", test / M / "m3", dirs_exist_ok=True)
    theirs = official.evaluate(
        str(test),
        str(place / "run" / "predictions" / "test"),
        prediction_file="results_spotting.json",
        label_files="Labels-v2.json",
        framerate=fps,
        metric="tight",
        dataset=None,
        EVENT_DICTIONARY={label: index for index, label in enumerate(labels)},
    )
    np.testing.assert_allclose(ours["mean_ap"], theirs["a_mAP"], rtol=0, atol=1e-9)
    assert theirs["a_mAP"] > 0
    np.testing.assert_allclose(
        [one["ap"] for one in ours["per_class"].values()], theirs["a_mAP_per_class"], rtol=0, atol=1e-9
    )


def test_videos_of_halves_give_the_spots_of_their_stores(place: Path, tmp_path: Path) -> None:
    run("predict", place / "run", place / "data" / M / "m3", "--out", tmp_path / "own")
    one, other = (
        {(spot.half, spot.label, spot.position_ms) for spot in read_spots(path) if (spot.confidence or 0) > 1e-3}
        for path in (
            tmp_path / "own" / "m3" / "results_spotting.json",
            place / "run" / "predictions" / "test" / M / "m3" / "results_spotting.json",
        )
    )
    assert one == other and {half for half, *_ in one} == {1, 2}


def test_clips_and_sheets_are_cut_from_the_video_of_the_half(place: Path, tmp_path: Path) -> None:
    run("clips", place / "run", "--threshold", "0", "--limit", "3", "--out", tmp_path / "clips")
    rows = list(csv.DictReader((tmp_path / "clips" / "clips.csv").open()))
    assert {row["match"] for row in rows} == {f"{M}/m3/1", f"{M}/m3/2"}
    alone = tmp_path / "anybody" / M / "m3"  # predictions of anybody have one file for both halves
    alone.mkdir(parents=True)
    shutil.copy(place / "run" / "predictions" / "test" / M / "m3" / "results_spotting.json", alone)
    words = ("--data", place / "data", "--threshold", "0", "--limit", "3", "--out")
    run("clips", tmp_path / "anybody", *words, tmp_path / "more")
    assert (tmp_path / "more" / "clips.csv").read_text() == (tmp_path / "clips" / "clips.csv").read_text()
    assert "pictures of" in run("sheet", place / "run", "--out", tmp_path / "sheet.png")


def test_tune_and_compare_take_the_run(place: Path) -> None:
    assert "mAP@1" in run("tune", place / "run", "--split", "valid")
    assert "run" in run("compare", place / "run", "--split", "test")


def test_a_match_can_be_extracted_by_its_name(place: Path, tmp_path: Path) -> None:
    run("extract", place / "data", "--out", tmp_path, "--set", "a", "--weights", "random:4", "--size", "64x96",
        "--match", "m2")  # fmt: skip
    assert len(list((tmp_path / "a" / M / "m2").glob("*.h5"))) == 2 and not (tmp_path / "a" / M / "m1").exists()


def test_learning_gives_the_spots_of_whole_matches_before_and_after(place: Path, tmp_path: Path) -> None:
    shutil.copytree(place / "data", tmp_path / "data")
    for number in (1, 2, 3):  # under another name, which is told
        folder = tmp_path / "data" / M / f"m{number}"
        (folder / "Labels-v2.json").rename(folder / "mine.json")
    path = tmp_path / "data" / M / "m3" / "mine.json"
    book = LabelBook(path, load_label_set(str(place / "own.toml")), match="m3", root=tmp_path / "data")
    book.edit(Delete(0), revision=0)
    run(
        "learn", place / "run", "--data", tmp_path / "data", "--run", tmp_path / "new", "--epochs", 1,
        "--labels-file", "mine.json", "--also", f"{M}/m1",
    )  # fmt: skip
    for part in ("before", "predictions/all"):
        for name in ("m1", "m3"):
            found = {spot.half for spot in read_spots(tmp_path / "new" / part / M / name / "results_spotting.json")}
            assert found == {1, 2}
