import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ballspot.cache.disk.locks import locked_folder
from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.temporal.sweep.job import Job, failure_path, record_failure
from ballspot.temporal.sweep.optuna_search import JOURNAL, open_search
from ballspot.temporal.sweep.space import read_space

from ...processes import started

pytest.importorskip("optuna", reason="optuna is not installed")

SPACE = """
preset = "fast"
seeds = 2
[set]
kind = "tcn"
clip_frames = 20
width = 16
n_layers = 1
n_epochs = 3
warmup_epochs = 0
epoch_frames = 400
[axes]
temporal_stride = [1, 2]
learning_rate = [1e-3, 3e-4, 1e-4]
[[together]]
scaling = ["match", "train"]
[[when]]
if = { temporal_stride = 1, learning_rate = 1e-4 }
skip = true
[baseline]
temporal_stride = 2
learning_rate = 3e-4
"""
N_SETTINGS = 10
BASELINE = "temporal_stride=2,learning_rate=0.0003,scaling=match"


@pytest.fixture(scope="module")
def space_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("spaces") / "space.toml"
    path.write_text(SPACE)
    return path


def words_for(space_file, season, out, *more: object) -> list[str]:
    words = ["sweep", space_file, season.features, "--data", season.data, "--out", out, "--device", "cpu"]
    return [str(word) for word in (*words, "--search", "optuna", *more)]


def ballspot(words: list[str]) -> Result:
    return CliRunner().invoke(main, words)


@pytest.fixture(scope="module")
def searched(space_file, season, tmp_path_factory):
    out = tmp_path_factory.mktemp("search") / "out"
    words = words_for(space_file, season, out, "--trials", 4, "--finalists", 1)
    result = ballspot(words)
    assert result.exit_code == 0, result.output
    return out, result


def runs_of(out: Path) -> dict[str, list[str]]:
    return {one["name"]: one["runs"] for one in json.loads((out / "sweep.json").read_text())["settings"]}


def test_a_search_tries_its_budget_and_gives_the_best_all_seeds(searched):
    out, result = searched
    runs = runs_of(out)
    assert len(runs) == 4
    assert next(iter(runs)) == BASELINE
    assert json.loads((out / "sweep.json").read_text())["baseline"] == BASELINE
    found = {name: RunFolder(out / name / "seed-0").metrics()["mean_ap"] for name in runs}
    best = max(found, key=lambda name: found[name])
    assert {name for name, folders in runs.items() if len(folders) == 2} == {BASELINE, best}
    assert all(RunFolder(out / folder).is_done for folders in runs.values() for folder in folders)
    assert "looks too good" in result.stderr
    assert not (out / "resident").exists()


def test_a_search_goes_on_where_it_stood(searched, space_file, season):
    out, _ = searched
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/seed-*/metrics.json")}
    left = [out / ".sweep.json.abcd1234.tmp", out / BASELINE / ".seed-0.failure.json.abcd1234.tmp"]
    for path in left:  # as a kill leaves them
        path.write_text("{")
    assert ballspot(words_for(space_file, season, out, "--trials", 4, "--finalists", 1)).exit_code == 0
    assert before == {path: path.stat().st_mtime_ns for path in out.glob("*/seed-*/metrics.json")}
    assert not any(path.exists() for path in left)
    assert ballspot(words_for(space_file, season, out, "--trials", 99, "--finalists", 1)).exit_code == 0
    assert len(runs_of(out)) == N_SETTINGS  # the whole space, each setting once, and none that is skipped
    assert not any(name.startswith("temporal_stride=1,learning_rate=0.0001") for name in runs_of(out))
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in before.items())


def test_compare_takes_a_search(searched):
    out, _ = searched
    result = ballspot(["compare", str(out), "--format", "csv"])
    assert result.exit_code == 0, result.output
    assert BASELINE.replace(",", ";") in result.stdout.replace(",", ";")


def test_a_killed_search_goes_on(space_file, season, tmp_path):
    out, random_moment = tmp_path / "out", random.Random(3)
    words = words_for(space_file, season, out, "--trials", 5, "--finalists", 2)  # so few that none is given up
    for _ in range(3):
        child = started(words, tmp_path / "log")
        n_before, deadline = len(list(out.glob("*/seed-*/log.jsonl"))), time.monotonic() + 400
        while len(list(out.glob("*/seed-*/log.jsonl"))) == n_before and not child.is_over():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(random_moment.uniform(0, 0.3))
        child.kill_alone()
        with locked_folder(out):  # its workers are forks here and have its lock with them until they end, at once
            pass
    journal = out / JOURNAL
    journal.write_bytes(journal.read_bytes() + b'{"op_code": 4, "wor')  # the power went while a line was written
    result = ballspot(words)
    assert result.exit_code == 0, result.output
    runs = runs_of(out)
    assert len(runs) == 5
    assert all(RunFolder(out / folder).is_done for folders in runs.values() for folder in folders)
    assert not list(out.rglob("*.tmp"))


def test_another_space_and_other_features_are_refused(searched, space_file, season, tmp_path):
    out, _ = searched
    other = tmp_path / "space.toml"
    other.write_text(SPACE.replace("1e-3, 3e-4", "2e-3, 3e-4"))
    for words in (
        words_for(other, season, out),
        words_for(space_file, season, out, "--set", "batch_clips=3"),
    ):
        result = ballspot(words)
        assert result.exit_code == 1
        assert "holds a search of another space" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1


def test_two_searches_of_one_folder_are_refused(space_file, season, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with locked_folder(out):
        result = ballspot(words_for(space_file, season, out))
    assert result.exit_code == 1
    assert "another process is at work here" in result.stderr


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--on", "ray"], "--search optuna --on ray"),
        (["--set", "clip_stride=0"], "clips.clip_stride"),
    ],
)
def test_what_is_wrong_is_told_before_a_trial(space_file, season, tmp_path, more, message):
    result = ballspot(words_for(space_file, season, tmp_path / "out", *more))
    assert result.exit_code == 1
    assert message in result.stderr
    assert not list((tmp_path / "out").glob("*/seed-*"))


class Simulation:
    """An engine without training: every run logs a validation mAP that its learning rate decides, epoch by epoch."""

    def __init__(self, n_epochs: int) -> None:
        self.n_epochs = n_epochs
        self.n_logged: dict[str, int] = {}

    def __call__(self, jobs, on_poll):
        for job in jobs:
            folder = RunFolder(job.run)
            job.run.mkdir(parents=True, exist_ok=True)
            value = 0.5 if job.config.training.learning_rate >= 1e-3 else 0.01
            if job.config.training.batch_clips == 7:
                record_failure(job, "no such thing", after_s=0.0)
                yield job
                continue
            for epoch in range(1, self.n_epochs + 1):
                folder.append_log({"epoch": epoch, "valid_mean_ap": value})
                self.n_logged[job.run.parent.name] = epoch
                if job in on_poll([job]):
                    break
            else:
                (job.run / "metrics.json").write_text(json.dumps({"mean_ap": value, "train_s": 1.0}))
            yield job


def simulated(path: Path, out: Path, n_trials: int, *, retry_failed: bool = False) -> tuple[list, Simulation]:
    space = read_space(path)
    template = Job(out, space.setting(space.baseline()).config, 0, (), DataSelection(out), "cpu", out, "")
    engine = Simulation(n_epochs=20)

    def job_of(setting):
        return replace(template, run=out / setting.name / "seed-0", config=setting.config)

    with open_search(space, out, identity="simulated") as search:
        for _ in search.run(job_of, engine, n_trials=n_trials, retry_failed=retry_failed):
            pass
        return [(trial.user_attrs["setting"], trial.state.name) for trial in search.tried().values()], engine


@pytest.fixture
def wide_file(tmp_path):
    path = tmp_path / "wide.toml"
    path.write_text(
        "[set]\nn_epochs = 20\n[axes]\nlearning_rate = [1e-3, 2e-3, 3e-3, 1e-5, 2e-5, 3e-5]\nn_layers = [1, 2, 3]\n"
    )
    return path


def test_poor_trials_are_given_up_early_and_good_ones_never(wide_file, tmp_path):
    trials, engine = simulated(wide_file, tmp_path / "out", 18)
    assert len(trials) == len({name for name, _ in trials}) == 18
    states = dict(trials)
    good = {name for name in states if "e-05" not in name}
    assert len(good) == 9
    assert {states[name] for name in good} == {"COMPLETE"}
    pruned = [name for name, state in trials if state == "PRUNED"]
    assert len(pruned) >= 4
    assert all(4 < engine.n_logged[name] < 20 for name in pruned)
    assert all(state == "COMPLETE" for _, state in trials[:5])  # there is no median before


def test_no_trial_is_given_up_before_the_sixth_however_small_the_space(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("[set]\nn_epochs = 20\n[axes]\nlearning_rate = [1e-3, 2e-5, 3e-5, 4e-5, 5e-5, 6e-5]\n")
    trials, _ = simulated(path, tmp_path / "out", 6)
    assert [state for _, state in trials[:5]] == ["COMPLETE"] * 5


def test_the_sampler_is_told_what_was_found(wide_file, tmp_path):
    import optuna

    trials, _ = simulated(wide_file, tmp_path / "out", 8)
    storage = optuna.storages.JournalStorage(
        optuna.storages.journal.JournalFileBackend(str(tmp_path / "out" / JOURNAL))
    )
    study = optuna.load_study(study_name="search", storage=storage)
    found = {trial.user_attrs["setting"]: trial for trial in study.trials if "setting" in trial.user_attrs}
    assert {name: trial.state.name for name, trial in found.items()} == dict(trials)
    for name, trial in found.items():
        expected = 0.01 if "e-05" in name else 0.5
        assert set(trial.intermediate_values.values()) == {expected}
        assert trial.state.name == "PRUNED" or trial.value == expected
        assert all(f"learning_rate={float(json.loads(text[3:])['training.learning_rate']):g}" in name
                   for text in trial.params.values() if "learning_rate" in text)  # fmt: skip


def test_a_failed_trial_counts_and_is_tried_again_only_when_asked(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("[set]\nn_epochs = 20\n[axes]\nbatch_clips = [4, 7, 8]\n")
    out = tmp_path / "out"
    states = dict(simulated(path, out, 3)[0])
    assert states == {"batch_clips=4": "COMPLETE", "batch_clips=7": "FAIL", "batch_clips=8": "COMPLETE"}
    assert simulated(path, out, 3)[1].n_logged == {}
    assert failure_path(out / "batch_clips=7" / "seed-0").is_file()
    failure_path(out / "batch_clips=7" / "seed-0").write_text('{"error": "of before"}')
    assert dict(simulated(path, out, 3, retry_failed=True)[0])["batch_clips=7"] == "FAIL"
    assert "no such thing" in failure_path(out / "batch_clips=7" / "seed-0").read_text()


def test_failed_trials_are_retried_beyond_the_budget_and_stay_told_until_they_are(tmp_path):
    path = tmp_path / "space.toml"
    path.write_text("[set]\nn_epochs = 20\n[axes]\nbatch_clips = [4, 7, 8, 9, 10, 11]\n")
    out = tmp_path / "out"
    simulated(path, out, 6)
    failure = failure_path(out / "batch_clips=7" / "seed-0")
    failure.write_text('{"error": "of before"}')
    _, engine = simulated(path, out, 3, retry_failed=True)
    assert "no such thing" in failure.read_text()
    assert engine.n_logged == {}


def swept(path: Path, out: Path, engine, monkeypatch, **more):
    """`search_space` on a simulated engine, without data."""
    import ballspot.temporal.sweep.search as module

    monkeypatch.setattr(module, "check_space", lambda space, template: "simulated")
    space = read_space(path)
    template = Job(out, space.setting(space.baseline()).config, 0, (out,), DataSelection(out), "cpu", out, "")
    return module.search_space(space, template, engine, n_finalists=1, **more)


def test_a_retry_beside_new_trials_leaves_every_setting_its_own_runs(tmp_path, monkeypatch):
    path, out = tmp_path / "space.toml", tmp_path / "out"
    path.write_text("seeds = 2\n[set]\nn_epochs = 20\n[axes]\nbatch_clips = [4, 7, 8, 9, 10, 11, 12]\n")
    for n_trials, retry in ((4, False), (7, True)):
        swept(path, out, Simulation(20), monkeypatch, n_trials=n_trials, retry_failed=retry)
        for name, runs in runs_of(out).items():
            assert {run.split("/")[0] for run in runs} == {name}
    assert len(runs_of(out)) == 7
    assert next(iter(runs_of(out))) == "batch_clips=4"


def test_seeds_of_earlier_finalists_stay_in_the_sweep(tmp_path, monkeypatch):
    path, out = tmp_path / "space.toml", tmp_path / "out"
    path.write_text("seeds = 2\n[set]\nn_epochs = 20\n[axes]\nbatch_clips = [4, 5, 6, 8]\n")
    swept(path, out, Simulation(20), monkeypatch, n_trials=2)
    before = {run for runs in runs_of(out).values() for run in runs}
    swept(path, out, Simulation(20), monkeypatch, n_trials=4)
    assert before <= {run for runs in runs_of(out).values() for run in runs}


def test_combinations_and_names_are_tried_before_a_trial(space_file, season, tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_text(SPACE.replace("[axes]", "[axes]\nn_epochs = [8, 5]\nwarmup_epochs = [3, 5]").replace(
        "n_epochs = 3\nwarmup_epochs = 0\n", ""))  # fmt: skip
    result = ballspot(words_for(bad, season, tmp_path / "out"))
    assert result.exit_code == 1 and "warmup_epochs 5 must be smaller" in result.stderr
    each = tmp_path / "each.toml"
    each.write_text('leave_out = "each"\n' + SPACE)
    result = ballspot(words_for(each, season, tmp_path / "out"))
    assert result.exit_code == 1 and "a search compares settings on the same validation matches" in result.stderr
    assert not list((tmp_path / "out").glob("*/seed-*"))


def test_a_changed_condition_is_another_space(wide_file, tmp_path):
    simulated(wide_file, tmp_path / "out", 2)
    wide_file.write_text(wide_file.read_text() + "[[when]]\nif = { n_layers = 3, learning_rate = 1e-3 }\nskip = true\n")
    with pytest.raises(BallspotError, match="another space"):
        simulated(wide_file, tmp_path / "out", 3)


def test_without_optuna_the_extra_is_named(space_file, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with (
        pytest.raises(BallspotError, match=r"pip install 'ballspot\[optuna\]'"),
        open_search(read_space(space_file), tmp_path / "out", identity=""),
    ):
        pass
