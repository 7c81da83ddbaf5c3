from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ballspot.cache.disk import files
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.temporal.config.load import load_config
from ballspot.temporal.features.sources import open_source
from ballspot.temporal.training import mapped as shared
from ballspot.temporal.training.mapped import is_beyond_limit, shared_features
from ballspot.temporal.training.task import Experiment


def experiment_on(season, *settings: str) -> Experiment:
    return Experiment(
        config=load_config("fast", settings),
        source=open_source(season.features),
        data=DataSelection(season.data, LabelSet("three", ("PASS", "DRIVE", "SHOT"), ("SHOT",))),
        seed=0,
        shuffle_labels=False,
        device=torch.device("cpu"),
    )


@pytest.mark.parametrize(("limit_gb", "beyond"), [("4.47e-5", True), ("4.49e-5", False)])
def test_the_limit_is_of_the_training_features(season, limit_gb: str, beyond: bool):
    # Two matches of 700 frames, 16 numbers of 2 bytes each: 44,800 bytes.
    assert is_beyond_limit(experiment_on(season, f"resident_limit_gb={limit_gb}")) is beyond


def test_jobs_on_another_device_map_what_is_beyond_the_limit_from_the_same_file(season, tmp_path):
    on_cpu = experiment_on(season, "resident_limit_gb=1e-9")
    elsewhere = replace(on_cpu, device=torch.device("meta"))  # the one other device that every machine has
    mapped, there = (shared_features(one, tmp_path / "resident") for one in (on_cpu, elsewhere))
    assert len([path for path in (tmp_path / "resident").iterdir() if path.is_dir()]) == 1
    for ours, theirs in ((mapped.training, there.training), (mapped.validation, there.validation)):
        assert (ours.device.type, theirs.device.type, theirs.rows.device.type) == ("cpu", "meta", "cpu")
        assert torch.equal(ours.rows, theirs.rows)


def test_jobs_on_a_gpu_read_and_scale_the_stores_once(season, tmp_path, monkeypatch):
    """However many of them there are; each copies what the first one scaled. `meta` stands for the GPU."""
    read, load = [], shared.load_both

    def counted(experiment: Experiment, **options):
        read.append(experiment.device.type)
        return load(experiment, **options)

    monkeypatch.setattr(shared, "load_both", counted)
    on_cpu = experiment_on(season)
    elsewhere = replace(on_cpu, device=torch.device("meta"))
    first, second, here = (shared_features(one, tmp_path / "resident") for one in (elsewhere, elsewhere, on_cpu))
    assert len(read) == 1
    for found in (first, second):
        assert (found.training.rows.device.type, found.validation.rows.device.type) == ("meta", "meta")
        assert found.training.rows.shape == here.training.rows.shape


def test_shared_features_are_on_the_disk_before_they_count_as_whole(season, tmp_path, monkeypatch):
    """The order decides: arrays are synced, then the layout is written, then the folder gets its name."""
    done: list[str] = []

    def sync(path: Path) -> None:
        done.append(path.name)
        files.sync(path)

    def write_json(path: Path, value: object) -> None:
        done.append(path.name)
        files.write_json(path, value)

    monkeypatch.setattr(shared, "sync", sync)
    monkeypatch.setattr(shared, "write_json", write_json)
    shared_features(experiment_on(season), tmp_path / "resident")
    assert sorted(done[:2]) == ["train.npy", "valid.npy"]
    assert done[2:] == ["layout.json", "resident"]
