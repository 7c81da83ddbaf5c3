"""What errors say of a path that does not fit: what it is, or which one was meant."""

from pathlib import Path

import pytest

from ballspot.cache.disk.hints import path_hint


@pytest.fixture
def project(tmp_path):
    for name in (
        "features/lite0/league/m1.h5",
        "runs/first/run.json",
        "runs/second/run.json",
        "sweeps/one/sweep.json",
        "sweeps/one/a/seed-0/run.json",
        "spots/league/m1/results_spotting.json",
        "data/league/m1/Labels-ball.json",
        "plain.txt",
        "empty/nothing",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("features", " (it holds feature stores)"),
        ("features/lite0", " (it holds feature stores)"),
        ("runs/first", " (it is a run)"),
        ("runs", " (it is a folder of runs: first, second)"),
        ("sweeps/one", " (it is a sweep)"),
        ("spots", " (it holds predictions)"),
        ("data", " (it holds match folders)"),
        ("plain.txt", ""),
        ("empty", ""),
        ("nowhere/at/all", ""),
    ],
)
def test_a_path_is_called_what_it_is(project, name, hint):
    assert path_hint(project / name) == hint


def test_a_path_that_is_not_there_gets_the_nearest_name_beside_it(project):
    assert path_hint(project / "features" / "lite") == f" (did you mean {project / 'features' / 'lite0'}?)"
    assert path_hint(project / "run") == f" (did you mean {project / 'runs'}?)"
    assert path_hint(project / "xyz") == ""


def test_the_nearest_name_of_a_relative_path_is_relative(project, monkeypatch):
    monkeypatch.chdir(project)
    assert path_hint(Path("feature")) == " (did you mean features?)"


def test_more_than_three_runs_are_cut_short(project):
    for name in ("third", "fourth"):
        (project / "runs" / name).mkdir()
        (project / "runs" / name / "run.json").touch()
    assert path_hint(project / "runs") == " (it is a folder of runs: first, fourth, second, ...)"
