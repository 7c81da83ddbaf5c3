import json
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labels import LabelArrays
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.temporal.clips.events import event_table
from ballspot.temporal.clips.sampling import draw_clips
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.load import as_table, load_config
from ballspot.temporal.features.resident import from_arrays
from ballspot.temporal.features.sources import open_source
from ballspot.temporal.heads.checkpoints import HeadDescription, read_checkpoint, restore_optimizer
from ballspot.temporal.training import epoch as training_module
from ballspot.temporal.training import progress as progress_module
from ballspot.temporal.training import provenance
from ballspot.temporal.training.epoch import (
    clip_targets,
    clips_an_epoch,
    epoch_seed,
    training_batches,
    training_material,
)
from ballspot.temporal.training.optimizer import make_optimizer
from ballspot.temporal.training.run import run_experiment
from ballspot.temporal.training.task import Experiment

LABELS = LabelSet("three", ("PASS", "DRIVE", "SHOT"), ("SHOT",))
SMALL = [
    "kind=transformer",
    "mixup_alpha=0.0",
    "label_radius=0",
    "clip_frames=20",
    "width=16",
    "n_layers=1",
    "n_attention_heads=2",
    "n_epochs=6",
    "warmup_epochs=1",
    "epoch_frames=4000",
    "batch_clips=16",
    "learning_rate=0.005",
]


def experiment_on(
    season, *settings: str, seed: int = 0, shuffle_labels: bool = False, preset: str = "fast"
) -> Experiment:
    return Experiment(
        config=load_config(preset, [*SMALL, *settings]),
        source=open_source(season.features),
        data=DataSelection(season.data, LABELS),
        seed=seed,
        shuffle_labels=shuffle_labels,
        device=torch.device("cpu"),
    )


def start(experiment: Experiment, path: Path) -> RunFolder:
    run = RunFolder(path)
    run.prepare(key=experiment.key(), record={"seed": experiment.seed}, config=as_table(experiment.config))
    return run


def train(experiment: Experiment, path: Path) -> RunFolder:
    run = start(experiment, path)
    run_experiment(experiment, run, key=experiment.key(), report=lambda line: None)
    return run


def what_decides(run: RunFolder) -> dict[str, object]:
    """All of a run but its times: bytes of both heads' tensors, predictions, log."""
    files = {
        str(path.relative_to(run.path)): path.read_bytes()
        for path in sorted((run.path / "predictions").rglob("*"))
        if path.is_file()
    }
    heads = {
        name: {key: tensor.numpy().tobytes() for key, tensor in read_checkpoint(run.path / name).head.items()}
        for name in ("best.safetensors", "last.safetensors")
    }
    log = [{key: value for key, value in line.items() if key != "epoch_s"} for line in run.log()]
    metrics = {key: value for key, value in run.metrics().items() if key not in ("train_s", "peak_memory_mb")}
    return {"files": files, "heads": heads, "log": log, "metrics": metrics}


@pytest.fixture(scope="module")
def trained(season, tmp_path_factory) -> RunFolder:
    return train(experiment_on(season), tmp_path_factory.mktemp("runs") / "first")


def test_a_head_learns_events_that_the_features_show_plainly(trained):
    log = trained.log()
    assert log[-1]["loss"] < 0.6 * log[0]["loss"]
    assert trained.metrics()["mean_ap"] > 0.5


def test_every_epoch_is_told_when_it_is_done(season, tmp_path):
    experiment, told = experiment_on(season), []
    run = start(experiment, tmp_path / "run")
    run_experiment(experiment, run, key=experiment.key(), report=told.append)
    lines = [line for line in told if line.startswith("epoch ")]
    assert [line.split("  ")[0] for line in lines] == [f"epoch {line['epoch']}/{len(run.log())}" for line in run.log()]
    assert all(f"loss {line['loss']:.4f}" in said for line, said in zip(run.log(), lines, strict=True))


def test_the_same_seed_gives_the_same_run_to_the_bit(trained, season, tmp_path):
    assert what_decides(train(experiment_on(season), tmp_path / "again")) == what_decides(trained)


def test_another_seed_gives_another_run(trained, season, tmp_path):
    other = what_decides(train(experiment_on(season, seed=1), tmp_path / "other"))
    assert other["heads"] != what_decides(trained)["heads"]


@pytest.mark.parametrize("n_writes", [1, 3, 4, 7])
def test_a_run_killed_while_it_writes_a_checkpoint_resumes_to_the_same_bits(
    trained, season, tmp_path, monkeypatch, n_writes
):
    """Killed in place of its n-th checkpoint, so between best and last as well as between epochs."""

    class KilledError(Exception):
        pass

    written = 0
    honest = progress_module.write_checkpoint

    def write_or_die(*arguments, **settings):
        nonlocal written
        if written == n_writes:
            raise KilledError
        written += 1
        honest(*arguments, **settings)

    experiment = experiment_on(season)
    run = start(experiment, tmp_path / "killed")
    monkeypatch.setattr(progress_module, "write_checkpoint", write_or_die)
    with pytest.raises(KilledError):
        run_experiment(experiment, run, key=experiment.key(), report=lambda line: None)
    monkeypatch.setattr(progress_module, "write_checkpoint", honest)
    assert not run.is_done
    run.prepare(key=experiment.key(), record={}, config=as_table(experiment.config))
    run_experiment(experiment, run, key=experiment.key(), report=lambda line: None)
    assert what_decides(run) == what_decides(trained)


def test_the_result_does_not_depend_on_chance_drawn_before_and_leaves_it_untouched(trained, season, tmp_path):
    torch.manual_seed(99)
    expected_next = torch.Generator().manual_seed(99)
    run = train(experiment_on(season), tmp_path / "again")
    assert what_decides(run) == what_decides(trained)
    assert torch.equal(torch.rand(3), torch.rand(3, generator=expected_next))


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_commit_is_the_package_s_own_and_not_that_of_a_repository_around_it(tmp_path, monkeypatch):
    def git(*words: str) -> str:
        who = ("-c", "user.name=a", "-c", "user.email=a@b")
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "-q")
    git("commit", "-q", "--allow-empty", "-m", "first")
    for package in (tmp_path, tmp_path / "venv" / "site-packages" / "ballspot"):
        (package / "temporal" / "training").mkdir(parents=True)
        monkeypatch.setattr(provenance, "__file__", str(package / "temporal" / "training" / "provenance.py"))
        assert provenance.git_commit() == (git("rev-parse", "HEAD").strip() if package == tmp_path else None)


def test_metrics_are_those_of_the_written_predictions(trained, season):
    scored = evaluate_predictions(
        trained.path / "predictions" / "valid", DataSelection(season.data, LABELS), season.names[2:3]
    )
    metrics = trained.metrics()
    assert metrics["mean_ap"] == pytest.approx(scored.result.mean_ap, abs=1e-12)
    assert metrics["headline_ap"] == pytest.approx(float(scored.result.ap[:2].mean()), abs=1e-12)
    assert {label: entry["ap"] for label, entry in metrics["per_class"].items()} == pytest.approx(
        dict(zip(LABELS.labels, scored.result.ap.tolist(), strict=True)), abs=1e-12
    )
    assert {label: entry["n_truth"] for label, entry in metrics["per_class"].items()} == dict(
        zip(LABELS.labels, scored.result.n_truth.tolist(), strict=True)
    )


def test_the_kept_head_is_the_one_of_the_best_epoch(trained):
    log, metrics = trained.log(), trained.metrics()
    best = max(log, key=lambda line: line["valid_mean_ap"])  # the first of equals
    assert metrics["best_epoch"] == best["epoch"]
    assert read_checkpoint(trained.path / "best.safetensors").progress.best_epoch == best["epoch"]
    assert [line["epoch"] for line in log] == [1, 2, 3, 4, 5, 6]


def test_checkpoints_carry_config_and_label_set_in_their_header(trained, season):
    for name in ("best.safetensors", "last.safetensors"):
        with safe_open(trained.path / name, framework="pt") as file:
            header = json.loads(file.metadata()["ballspot"])
        assert header["config"] == json.loads(json.dumps(as_table(experiment_on(season).config)))
        assert header["label_set"] == {"name": "three", "labels": list(LABELS.labels), "headline_excludes": ["SHOT"]}
        assert header["dims"] == [16]


def test_a_finished_run_keeps_no_optimizer(trained):
    assert read_checkpoint(trained.path / "last.safetensors").optimizer == {}


def test_an_optimizer_is_restored_exactly(season):
    description = HeadDescription(experiment_on(season).config, LABELS, (16,), "f")
    heads = [description.build() for _ in range(2)]
    heads[1].load_state_dict(heads[0].state_dict())
    first = make_optimizer(heads[0], description.config)
    sum(parameter.square().sum() for parameter in heads[0].parameters()).backward()
    first.step()
    kept = {
        f"{name}.{key}": value
        for name, parameter in heads[0].named_parameters()
        for key, value in first.state[parameter].items()
    }
    heads[1].load_state_dict(heads[0].state_dict())
    second = make_optimizer(heads[1], description.config)
    restore_optimizer(second, heads[1], kept)
    for head in heads:
        for parameter in head.parameters():
            parameter.grad = torch.full_like(parameter, 0.3)
    first.step()
    second.step()
    for ours, theirs in zip(heads[0].parameters(), heads[1].parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("settings", [[], ["class_loss=sigmoid", "label_sd=1.0"], ["teams=labels"]])
def test_targets_made_for_many_batches_at_once_are_those_of_each_batch_alone(monkeypatch, settings):
    config = load_config("original-fixed", ["clip_frames=20", "batch_clips=4", *settings])
    features = from_arrays({"a": np.zeros((300, 2)), "b": np.zeros((90, 2))})
    features = replace(features, rows=features.rows.repeat(2, 1), views=("original", "hflip"))
    frames = np.arange(3, 90, 9)
    count = len(frames)
    label = LabelArrays(frames, np.arange(count) % 3, np.arange(count) % 2, np.ones(count, dtype=bool), 0, 0)
    events = event_table([label, label], n_labels=3, sided=config.head.teams == "labels")
    material = training_material(features, events, config)
    generator = torch.Generator().manual_seed(0)
    clips = draw_clips(features, 30, ClipGrid.of(config, 1), pad_frames=5, generator=generator)
    monkeypatch.setattr(training_module, "CLIPS_AT_ONCE", 12)
    batches = list(training_batches(material, clips, config))
    assert [len(batch.frames) for batch in batches] == [4] * 7 + [2]
    for index, wanted in enumerate(batch.wanted for batch in batches):
        alone = clip_targets(material, clips.part(4 * index, 4 * index + 4), config)
        for ours, theirs in zip(vars(wanted).values(), vars(alone).values(), strict=True):
            assert (ours is None and theirs is None) or torch.equal(ours.nan_to_num(nan=-9), theirs.nan_to_num(nan=-9))


@pytest.mark.parametrize("head", ["tcn", "transformer", "multires"])
@pytest.mark.parametrize("preset", ["best", "original"])
def test_every_head_trains_under_every_preset(season, tmp_path, head, preset):
    settings = [f"kind={head}", "n_epochs=1", "warmup_epochs=0", "epoch_frames=160"]
    run = train(experiment_on(season, *settings, preset=preset), tmp_path / "run")
    assert run.is_done
    assert 0.0 <= run.metrics()["mean_ap"] <= 1.0


def test_shuffled_labels_make_another_run_that_learns_no_times(trained, season, tmp_path):
    control = experiment_on(season, shuffle_labels=True)
    assert control.key() != experiment_on(season).key()
    run = train(control, tmp_path / "control")
    assert run.metrics()["mean_ap"] < 0.6 * trained.metrics()["mean_ap"]
    # Validation is untouched: the same truths are scored.
    assert {label: entry["n_truth"] for label, entry in run.metrics()["per_class"].items()} == {
        label: entry["n_truth"] for label, entry in trained.metrics()["per_class"].items()
    }


def test_features_scaled_by_the_training_matches_keep_the_scaling_with_the_head(season, tmp_path):
    run = train(experiment_on(season, "scaling=train", "n_epochs=2"), tmp_path / "run")
    scaling = read_checkpoint(run.path / "best.safetensors").scaling
    assert scaling is not None
    assert scaling.mean.shape == scaling.sd.shape == (16,)
    scored = evaluate_predictions(
        run.path / "predictions" / "valid", DataSelection(season.data, LABELS), season.names[2:3]
    )
    assert run.metrics()["mean_ap"] == pytest.approx(scored.result.mean_ap, abs=1e-12)


def test_validation_can_be_rarer_but_never_misses_the_last_epoch(season, tmp_path):
    run = train(experiment_on(season, "n_epochs=3", "validation_every_epochs=2"), tmp_path / "run")
    assert ["valid_mean_ap" in line for line in run.log()] == [False, True, True]


def test_the_key_changes_with_whatever_changes_the_result(season, tmp_path):
    base = experiment_on(season)
    moved = tmp_path / "data"
    shutil.copytree(season.data, moved)
    labels = moved / season.names[0] / "Labels-ball.json"
    labels.write_text(labels.read_text().replace('"PASS"', '"DRIVE"', 1))
    shorter = tmp_path / "splits.toml"
    parts = {**base.splits.by_part, "train": base.splits.train[:1]}
    shorter.write_text("".join(f"{part} = {json.dumps(names)}\n" for part, names in parts.items()))
    others = [
        experiment_on(season, seed=1),
        experiment_on(season, "n_epochs=7"),
        replace(base, data=DataSelection(moved, LABELS)),
        replace(base, data=DataSelection(season.data, LABELS, shorter)),
        replace(base, data=DataSelection(season.data, LabelSet("three", LABELS.labels[::-1]))),
    ]
    keys = {experiment.key() for experiment in [base, *others]}
    assert len(keys) == 6
    assert base.key() == experiment_on(season).key()


def test_an_epoch_is_the_frames_asked_for_or_1_7_passes_over_the_grid():
    matches = {"a": torch.zeros(1000, 1).numpy(), "b": torch.zeros(501, 1).numpy()}
    features = from_arrays(matches)
    # 500 + 251 frames of every second one; 1.7 * 751 / 50 = 25.5 clips.
    assert clips_an_epoch(features, load_config("best")) == 26
    assert clips_an_epoch(features, load_config("original")) == 10_000
    assert clips_an_epoch(features, load_config("best", ["epoch_frames=10"])) == 1


def test_epochs_draw_different_chance():
    seeds = {epoch_seed(seed, epoch) for seed in range(20) for epoch in range(50)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_a_training_split_without_events_is_refused(season, tmp_path):
    nothing = LabelSet("other", LABELS.labels)
    data = tmp_path / "data"
    shutil.copytree(season.data, data)
    for name in season.names[:2]:
        (data / name / "Labels-ball.json").write_text('{"annotations": []}')
    experiment = replace(experiment_on(season), data=DataSelection(data, nothing))
    with pytest.raises(BallspotError, match="no event in the training matches"):
        train(experiment, tmp_path / "run")


def test_a_diverging_run_stops_with_the_remedy(season, tmp_path):
    with pytest.raises(BallspotError, match="lower learning_rate"):
        train(experiment_on(season, "learning_rate=1e30", "warmup_start=1.0"), tmp_path / "run")


def test_a_damaged_checkpoint_is_refused(trained, tmp_path):
    path = tmp_path / "best.safetensors"
    path.write_bytes((trained.path / "best.safetensors").read_bytes()[:200])
    with pytest.raises(BallspotError, match="holds no head"):
        read_checkpoint(path)
    os.truncate(path, 0)
    with pytest.raises(BallspotError, match="holds no head"):
        read_checkpoint(path)
    with pytest.raises(BallspotError, match="no such checkpoint"):
        read_checkpoint(tmp_path / "none.safetensors")
