"""A fine-tuned run as a bundle: the backbone that it trained goes along, and gives what `extract` gives of it."""

import shutil
from pathlib import Path

import numpy as np
import torch
from click.testing import CliRunner

from ballspot.cache.stores.journal import Segment
from ballspot.cache.stores.store import FeatureStore
from ballspot.cli import main
from ballspot.extract.rows.segments import SegmentRunner
from ballspot.extract.video.probe import probe_video
from ballspot.temporal.bundle.bundle import load_bundle

SMALL = (
    "kind=gru", "width=16", "clip_frames=8", "pad_frames=2", "n_epochs=1", "warmup_epochs=0", "epoch_frames=32",
    "batch_clips=4", "decode_workers=0",
)  # fmt: skip
MATCH = "synth/drawn/match-01"
VALID = "synth/drawn/match-02"


def ballspot(*words: object) -> None:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output + result.stderr


def test_a_fine_tuned_backbone_with_shift_goes_along(brief, tmp_path):
    run, out = tmp_path / "run", tmp_path / "tuned.ballspot"
    settings = [word for one in SMALL for word in ("--set", one)]
    begin = ("--backbone", "regnety_002+gsf:s4", "--weights", "random:3", "--size", "64x96", "--device", "cpu")
    ballspot("finetune", brief, "--out", run, *begin, *settings)
    ballspot("extract", brief, "--out", tmp_path, "--weights", run, "--set", "f", "--match", MATCH, "--workers", 1)
    ballspot("export", run, "--format", "bundle", "--out", out)
    features = load_bundle(out).features[0]
    assert (features.origin, features.origin_name) == ("run", "run")
    with FeatureStore.open(tmp_path / "f" / f"{MATCH}.h5") as store:
        assert features.fingerprint == store.fingerprint
        stored = store.read()
    with SegmentRunner(features.job(device=torch.device("cpu"))) as runner:
        runner.open(probe_video(brief / MATCH / "64p.mp4"), "pyav")
        rows = [block.features["original"] for block in runner.rows(Segment(0, len(stored)), match=MATCH)]
    np.testing.assert_array_equal(features.project(np.concatenate(rows)), stored)
    ballspot("predict", out, tmp_path / "f", "--data", brief, "--split", "train", "--out", tmp_path / "spots")


def test_a_run_called_like_a_word_of_weights_keeps_the_backbone_that_it_trained(brief, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    begin = ("--backbone", "resnet10t", "--weights", "random:3", "--size", "64x96", "--device", "cpu")
    ballspot("finetune", brief, "--out", "random", *begin, *(word for one in SMALL for word in ("--set", one)))
    ballspot("export", "random", "--format", "bundle", "--out", "tuned.ballspot")  # refused were they others' numbers
    ballspot("extract", brief, "--out", ".", "--weights", "./random", "--set", "f", "--match", VALID, "--workers", 1)
    ballspot("predict", "random", "f", "--data", brief, "--split", "valid", "--out", "spots")
    ours, theirs = (np.load(Path(place) / VALID / "scores.npz") for place in ("random/predictions/valid", "spots"))
    for name in ours.files:
        np.testing.assert_array_equal(ours[name], theirs[name])


def test_pictures_that_a_backbone_cannot_read_end_a_fine_tuning_in_one_line(brief, tmp_path):
    words = ["finetune", brief, "--out", tmp_path / "run", "--backbone", "hrnet_w18_small", "--weights", "random"]
    result = CliRunner().invoke(main, list(map(str, [*words, "--size", "33x50", "--device", "cpu"])))
    assert result.exit_code == 1 and "cannot read (33, 50) pictures" in result.stderr, result.stderr


def test_a_fine_tuning_does_not_go_on_with_another_video(brief, tmp_path):
    data, run = tmp_path / "data", tmp_path / "run"
    shutil.copytree(brief, data)
    words = ["finetune", data, "--out", run, "--backbone", "resnet10t", "--weights", "random", "--size", "64x96"]
    words += ["--device", "cpu", *(word for one in SMALL for word in ("--set", one))]
    ballspot(*words)
    again = CliRunner().invoke(main, list(map(str, words)))
    assert again.exit_code == 0 and "is already done" in again.stderr
    for match in (MATCH, VALID):
        video = data / match / "64p.mp4"
        whole = video.read_bytes()
        video.write_bytes(whole + bytes(16))
        other = CliRunner().invoke(main, list(map(str, words)))
        assert other.exit_code == 1 and "holds another run (other features, videos or labels" in other.stderr, match
        video.write_bytes(whole)
