"""Sets that see motion and boxes: prediction makes their rows again, of a file, of a bundle and of a stream."""

import json
from pathlib import Path

import numpy as np

from ballspot.evaluate.dataset.spots import read_spots
from ballspot.temporal.decoding.scores import read_scores

from .test_predict import MATCH, remuxed, run, trained


def test_a_run_that_sees_motion_and_boxes_is_predicted_from_videos(drawn: Path, video: Path, tmp_path: Path) -> None:
    words = ["--backbone", "resnet10t", "--weights", "random:4", "--size", "48x72", "--stride", 2, "--motion", 3]
    boxes = ["--region", "map", "--region-size", "32x32", "--region-from", "64x96", "--region-count", 2]
    run("extract", drawn, "--out", tmp_path, "--set", "seen", *words, *boxes)
    wrong = ["train", tmp_path / "seen", "--data", drawn, "--run", tmp_path / "run", "--set", "cells=2"]
    assert "are of 3 cells; set cells=3" in run(*wrong, code=1).stderr
    path = trained(tmp_path / "seen", drawn, tmp_path / "run", "scaling=none", "clip_stride=2", "n_epochs=1",
                   "warmup_epochs=0", "cells=3", "fused_width=16")  # fmt: skip
    run("predict", path, tmp_path / "seen", "--data", drawn, "--split", "all", "--out", tmp_path / "stored")
    run("export", path, "--format", "bundle", "--out", tmp_path / "a.ballspot")
    (tmp_path / "seen").rename(tmp_path / "elsewhere")  # the bundle alone says what is seen
    run("predict", tmp_path / "a.ballspot", video, "--out", tmp_path / "own")
    stored, own = (read_scores(tmp_path / place / "scores.npz") for place in (f"stored/{MATCH}", "own/64p"))
    assert own.frame_index.tolist() == stored.frame_index.tolist()
    np.testing.assert_allclose(own.scores, stored.scores, atol=2e-6)
    copy = tmp_path / "a.ts"
    remuxed(video, copy)
    live = run("predict", tmp_path / "a.ballspot", copy, "--live", "--json", "--threshold", "0.01", "--idle", "0")
    told = {(line["label"], line["position"]) for line in map(json.loads, live.stdout.splitlines())}
    spots = read_spots(tmp_path / "own" / "64p" / "results_spotting.json")
    assert told == {(spot.label, spot.position_ms) for spot in spots if spot.confidence >= 0.01} and told
