"""Sweeps whose settings are trained once a fold, and what is compared of them."""

import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner, Result

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.sweep_record import read_sweep_record
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.results.comparison import compare_runs
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap
from ballspot.temporal.sweep.plan import dealt

SWEEP = """
preset = "fast"
seeds = 2
folds = 2
with_test = true
[set]
kind = "linear"
clip_frames = 20
n_epochs = 1
warmup_epochs = 0
epoch_frames = 400
"""
NO_DRAWS = Bootstrap(0)


def ballspot(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("folds") / "folds.toml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def done(file, season, tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "out"
    result = ballspot("sweep", file, season.features, "--data", season.data, "--out", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return out, result


def test_every_setting_and_seed_is_trained_once_a_fold(done, season):
    out, result = done
    record = read_sweep_record(out)
    assert record.settings[0].runs == tuple(f"all/fold-{fold}/seed-{seed}" for fold in (1, 2) for seed in (0, 1))
    assert sorted(name for fold in record.folds for name in fold["test"]) == sorted(season.names)
    assert "4/4 runs done" in result.stderr and "all fold-2 seed-1: valid mAP@1" in result.stderr
    assert f"ballspot compare {out}" in result.stderr
    for number, fold in enumerate(record.folds, start=1):
        run = json.loads((out / f"all/fold-{number}/seed-0/run.json").read_text())
        assert run["splits"] == {**{k: list(v) for k, v in fold.items()}, "source": f"fold {number} of 2", "n_folds": 2}


def test_what_folds_found_on_the_matches_they_held_out_is_scored_as_one(done, season, tmp_path):
    out, _ = done
    comparison = compare_runs([out], bootstrap=NO_DRAWS)
    assert comparison.matches == season.names and comparison.part == "out of fold"
    assert [run.name for run in comparison.runs] == ["seed-0", "seed-1"] and comparison.names == ("all",)
    for fold in (1, 2):
        shutil.copytree(out / f"all/fold-{fold}/seed-1/predictions/test", tmp_path / "one", dirs_exist_ok=True)
    scored = evaluate_predictions(tmp_path / "one", DataSelection(season.data), bootstrap=NO_DRAWS)
    assert comparison.runs[1].mean_ap == scored.result.mean_ap
    assert comparison.runs[1].mean_ap > 0
    shown = ballspot("compare", out, "--block", "10", "--resamples", "20")
    assert "out of fold: 4 matches" in shown.stdout and "could show" in shown.stdout, shown.output
    assert [one.path for one in compare_runs([out / "all"], bootstrap=NO_DRAWS).runs] == [
        run.path for run in comparison.runs
    ]


def test_given_again_nothing_is_done_and_a_fold_that_was_lost_comes_back_the_same(done, file, season, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    run = out / "all" / "fold-2" / "seed-0"
    kept = [path for path in out.glob("all/*/*/*.safetensors") if run not in path.parents]
    before = {path: path.stat().st_mtime_ns for path in kept}
    spots = {path.relative_to(run): path.read_bytes() for path in run.rglob("results_spotting.json")}
    assert len(spots) == 3  # one validates, two are held out
    shutil.rmtree(run)
    assert [run.seed for run in compare_runs([out], bootstrap=NO_DRAWS).runs] == [1]  # done in every fold
    with pytest.raises(BallspotError, match="every fold is done"):
        compare_runs([out / "all"], bootstrap=NO_DRAWS)
    words = ("sweep", file, season.features, "--data", season.data, "--out", out, "--device", "cpu")
    plan = json.loads(ballspot(*words, "--dry-run", "--json").stdout)
    assert (plan["settings"][0]["n_runs"], plan["settings"][0]["n_left"]) == (4, 1)
    assert ballspot(*words).exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in kept}
    assert spots == {path.relative_to(run): path.read_bytes() for path in run.rglob("results_spotting.json")}


def test_folds_stay_as_they_were_dealt_and_others_are_refused(done, season, tmp_path):
    out, data = done[0], DataSelection(season.data)
    kept = dealt(out, data, 2, with_test=True)
    assert {name: set(fold.test) for name, fold in zip("ab", kept, strict=True)} == {
        name: set(fold["test"]) for name, fold in zip("ab", read_sweep_record(out).folds, strict=True)
    }
    labels = tmp_path / "data"
    shutil.copytree(season.data, labels)
    path = labels / season.names[0] / "Labels-ball.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    corrected = replace(data, data_root=labels)
    assert dealt(tmp_path, corrected, 2, with_test=True) != kept == dealt(out, corrected, 2, with_test=True)
    with pytest.raises(BallspotError, match=r"a sweep of other folds \(2 there, 3 here\); choose another --out"):
        dealt(out, data, 3, with_test=True)
    with pytest.raises(BallspotError, match=r"other folds \(2 there, none here\)"):
        dealt(out, data, None, with_test=False)
    with pytest.raises(BallspotError, match=r"its folds are of other matches \(league/2026/match-4 is in one alone\)"):
        dealt(out, data, 2, with_test=False)


def test_numbers_of_training_matches_are_settings_of_their_own(season, tmp_path):
    file = tmp_path / "few.toml"
    file.write_text(
        f"{SWEEP.replace('folds = 2', 'folds = 4').replace('seeds = 2', 'seeds = 1')}\n[axes]\ntrain_matches = [1, 0]\n"
    )
    words = ("sweep", file, season.features, "--data", season.data, "--out", tmp_path / "out", "--device", "cpu")
    result = ballspot(*words)
    assert result.exit_code == 0, result.output
    comparison = compare_runs([tmp_path / "out"], bootstrap=NO_DRAWS)
    assert comparison.names == ("train_matches=1", "train_matches=0")
    assert comparison.varied() == [{"train_matches": 1}, {"train_matches": None}]
    splits = [
        json.loads(path.read_text())["splits"] for path in sorted(tmp_path.glob("out/train*=1/fold-*/seed-0/run.json"))
    ]
    assert [(len(one["train"]), one["train_matches"]) for one in splits] == [(1, 1)] * 4
    file.write_text(file.read_text().replace("[1, 0]", "[3]"))
    refused = ballspot(*words[:-3], tmp_path / "other")
    assert refused.exit_code == 1 and "train_matches = 3: fold 1 of 4 has 2 training matches" in refused.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--with-test"], "--with-test is for folds"),
        (["--folds", "9"], "9 folds of 3 matches cannot be dealt"),
        (["--folds", "3", "--leave-out", "match-1"], "folds and a match to leave out exclude each other"),
        (["--folds", "3", "--search", "optuna"], "--folds: a search validates all on the same matches"),
    ],
)
def test_folds_that_make_no_sense_are_told(words, told, season, tmp_path):
    file = tmp_path / "plain.toml"
    file.write_text(SWEEP.replace("folds = 2\nwith_test = true\n", ""))
    result = ballspot("sweep", file, season.features, "--data", season.data, "--out", tmp_path / "out", *words)
    assert result.exit_code == 1 and told in result.stderr, result.output
    assert not (tmp_path / "out").exists()
