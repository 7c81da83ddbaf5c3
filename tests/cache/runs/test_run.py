"""A run folder is begun once, resumed by its key, and done when its metrics are there."""

import subprocess
import sys
import tomllib

import pytest

from ballspot.cache.disk.locks import locked_folder
from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder, flatten

CONFIG = {"head": {"kind": "tcn", "layers": 3}, "training": {"epochs": 20}}


def begin(path, *, key="k1", config=None, seed=0):
    run = RunFolder(path)
    run.prepare(key=key, record={"seed": seed}, config=config or CONFIG)
    return run


def test_a_new_run_holds_its_record_and_its_config(tmp_path):
    run = begin(tmp_path / "a")
    assert not run.is_done
    assert run.record() == {"format": "ballspot-run/1", "key": "k1", "status": "started", "seed": 0}
    assert tomllib.loads((run.path / "config.toml").read_text()) == CONFIG == run.config()


def test_values_that_toml_cannot_hold_are_left_out(tmp_path):
    run = begin(tmp_path / "a", config={"head": {"kind": "tcn", "window": None}})
    assert run.config() == {"head": {"kind": "tcn"}}


def test_the_same_key_is_resumed(tmp_path):
    begin(tmp_path / "a").update(started="then")
    assert begin(tmp_path / "a").record()["started"] == "then"


def test_another_config_is_refused_with_the_first_difference(tmp_path):
    begin(tmp_path / "a")
    other = {**CONFIG, "training": {"epochs": 30}}
    with pytest.raises(BallspotError, match=r"training\.epochs is 20 there and 30 here"):
        begin(tmp_path / "a", key="k2", config=other)
    assert RunFolder(tmp_path / "a").record()["key"] == "k1"


def test_another_seed_is_refused_by_name(tmp_path):
    begin(tmp_path / "a")
    with pytest.raises(BallspotError, match="seed is 0 there and 1 here"):
        begin(tmp_path / "a", key="k2", seed=1)


def test_a_run_of_a_version_without_a_key_is_named_by_its_version_and_real_differences_come_first(tmp_path):
    begin(tmp_path / "a").update(version="0.1.0")
    newer = {**CONFIG, "head": {**CONFIG["head"], "cells": 1}}
    said = "a: holds a run of ballspot 0.1.0, which had no head.cells .* evaluate and compare .* choose another --run"
    with pytest.raises(BallspotError, match=said):
        begin(tmp_path / "a", key="k2", config=newer)
    with pytest.raises(BallspotError, match=r"another run \(training\.epochs is 20 there and 30 here\)"):
        begin(tmp_path / "a", key="k2", config={**newer, "training": {"epochs": 30}})
    RunFolder(tmp_path / "a").update(version=None)  # as this one: the key was left out on purpose
    with pytest.raises(BallspotError, match=r"another run \(head\.cells is None there and 1 here\)"):
        begin(tmp_path / "a", key="k2", config=newer)


def test_other_features_are_refused(tmp_path):
    begin(tmp_path / "a")
    with pytest.raises(BallspotError, match="other features, videos or labels"):
        begin(tmp_path / "a", key="k2")


def test_a_folder_with_something_else_is_never_written_to(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(BallspotError, match=r"not empty and holds no run\.json"):
        begin(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(BallspotError, match="is a file, not a run folder"):
        begin(tmp_path / "a")


def test_metrics_make_a_run_done(tmp_path):
    run = begin(tmp_path / "a")
    with pytest.raises(BallspotError, match="the run is not done"):
        run.metrics()
    run.finish({"mean_ap": 0.5})
    assert run.is_done
    assert run.metrics() == {"mean_ap": 0.5}
    assert run.record()["status"] == "done"


def test_a_torn_last_log_line_is_left_out(tmp_path):
    run = begin(tmp_path / "a")
    run.append_log({"epoch": 1})
    run.append_log({"epoch": 2})
    with (run.path / "log.jsonl").open("a") as stream:
        stream.write('{"epoch": 3, "lo')
    assert run.log() == [{"epoch": 1}, {"epoch": 2}]
    run.keep_log(1)
    assert run.log() == [{"epoch": 1}]


def test_a_folder_without_a_run_is_named(tmp_path):
    with pytest.raises(BallspotError, match=r"not a run, no run\.json in it; give"):
        RunFolder(tmp_path).record()


def test_a_run_of_another_format_is_refused(tmp_path):
    run = begin(tmp_path / "a")
    run.update(format="ballspot-run/2")
    with pytest.raises(BallspotError, match="format 'ballspot-run/2' is not 'ballspot-run/1'"):
        run.record()


def test_nested_tables_flatten_to_dotted_names():
    assert flatten({"a": {"b": {"c": 1}, "d": 2}, "e": 3}) == {"a.b.c": 1, "a.d": 2, "e": 3}


def test_two_processes_cannot_be_at_one_run(tmp_path):
    run = RunFolder(tmp_path / "run")
    with run.at_work(waits=False):
        code = "import sys; from pathlib import Path; from ballspot.cache.runs import RunFolder\n"
        code += "with RunFolder(Path(sys.argv[1])).at_work(waits=False): print('in')"
        other = subprocess.run([sys.executable, "-c", code, run.path], capture_output=True, text=True, check=False)
        assert "another process is at work here" in other.stderr
    again = subprocess.run([sys.executable, "-c", code, run.path], capture_output=True, text=True, check=False)
    assert again.stdout == "in\n"
    assert not list(run.path.iterdir())


def test_what_a_killed_process_left_half_written_is_cleared_and_nothing_else(tmp_path):
    run = RunFolder(tmp_path / "run")
    half = run.path / ".run.json.abcd1234.tmp"
    with run.at_work(waits=False):
        half.write_text("{")
        begin(run.path)
        (run.path / "predictions").mkdir()
        (run.path / "predictions" / ".scores.npz.abcd1234.tmp").write_text("")
        (run.path / ".mine").write_text("")
    assert sorted(path.name for path in run.path.rglob("*")) == [".mine", "config.toml", "predictions", "run.json"]


def test_a_run_that_was_killed_before_its_configuration_was_written_is_taken_up(tmp_path):
    run = begin(tmp_path / "run")
    (run.path / "config.toml").unlink()
    begin(tmp_path / "run")
    assert run.config() == CONFIG


@pytest.mark.parametrize("damage", [b"\xff\xfe{}", b"[1]", b"5", b'{"loss": 1}', b"[" * 100_000])
def test_a_damaged_line_ends_the_log(tmp_path, damage):
    run = begin(tmp_path / "a")
    run.append_log({"epoch": 1})
    with (run.path / "log.jsonl").open("ab") as stream:
        stream.write(damage + b"\n")
    run.append_log({"epoch": 3})
    assert run.log() == [{"epoch": 1}]


def test_a_damaged_configuration_is_written_again(tmp_path):
    run = begin(tmp_path / "run")
    (run.path / "config.toml").write_text("[head")
    begin(tmp_path / "run")
    assert run.config() == CONFIG


def test_what_another_process_is_writing_into_the_predictions_is_not_cleared(tmp_path):
    run = begin(tmp_path / "run")
    writing, left = (run.path / "predictions" / part / ".scores.npz.abcd1234.tmp" for part in ("test", "valid"))
    for path in (writing, left):
        path.parent.mkdir(parents=True)
        path.write_text("")
    with locked_folder(writing.parent, shared=True), run.at_work(waits=False):
        pass
    assert writing.exists() and not left.exists()


@pytest.mark.parametrize("metrics", ["[]", '{"mean_ap": "0.5"}', "{}"])
def test_metrics_without_their_number_are_named(tmp_path, metrics):
    run = begin(tmp_path / "run")
    (run.path / "metrics.json").write_text(metrics)
    with pytest.raises(BallspotError, match=r"metrics\.json: lacks or garbles"):
        run.metric("mean_ap")
