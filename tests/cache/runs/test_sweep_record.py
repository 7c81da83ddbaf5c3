import json
from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.cache.runs.sweep_record import (
    SweepRecord,
    SweepSetting,
    baseline_stand_in,
    expand_runs,
    is_sweep,
    read_sweep_record,
)


def record_of(*settings: SweepSetting, title: str = "strides", baseline: str = "b") -> SweepRecord:
    return SweepRecord(title, "strides.toml", (0, 1), baseline, settings)


def finished(path):
    run = RunFolder(path)
    run.prepare(key="k", record={}, config={})
    run.finish({})
    return path


A = SweepSetting("a", {"temporal_stride": 1}, ("a/seed-0", "a/seed-1"))
B = SweepSetting("b", {"temporal_stride": 2}, ("b/seed-0", "b/seed-1"))


def test_a_record_is_read_as_it_was_written(tmp_path):
    assert not is_sweep(tmp_path)
    record = record_of(A, B)
    record.write(tmp_path)
    assert is_sweep(tmp_path)
    assert read_sweep_record(tmp_path) == record


def test_a_sweep_may_grow_but_not_become_another(tmp_path):
    record_of(A).write(tmp_path)
    record_of(A, B).write(tmp_path)
    assert len(read_sweep_record(tmp_path).settings) == 2
    with pytest.raises(BallspotError, match="holds the sweep 'strides'; choose another --out"):
        record_of(A, title="other").write(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [("{", "not valid JSON"), ('{"format": "x"}', "format 'x' is not"), ("[]", "format 'list'"),
     ('{"format": "ballspot-sweep/1"}', "lacks or garbles 'settings'")],
)  # fmt: skip
def test_a_record_that_cannot_be_read_is_named(tmp_path, content, message):
    (tmp_path / "sweep.json").write_text(content)
    with pytest.raises(BallspotError, match=message) as caught:
        read_sweep_record(tmp_path)
    assert "sweep.json" in str(caught.value)


@pytest.mark.parametrize("place", ["a" * 256, "/".join(["abc"] * 400)])
def test_a_run_at_a_place_that_no_disk_can_hold_is_refused(tmp_path, place):
    """Found by bench/fuzz_readers.py, case 300/20737."""
    (tmp_path / "sweep").mkdir()
    record_of(A).write(tmp_path / "sweep")
    record = json.loads((tmp_path / "sweep" / "sweep.json").read_text())
    record["settings"][0]["runs"][0] = place
    (tmp_path / "sweep" / "sweep.json").write_text(json.dumps(record))
    with pytest.raises(BallspotError, match=r"lacks or garbles the run '(aaa|abc/)"):
        expand_runs([tmp_path / "sweep"])


def test_a_sweep_stands_for_its_finished_runs_the_baselines_first(tmp_path):
    record_of(A, B).write(tmp_path / "sweep")
    with pytest.raises(BallspotError, match="none of the 4 runs of this sweep is done"):
        expand_runs([tmp_path / "sweep"])
    done = [finished(tmp_path / "sweep" / name) for name in ("a/seed-0", "a/seed-1", "b/seed-1")]
    RunFolder(tmp_path / "sweep" / "b/seed-0").prepare(key="k", record={}, config={})
    assert expand_runs([tmp_path / "sweep"]) == [done[2], done[0], done[1]]


def test_a_folder_of_seeds_stands_for_them_in_order_and_a_run_for_itself(tmp_path):
    seeds = [finished(tmp_path / "gru" / f"seed-{seed}") for seed in (0, 2, 10)]
    run = finished(tmp_path / "tcn")
    (tmp_path / "gru" / "seed-notes").mkdir()
    assert expand_runs([run, tmp_path / "gru", run]) == [run, *seeds]
    assert expand_runs([tmp_path / "nothing"]) == [tmp_path / "nothing"]


def test_a_run_that_two_paths_lead_to_is_taken_once_by_the_first(tmp_path, monkeypatch):
    run = finished(tmp_path / "tcn")
    monkeypatch.chdir(tmp_path)
    assert expand_runs([Path("tcn"), run, tmp_path / "x" / ".." / "tcn"]) == [Path("tcn")]
    assert expand_runs([run, Path("tcn")]) == [run]


def test_the_setting_that_stands_in_for_a_baseline_without_finished_runs_is_told(tmp_path):
    record_of(A, B).write(tmp_path)
    finished(tmp_path / "a/seed-1")
    assert baseline_stand_in(tmp_path) == ("b", "a")
    finished(tmp_path / "b/seed-1")
    assert baseline_stand_in(tmp_path) is None
    assert baseline_stand_in(tmp_path / "a/seed-1") is None


def test_the_file_says_what_it_is(tmp_path):
    record_of(A).write(tmp_path)
    assert json.loads((tmp_path / "sweep.json").read_text())["format"] == "ballspot-sweep/1"
