"""`train --init RUN`: a head begins with what another one has learned; classes go by their names."""

import json
from pathlib import Path

import pytest
import torch

from ballspot.temporal.heads.checkpoints import read_checkpoint

from .test_train import SMALL, ballspot


@pytest.fixture(scope="module")
def first(season, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "first"
    result = ballspot("train", season.features, "--data", season.data, "--run", path, *SMALL)
    assert result.exit_code == 0, result.output
    return path


def alike(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Equal but for the few smallest steps of `still`."""
    return torch.allclose(one, other, rtol=0, atol=1e-3)


def still(*words: object) -> tuple[object, ...]:
    """Settings under which training changes next to nothing: what is there at the end is what a head began with."""
    return (*words, "--device", "cpu", "--set", "learning_rate=1e-30", "--set", "weight_decay=0", "--set", "n_epochs=1")


def test_a_head_begins_with_the_other_one_in_its_own_configuration(first, season, tmp_path):
    words = ("train", season.features, "--data", season.data, "--run", tmp_path / "run", "--init", first)
    result = ballspot(*still(*words))
    assert result.exit_code == 0, result.output
    assert f"begins with {first / 'best.safetensors'}" in result.stderr
    one, other = (read_checkpoint(path / "best.safetensors") for path in (first, tmp_path / "run"))
    assert one.description.config.head == other.description.config.head
    assert all(alike(one.head[name], other.head[name]) for name in one.head)
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert len(record["init"]["sha256"]) == 64
    assert "already done" in ballspot(*still(*words)).stderr
    refused = ballspot(*still("train", season.features, "--data", season.data, "--run", tmp_path / "run"), *SMALL)
    assert refused.exit_code == 1 and "holds another run" in refused.stderr


def test_classes_go_by_their_names_and_a_new_one_begins_anew(first, season, tmp_path):
    old = read_checkpoint(first / "best.safetensors").description.label_set.labels
    labels = [old[3], "NEW", *old[:3], *old[4:]]
    (tmp_path / "own.toml").write_text(f"labels = {json.dumps(labels)}\n")
    words = ("train", season.features, "--data", season.data, "--run", tmp_path / "run", "--init", first)
    result = ballspot(*still(*words, "--labels", tmp_path / "own.toml"))
    assert result.exit_code == 0, result.output
    assert "new classes: NEW" in result.stderr
    one, other = (read_checkpoint(path / "best.safetensors").head for path in (first, tmp_path / "run"))
    for name in ("class_layer.weight", "class_layer.bias"):
        assert alike(other[name][0], one[name][0])
        for place, label in enumerate(labels):
            if label != "NEW":
                assert alike(other[name][1 + place], one[name][1 + old.index(label)])
    assert all(alike(one[name], other[name]) for name in one if name.startswith("trunk."))


def test_a_head_of_another_shape_is_refused_before_anything_is_written(first, season, tmp_path):
    words = ("train", season.features, "--data", season.data, "--run", tmp_path / "run", "--init", first)
    result = ballspot(*words, "--set", "width=32")
    assert result.exit_code == 1
    assert f"--init {first}: its head has trunk." in result.stderr and "leave out --preset" in result.stderr
    assert not (tmp_path / "run").exists()
    result = ballspot("train", season.features, "--data", season.data, "--run", tmp_path / "run", "--init", tmp_path)
    assert result.exit_code == 1 and "no trained head in it (best.safetensors is missing)" in result.stderr


def test_a_head_of_clips_of_one_length_says_which_clip_frames_to_set(season, tmp_path):
    of_tdeed = (
        *SMALL,
        "--head",
        "sgp-mixer",
        "--set",
        "unet_levels=1",
        "--set",
        "n_epochs=1",
        "--set",
        "warmup_epochs=0",
    )
    words = ("train", season.features, "--data", season.data)
    result = ballspot(*words, "--run", tmp_path / "first", *of_tdeed)
    assert result.exit_code == 0, result.output
    n_frames = read_checkpoint(tmp_path / "first" / "best.safetensors").description.config.clips.clip_frames
    further = (*words, "--run", tmp_path / "run", "--init", tmp_path / "first")
    result = ballspot(*still(*further, "--set", "clip_frames=24"))
    assert result.exit_code == 1
    assert result.stderr.strip().splitlines()[-1] == (
        f"Error: --init {tmp_path / 'first'}: its head has learned positions of clips of {n_frames} frames, this one's "
        f"have 24; give --set clip_frames={n_frames}"
    )
    assert not (tmp_path / "run").exists()
    result = ballspot(*still(*further))
    assert result.exit_code == 0, result.output
    one, other = (read_checkpoint(tmp_path / name / "best.safetensors").head for name in ("first", "run"))
    assert all(alike(one[name], other[name]) for name in one)
