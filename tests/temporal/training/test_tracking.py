import json
import sys

import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.run import RunFolder
from ballspot.cli import main
from ballspot.temporal.training.tracking import Tracker, require_tracker

pytest.importorskip("tensorboard", reason="tensorboard is not installed")

SETTINGS = ["kind=tcn", "width=16", "n_layers=1", "n_epochs=3", "warmup_epochs=0", "epoch_frames=800", "clip_frames=20"]


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    """What TensorBoard itself reads of a folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder)).Reload()
    return {name: [(one.step, one.value) for one in events.Scalars(name)] for name in events.Tags()["scalars"]}


def assert_equal(found: list[tuple[int, float]], expected: list[tuple[int, float]]) -> None:
    assert [step for step, _ in found] == [step for step, _ in expected]
    assert [value for _, value in found] == pytest.approx([value for _, value in expected])


def train(season, run, *more: str):
    words = ["train", season.features, "--data", season.data, "--run", run, "--preset", "fast", "--device", "cpu"]
    words += [word for setting in SETTINGS for word in ("--set", setting)]
    return CliRunner().invoke(main, [str(word) for word in (*words, *more)])


def test_every_number_of_the_log_is_written_when_asked_for(season, tmp_path):
    run = tmp_path / "run"
    result = train(season, run, "--track")
    assert result.exit_code == 0, result.output
    found, log = scalars(run / "tensorboard"), RunFolder(run).log()
    for name in ("loss", "valid_mean_ap", "learning_rate", "epoch_s"):
        assert_equal(found[name], [(line["epoch"], line[name]) for line in log])
    assert_equal(found["class/PASS"], [(line["epoch"], line["valid_per_class"]["PASS"]["ap"]) for line in log])
    assert found["best/valid_mean_ap"][-1][1] == pytest.approx(RunFolder(run).metrics()["mean_ap"])


def test_nothing_is_written_unless_asked_for_and_the_run_is_the_same(season, tmp_path):
    for name, more in (("plain", ()), ("tracked", ("--track",))):
        assert train(season, tmp_path / name, *more).exit_code == 0
    assert not (tmp_path / "plain" / "tensorboard").exists()
    plain, tracked = (json.loads((tmp_path / name / "run.json").read_text()) for name in ("plain", "tracked"))
    assert plain["key"] == tracked["key"]
    for name in ("best.safetensors", "last.safetensors"):
        bodies = [(tmp_path / run / name).read_bytes() for run in ("plain", "tracked")]
        sizes = [int.from_bytes(body[:8], "little") for body in bodies]  # headers hold the seconds that training took
        assert bodies[0][8 + sizes[0] :] == bodies[1][8 + sizes[1] :]


def test_epochs_that_are_trained_again_take_the_place_of_those_before(tmp_path):
    run = RunFolder(tmp_path)
    first, again = Tracker(run), Tracker(run)
    for epoch in (1, 2, 3):
        first.epoch({"epoch": epoch, "loss": 1.0})
    again.epoch({"epoch": 3, "loss": 0.5})
    again.end({"head": {"kind": "tcn", "factors": [1, 2]}}, 0, {"n_epochs": 3, "mean_ap": 0.25})
    assert scalars(tmp_path / "tensorboard")["loss"] == [(1, 1.0), (2, 1.0), (3, 0.5)]


def test_a_sweep_tracks_its_runs(season, tmp_path):
    file = tmp_path / "sweep.toml"
    values = "\n".join(
        f"{key} = {value if value[0].isdigit() else json.dumps(value)}"
        for key, value in (one.split("=") for one in SETTINGS)
    )
    file.write_text(f'preset = "fast"\nseeds = 1\n[set]\n{values}\n[axes]\ntemporal_stride = [1, 2]\n')
    words = ["sweep", file, season.features, "--data", season.data, "--out", tmp_path / "out", "--device", "cpu"]
    assert CliRunner().invoke(main, [str(word) for word in (*words, "--track")]).exit_code == 0
    for stride in (1, 2):
        folder = tmp_path / "out" / f"temporal_stride={stride}" / "seed-0" / "tensorboard"
        assert len(scalars(folder)["loss"]) == 3


def test_without_tensorboard_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(BallspotError, match=r"pip install 'ballspot\[track\]'"):
        require_tracker()
