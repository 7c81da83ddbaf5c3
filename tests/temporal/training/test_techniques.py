"""Every option of stage two in real runs: all repeat themselves to the bit, killed in the middle or not."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from click.testing import Result

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.temporal.config.sections import TrainingSection
from ballspot.temporal.decoding.scores import read_scores, write_scores
from ballspot.temporal.heads.checkpoints import Progress, read_checkpoint
from ballspot.temporal.training import run as experiment_module
from ballspot.temporal.training.progress import is_over

from ...commands import ballspot
from ..small import SMALL

TECHNIQUES = {
    "average": ["ema_decay=0.9", "kind=adaspot"],
    "sharpness": ["sam_rho=0.05", "gradient_clip=1.0"],
    "changed clips": ["mixup_alpha=0.2", "temporal_drop=0.5", "frame_switch=0.3", "index_jitter=0.4"],
    "near": ["sampling=near-actions", "label_radius=1", "offset_background=zero", "offset_loss=mse"],
    "balanced sides": ["sampling=class-balanced", "teams=labels", "label_sd=1.0", "mixup_alpha=0.2"],
    "sigmoid": ["class_loss=sigmoid", "offset_loss=huber", "mixup_alpha=0.2", "class_weights=constant"],
    "team head": ["teams=head", "kind=gru", "window_overlap=0.75", "centre_share=0.5"],
    "mapped encoder-decoder": ["kind=unet", "resident_limit_gb=1e-9", "suppression=peaks"],
    "published encoder-decoder": ["kind=tdeed"],
}


def train(season, run, *settings: str, more: tuple[object, ...] = ()) -> Result:
    words = [word for setting in settings for word in ("--set", setting)]
    result = ballspot("train", season.features, "--data", season.data, "--run", run, *SMALL, *words, *more)
    assert result.exit_code == 0, result.output
    return result


def heads(run) -> dict[str, bytes]:
    return {
        f"{name} {key}": tensor.numpy().tobytes()
        for name in ("best", "last")
        for key, tensor in read_checkpoint(run / f"{name}.safetensors").head.items()
    }


@pytest.mark.parametrize("name", TECHNIQUES)
def test_every_technique_trains_and_a_killed_run_resumes_to_the_same_bits(season, tmp_path, monkeypatch, name):
    train(season, tmp_path / "whole", *TECHNIQUES[name])
    honest = experiment_module.train_epoch

    def second_epoch_dies(*arguments, epoch, **settings):
        if epoch == 2:
            raise BallspotError("killed")
        return honest(*arguments, epoch=epoch, **settings)

    monkeypatch.setattr(experiment_module, "train_epoch", second_epoch_dies)
    words = [word for setting in TECHNIQUES[name] for word in ("--set", setting)]
    killed = ballspot("train", season.features, "--data", season.data, "--run", tmp_path / "killed", *SMALL, *words)
    assert "killed" in killed.stderr
    monkeypatch.setattr(experiment_module, "train_epoch", honest)
    train(season, tmp_path / "killed", *TECHNIQUES[name])
    assert heads(tmp_path / "killed") == heads(tmp_path / "whole")
    metrics = [RunFolder(tmp_path / run).metrics() for run in ("whole", "killed")]
    assert metrics[0]["per_class"] == metrics[1]["per_class"]


def test_features_in_a_mapped_file_give_the_same_run_as_in_memory(season, tmp_path):
    train(season, tmp_path / "resident")
    train(season, tmp_path / "mapped", "resident_limit_gb=1e-9")
    assert heads(tmp_path / "resident") == heads(tmp_path / "mapped")


def test_the_kept_head_is_the_average_and_not_the_weights_of_the_last_step(season, tmp_path):
    train(season, tmp_path / "plain", "ema_decay=0")
    train(season, tmp_path / "average", "ema_decay=0.9")
    last = [read_checkpoint(tmp_path / run / "last.safetensors") for run in ("plain", "average")]
    assert any(not torch.equal(last[0].head[name], last[1].head[name]) for name in last[0].head)
    assert last[1].average == {}


def test_several_seeds_are_the_runs_that_single_commands_make(season, tmp_path):
    result = train(season, tmp_path / "runs", more=("--seeds", 2, "--seed", 3))
    assert "2 seeds, valid mAP@1 mean" in result.stdout
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == ["seed-3", "seed-4"]
    train(season, tmp_path / "single", more=("--seed", 4))
    assert heads(tmp_path / "single") == heads(tmp_path / "runs" / "seed-4")
    again = train(season, tmp_path / "runs", more=("--seeds", 3, "--seed", 3))
    assert again.stderr.count("already done") == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--seed", 2**63), "is not in the range"),
        (("--seed", 2**63 - 1, "--seeds", 2), f"--seeds 2: from --seed {2**63 - 1} on they pass 2**63 - 1"),
    ],
)
def test_a_seed_that_no_bundle_could_hold_is_refused(season, tmp_path, words, told):
    asked = ("train", season.features, "--data", season.data, "--run", tmp_path / "run", *words)
    result = ballspot(*asked)
    assert result.exit_code in (1, 2) and told in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_of_several_seeds_predicts_the_mean_of_their_scores(season, tmp_path):
    train(season, tmp_path / "runs", more=("--seeds", 2))
    arguments = (season.features, "--data", season.data, "--split", "test")
    for run in ("runs", "runs/seed-0", "runs/seed-1"):
        assert ballspot("predict", tmp_path / run, *arguments, "--out", tmp_path / "out" / run).exit_code == 0
    scores = [
        read_scores(tmp_path / "out" / run / season.names[3] / "scores.npz").scores
        for run in ("runs/seed-0", "runs/seed-1", "runs")
    ]
    np.testing.assert_allclose(scores[2], (scores[0] + scores[1]) / 2, atol=1e-6)
    both = ballspot(
        "predict", tmp_path / "runs/seed-0", *arguments, "--with", tmp_path / "runs/seed-1", "--out", tmp_path / "both"
    )
    assert both.exit_code == 0
    again = read_scores(tmp_path / "both" / season.names[3] / "scores.npz").scores
    np.testing.assert_array_equal(again, scores[2])


def test_runs_on_different_grids_cannot_be_averaged(season, tmp_path):
    train(season, tmp_path / "all")
    train(season, tmp_path / "one", "phases=one")
    result = ballspot("predict", tmp_path / "all", season.features, "--data", season.data, "--with", tmp_path / "one")
    assert result.exit_code == 1
    assert "cannot be averaged" in result.stderr


@pytest.mark.parametrize("teams", ["head", "labels"])
def test_a_head_that_knows_teams_writes_them(season, tmp_path, teams):
    train(season, tmp_path / "run", f"teams={teams}", "n_epochs=4", "learning_rate=0.005", "epoch_frames=4000")
    spots = json.loads((tmp_path / "run/predictions/valid" / season.names[2] / "results_spotting.json").read_text())[
        "predictions"
    ]
    assert {spot["team"] for spot in spots} <= {"left", "right"}
    saved = read_scores(tmp_path / "run/predictions/valid" / season.names[2] / "scores.npz")
    assert saved.right_share is not None
    assert saved.right_share.shape == saved.scores.shape == (700, 12)
    # Every event of this season is the left team's.
    left = sum(spot["team"] == "left" for spot in spots if spot["label"] in ("PASS", "DRIVE", "SHOT"))
    assert left > 0.9 * sum(spot["label"] in ("PASS", "DRIVE", "SHOT") for spot in spots)


def test_two_sets_are_trained_on_and_predict_wants_both_in_order(season, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(season.features, other)
    train(season, tmp_path / "run", more=("--features", other))
    arguments = ("predict", tmp_path / "run", season.features, "--data", season.data)
    alone = ballspot(*arguments)
    assert alone.exit_code == 1
    assert "several sets (--features) in the same order" in alone.stderr
    assert ballspot(*arguments, "--features", other).exit_code == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["features"]["set"] == "features+other"


def test_training_stops_early_when_nothing_gets_better(season, tmp_path):
    train(season, tmp_path / "run", "n_epochs=30", "early_stop_epochs=2", "learning_rate=1e-12",
          "final_learning_rate=0.0")  # fmt: skip
    log = RunFolder(tmp_path / "run").log()
    assert len(log) < 30
    assert RunFolder(tmp_path / "run").metrics()["best_epoch"] == len(log) - 2
    assert read_checkpoint(tmp_path / "run" / "last.safetensors").optimizer == {}


def test_training_never_stops_before_a_validation_had_its_chance():
    section = TrainingSection(n_epochs=30, early_stop_epochs=3, validation_every_epochs=5)
    over = [is_over(Progress(done, best_epoch=5, best_mean_ap=0.5, train_s=0.0), section) for done in range(5, 31)]
    assert over == [done in (10, 15, 20, 25, 30) for done in range(5, 31)]


def test_hard_negatives_want_scores_of_every_training_match(season, tmp_path):
    words = ("--set", "sampling=hard-negatives")
    command = ("train", season.features, "--data", season.data, *SMALL, *words)
    nothing = ballspot(*command, "--run", tmp_path / "run")
    assert nothing.exit_code == 1
    assert "give their folder with --mistakes" in nothing.stderr
    train(season, tmp_path / "earlier")
    predicted = ballspot(
        "predict", tmp_path / "earlier", season.features, "--data", season.data, "--split", "train",
        "--out", tmp_path / "mistakes",
    )  # fmt: skip
    assert predicted.exit_code == 0
    done = ballspot(*command, "--run", tmp_path / "run", "--mistakes", tmp_path / "mistakes")
    assert done.exit_code == 0, done.output
    path = tmp_path / "mistakes" / season.names[0] / "scores.npz"
    saved = read_scores(path)
    write_scores(path, replace(saved, labels=saved.labels[::-1]))
    foreign = ballspot(*command, "--run", tmp_path / "foreign", "--mistakes", tmp_path / "mistakes")
    assert foreign.exit_code == 1
    assert f"{path}: scores of GOAL" in foreign.stderr
    path.unlink()
    missing = ballspot(*command, "--run", tmp_path / "other", "--mistakes", tmp_path / "mistakes")
    assert f"no scores of training match '{season.names[0]}'" in missing.stderr


def test_tune_improves_a_runs_validation_and_predict_uses_it(season, tmp_path):
    train(season, tmp_path / "run", "suppression=hard", "nms_window=1")
    result = ballspot("tune", tmp_path / "run", "--data", season.data, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["mean_ap_before"] == pytest.approx(RunFolder(tmp_path / "run").metrics()["mean_ap"], abs=1e-9)
    assert found["mean_ap_after"] >= found["mean_ap_before"]
    predicted = ballspot(
        "predict", tmp_path / "run", season.features, "--data", season.data, "--split", "valid",
        "--tuned", tmp_path / "run" / "tuned.json", "--out", tmp_path / "out",
    )  # fmt: skip
    assert predicted.exit_code == 0, predicted.output
    scored = ballspot("evaluate", tmp_path / "out", "--data", season.data, "--split", "valid", "--json")
    assert json.loads(scored.stdout)["mean_ap"] == pytest.approx(found["mean_ap_after"], abs=1e-9)


def test_tune_works_on_the_mean_of_several_seeds(season, tmp_path):
    runs = tmp_path / "runs"
    train(season, runs, "nms_window=1", more=("--seeds", 2))
    early = ballspot("tune", runs, "--data", season.data)
    assert early.exit_code == 1
    assert f"ballspot predict {runs} FEATURES" in early.stderr
    predicted = ballspot("predict", runs, season.features, "--data", season.data, "--split", "valid")
    assert predicted.exit_code == 0, predicted.output
    found = ballspot("tune", runs, "--data", season.data, "--json")
    assert found.exit_code == 0, found.output
    scored = ballspot("evaluate", runs / "predictions/valid", "--data", season.data, "--split", "valid", "--json")
    # "Before" is the seeds' own post-processing, not that of a preset.
    assert json.loads(found.stdout)["mean_ap_before"] == pytest.approx(json.loads(scored.stdout)["mean_ap"], abs=1e-9)


def test_the_probe_finds_events_that_single_frames_show(season):
    result = ballspot("probe", season.features, "--data", season.data, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["per_class"]["PASS"]["ap"] > 0.3
    assert found["per_class"]["GOAL"] == {"ap": 0.0, "n_truth": 0}
    assert "PASS" in ballspot("probe", season.features, "--data", season.data).stdout
