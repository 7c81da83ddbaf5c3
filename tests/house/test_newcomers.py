"""What a newcomer gets wrong ends in one line that names the value, the place and the remedy."""

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ballspot import cli
from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.temporal.config.load import load_config
from ballspot.temporal.training.task import Task


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A folder with a data root, a feature set, a run and predictions, by their names alone."""
    labels = '{"annotations": [{"gameTime": "1 - 00:01", "label": "PASS", "position": "1000", "team": "left"}]}'
    for name, content in {
        "data/league/m1/Labels-ball.json": labels,
        "data/league/m2/224p.mp4": "",
        "features/lite0/league/m1.h5": "",
        "runs/first/run.json": "{}",
        "spots/league/m1/results_spotting.json": "{}",
        "splits.toml": 'train = ["league/m1"]\n',
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("data check dta", "dta: does not exist (did you mean data?); give the folder that holds the match folders"),
        ("data check features", "features: no match below this folder (it holds feature stores): none holds Labels-"),
        ("train data --data features --run a", "features: no match below this folder (it holds feature stores)"),
        ("train features/lite --data data --run a", "no such feature set (did you mean features/lite0?); give the"),
        ("train runs/first --data data --run a", "no store (*.h5) in it (it is a run); give the folder FEATURES/SET"),
        ("train features/lite0 --data data --run a --set n_epoch=3", "--set n_epoch=3: unknown key 'n_epoch'; did you"),
        (
            "train features/lite0 --data data --run a --set lr=1e-3",
            "unknown key 'lr'; docs/reference/configuration.md lists th",
        ),
        ("train features/lite0 --data data --run a --preset bets", "--preset bets: neither a preset (best, fast, fin"),
        ("train features/lite0 --data data --run a --labels ball12", "nor a file; did you mean ball-12?"),
        ("data check dta/leage", "dta/leage: does not exist (did you mean data/league?); give the folder that hold"),
        ("compare rns/first", "rns/first: no such run (did you mean runs/first?); give the folder that"),
        ("learn runs/frist --data data", "runs/frist: no such run (did you mean runs/first?); give the folder of a t"),
        ("predict runs/frist features/lite0 --data data", "runs/frist: no such run (did you mean runs/first?); give"),
        ("predict features/lite0 runs/first --data data", "not a run, no run.json in it (it holds feature stores)"),
        ("predict runs/first spot", "spot: no such video (did you mean spots?); check the path"),
        ("evaluate features --data data", "features: no results_spotting.json below it (it holds feature stores); gi"),
        ("evaluate spot --data data", "spot: no such folder or zip file (did you mean spots?); give what `ballspot p"),
        ("evaluate data --data spots", "spots: no match below this folder (it holds predictions): none holds Labels"),
        ("compare runs", "runs: not a run, no run.json in it (it is a folder of runs: first); give the folder that"),
        ("tune runs/frist --data data", "runs/frist: no such run (did you mean runs/first?); give a run, or a folder"),
        ("sweep experiment2 features/lite0 --data data --out a", "experiment2: neither a sweep file nor a shipped on"),
        ("cache info features/lite0", "features/lite0: is a folder, not one store (it holds feature stores); give th"),
        ("cache list feature", "feature: no such folder (did you mean features?); give the folder that `ballspot ext"),
        ("cache verify runs", "runs: no store (*.h5) in it (it is a folder of runs: first); give a store, a feature"),
        ("extract data --out features --weights rnadom", "--weights rnadom: no such file (did you mean random?); give"),
    ],
)
def test_one_line_says_what_is_wrong_where_and_what_to_do(project, command, said):
    done = CliRunner().invoke(cli.main, command.split())
    assert done.exit_code == 1, done.output
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert said in done.stderr


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("evalute spots --data data", "No such command 'evalute'. Did you mean 'evaluate'?"),
        ("cache lst features", "No such command 'lst'. Did you mean 'list'?"),
        ("xyzzy", "No such command 'xyzzy'."),
    ],
)
def test_a_command_that_is_not_known_gets_the_nearest(command, said):
    done = CliRunner().invoke(cli.main, command.split())
    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {said}")


def test_a_match_without_labels_is_named_with_its_part(project):
    Path("both.toml").write_text('train = ["league/m2"]\nvalid = ["league/m1"]\n')
    task = Task(
        config=load_config("best"),
        data=DataSelection(Path("data"), BALL_12, Path("both.toml")),
        seed=0,
        shuffle_labels=False,
        device=torch.device("cpu"),
    )
    assert len(task.spots("valid")["league/m1"]) == 1
    with pytest.raises(BallspotError, match=r"match 'league/m2' of split train has no Labels-ball.json; add"):
        task.spots("train")
