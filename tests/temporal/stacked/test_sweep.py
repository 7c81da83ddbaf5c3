"""A sweep that trains runs at once leaves what one that trains them one by one leaves."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import DataSelection
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.temporal import sweep as sweeps
from ballspot.temporal.config import as_table, changed_config, load_config
from ballspot.temporal.heads import read_checkpoint
from ballspot.temporal.stacked import run as running
from ballspot.temporal.sweep import Job, find_sweep, plan_runs, read_space, stack_size
from ballspot.temporal.sweep import stacks as stacked_jobs
from ballspot.temporal.sweep.stacks import do_pack, packs

from ...commands import ballspot

SWEEP = """
preset = "fast"
seeds = 2
[set]
clip_frames = 20
width = 16
n_epochs = 3
warmup_epochs = 0
epoch_frames = 400
batch_clips = 8
ema_decay = 0.9
dropout = 0.2
learning_rate = 0.005
early_stop_epochs = 1
[[cases]]
kind = "tcn"
[[cases]]
kind = "gru"
"""


def template(season, out: Path) -> Job:
    return Job(
        run=out,
        config=load_config("fast"),
        seed=0,
        features=(season.features,),
        data=DataSelection(season.data, LabelSet("three", ("PASS", "DRIVE", "SHOT"), ("SHOT",)), stored=frozenset()),
        device="cpu",
        resident=out / "resident",
        command="ballspot sweep",
    )


def jobs_of(season, tmp_path: Path, out: str) -> list[Job]:
    path = tmp_path / "two.toml"
    path.write_text(SWEEP)
    space = read_space(find_sweep(str(path)))
    return [run.job for run in plan_runs(space.sweep(space.points), template(season, tmp_path / out))]


def numbers(run: Path) -> list:
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    scores = [np.load(path)["scores"] for path in sorted(run.glob("predictions/valid/*/scores.npz"))]
    metrics = json.loads((run / "metrics.json").read_text())
    return [log, scores, metrics, read_checkpoint(run / "best.safetensors")]


def assert_alike(ours: Path, theirs: Path) -> None:
    """The same files, epochs and best epoch; losses, scores and weights to the rounding of sums."""
    names = [sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()) for run in (ours, theirs)]
    assert names[0] == names[1]
    (log, scores, metrics, best), (their_log, their_scores, their_metrics, their_best) = map(numbers, (ours, theirs))
    assert [line["loss"] for line in log] == pytest.approx([line["loss"] for line in their_log], rel=1e-3)
    assert (metrics["best_epoch"], metrics["n_epochs"]) == (their_metrics["best_epoch"], their_metrics["n_epochs"])
    assert metrics["mean_ap"] == pytest.approx(their_metrics["mean_ap"], abs=1e-3)
    for mine, other in zip(scores, their_scores, strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-3)
    for name, value in best.head.items():
        np.testing.assert_allclose(value, their_best.head[name], rtol=0.02, atol=2e-4, err_msg=name)
    assert (ours / "config.toml").read_bytes() == (theirs / "config.toml").read_bytes()
    records = [json.loads((run / "run.json").read_text()) for run in (ours, theirs)]
    assert records[0].keys() == records[1].keys() and records[0]["key"] == records[1]["key"]


def test_a_pack_leaves_what_its_jobs_leave_one_by_one_also_when_it_was_killed(season, tmp_path, monkeypatch):
    """Killed while the second run writes its epoch: the first run is then an epoch ahead."""
    tcn = [job for job in jobs_of(season, tmp_path, "at-once") if job.config.head.kind == "tcn"]
    alone = [job for job in jobs_of(season, tmp_path, "alone") if job.config.head.kind == "tcn"]
    for job in alone:
        do_pack((job,))
    kept, n_kept = running.keep_epoch, 0

    def killed(*arguments):
        nonlocal n_kept
        n_kept += 1
        if n_kept == 4:  # of the second run, after its second epoch
            raise KeyboardInterrupt
        kept(*arguments)

    monkeypatch.setattr(running, "keep_epoch", killed)
    with pytest.raises(KeyboardInterrupt):
        do_pack(tuple(tcn))
    lines = [len((job.run / "log.jsonl").read_text().splitlines()) for job in tcn]
    assert lines == [2, 1]
    monkeypatch.setattr(running, "keep_epoch", kept)
    do_pack(tuple(tcn))
    for ours, theirs in zip(tcn, alone, strict=True):
        assert sweeps.job.failure_of(ours.run) is None
        assert_alike(ours.run, theirs.run)
    do_pack(tuple(tcn))  # done: nothing is done again
    assert_alike(tcn[0].run, alone[0].run)


def test_a_run_that_fails_leaves_the_others(season, tmp_path, monkeypatch):
    tcn = [job for job in jobs_of(season, tmp_path, "out") if job.config.head.kind == "tcn"]
    trained = running.train_stacked_epoch

    def diverging(stack, runs, *, epoch):
        outcomes = trained(stack, runs, epoch=epoch)
        if epoch == 2 and len(outcomes) == 2:
            outcomes[0] = BallspotError("the loss of epoch 2 is nan; lower learning_rate (0.005)")
        return outcomes

    monkeypatch.setattr(running, "train_stacked_epoch", diverging)
    do_pack(tuple(tcn))
    failed = [job for job in tcn if sweeps.job.failure_of(job.run) is not None]
    assert len(failed) == 1 and "lower learning_rate" in str(sweeps.job.failure_of(failed[0].run))
    assert not (failed[0].run / "metrics.json").exists()
    (other,) = [job for job in tcn if job not in failed]
    assert (other.run / "metrics.json").is_file()


def test_without_memory_for_all_runs_are_trained_one_by_one(season, tmp_path, monkeypatch):
    tcn = [job for job in jobs_of(season, tmp_path, "out") if job.config.head.kind == "tcn"]
    done: list[Path] = []

    def full(*arguments):
        raise MemoryError

    monkeypatch.setattr(stacked_jobs, "run_stacked", full)
    monkeypatch.setattr(stacked_jobs, "do_job", lambda job, n_threads: done.append(job.run))
    do_pack(tuple(tcn))
    assert done == [job.run for job in tcn]


def brief_pair(season, tmp_path: Path) -> list[Job]:
    """Two runs of one shape, of one epoch each."""
    tcn = [job for job in jobs_of(season, tmp_path, "out") if job.config.head.kind == "tcn"]
    return [
        replace(
            job, config=changed_config(as_table(job.config), ["n_epochs=1", "epoch_frames=160"], source="the sweep")
        )
        for job in tcn
    ]


def assert_first_alone_failed(jobs: list[Job], said: str) -> None:
    failed, other = jobs
    assert said in str(sweeps.job.failure_of(failed.run)) and not (failed.run / "metrics.json").exists()
    assert sweeps.job.failure_of(other.run) is None and (other.run / "metrics.json").is_file()


def test_an_error_of_ours_is_kept_for_every_run_with_where_it_came_from(season, tmp_path, monkeypatch):
    pair = brief_pair(season, tmp_path)

    def broken(*arguments):
        return {}["a key"]

    monkeypatch.setattr(stacked_jobs, "run_stacked", broken)
    do_pack(tuple(pair))
    for job in pair:
        failure = json.loads(sweeps.job.failure_path(job.run).read_text())
        assert failure["error"] == "KeyError: 'a key'" and "in broken" in failure["traceback"]


def test_a_run_that_cannot_begin_leaves_the_others(season, tmp_path):
    first, second = brief_pair(season, tmp_path)
    pair = [replace(first, features=(tmp_path / "gone",)), second]
    do_pack(tuple(pair))
    assert_first_alone_failed(pair, f"{tmp_path / 'gone'}: ")


def test_a_run_whose_checkpoint_is_damaged_leaves_the_others(season, tmp_path, monkeypatch):
    pair = brief_pair(season, tmp_path)

    def killed(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(running, "keep_epoch", killed)
        do_pack(tuple(pair))
    (pair[0].run / "last.safetensors").write_bytes(b"no checkpoint")
    do_pack(tuple(pair))
    assert_first_alone_failed(pair, "last.safetensors: ")


def test_a_run_that_cannot_write_its_end_leaves_the_others(season, tmp_path, monkeypatch):
    pair = brief_pair(season, tmp_path)
    finished = running.finish_run

    def full(experiment, progress, *, key):
        if progress.run.path == pair[0].run:
            raise BallspotError(f"{progress.run.path}: cannot be written (No space left on device); free space")
        return finished(experiment, progress, key=key)

    monkeypatch.setattr(running, "finish_run", full)
    do_pack(tuple(pair))
    assert_first_alone_failed(pair, "No space left on device")


def test_packs_hold_jobs_of_one_shape_and_spare_no_worker(season, tmp_path):
    jobs = jobs_of(season, tmp_path, "out")
    kinds = [[job.config.head.kind for job in pack] for pack in packs(jobs, most=8)]
    assert sorted(kinds) == [["gru"], ["gru"], ["tcn", "tcn"]]
    assert [len(pack) for pack in packs(jobs, most=8, n_workers=2)] == [1, 1, 1, 1]
    assert [len(pack) for pack in packs(jobs[:1] * 9, most=4)] == [3, 3, 3]
    asked = packs((job for job in jobs), most=1)
    assert next(asked) == (jobs[0],)


@pytest.mark.parametrize(("text", "device", "size"), [("auto", "cuda:0", 8), ("auto", "cpu", 1), ("3", "cpu", 3)])
def test_what_stack_says(text: str, device: str, size: int):
    assert stack_size(text, device=device) == size


@pytest.mark.parametrize("text", ["0", "-1", "many", "٣", "1.5", ""])
def test_a_stack_that_is_no_number_is_refused(text: str):
    with pytest.raises(BallspotError, match="--stack"):
        stack_size(text, device="cpu")


def test_the_command_stacks_and_says_what_it_leaves_alone(season, tmp_path):
    path, out = tmp_path / "two.toml", tmp_path / "out"
    path.write_text(SWEEP.replace("n_epochs = 3", "n_epochs = 1"))
    line = ["sweep", path, season.features, "--data", season.data, "--out", out, "--device", "cpu", "--jobs", 1]
    result = ballspot(*line, "--stack", 2)
    assert result.exit_code == 0, result.output
    assert "--stack: head gru is recurrent" in result.stderr
    assert len(list(out.glob("*/seed-*/metrics.json"))) == 4
    refused = ballspot(*line, "--search", "optuna", "--stack", 2)
    assert refused.exit_code == 1 and "leave out --stack, or --search" in refused.stderr
