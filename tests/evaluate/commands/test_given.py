"""One rule for what commands take: a run, the folder of its seeds, or predictions of anybody, with one --split."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ballspot.cache.runs import SweepRecord, SweepSetting
from ballspot.cli import main


@pytest.fixture
def one_run(tmp_path: Path, label_file: Callable, spot_file: Callable, run: Callable) -> Path:
    """A run that predicted its test matches m2 and m3 and, for nothing, its valid match m1, of four with labels."""
    for match in ("l/m1", "l/m2", "l/m3", "l/m4"):
        label_file(match, [("PASS", 1000), ("GOAL", 5000)])
    splits = {"train": ["l/m4"], "valid": ["l/m1"], "test": ["l/m2", "l/m3"]}
    path = run("first", {}, record={"splits": splits})
    spot_file("l/m1", [("SHOT", 9000, 0.9)], root="runs/first/predictions/valid")
    for match in splits["test"]:
        spot_file(match, [("PASS", 1000, 0.9)], root="runs/first/predictions/test")
    (path / "predictions/test/predictions.json").write_text(json.dumps({"matches": splits["test"]}))
    return path


def call(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


def scored(*words: object) -> dict:
    result = call("evaluate", *words, "--json", "--resamples", 0)
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_of_a_run_its_test_predictions_are_scored_against_its_own_data_and_a_note_says_so(one_run: Path):
    record = scored(one_run)
    assert (record["split"], record["matches"]) == ("test", ["l/m2", "l/m3"])
    plain = scored(one_run / "predictions/test", "--data", one_run.parents[1] / "data", "--splits", _splits(one_run))
    assert plain.pop("split") == "all" and record.pop("split") == "test"
    assert record == plain and record["per_class"]["PASS"]["ap"] == 1.0
    said = call("evaluate", one_run).stderr
    assert f"note: the test predictions of {one_run}; --split takes others" in said
    assert "--split takes others" not in call("evaluate", one_run, "--split", "test").stderr


def _splits(one_run: Path) -> Path:
    path = one_run.parents[1] / "test.toml"
    path.write_text('test = ["l/m2", "l/m3"]\n')
    return path


def test_the_split_of_a_run_chooses_its_predictions_and_valid_is_taken_where_there_is_no_test(one_run: Path):
    record = scored(one_run, "--split", "valid")
    assert (record["split"], record["matches"], record["mean_ap"]) == ("valid", ["l/m1"], 0.0)
    assert scored(one_run, "--split", "all")["matches"] == ["l/m2", "l/m3", "l/m1"]
    (one_run / "predictions/test").rename(one_run / "elsewhere")
    assert scored(one_run)["split"] == "valid"
    assert (
        "has no predictions of split 'test'; it has valid: give --split"
        in call("evaluate", one_run, "--split", "test").stderr
    )


def test_the_folder_of_a_runs_predictions_knows_the_data_root_and_predictions_of_others_do_not(
    one_run: Path, spot_file: Callable
):
    folder = one_run / "predictions/valid"
    words = ("--splits", _splits(one_run))
    assert "no predictions for match 'l/m2'" in call("evaluate", folder, *words).stderr
    theirs = spot_file("l/m2", [("PASS", 1000, 0.9)], root="theirs").parents[2]
    result = call("evaluate", theirs)
    assert result.exit_code == 1 and result.stderr == (
        f"Error: {theirs}: is not a run that tells its data root; give --data\n"
    )


def test_predictions_of_others_stand_against_a_run_on_the_matches_of_the_run(one_run: Path, tmp_path: Path):
    archive = tmp_path / "theirs.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for path in (one_run / "predictions/test").rglob("results_spotting.json"):
            written.write(path, path.relative_to(one_run / "predictions/test").as_posix())
    for pair in ((archive, one_run), (one_run, archive)):
        record = scored(pair[0], "--against", pair[1])
        assert record["matches"] == ["l/m2", "l/m3"] and record["split"] == "test"
        assert record["against"]


def test_export_takes_a_run_with_and_without_its_data_root(one_run: Path, tmp_path: Path):
    for number, more in enumerate(([], ["--data", tmp_path / "data"])):
        out = tmp_path / f"{number}.zip"
        result = call("export", one_run, "--out", out, *more)
        assert result.stdout == f"{out}: 2 predictions of 2 matches, as soccernet-zip\n", result.output
        with zipfile.ZipFile(out) as written:
            assert sorted(written.namelist()) == [f"l/m{k}/results_spotting.json" for k in (2, 3)]
    out = tmp_path / "every"
    result = call("export", one_run, "--format", "csv", "--split", "all", "--out", out)
    assert result.stdout == f"{out}: 3 spots of 3 matches in 3 files, as csv\n", result.output
    assert call("export", one_run / "predictions/test", "--split", "test", "--out", tmp_path / "x.zip").exit_code == 2


def test_of_seeds_the_averaged_predictions_are_meant_or_the_command_that_makes_them_is_told(
    one_run: Path, tmp_path: Path
):
    seeds = tmp_path / "runs" / "seeds"
    (seeds).mkdir()
    one_run.rename(seeds / "seed-0")
    for command in (["evaluate"], ["export", "--out", tmp_path / "a.zip"], ["clips", "--out", tmp_path / "clips"]):
        result = call(command[0], seeds, *command[1:])
        assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1
        assert f"`ballspot predict {seeds} FEATURES --data DATA --split" in result.stderr
        assert f"such as {seeds / 'seed-0'}" in result.stderr
    (seeds / "seed-0" / "predictions").rename(seeds / "predictions")
    assert scored(seeds)["matches"] == ["l/m2", "l/m3"]


def test_a_sweep_is_told_as_such_with_one_of_its_runs(tmp_path: Path, one_run: Path):
    setting = {"name": "first", "varied": {}, "runs": ["first"]}
    sweep = {"title": "t", "source": "s", "seeds": [0], "baseline": "first", "settings": [setting]}
    (one_run.parent / "sweep.json").write_text(json.dumps({"format": "ballspot-sweep/1", **sweep}))
    for words in (["evaluate"], ["view", "--no-open"], ["sheet", "--out", tmp_path / "a.png"], ["tune"]):
        result = call(words[0], one_run.parent, *words[1:])
        assert result.exit_code == 1
        assert f"is a sweep of 1 runs; give one of them, such as {one_run}, or use `compare`" in result.stderr


@pytest.mark.parametrize(
    ("score", "said"),
    [
        (0.379, "the highest score is 0.37; give --threshold 0.3"),
        (0.0478, "the highest score is 0.047; give --threshold 0.04"),
        (0.3, "the highest score is 0.3; give --threshold 0.3"),
        (0.0, "the highest score is 0; give --threshold 0"),
    ],
)
def test_where_no_spot_reaches_the_threshold_one_that_is_reached_is_named(
    tmp_path: Path, spot_file: Callable, score: float, said: str
):
    spot_file("l/m1", [("PASS", 1000, score), ("PASS", 3000, score / 2)])
    spot_file("l/m2", [("SHOT", 1000, score / 2)])
    words = ("export", tmp_path / "predictions", "--format", "csv", "--out")
    result = call(*words, tmp_path / "out", "--threshold", 0.5)
    assert f"note: no spot reaches --threshold 0.5: {said}\n" in result.stderr
    given = said.rpartition(" ")[2]
    assert "1 spots of 2 matches" in call(*words, tmp_path / "again", "--threshold", given).stdout or score == 0
    result = call(*words, tmp_path / "shots", "--classes", "SHOT", "--threshold", score / 2)
    assert "no spot reaches" not in result.stderr and "1 spots of 2 matches" in result.stdout
    assert "no spot reaches" not in call(*words, tmp_path / "none", "--classes", "GOAL").stderr
    chosen = call(*words, tmp_path / "chosen")  # without a number, where fewer than one a minute reaches 0.5
    assert "3 spots of 2 matches" in chosen.stdout and "up: the 3 strongest, since fewer" in chosen.stderr


def test_compare_scores_predictions_of_others_beside_runs(one_run: Path, spot_file: Callable, tmp_path: Path):
    spot_file("l/m2", [("PASS", 1000, 0.9)], root="theirs")
    theirs = spot_file("l/m3", [("PASS", 9000, 0.9)], root="theirs").parents[2]
    archive = tmp_path / "theirs.zip"
    with zipfile.ZipFile(archive, "w") as written:
        for match in ("l/m2", "l/m3"):
            written.write(theirs / match / "results_spotting.json", f"{match}/results_spotting.json")
    alone = scored(theirs, "--data", one_run.parents[1] / "data", "--splits", _splits(one_run))
    for path in (theirs, archive):
        page = tmp_path / f"{path.name}.html"
        words = ("--split", "test", "--block", 1, "--format", "json", "--report", page)
        result = call("compare", one_run, path, *words)
        assert result.exit_code == 0, result.output
        record = json.loads(result.stdout)
        assert [run["name"] for run in record["runs"]] == ["first", path.name]
        assert record["runs"][1]["mean_ap"] == alone["mean_ap"] < record["runs"][0]["mean_ap"]
        assert record["settings"][1]["difference_to_first"]["value"] < 0
        assert record["differs"] == {} and path.name in page.read_text()
    result = call("compare", archive, one_run, "--split", "test", "--format", "json")
    assert [run["name"] for run in json.loads(result.stdout)["runs"]] == ["theirs.zip", "first"]
    result = call("compare", theirs)
    assert result.exit_code == 1 and "is not a run, and no run is beside it; give --data" in result.stderr
    words = ("--data", one_run.parents[1] / "data", "--split", "test")
    (one_run.parents[1] / "data" / "splits.toml").write_text(_splits(one_run).read_text())
    assert call("compare", theirs, *words).exit_code == 0
    assert json.loads(call("compare", theirs, *words, "--format", "json").stdout)["split"] == "test"


@pytest.fixture
def two_sweeps(one_run: Path, run: Callable, spot_file: Callable) -> tuple[Path, Path]:
    """Two sweeps of two seeds each, predicted on the test matches of `one_run`: the second one finds more."""
    sweeps = []
    for title, n_found in (("narrow", 1), ("wide", 2)):
        for seed in (0, 1):
            record = {"splits": {"train": ["l/m4"], "valid": ["l/m1"], "test": ["l/m2", "l/m3"]}, "seed": seed}
            run(f"{title}/base/seed-{seed}", {"width": title}, record=record)
            for match in ("l/m2", "l/m3"):
                found = [("PASS", 1000, 0.9), ("GOAL", 5000, 0.9)][:n_found]
                spot_file(match, found, root=f"runs/{title}/base/seed-{seed}/predictions/test")
        setting = SweepSetting("base", {}, ("base/seed-0", "base/seed-1"))
        folder = one_run.parent / title
        SweepRecord(title, f"{title}.toml", (0, 1), "base", (setting,)).write(folder)
        sweeps.append(folder)
    return sweeps[0], sweeps[1]


def test_two_folders_of_others_and_two_sweeps_come_in_one_report(
    two_sweeps: tuple[Path, Path], spot_file: Callable, tmp_path: Path
):
    """Seeds of others are folders in one folder, or zip files that are called alike."""
    for seed in (0, 1, 2):
        for match in ("l/m2", "l/m3"):
            spot_file(match, [("GOAL", 5000, 0.9)], root=f"osl/seed-{seed}")
    for seed in (0, 7):
        with zipfile.ZipFile(tmp_path / f"kit_seed{seed}.zip", "w") as written:
            for match in ("l/m2", "l/m3"):
                name = f"{match}/results_spotting.json"
                written.write(tmp_path / "osl/seed-0" / name, name)
    paths = (*two_sweeps, tmp_path / "osl", tmp_path / "kit_seed0.zip", tmp_path / "kit_seed7.zip")
    words = ("--split", "test", "--block", 1, "--resamples", 50, "--format", "json", "--report", tmp_path / "all.html")
    result = call("compare", *paths, *words)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    settings = {one["name"]: one for one in record["settings"]}
    assert {name: one["n_seeds"] for name, one in settings.items()} == {
        "narrow/base": 2,
        "wide/base": 2,
        "osl": 3,
        "kit": 2,
    }
    means = [one["mean_ap"] for one in settings.values()]
    assert means == pytest.approx([1 / 12, 2 / 12, 1 / 12, 1 / 12])
    assert [one["difference_to_first"] is None for one in settings.values()] == [True, False, False, False]
    assert [run["seed"] for run in record["runs"]] == [0, 1, 0, 1, 0, 1, 2, 0, 7]
    page = (tmp_path / "all.html").read_text()
    assert "<dt>predictions of others</dt><dd>osl, kit</dd>" in page


def test_predictions_alone_are_compared_on_all_matches_with_labels_of_any_classes(
    label_file: Callable, spot_file: Callable, tmp_path: Path
):
    for match in ("half-1", "half-2"):
        label_file(match, [("TACKLE", 4000), ("DRIVE", 60_000)])
        spot_file(match, [("TACKLE", 4020, 0.9)], root="one")
        spot_file(match, [("DRIVE", 60_020, 0.1), ("TACKLE", 90_000, 0.9)], root="two")
    words = ("--data", tmp_path / "data", "--labels", "player-8", "--block", 30, "--report", tmp_path / "page.html")
    result = call("compare", tmp_path / "one", tmp_path / "two", *words, "--format", "json")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["split"], record["label_set"], record["matches"]) == ("all", "player-8", ["half-1", "half-2"])
    assert [run["macro_f1_without_players"] for run in record["runs"]] == pytest.approx([1 / 8, 0])  # 0.1 is below 0.15
    assert "trained" in (tmp_path / "page.html").read_text()
    shown = call("evaluate", tmp_path / "one", *words[:4], "--resamples", 0)
    assert "without its players (classes only)" in shown.stdout  # neither labels nor spots have a team


def test_a_run_is_compared_by_its_own_classes_and_not_on_all_matches(one_run: Path, tmp_path: Path):
    result = call("compare", one_run, "--labels", "player-8", "--split", "test")
    assert result.exit_code == 1 and "--labels player-8: the runs are of ball-12; leave --labels out" in result.stderr
    result = call("compare", one_run, "--split", "all")
    assert result.exit_code == 1 and "cannot be compared on split 'all'; choose valid or test" in result.stderr
