"""The public Python interface: each name does what its docstring says, on stores, labels and heads made here."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import ballspot
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.temporal.decoding.scores import read_scores


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, ballspot; ballspot.__version__; print([m for m in ('torch', 'numpy', 'h5py') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there_documented_and_no_other() -> None:
    for name in ballspot.__all__:
        value = getattr(ballspot, name)
        assert name == "__version__" or value.__doc__, name
    assert dir(ballspot) == sorted(ballspot.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = ballspot.nothing  # pyright: ignore[reportAttributeAccessIssue]


def test_features_are_a_mapping_of_arrays(shared) -> None:
    features = ballspot.open_features(shared.plain)
    name = "synth/drawn/match-03"
    assert name in features and len(features) == len(list(features)) == 3
    assert features[name].shape == (250, features[name].shape[1]) and features[name].dtype == np.float16
    assert (features.fps(name), features.times(name)[:3].tolist()) == (25.0, [0.0, 0.04, 0.08])
    with pytest.raises(ballspot.BallspotError, match="no store of match 'x'"):
        _ = features["x"]


def test_a_run_scores_rows_as_predict_scores_the_store(shared, tmp_path: Path) -> None:
    name = "synth/drawn/match-03"
    run = ballspot.load_run(shared.plain_run)
    rows = ballspot.open_features(shared.plain)[name]
    scores = run.score(rows)
    assert scores.shape == (250, len(run.labels)) and run.fps == 25.0
    words = [
        "predict",
        shared.plain_run,
        shared.plain,
        "--data",
        shared.data,
        "--split",
        "test",
        "--out",
        tmp_path / "out",
    ]
    assert CliRunner().invoke(main, [str(word) for word in words]).exit_code == 0
    np.testing.assert_allclose(scores, read_scores(tmp_path / "out" / name / "scores.npz").scores, atol=2e-6)
    positions = {spot.position_ms for spot in run.spots(rows)}
    assert positions and positions <= set(range(20, 10_000, 40))
    with pytest.raises(ballspot.BallspotError, match="reads rows of"):
        run.score(rows[:, :-1])


def test_spots_are_scored_as_files_are(shared, tmp_path: Path) -> None:
    data = DataSelection(shared.data)
    truth = {name: data.spots_of(match) for name, match in data.matches.items()}
    guesses = {
        name: [replace(spot, confidence=0.9 - 0.01 * place) for place, spot in enumerate(spots) if place % 3]
        for name, spots in truth.items()
    }
    scored = ballspot.evaluate_spots(guesses, truth)
    assert 0 < scored.result.mean_ap < 1
    ballspot.write_events(tmp_path / "spots", "spots", guesses)
    assert ballspot.evaluate_spots(tmp_path / "spots", shared.data).result.mean_ap == scored.result.mean_ap
    again = ballspot.read_events(tmp_path / "spots", "spots")
    assert {name: len(spots) for name, spots in again.items()} == {name: len(spots) for name, spots in guesses.items()}
    with pytest.raises(ballspot.BallspotError, match="no predictions for match"):
        ballspot.evaluate_spots({}, truth)
    with pytest.raises(ballspot.BallspotError, match="a prediction has no confidence"):
        ballspot.evaluate_spots(truth, truth)
    with pytest.raises(ballspot.BallspotError, match="format 'x': known are"):
        ballspot.read_events(tmp_path, "x")


def test_training_and_comparing_from_python(shared, tmp_path: Path) -> None:
    settings = {
        "n_epochs": 2,
        "warmup_epochs": 0,
        "width": 16,
        "clip_frames": 16,
        "epoch_frames": 600,
        "offsets": False,
    }
    for seed in (0, 1):
        metrics = ballspot.train(
            shared.plain, shared.data, tmp_path / f"seed-{seed}", preset="fast", settings=settings, seed=seed
        )
        assert 0 <= metrics["mean_ap"] <= 1
    (row,) = ballspot.compare([tmp_path / "seed-0", tmp_path / "seed-1"])
    assert row["n_seeds"] == 2 and 0 <= row["mean_ap"] <= 1
    with pytest.raises(ballspot.BallspotError, match="unknown key"):
        ballspot.train(shared.plain, shared.data, tmp_path / "x", settings={"n_epoch": 2})


def test_the_page_names_every_public_name() -> None:
    page = (Path(ballspot.__file__).parent / "docs" / "reference" / "python.md").read_text(encoding="utf-8")
    for name in set(ballspot.__all__) - {"__version__"}:
        assert f"`{name}" in page or f"ballspot.{name}" in page, name
