"""Any JSON value at any place of what runs, sweeps and predictions keep: read, or refused in one line."""

import json
from pathlib import Path

import pytest
import tomli_w
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.cache.runs.sweep_record import SweepRecord, SweepSetting, expand_runs, read_sweep_record
from ballspot.cli import main
from ballspot.evaluate.dataset.labels import Spot, read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12, label_set_of, load_label_set
from ballspot.evaluate.dataset.spots import read_spots, write_spots
from ballspot.evaluate.results.comparison import compare_runs
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap
from ballspot.temporal.bundle.trained import read_trained
from ballspot.temporal.config.load import as_table, load_config
from ballspot.temporal.config.sections import Config
from ballspot.temporal.decoding.postprocessing import read_postprocessing
from ballspot.temporal.sweep.job import failure_of, failure_path
from ballspot.temporal.sweep.space import read_space

from .odd_values import VALUES, altered, is_read

PER_CLASS = {label: {"ap": 0.5, "n_truth": 3} for label in BALL_12.labels}
RECORD = {
    "format": "ballspot-run/1", "key": "k", "seed": 0, "data": "data", "label_set": "ball-12",
    "labels": list(BALL_12.labels), "features": {"set": "s", "fingerprint": "f" * 64, "files": {"m": "s/m.h5"}},
    "splits": {"train": ["a"], "valid": ["m"], "test": ["b"], "source": "here"}, "shuffle_labels": False,
}  # fmt: skip
METRICS = {
    "split": "valid", "metric": "at1", "fps": 25.0, "mean_ap": 0.5, "headline_ap": 0.4, "per_class": PER_CLASS,
    "best_epoch": 2, "n_epochs": 2, "train_s": 1.5, "n_parameters": 10, "peak_memory_mb": 1.0,
}  # fmt: skip
LINE = {"epoch": 1, "loss": 0.5, "valid_mean_ap": 0.5}
SWEEP = {
    "format": "ballspot-sweep/1", "title": "t", "source": "t.toml", "seeds": [0], "baseline": "a",
    "settings": [{"name": "a", "varied": {"n_epochs": 3}, "runs": ["a/seed-0"]}],
}  # fmt: skip
TUNED = {
    "format": "ballspot-postprocessing/1", "made_from": {},
    "classes": {"PASS": {"suppression": "soft", "window_s": 1.0, "smoothing_s": 0.1, "score_floor": 0.01}},
}  # fmt: skip


@pytest.fixture(scope="module")
def two_runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, RunFolder]:
    """A run that is whole and one whose files the tests write over."""
    root = tmp_path_factory.mktemp("runs")
    runs = RunFolder(root / "whole"), RunFolder(root / "odd")
    for run in runs:
        whole(run)
    return runs


def whole(run: RunFolder) -> None:
    run.path.mkdir(exist_ok=True)
    (run.path / "run.json").write_text(json.dumps(RECORD))
    (run.path / "metrics.json").write_text(json.dumps(METRICS))
    (run.path / "log.jsonl").write_text(json.dumps(LINE) + "\n")
    (run.path / "config.toml").write_text(tomli_w.dumps(as_table(Config())))


def test_two_whole_runs_are_compared(two_runs):
    assert [run.mean_ap for run in compare_runs([run.path for run in two_runs], bootstrap=Bootstrap(0)).runs] == [
        0.5,
        0.5,
    ]


@pytest.mark.parametrize(("name", "document"), [("run.json", RECORD), ("metrics.json", METRICS), ("log.jsonl", LINE)])
@given(data=st.data())
def test_any_value_in_a_file_of_a_run_is_compared_or_refused(two_runs, name, document, data):
    sound, odd = two_runs
    whole(odd)
    (odd.path / name).write_text(json.dumps(data.draw(altered(document) | VALUES)) + "\n")
    is_read(lambda: compare_runs([sound.path, odd.path], bootstrap=Bootstrap(0)).as_record())
    is_read(lambda: label_set_of(odd.record(), "run.json"))
    is_read(lambda: odd.metric("mean_ap"))
    odd.keep_log(1)
    with pytest.raises(BallspotError):  # it has no checkpoint
        read_trained(odd.path)


@given(lines=st.lists(st.binary(max_size=20) | st.integers(1, 9).map(lambda n: b'{"epoch": %d}' % n), max_size=5))
def test_a_log_is_its_lines_up_to_the_first_that_is_none(tmp_path_factory, lines):
    run = RunFolder(tmp_path_factory.mktemp("log"))
    (run.path / "log.jsonl").write_bytes(b"".join(line + b"\n" for line in lines))
    log = run.log()
    assert [line["epoch"] for line in log] == [json.loads(line)["epoch"] for line in lines[: len(log)] if line]
    run.keep_log(9)
    assert run.log() == log


@given(document=altered(SWEEP) | VALUES)
def test_any_value_in_the_record_of_a_sweep_is_taken_or_refused(tmp_path_factory, document):
    folder = tmp_path_factory.mktemp("sweep")
    (folder / "sweep.json").write_text(json.dumps(document))
    if is_read(lambda: read_sweep_record(folder)):
        with pytest.raises(BallspotError, match="is done; give its command again"):
            expand_runs([folder])


@given(
    title=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")),
    seeds=st.lists(st.integers(0, 2**63), max_size=3),
    values=st.lists(st.integers() | st.booleans() | st.text("abc") | st.none(), max_size=3),
)
def test_the_record_of_a_sweep_comes_back_as_it_was_written(tmp_path_factory, title, seeds, values):
    settings = tuple(SweepSetting(f"s{at}", {"key": value}, (f"s{at}/seed-0",)) for at, value in enumerate(values))
    record = SweepRecord(title, "t.toml", tuple(seeds), "s0", settings)
    folder = tmp_path_factory.mktemp("sweep")
    record.write(folder)
    assert read_sweep_record(folder) == record


@given(document=altered(TUNED) | VALUES)
def test_any_value_in_a_post_processing_is_read_or_refused(tmp_path_factory, document):
    path = tmp_path_factory.mktemp("tuned") / "tuned.json"
    path.write_text(json.dumps(document))
    is_read(lambda: read_postprocessing(path))


@given(failure=VALUES)
def test_a_record_of_a_failure_always_says_something(tmp_path_factory, failure):
    run = tmp_path_factory.mktemp("failed") / "seed-0"
    failure_path(run).write_text(json.dumps(failure))
    assert isinstance(failure_of(run), str)


@given(data=st.data())
def test_any_value_in_labels_and_predictions_is_read_or_refused(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("spots")
    entry = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1000", "half": "1", "confidence": "0.5"}
    labels = {"annotations": [{**entry, "team": "left", "visibility": "visible"}, entry]}
    (folder / "labels.json").write_text(json.dumps(data.draw(altered(labels) | VALUES)))
    is_read(lambda: read_labels(folder / "labels.json", BALL_12))
    (folder / "spots.json").write_text(json.dumps(data.draw(altered({"predictions": [entry, entry]}) | VALUES)))
    if is_read(lambda: read_spots(folder / "spots.json")):
        spots = read_spots(folder / "spots.json")
        write_spots(folder / "again.json", "m", spots)
        assert read_spots(folder / "again.json") == tuple(Spot(**{**_fields(one), "visible": True}) for one in spots)


def _fields(spot: Spot) -> dict:
    return {name: getattr(spot, name) for name in Spot.__slots__}


def test_a_path_too_long_for_any_file_is_refused(tmp_path: Path):
    for read in (load_label_set, load_config):
        with pytest.raises(BallspotError, match="neither a"):
            read("a" * 300)
    (tmp_path / "s.toml").write_text(f'preset = "{"a" * 300}"\n')
    space = read_space(tmp_path / "s.toml")
    with pytest.raises(BallspotError, match="neither a preset"):
        space.sweep(space.points)
    result = CliRunner().invoke(main, ["evaluate", "a" * 300, "--data", str(tmp_path)])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (1, "", 1)
    assert "File name too long; check the path" in result.stderr
