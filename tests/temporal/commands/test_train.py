import json

import numpy as np
import pytest

from ballspot.cache.terminal.console import ProgressLine, note
from ballspot.temporal.decoding.scores import read_scores
from ballspot.temporal.prediction import Ensemble

from ...commands import ballspot
from ..small import SMALL


@pytest.fixture(scope="module")
def run(season, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "first"
    result = ballspot("train", season.features, "--data", season.data, "--run", path, *SMALL)
    assert result.exit_code == 0, result.output
    return path


def test_a_run_folder_holds_all_that_is_promised(run, season):
    for name in ("run.json", "config.toml", "log.jsonl", "best.safetensors", "last.safetensors", "metrics.json"):
        assert (run / name).is_file(), name
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "done"
    assert record["seed"] == 0
    assert record["shuffle_labels"] is False
    assert record["splits"]["train"] == list(season.names[:2])
    assert record["features"]["files"].keys() == set(season.names[:3])
    assert len(record["labels"]) == 12
    assert record["headline_excludes"] == ["FREE KICK", "GOAL"]
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() >= {
        "split", "metric", "fps", "mean_ap", "headline_ap", "per_class", "best_epoch", "n_epochs", "train_s",
        "n_parameters",
    }  # fmt: skip


def test_a_finished_run_is_left_as_it_is(run, season):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    result = ballspot("train", season.features, "--data", season.data, "--run", run, *SMALL)
    assert result.exit_code == 0
    assert "already done" in result.stderr
    assert before == {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}


def test_a_run_folder_of_other_settings_is_refused(run, season):
    result = ballspot("train", season.features, "--data", season.data, "--run", run, *SMALL, "--set", "dropout=0.2")
    assert result.exit_code == 1
    assert "head.dropout is 0.1 there and 0.2 here" in result.stderr


def test_predict_writes_spots_and_the_scores_of_every_frame(run, season):
    result = ballspot("predict", run, season.features, "--data", season.data, "--split", "test")
    assert result.exit_code == 0, result.output
    name = season.names[3]
    assert result.stdout.startswith(f"{name}: 700 frames scored, ")
    folder = run / "predictions" / "test" / name
    saved = read_scores(folder / "scores.npz")
    assert saved.scores.shape == (700, 12)
    assert saved.scores.dtype == np.float32
    assert saved.frame_index.tolist() == list(range(700))
    assert (saved.match, saved.fps, saved.n_video_frames) == (name, 25, 700)
    document = json.loads((folder / "results_spotting.json").read_text())
    assert document["UrlLocal"] == name
    assert document["predictions"]
    for spot in document["predictions"]:
        frame, rest = divmod(int(spot["position"]) - 20, 40)
        assert rest == 0
        column = saved.labels.index(spot["label"])
        assert float(spot["confidence"]) <= saved.scores[frame, column] + 1e-7  # soft suppression only lowers
    again = ballspot("predict", run, season.features, "--data", season.data, "--split", "test")
    assert again.exit_code == 0
    assert again.stdout == result.stdout


def test_validation_matches_are_scored_once_and_written_as_predict_writes_them(season, tmp_path, monkeypatch):
    scored = []
    plain = Ensemble.score
    monkeypatch.setattr(
        Ensemble, "score", lambda self, *args, **more: scored.append(args) or plain(self, *args, **more)
    )
    more = ("--set", "teams=head", "--set", "validation_every_epochs=1", "--run", tmp_path / "run")
    done = ballspot("train", season.features, "--data", season.data, *SMALL, *more)
    assert done.exit_code == 0, done.output
    assert not scored
    again = ("--split", "valid", "--out", tmp_path / "again")
    assert ballspot("predict", tmp_path / "run", season.features, "--data", season.data, *again).exit_code == 0
    assert len(scored) == 1
    for file in ("scores.npz", "results_spotting.json"):
        written = tmp_path / "run" / "predictions" / "valid" / season.names[2] / file
        assert written.read_bytes() == (tmp_path / "again" / season.names[2] / file).read_bytes()


def test_predictions_go_where_they_are_told(run, season, tmp_path):
    out = tmp_path / "out"
    result = ballspot("predict", run, season.features, "--data", season.data, "--split", "all", "--out", out)
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 4
    assert len(list(out.rglob("results_spotting.json"))) == 4


def test_predictions_of_something_else_are_never_overwritten(run, season, tmp_path):
    out = tmp_path / "out"
    arguments = ("predict", run, season.features, "--data", season.data, "--out", out)
    assert ballspot(*arguments, "--split", "test").exit_code == 0
    refused = ballspot(*arguments, "--split", "valid")
    assert refused.exit_code == 1
    assert "holds other predictions (matches differ)" in refused.stderr
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    refused = ballspot(*arguments[:-1], tmp_path / "mine", "--split", "test")
    assert refused.exit_code == 1
    assert "exists and holds no predictions.json" in refused.stderr


def test_features_of_another_kind_are_refused(run, season, tmp_path, match_writer):
    match_writer(tmp_path / "data", tmp_path / "features", season.names[3], seed=4, settings="b")
    result = ballspot("predict", run, tmp_path / "features", "--data", season.data, "--split", "test")
    assert result.exit_code == 1
    assert "is not the run's" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    "change, message",
    [
        (("--set", "n_epoch=3"), "did you mean 'n_epochs'?"),
        (("--set", "clip_stride=0"), "clips.clip_stride = 0"),
        (("--preset", "worst"), "neither a preset"),
        (("--device", "cuda:99"), "cannot be used here"),
        (("--device", "toaster"), "cannot be used here"),
        (("--set", "n_attention_heads=3"), "does not divide by 3 attention heads"),
        (("--labels", "ball-13"), "neither a built-in label set"),
        (("--leave-out", "match-9"), "no match 'match-9' to leave out"),
        (("--set", "views=['original', 'photo1']"), "has no view 'photo1'"),
        (("--set", "flip_average=true"), "has no view 'hflip'"),
        (("--mistakes", "scores"), "is for hard negatives"),
    ],
)
def test_a_wrong_option_ends_in_one_line_and_exit_code_1(season, tmp_path, change, message):
    arguments = ("--data", season.data, "--run", tmp_path / "run")
    result = ballspot("train", season.features, *arguments, *SMALL, *change)
    assert result.exit_code == 1, result.output
    assert message in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()  # the command can be mended and given again


def test_a_wrong_run_or_feature_folder_is_named(run, season, tmp_path):
    no_run = ballspot("predict", tmp_path, season.features, "--data", season.data)
    assert no_run.exit_code == 1
    assert "not a run" in no_run.stderr
    no_set = ballspot("train", tmp_path / "none", "--data", season.data, "--run", tmp_path / "run", *SMALL)
    assert no_set.exit_code == 1
    assert "no such feature set" in no_set.stderr
    assert not (tmp_path / "run").exists()


def test_leaving_a_match_out_trains_on_the_others_and_predict_knows_it(season, tmp_path):
    run = tmp_path / "run"
    result = ballspot(
        "train", season.features, "--data", season.data, "--run", run, *SMALL, "--leave-out", season.names[0]
    )
    assert result.exit_code == 0, result.output
    splits = json.loads((run / "run.json").read_text())["splits"]
    assert splits["test"] == [season.names[0]]
    assert splits["valid"] == [season.names[1]]
    predicted = ballspot("predict", run, season.features, "--data", season.data, "--split", "test")
    assert predicted.stdout.startswith(f"{season.names[0]}: ")


def test_the_control_is_recorded(season, tmp_path):
    run = tmp_path / "run"
    result = ballspot("train", season.features, "--data", season.data, "--run", run, *SMALL, "--shuffle-labels")
    assert result.exit_code == 0, result.output
    assert json.loads((run / "run.json").read_text())["shuffle_labels"] is True


def test_the_steps_of_an_epoch_are_shown(season, tmp_path, monkeypatch):
    monkeypatch.setattr(ProgressLine, "advance", lambda self: note(f"{self.title}: a step of {self.total}"))
    result = ballspot("train", season.features, "--data", season.data, "--run", tmp_path / "run", *SMALL)
    assert result.exit_code == 0, result.output
    shown = [line for line in result.stderr.splitlines() if "a step of" in line]
    n_steps = int(shown[0].rpartition(" ")[2])
    assert shown == [f"epoch {epoch}: a step of {n_steps}" for epoch in (1, 2) for _ in range(n_steps)]
