"""Fine-tuning that sees motion, of a MobileNet with temporal shift: what it leaves is extracted and predicted alike."""

import json
from pathlib import Path

import numpy as np

from ballspot.cache.stores import open_feature_set

from .test_run import ballspot, words_for


def test_a_run_on_motion_says_so_to_extract_and_gives_the_same_scores(brief: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    ballspot([*words_for(brief, run, "n_epochs=1", backbone="mobilenetv2_035+gsf:s4"), "--motion", "2"])
    words = ["extract", brief, "--out", tmp_path, "--weights", run, "--set", "tuned", "--workers", 1]
    ballspot(list(map(str, words)))
    feature_set = open_feature_set(tmp_path / "tuned")
    with feature_set.open(next(iter(feature_set.stores))) as store:
        assert store.spec.motion == 2
    predict = ["predict", run, tmp_path / "tuned", "--data", brief, "--split", "valid", "--out", tmp_path / "cached"]
    ballspot([*map(str, predict), "--device", "cpu"])
    (path,) = (run / "predictions" / "valid").rglob("results_spotting.json")
    cached = tmp_path / "cached" / path.relative_to(run / "predictions" / "valid")
    ours, theirs = (json.loads(one.read_text())["predictions"] for one in (cached, path))
    assert [(one["label"], one["position"]) for one in ours] == [(one["label"], one["position"]) for one in theirs]
    found = [[float(one["confidence"]) for one in spots] for spots in (ours, theirs)]
    np.testing.assert_allclose(*found, atol=1e-3)
