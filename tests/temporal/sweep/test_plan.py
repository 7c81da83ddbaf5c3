import json
import os
import random
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ballspot.cache.disk.locks import locked_folder
from ballspot.temporal.features.resident import read_layout
from ballspot.temporal.features.sources import open_source
from ballspot.temporal.sweep import job as jobs
from ballspot.temporal.sweep.progress import SweepProgress
from ballspot.temporal.training import task as training_task

from ...commands import ballspot
from ...processes import children_of, run_forked, started
from .found import files_of_runs, numbers

SWEEP = """
preset = "fast"
seeds = 2
[set]
kind = "transformer"
clip_frames = 20
width = 16
n_layers = 1
n_attention_heads = 2
n_epochs = 3
warmup_epochs = 0
epoch_frames = 400
[axes]
temporal_stride = [1, 2]
scaling = ["match", "train"]
"""
N_RUNS = 8
FEW = SWEEP.replace("[axes]", 'scaling = "match"\n[axes]').replace('scaling = ["match", "train"]\n', "")
N_FEW = 4  # of the same runs
PATIENCE_S = 400.0  # of a machine that has other things to do
N_KILLS = int(os.environ.get("BALLSPOT_SWEEP_KILLS", "3"))


@pytest.fixture(scope="module")
def sweep_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sweeps") / "strides.toml"
    path.write_text(SWEEP)
    return path


@pytest.fixture(scope="module")
def few_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("few") / "strides.toml"
    path.write_text(FEW)
    return path


@pytest.fixture(scope="module")
def done(sweep_file, season, tmp_path_factory):
    """A sweep that ran without a break."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    result = ballspot("sweep", sweep_file, season.features, "--data", season.data, "--out", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    return out, result


def predictions(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.glob("*/seed-*/predictions/*/*.json"))}


def among(found: dict, whole: dict) -> bool:
    """Whether all that a sweep of FEW found is what the sweep of all found in the same runs."""
    return bool(found) and found == {name: whole[name.replace("/", ",scaling=match/", 1)] for name in found}


def test_every_setting_is_trained_with_every_seed(done):
    out, result = done
    assert len(numbers(out)) == N_RUNS
    record = json.loads((out / "sweep.json").read_text())
    assert [setting["name"] for setting in record["settings"]] == [
        f"temporal_stride={stride},scaling={scaling}" for stride in (1, 2) for scaling in ("match", "train")
    ]
    assert record["settings"][0]["runs"] == [f"temporal_stride=1,scaling=match/seed-{seed}" for seed in (0, 1)]
    assert not (out / "resident").exists()
    assert "8/8 runs done" in result.stderr
    run = json.loads((out / record["settings"][0]["runs"][0] / "run.json").read_text())
    assert run["n_threads"] == 1
    assert run["command_line"].startswith("ballspot")


def test_a_run_of_a_sweep_is_the_run_that_train_makes(done, season, tmp_path):
    out, _ = done
    settings = [line.replace(" ", "") for line in SWEEP.split("[set]")[1].split("[axes]")[0].strip().splitlines()]
    words = [word for one in (*settings, "temporal_stride=2", "scaling=train") for word in ("--set", one)]
    command = ["train", season.features, "--data", season.data, "--run", tmp_path / "run", "--preset", "fast"]
    trained = run_forked(*command, "--seed", "1", "--device", "cpu", *words)
    assert trained.code == 0, trained.stderr
    of_sweep = out / "temporal_stride=2,scaling=train" / "seed-1"
    assert (of_sweep / "config.toml").read_bytes() == (tmp_path / "run" / "config.toml").read_bytes()
    for name in ("best.safetensors", "last.safetensors"):
        ours, theirs = (load_file(folder / name) for folder in (of_sweep, tmp_path / "run"))
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_a_sweep_is_predicted_by_one_command_and_then_compared(done, season, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(done[0], out)
    words = (season.features, "--data", season.data, "--split", "test", "--device", "cpu")
    assert ballspot("compare", out, "--split", "test").exit_code == 1
    result = ballspot("predict", out, *words)
    assert result.exit_code == 0, result.output
    assert f"run {N_RUNS} of {N_RUNS}" in result.stderr
    assert ballspot("compare", out, "--split", "test").exit_code == 0
    before = predictions(out)
    assert ballspot("predict", out, *words).stderr.count("was predicted before") == N_RUNS
    assert predictions(out) == before
    refused = ballspot("predict", out, *words, "--out", tmp_path / "elsewhere")
    assert refused.exit_code == 1 and "--out: is for one run" in refused.stderr


def test_done_runs_are_left_alone(done, sweep_file, season):
    out, _ = done
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/seed-*/**/*") if path.is_file()}
    result = ballspot("sweep", sweep_file, season.features, "--data", season.data, "--out", out, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*/seed-*/**/*") if path.is_file()}


def test_more_seeds_are_added_to_a_sweep(done, sweep_file, season, tmp_path):
    more = tmp_path / "strides.toml"
    more.write_text(sweep_file.read_text().replace("seeds = 2", "seeds = [0, 1, 5]"))
    result = ballspot(
        "sweep",
        more,
        season.features,
        "--data",
        season.data,
        "--out",
        done[0],
        "--dry-run",
        "--json",
        "--device",
        "cpu",
    )
    plan = json.loads(result.stdout)
    assert [setting["n_left"] for setting in plan["settings"]] == [1, 1, 1, 1]
    assert all(setting["from_finished_runs"] for setting in plan["settings"])


def test_a_dry_run_tells_cost_and_writes_nothing(sweep_file, season, tmp_path):
    words = ["sweep", sweep_file, season.features, "--data", season.data, "--out", tmp_path / "out", "--dry-run"]
    result = ballspot(*words, "--device", "cpu")
    assert result.exit_code == 0, result.output
    assert "8 of 8 runs left" in result.stdout
    plan = json.loads(ballspot(*words, "--json", "--jobs", "3").stdout)
    assert plan["n_jobs"] == 3
    assert all(setting["run_s"] > 0 and setting["run_bytes"] > 10_000 for setting in plan["settings"])
    assert not (tmp_path / "out").exists()


def test_a_set_is_opened_once_for_all_settings_before_the_first_run(sweep_file, season, tmp_path, monkeypatch):
    # Either opens every store: hundreds of matches times dozens of settings would be minutes.
    opened, read = [], []
    monkeypatch.setattr(jobs, "open_source", lambda *sets: opened.append(sets) or open_source(*sets))
    monkeypatch.setattr(training_task, "read_layout", lambda *what: read.append(what) or read_layout(*what))
    words = ["sweep", sweep_file, season.features, "--data", season.data, "--out", tmp_path / "out", "--dry-run"]
    assert ballspot(*words, "--device", "cpu").exit_code == 0
    assert (len(opened), len(read)) == (1, 2)  # the layouts of the training and of the validation matches


def test_a_failed_run_is_told_left_alone_and_tried_again_when_asked(few_file, season, tmp_path):
    out = tmp_path / "out"
    stray = out / "temporal_stride=2" / "seed-1"
    stray.mkdir(parents=True)
    (stray / "notes.txt").write_text("mine")
    words = ["sweep", few_file, season.features, "--data", season.data, "--out", out, "--device", "cpu"]
    result = ballspot(*words)
    assert result.exit_code == 1
    assert "1 of 4 runs failed, the first temporal_stride=2/seed-1" in result.stderr
    assert "is not empty and holds no run.json" in result.stderr
    assert len(numbers(out)) == N_FEW - 1
    (stray / "notes.txt").unlink()
    again = ballspot(*words, "--json")
    assert "1 of 4 runs failed" in again.stderr
    told = {one["name"]: (one["n_done"], one["n_failed"]) for one in json.loads(again.stdout)["settings"]}
    assert told.pop("temporal_stride=2") == (1, 1) and set(told.values()) == {(2, 0)}
    assert len(numbers(out)) == N_FEW - 1
    result = ballspot(*words, "--retry-failed")
    assert result.exit_code == 0, result.output
    assert len(numbers(out)) == N_FEW
    assert not list(out.glob("*/*.failure.json"))


def test_another_place_gives_the_same_numbers(done, season, tmp_path, monkeypatch):
    """Submitit's local cluster; Ray is in test_on_ray.py."""
    pytest.importorskip("submitit", reason="submitit is not installed")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    out, sweep = tmp_path / "out", tmp_path / "strides.toml"
    sweep.write_text(FEW.replace("seeds = 2", "seeds = 1").replace("[1, 2]", "[2]"))
    words = ["sweep", sweep, season.features, "--data", season.data, "--out", out, "--device", "cpu"]
    ended = run_forked(*words, "--jobs", "2", "--on", "slurm:local")
    assert ended.code == 0, ended.stderr
    one = "temporal_stride=2,scaling=match/"  # an axis of one value is in no name
    assert numbers(out) == {"all/seed-0": numbers(done[0])[f"{one}seed-0"]}
    found = {name.replace("all/", one): content for name, content in predictions(out).items()}
    assert found and found == {name: predictions(done[0])[name] for name in found}


def test_a_place_that_is_none_is_named_before_anything_is_written(sweep_file, season, tmp_path):
    words = ["sweep", sweep_file, season.features, "--data", season.data, "--out", tmp_path / "out", "--device", "cpu"]
    result = ballspot(*words, "--on", "moon")
    assert result.exit_code == 1
    assert "--on moon: no such place" in result.stderr
    assert not (tmp_path / "out").exists()


def test_wrong_settings_and_missing_features_are_told_before_a_run_begins(sweep_file, season, tmp_path):
    out = tmp_path / "out"
    for words, message in (
        ([sweep_file, season.features, "--set", "clip_stride=0"], "clips.clip_stride"),
        ([sweep_file, tmp_path / "nothing"], "nothing"),
        ([sweep_file], "names no feature set"),
        (["experiment-9", season.features], "neither a sweep file nor a shipped one"),
    ):
        result = ballspot("sweep", *words, "--data", season.data, "--out", out, "--device", "cpu")
        assert result.exit_code == 1
        assert message in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert not list(out.glob("*/seed-*"))


def test_a_folder_of_another_sweep_is_refused(done, season, tmp_path):
    other = tmp_path / "other.toml"
    other.write_text(SWEEP)
    result = ballspot("sweep", other, season.features, "--data", season.data, "--out", done[0], "--device", "cpu")
    assert result.exit_code == 1
    assert "holds the sweep 'strides'" in result.stderr


def test_a_sweep_that_is_killed_again_and_again_ends_like_one_that_is_not(done, few_file, season, tmp_path):
    """The sweep and, half of the times, one of its processes are killed at random moments."""
    out, random_moment = tmp_path / "out", random.Random(5)
    words = ["sweep", few_file, season.features, "--data", season.data, "--out", out, "--device", "cpu"]
    for kill in range(N_KILLS):
        child = started(words, tmp_path / "log")
        deadline = time.monotonic() + PATIENCE_S
        n_before = len(files_of_runs(out, "log.jsonl"))
        while len(files_of_runs(out, "log.jsonl")) == n_before and not child.is_over():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(random_moment.uniform(0, 0.5))
        victims = children_of(child.pid) if kill % 2 else []
        if victims:
            with suppress(ProcessLookupError):  # it may just have ended
                os.kill(random_moment.choice(victims), signal.SIGKILL)
            time.sleep(random_moment.uniform(0, 0.3))
        child.kill_alone()
    result = ballspot(*words)
    assert result.exit_code == 0, result.output
    assert len(numbers(out)) == N_FEW and among(numbers(out), numbers(done[0]))
    assert among(predictions(out), predictions(done[0]))
    assert not list(out.rglob("*.tmp"))
    assert not (out / "resident").exists()


def test_a_run_that_another_process_is_at_is_waited_for(season, few_file, tmp_path):
    out = tmp_path / "out"
    run = out / "temporal_stride=1" / "seed-0"
    run.mkdir(parents=True)
    words = ["sweep", few_file, season.features, "--data", season.data, "--out", out, "--device", "cpu", "--jobs", "2"]
    with locked_folder(run):
        child = started(words, tmp_path / "log")
        deadline = time.monotonic() + PATIENCE_S
        while len(numbers(out)) < N_FEW - 1 and not child.is_over():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert len(numbers(out)) == N_FEW - 1
        assert not list(run.iterdir())
    assert child.wait().code == 0
    assert len(numbers(out)) == N_FEW


def test_a_sweep_s_progress_is_silent_where_standard_error_is_closed(monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    with SweepProgress([]) as progress:
        assert progress.live is None
