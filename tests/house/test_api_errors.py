"""What the Python interface refuses, in one line that names the value, and what it leaves then: nothing."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ballspot
from ballspot import BallspotError, Spot
from ballspot.temporal.bundle import Bundle
from ballspot.temporal.config import Procedure
from ballspot.temporal.heads.checkpoints import read_checkpoint, write_checkpoint

ROWS = np.zeros((3, 2), np.float32)
MATCH = "synth/drawn/match-03"


def test_a_match_that_a_set_lacks_has_the_default(shared) -> None:
    features = ballspot.open_features(shared.plain)
    assert features.get("x") is None and features.get("x", 7) == 7
    np.testing.assert_array_equal(features.get(MATCH), features[MATCH])


@pytest.mark.parametrize(
    ("arrays", "dtype", "said"),
    [
        ({"a": np.zeros(3)}, "float16", r"match 'a': rows \(3,\) of float64 are not finite float16 numbers \(n, d\)"),
        ({"a": ROWS, "b": ROWS[:, :0]}, "float16", r"match 'b': rows \(3, 0\) "),
        ({"a": np.full((3, 2), 1e6)}, "float16", "are not finite float16 numbers"),
        ({"a": np.full((3, 2), np.nan)}, "float32", "are not finite float32 numbers"),
        ({"a": ROWS.astype(str)}, "float32", "of <U32 are not finite float32 numbers"),
        ({"": ROWS}, "float16", "match name '' leads out of the feature set; rename it"),
        ({"a/../../b": ROWS}, "float16", "match name 'a/../../b' leads out of the feature set; rename it"),
        ({"/a": ROWS}, "float16", "match name '/a' leads out of the feature set; rename it"),
        ({"a": ROWS}, "int4", "dtype 'int4': known are float16, float32, int8"),
        ({}, "float16", "set: no match to write; give the rows of at least one"),
    ],
)
def test_rows_that_cannot_be_written_leave_no_set(
    arrays: Mapping[str, np.ndarray], dtype: str, said: str, tmp_path: Path
) -> None:
    with pytest.raises(BallspotError, match=said):
        ballspot.write_features(tmp_path / "set", arrays, fps=25, dtype=dtype)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("predictions", "truth", "said"),
    [
        ({"m": []}, "data", "give files for both predictions and truth, or spots for both"),
        ({"m": []}, {"m": [Spot("KICK", 1000)]}, "match 'm': .*KICK"),
        *(
            (
                {"m": [Spot("PASS", 1000, confidence=0.5), Spot("PASS", 2000, confidence=value)]},
                {"m": [Spot("PASS", 1000)]},
                f"match 'm': a prediction has {said}; give a finite one to each",
            )
            for value, said in (
                (None, "no confidence"),
                (float("nan"), "confidence nan"),
                (float("inf"), "confidence inf"),
            )
        ),
    ],
)
def test_spots_that_cannot_be_scored_are_told(predictions: Any, truth: Any, said: str) -> None:
    with pytest.raises(BallspotError, match=f"^evaluate_spots: {said}"):
        ballspot.evaluate_spots(predictions, truth)


@pytest.mark.parametrize("scores", [np.zeros(4), np.zeros((4, 3)), np.full((4, 2), np.nan)])
def test_scores_of_another_shape_stand_for_no_spots(scores: np.ndarray) -> None:
    with pytest.raises(
        BallspotError, match=re.escape(f"scores {scores.shape} for 2 labels; give finite ones, one column")
    ):
        ballspot.spots_of_scores(scores, ["A", "B"])


def test_a_folder_of_several_videos_is_not_predicted_as_one(shared) -> None:
    with pytest.raises(BallspotError, match=rf"^{shared.data}: holds 3 videos; give one of them$"):
        ballspot.load_run(shared.plain_run).predict(shared.data)


def test_rows_are_not_scored_by_what_sees_pictures_or_mirrored_rows(shared, tmp_path: Path) -> None:
    rows = ballspot.open_features(shared.plain)[MATCH]
    run = ballspot.load_run(shared.plain_run)
    procedure = Procedure(system="E2E-Spot", size=(64, 96), clip_rows=10, overlap_rows=5, padding="mean")
    bundle: Bundle = replace(run.bundle, procedure=procedure)
    with pytest.raises(BallspotError, match="is an adopted model, which sees whole clips of pictures; predict a video"):
        replace(run, bundle=bundle).score(rows)
    shutil.copytree(shared.plain_run, tmp_path / "run")
    kept = read_checkpoint(path := tmp_path / "run" / "best.safetensors")
    config = kept.description.config
    mirrored = config.model_copy(update={"prediction": config.prediction.model_copy(update={"flip_average": True})})
    described, head = replace(kept.description, config=mirrored), kept.load("cpu")
    write_checkpoint(path, description=described, head=head, progress=kept.progress, scaling=kept.scaling)
    with pytest.raises(
        BallspotError, match=r"scores mirrored rows too \(flip_average\); predict from stores or a video"
    ):
        ballspot.load_run(tmp_path / "run").spots(rows)
