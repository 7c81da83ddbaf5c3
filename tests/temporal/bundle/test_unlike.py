"""What cannot go into one bundle, or out as ONNX, is told in one line and leaves nothing; a card says what it can."""

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import RegionSpec
from ballspot.evaluate.dataset import LabelSet
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.temporal.bundle import onnx as onnx_files
from ballspot.temporal.bundle.bundle import Bundle, bundle_of, write_bundle
from ballspot.temporal.bundle.card import card_text
from ballspot.temporal.config import Procedure, write_procedure
from ballspot.temporal.heads.checkpoints import read_checkpoint, write_checkpoint

CPU = torch.device("cpu")


def changed(run: Path, out: Path, **description: Any) -> Path:
    """A copy of a run whose head says something else of itself."""
    shutil.copytree(run, out)
    kept = read_checkpoint(out / "best.safetensors")
    write_checkpoint(
        out / "best.safetensors",
        description=replace(kept.description, **description),
        head=kept.load("cpu"),
        progress=kept.progress,
        scaling=kept.scaling,
    )
    return out


def test_a_head_that_goes_on_with_a_fine_tuning_is_no_bundle(shared, tmp_path) -> None:
    run = changed(shared.plain_run, tmp_path / "tuned", features_fingerprint="")
    with pytest.raises(
        BallspotError, match="tuned: its last checkpoint goes on with the fine-tuning; give the best one"
    ):
        bundle_of([run])


def test_runs_of_other_classes_are_not_bundled_together(shared, tmp_path) -> None:
    kept = read_checkpoint(shared.plain_run / "best.safetensors").description.label_set
    other = LabelSet("other", tuple(f"{label}!" for label in kept.labels))
    run = changed(shared.plain_run, tmp_path / "other", label_set=other)
    with pytest.raises(
        BallspotError, match=f"other: trained on other labels than {shared.plain_run}; give runs of one"
    ):
        bundle_of([shared.plain_run, run])


def test_an_adopted_model_is_bundled_alone(shared, tmp_path) -> None:
    shutil.copytree(shared.plain_run, run := tmp_path / "adopted")
    said = {"system": "E2E-Spot", "size": (64, 96), "clip_rows": 10, "overlap_rows": 5, "padding": "mean"}
    write_procedure(run, Procedure(**said))
    with pytest.raises(
        BallspotError, match="adopted: an adopted model goes over a video in its own way; give it alone"
    ):
        bundle_of([shared.plain_run, run])


def test_a_file_that_is_there_is_left_alone(shared, tmp_path) -> None:
    out = tmp_path / "a.ballspot"
    out.write_text("mine")
    with pytest.raises(BallspotError, match=r"a.ballspot: already exists; choose another --out"):
        write_bundle([shared.plain_run], out=out)
    assert out.read_text() == "mine"


@pytest.fixture(scope="module")
def bundle(shared) -> Bundle:
    return bundle_of([shared.plain_run], with_backbone=False)


def test_a_card_of_a_run_that_is_not_done_has_no_result(bundle, shared) -> None:
    assert "mAP@" in card_text(bundle, run=shared.plain_run)
    assert "mAP@" not in card_text(replace(bundle, metrics=(None,)), run=shared.plain_run)


def test_a_card_without_its_data_has_no_counts_and_no_intervals(bundle, shared, tmp_path) -> None:
    """The folder holds one match of the run's, without labels; and where those are damaged it says no more."""
    name = bundle.splits["valid"][0]

    def of_valid(data: Path) -> str:
        card = card_text(bundle, run=shared.plain_run, data_root=data)
        assert "No intervals: they need the run with its data" in card
        return next(line for line in card.splitlines() if line.startswith("| valid"))

    assert re.fullmatch(r"\| valid \| 1 \| [1-9]\d* \|", of_valid(shared.data))
    for content in (None, "no JSON"):
        shutil.rmtree(tmp_path / "data", ignore_errors=True)
        (tmp_path / "data" / name).mkdir(parents=True)
        if content is not None:
            (tmp_path / "data" / name / "Labels-ball.json").write_text(content)
        assert of_valid(tmp_path / "data") == "| valid | 1 |"


def test_a_card_tells_frames_of_motion_and_boxes(bundle, shared) -> None:
    boxes = RegionSpec(by="map", size=(32, 48), picture=(128, 192), count=2, fuse="concat")
    spec = bundle.features[0].spec.model_copy(update={"motion": 3, "region": boxes})
    said = card_text(replace(bundle, features=(replace(bundle.features[0], spec=spec),)), run=None)
    assert "channels that are the grey levels of three frames, 3 apart, and 2 of 32x48 cut from 128x192 by map" in said


def several(bundle: Bundle) -> Bundle:
    return replace(bundle, features=bundle.features * 2)


def of_neighbours(bundle: Bundle) -> Any:
    """A bundle whose features are of a backbone with temporal shift."""
    shifted = BackboneSpec("regnety_002+tsm:s4", "random", (32, 48))
    made = SimpleNamespace(spec=bundle.features[0].spec, backbone=lambda device: load_backbone(shifted, device))
    return SimpleNamespace(features=(made,))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (several, "reads 2 feature sets; --backbone is for heads on one"),
        (of_neighbours, r"regnety_002\+tsm:s4: sees neighbouring frames; --backbone is for those without shift"),
    ],
)
def test_backbones_that_read_more_than_a_picture_are_not_exported(
    change: Callable[[Bundle], Any], said: str, bundle: Bundle, shared, tmp_path, monkeypatch
) -> None:
    monkeypatch.setattr(onnx_files, "open_bundle", lambda source, features: change(bundle))
    with pytest.raises(BallspotError, match=said):
        onnx_files.export_backbone(shared.plain_run, tmp_path / "b.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("torch.onnx.export", "torch cannot export it"),
        (f"{onnx_files.__name__}._difference", "onnxruntime cannot run it"),
    ],
)
def test_what_onnx_does_not_know_is_told_in_one_line_and_nothing_is_written(
    place: str, said: str, shared, tmp_path, monkeypatch
) -> None:
    pytest.importorskip("onnx")

    def unknown(*arguments: object, **how: object) -> None:
        raise RuntimeError("no such operator: aten::new\nCall stack: ...")

    monkeypatch.setattr(place, unknown)
    with pytest.raises(BallspotError, match=rf"^--format onnx: {said} \(.*no such operator: aten::new\)$"):
        onnx_files.export_head(shared.plain_run, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_an_output_of_another_shape_is_as_different_as_can_be(shared, tmp_path) -> None:
    pytest.importorskip("onnx")
    onnx_files.export_head(shared.plain_run, tmp_path / "a.onnx")

    class Other(nn.Module):
        def forward(self, clips: torch.Tensor) -> tuple[torch.Tensor, ...]:
            return (clips[..., :1],)

    dims = read_checkpoint(shared.plain_run / "best.safetensors").description.dims
    example = torch.zeros(1, 20, sum(dims))
    assert onnx_files._difference((tmp_path / "a.onnx").read_bytes(), Other(), [example]) == np.inf
