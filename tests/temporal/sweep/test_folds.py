"""Sweeps whose settings are trained once a fold, and what is compared of them."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.sweep_record import read_sweep_record
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.results.comparison import compare_runs
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap
from ballspot.temporal.sweep import show_results
from ballspot.temporal.sweep.plan import PlannedRun, dealt

from ...commands import ballspot

SWEEP = """
preset = "fast"
seeds = 1
folds = 4
with_test = true
[set]
kind = "linear"
clip_frames = 20
n_epochs = 1
warmup_epochs = 0
epoch_frames = 400
[axes]
train_matches = [0, 1]
"""
ALL, ONE = "train_matches=0", "train_matches=1"
NO_DRAWS = Bootstrap(0)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("folds") / "folds.toml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def done(file, season, tmp_path_factory):
    """Two settings on four folds of four matches."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    result = ballspot("sweep", file, season.features, "--data", season.data, "--out", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return out, result


def test_every_setting_is_trained_once_a_fold(done, season):
    out, result = done
    record = read_sweep_record(out)
    assert record.settings[0].runs == tuple(f"{ALL}/fold-{fold}/seed-0" for fold in (1, 2, 3, 4))
    assert sorted(name for fold in record.folds for name in fold["test"]) == sorted(season.names)
    assert "8/8 runs done" in result.stderr and f"{ONE} fold-4 seed-0: valid mAP@1" in result.stderr
    assert f"ballspot compare {out}" in result.stderr
    for number, fold in enumerate(record.folds, start=1):
        run = json.loads((out / ALL / f"fold-{number}" / "seed-0" / "run.json").read_text())
        assert run["splits"] == {**{k: list(v) for k, v in fold.items()}, "source": f"fold {number} of 4", "n_folds": 4}


def test_numbers_of_training_matches_are_settings_of_their_own(done):
    comparison = compare_runs([done[0]], bootstrap=NO_DRAWS)
    assert comparison.names == (ALL, ONE)
    assert comparison.varied() == [{"train_matches": None}, {"train_matches": 1}]
    splits = [json.loads(path.read_text())["splits"] for path in done[0].glob(f"{ONE}/fold-*/seed-0/run.json")]
    assert [(len(one["train"]), one["train_matches"]) for one in splits] == [(1, 1)] * 4


def test_what_folds_found_on_the_matches_they_held_out_is_scored_as_one(done, season, tmp_path):
    out, _ = done
    comparison = compare_runs([out], bootstrap=NO_DRAWS)
    assert comparison.matches == season.names and comparison.part == "out of fold"
    for fold in (1, 2, 3, 4):
        shutil.copytree(out / ALL / f"fold-{fold}/seed-0/predictions/test", tmp_path / "one", dirs_exist_ok=True)
    scored = evaluate_predictions(tmp_path / "one", DataSelection(season.data), bootstrap=NO_DRAWS)
    assert comparison.runs[0].mean_ap == scored.result.mean_ap
    assert comparison.runs[0].mean_ap > 0
    shown = ballspot("compare", out, "--block", "10", "--resamples", "20")
    assert "out of fold: 4 matches" in shown.stdout and "could show" in shown.stdout, shown.output
    (alone,) = compare_runs([out / ALL], bootstrap=NO_DRAWS).runs
    assert (alone.path, alone.mean_ap) == (comparison.runs[0].path, comparison.runs[0].mean_ap)


def test_folds_that_are_compared_without_the_others_are_told(done):
    one = [done[0] / setting / "fold-2" / "seed-0" for setting in (ALL, ONE)]
    alone = compare_runs(one, bootstrap=NO_DRAWS)
    assert "1 of 4 folds alone: what the others hold out is not in the numbers" in alone.warnings
    assert not any("alone" in line for line in compare_runs([done[0]], bootstrap=NO_DRAWS).warnings)


def test_given_again_nothing_is_done_and_a_fold_that_was_lost_comes_back_the_same(done, file, season, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    run = out / ALL / "fold-2" / "seed-0"
    kept = [path for path in out.glob("*/*/*/*.safetensors") if run not in path.parents]
    before = {path: path.stat().st_mtime_ns for path in kept}
    spots = {path.relative_to(run): path.read_bytes() for path in run.rglob("results_spotting.json")}
    assert len(spots) == 2  # one validates, one is held out
    shutil.rmtree(run)
    assert compare_runs([out], bootstrap=NO_DRAWS).names == (ONE,)  # the other is not done in every fold
    with pytest.raises(BallspotError, match="every fold is done"):
        compare_runs([out / ALL, out / ONE], bootstrap=NO_DRAWS)
    words = ("sweep", file, season.features, "--data", season.data, "--out", out, "--device", "cpu")
    plan = json.loads(ballspot(*words, "--dry-run", "--json").stdout)
    assert [(one["n_runs"], one["n_left"]) for one in plan["settings"]] == [(4, 1), (4, 0)]
    assert ballspot(*words).exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in kept}
    assert spots == {path.relative_to(run): path.read_bytes() for path in run.rglob("results_spotting.json")}


def test_folds_stay_as_they_were_dealt_and_others_are_refused(done, season, tmp_path):
    out, data = done[0], DataSelection(season.data)
    kept = dealt(out, data, 4, with_test=True)
    assert [fold.test for fold in kept] == [fold["test"] for fold in read_sweep_record(out).folds]
    labels = tmp_path / "data"
    shutil.copytree(season.data, labels)
    path = labels / season.names[0] / "Labels-ball.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "annotations": []}))
    corrected = replace(data, data_root=labels)
    assert dealt(tmp_path, corrected, 4, with_test=True) != kept == dealt(out, corrected, 4, with_test=True)
    with pytest.raises(BallspotError, match=r"a sweep of other folds \(4 there, 3 here\); choose another --out"):
        dealt(out, data, 3, with_test=True)
    with pytest.raises(BallspotError, match=r"other folds \(4 there, none here\)"):
        dealt(out, data, None, with_test=False)
    shutil.copytree(labels / season.names[3], labels / "league" / "2026" / "match-5")
    (labels / "splits.toml").unlink()
    with pytest.raises(BallspotError, match=r"its folds are of other matches \(league/2026/match-5 is in one alone\)"):
        dealt(out, DataSelection(labels), 4, with_test=True)


def test_more_training_matches_than_a_fold_has_are_told(season, tmp_path):
    file = tmp_path / "few.toml"
    file.write_text(SWEEP.replace("[0, 1]", "[3]"))
    refused = ballspot("sweep", file, season.features, "--data", season.data, "--out", tmp_path / "out")
    assert refused.exit_code == 1 and "train_matches = 3: fold 1 of 4 has 2 training matches" in refused.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--with-test"], "--with-test is for folds"),
        (["--folds", "9"], "9 folds of 3 matches cannot be dealt"),
        (["--folds", "3", "--leave-out", "match-1"], "folds and a match to leave out exclude each other"),
        (["--folds", "3", "--search", "optuna"], "--folds: a search validates all on one part"),
        (["--with-test", "--search", "optuna"], "--with-test: a search validates all on one part"),
    ],
)
def test_folds_that_make_no_sense_are_told(words, told, season, tmp_path):
    file = tmp_path / "plain.toml"
    file.write_text(SWEEP.replace("folds = 4\nwith_test = true\n", ""))
    result = ballspot("sweep", file, season.features, "--data", season.data, "--out", tmp_path / "out", *words)
    assert result.exit_code == 1 and told in result.stderr, result.output
    assert not (tmp_path / "out").exists()


def test_the_deviation_is_of_seeds_not_of_folds(tmp_path, capsys):
    """Two seeds of two folds each, the folds far apart and the seeds' means 30 and 34; a third seed lacks a fold."""
    planned = []
    for fold, seed, mean_ap in [(1, 0, 0.1), (2, 0, 0.5), (1, 1, 0.14), (2, 1, 0.54), (1, 2, 0.9), (2, 2, None)]:
        run = tmp_path / f"fold-{fold}" / f"seed-{seed}"
        run.mkdir(parents=True)
        if mean_ap is not None:
            (run / "metrics.json").write_text(json.dumps({"mean_ap": mean_ap, "train_s": 1.0}))
        planned.append(PlannedRun(0, cast("Any", SimpleNamespace(run=run))))
    sweep = cast("Any", SimpleNamespace(title="t", settings=[SimpleNamespace(name="best")]))
    show_results(sweep, planned, as_json=True)
    (setting,) = json.loads(capsys.readouterr().out)["settings"]
    assert setting["n_done"] == 5
    assert setting["sd"] == pytest.approx(0.02 * 2**0.5)
