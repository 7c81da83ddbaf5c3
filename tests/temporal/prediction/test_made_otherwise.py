"""Commands that meet runs made otherwise: with other settings or matches, unfinished, or in the way."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection, names_to_predict
from ballspot.evaluate.dataset.splits import Splits
from ballspot.temporal.config.load import load_config
from ballspot.temporal.heads.checkpoints import read_checkpoint
from ballspot.temporal.prediction.score import MatchScores, mean_scores
from ballspot.temporal.prediction.write import claim_folder

SMALL = ("kind=gru", "width=8", "clip_frames=20", "n_epochs=2", "warmup_epochs=0", "epoch_frames=400")
SWEEP = 'preset = "fast"\nseeds = 1\n[axes]\ntemporal_stride = [1, 2]\n'


def ballspot(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


def settings(*texts: str) -> list[str]:
    return [word for text in (*SMALL, *texts) for word in ("--set", text)]


def train(season, run: Path, *texts: str, more: tuple[object, ...] = (), code: int = 0) -> Result:
    words = ("train", season.features, "--data", season.data, "--run", run, "--preset", "fast", "--device", "cpu")
    return ballspot(*words, *settings(*texts), *more, code=code)


@pytest.fixture(scope="module")
def swept(season, tmp_path_factory) -> tuple[list[object], Path]:
    """The words of a sweep that is done, and its folder."""
    folder = tmp_path_factory.mktemp("swept")
    (folder / "sweep.toml").write_text(SWEEP)
    out = folder / "out"
    words = ["sweep", folder / "sweep.toml", season.features, "--data", season.data, "--out", out, "--device", "cpu"]
    ballspot(*words, *settings())
    return words, out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--set", "n_epochs=3"), "training.n_epochs is 2 there and 3 here"),
        (("--leave-out", "match-2"), "matches is"),
    ],
)
def test_a_sweep_takes_no_run_for_its_own_that_was_made_with_other_settings(swept, change, said):
    words, out = swept
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    refused = ballspot(*words, *settings(), *change, code=1)
    assert "holds another run" in refused.stderr and said in refused.stderr and "another --out" in refused.stderr
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    ballspot(*words, *settings())  # its own are left alone


def test_a_setting_laid_over_an_axis_leaves_one_setting_and_no_name_that_lies(swept, tmp_path):
    words, _ = swept
    words = [tmp_path / "out" if word == words[6] else word for word in words]
    planned = json.loads(ballspot(*words, *settings("temporal_stride=4"), "--dry-run", "--json").stdout)
    assert [(one["name"], one["varied"]) for one in planned["settings"]] == [("all", {})]


def test_a_sweep_says_at_once_that_it_knows_no_mistakes_and_that_a_search_has_no_plan(swept, tmp_path):
    words, _ = swept
    words = [tmp_path / "out" if word == words[6] else word for word in words]
    assert (
        "train these runs with `ballspot train`"
        in ballspot(*words, *settings("sampling=hard-negatives"), code=1).stderr
    )
    assert "give --dry-run alone" in ballspot(*words, *settings(), "--search", "optuna", "--dry-run", code=1).stderr
    assert not (tmp_path / "out").exists()


def test_a_dry_run_counts_failed_runs_only_where_they_are_tried_again(swept, tmp_path):
    words, _ = swept
    words = [tmp_path / "out" if word == words[6] else word for word in words]
    plan = json.loads(ballspot(*words, *settings(), "--dry-run", "--json").stdout)
    failed = tmp_path / "out" / plan["settings"][0]["name"] / "seed-0.failure.json"
    failed.parent.mkdir(parents=True)
    failed.write_text(json.dumps({"error": "the disk was full"}))
    for more, left in ((), [0, 1]), (("--retry-failed",), [1, 1]):
        plan = json.loads(ballspot(*words, *settings(), "--dry-run", "--json", *more).stdout)
        assert [one["n_left"] for one in plan["settings"]] == left


def test_a_run_is_no_folder_for_runs_of_seeds(season, tmp_path):
    train(season, tmp_path / "run")
    refused = train(season, tmp_path / "run", more=("--seeds", 2), code=1)
    assert "is itself a run" in refused.stderr
    assert not list((tmp_path / "run").glob("seed-*"))


def test_another_test_part_or_another_order_is_another_run(season, tmp_path):
    train(season, tmp_path / "run")
    names = json.loads((tmp_path / "run" / "run.json").read_text())["splits"]
    (tmp_path / "turned.toml").write_text(
        "".join(f"{part} = {json.dumps(names[part][::-1])}\n" for part in ("train", "valid", "test"))
    )
    refused = train(season, tmp_path / "run", more=("--splits", tmp_path / "turned.toml"), code=1)
    assert "train matches is" in refused.stderr


def test_matches_that_a_run_was_trained_on_are_not_predicted_as_its_test(season):
    of_run = Splits((), (), ("elsewhere",), source="the run")
    known = season.names
    of_run = replace(of_run, train=(known[3],), valid=(known[1],))
    with pytest.raises(BallspotError, match="was trained or validated on; say which matches with --splits"):
        names_to_predict(of_run, DataSelection(season.data), "test")
    of_run = replace(of_run, train=(known[0],))
    assert names_to_predict(of_run, DataSelection(season.data), "test") == (known[3],)


def test_a_head_without_support_takes_no_part_in_the_mean():
    def scores(values: list[float], support: list[int]) -> MatchScores:
        return MatchScores(np.arange(2), np.array(values, np.float32)[:, None], np.array(support))

    mean = mean_scores([scores([0.8, 0.6], [1, 1]), scores([0.0, 0.2], [0, 2])])
    np.testing.assert_allclose(mean.scores[:, 0], [0.8, 0.4])
    assert mean.support.tolist() == [1, 2]


def test_the_last_head_of_an_unfinished_run_is_the_average_that_was_validated(season, tmp_path):
    train(season, tmp_path / "run", "ema_decay=0.9")
    kept = read_checkpoint(tmp_path / "run" / "last.safetensors")
    average = {name: torch.zeros_like(value) for name, value in kept.head.items()}
    unfinished = replace(kept, average=average)
    assert all(float(value.abs().sum()) == 0.0 for value in unfinished.load("cpu").state_dict().values())


def test_predictions_of_a_run_that_was_not_done_make_room_for_its_own(tmp_path):
    early = {"run_keys": ["k"], "checkpoints": [{"best_epoch": 1}]}
    late = {"run_keys": ["k"], "checkpoints": [{"best_epoch": 2}]}
    claim_folder(tmp_path / "valid", early)
    (tmp_path / "valid" / "match-1").mkdir()
    with pytest.raises(BallspotError, match="holds other predictions"):
        claim_folder(tmp_path / "valid", late)
    with pytest.raises(BallspotError, match="holds other predictions"):
        claim_folder(tmp_path / "valid", {**late, "run_keys": ["other"]}, replaces_own=True)
    claim_folder(tmp_path / "valid", late, replaces_own=True)
    assert [path.name for path in (tmp_path / "valid").iterdir()] == ["predictions.json"]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("head.n_epochs=3", "did you mean 'training.n_epochs'"),
        ("views=[original,hflip]", "in a list, text needs quotes"),
    ],
)
def test_hints_name_the_right_section_and_the_missing_quotes(text: str, hint: str):
    with pytest.raises(BallspotError, match=hint):
        load_config("best", [text])
