"""What a run recorded is found where it lies now, and nothing else is taken for it."""

from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs import RunFolder, data_of_run, places_of, recorded_path

SPLITS = {"train": ["a/m1"], "valid": ["a/m2"], "test": []}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project folder with a run and the data root that it was trained on."""
    made = tmp_path / "above" / "project"
    (made / "runs" / "one").mkdir(parents=True)
    data_root(made / "data" / "mine", "a/m1", "a/m2")
    return made


def data_root(path: Path, *names: str) -> Path:
    for name in names:
        (path / name).mkdir(parents=True)
    return path


def record(data: object) -> dict[str, object]:
    return {"data": data if isinstance(data, str) else str(data), "splits": {**SPLITS, "source": "data/splits.toml"}}


@pytest.mark.parametrize("recorded", ["data/mine", "/somewhere/else/project/data/mine", "/else/mine/../data/mine"])
def test_a_data_root_is_found_below_the_folders_above_the_run(project: Path, monkeypatch, recorded: str):
    elsewhere = project.parents[1] / "elsewhere"
    elsewhere.mkdir()
    for folder in (elsewhere, project, project / "runs" / "one"):
        monkeypatch.chdir(folder)
        assert data_of_run(project / "runs" / "one", record(recorded)) == project / "data" / "mine"
    assert data_of_run(Path(), record(recorded)) == project / "data" / "mine"


def test_an_absolute_path_that_is_still_right_comes_first(project: Path, tmp_path: Path):
    kept = data_root(tmp_path / "disk" / "data" / "mine", "a/m1")
    assert data_of_run(project / "runs" / "one", record(kept)) == kept


def test_a_folder_of_the_name_with_other_matches_is_not_taken(project: Path):
    data_root(project / "runs" / "data" / "mine", "b/m1", "b/m2")
    assert data_of_run(project / "runs" / "one", record("data/mine")) == project / "data" / "mine"
    (project / "data" / "mine").rename(project / "hidden")
    with pytest.raises(BallspotError) as caught:
        data_of_run(project / "runs" / "one", record("data/mine"))
    assert str(caught.value) == (
        f"{project / 'runs' / 'one'}: its data root was not found from here: looked for data/mine in the folders above "
        f"{project / 'runs' / 'one'} and in the working folder; {project / 'runs' / 'data' / 'mine'} is another; "
        "give --data"
    )


def test_a_data_root_with_all_matches_goes_before_a_nearer_one_with_some(project: Path):
    nearer = data_root(project / "runs" / "data" / "mine", "a/m1")
    assert data_of_run(project / "runs" / "one", record("data/mine")) == project / "data" / "mine"
    (project / "data" / "mine").rename(project / "hidden")
    assert data_of_run(project / "runs" / "one", record("data/mine")) == nearer


@pytest.mark.parametrize("recorded", [None, 3, "", "/" + "x" * 300, "a\0b", "x/" * 500])
def test_odd_records_end_in_one_line(project: Path, recorded: object):
    with pytest.raises(BallspotError, match="give --data"):
        data_of_run(project / "runs" / "one", {"data": recorded, "splits": SPLITS})


def test_the_working_folder_is_the_last_place_of_a_relative_path(project: Path, tmp_path: Path, monkeypatch):
    here = data_root(tmp_path / "here" / "data" / "mine", "a/m1")
    monkeypatch.chdir(tmp_path / "here")
    assert list(places_of(project / "runs" / "one", "data/mine")) == [project / "data" / "mine", here]


def test_records_hold_absolute_paths(tmp_path: Path, monkeypatch):
    (tmp_path / "a").mkdir()
    monkeypatch.chdir(tmp_path / "a")
    assert recorded_path(Path("b")) == str(tmp_path / "a" / "b")
    assert recorded_path(Path("../b")) == str((tmp_path / "b").resolve())


def test_a_run_that_is_taken_up_says_where_its_data_are_now_and_a_finished_one_stays(tmp_path: Path):
    run = RunFolder(tmp_path / "run")
    for data in ("data", "/now/data"):
        run.prepare(key="k", record={"data": data, "device": data}, config={})
    assert (run.record()["data"], run.record()["device"], run.record()["key"]) == ("/now/data", "data", "k")
    run.finish({})
    run.prepare(key="k", record={"data": "later"}, config={})
    assert run.record()["data"] == "/now/data"
