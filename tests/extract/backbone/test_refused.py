"""Backbones, weights and engines that cannot be had or used are told in one line, with what to give instead."""

import sys
import urllib.error
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.extract import device as devices
from ballspot.extract.backbone import load, weights
from ballspot.extract.backbone.engines import OpenvinoEngine, TorchEngine
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.pooling import WithStrength
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.backbone.weights import cached_hub_file, hub_silence, offline_state_dict, resampled
from ballspot.extract.backbone.window_engine import WindowEngine, window_engine

CPU = torch.device("cpu")
SIZE = (64, 96)


def spec_of(name: str = "resnet10t", **how: Any) -> BackboneSpec:
    return BackboneSpec(name, "random", SIZE, **how)


def test_a_layer_that_is_named_twice_is_refused() -> None:
    with pytest.raises(BallspotError, match="--layers layer1,layer1: name every layer once"):
        load_backbone(spec_of(layers=("layer1", "layer1")), CPU)


@pytest.mark.parametrize(
    ("name", "how"), [("resnet10t", {}), ("resnet10t", {"layers": ("layer1", "pooled")}), ("test_vit", {})]
)
def test_the_strength_of_every_place_follows_the_features(name: str, how: dict[str, Any]) -> None:
    """Of maps as of tokens it is the mean over what a place says; the features before it stay as they are."""
    spec = spec_of(name, **how)
    model = load_backbone(spec, CPU).model.eval()
    both = WithStrength(model, spec)
    height, width = both.shape_at(SIZE)
    images = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        made, plain = both(images), model(images)
        inner: Any = getattr(model, "model", model) if how else model
        last = inner.forward_features(images)
    expected = last.mean(1) if last.ndim == 4 else last[:, -height * width :].mean(2)
    assert (height, width) == (tuple(last.shape[2:]) if last.ndim == 4 else (4, 6))
    torch.testing.assert_close(made[:, : plain.shape[1]], plain)
    torch.testing.assert_close(made[:, plain.shape[1] :], expected.flatten(1))


def test_openvino_that_is_missing_or_cannot_run_the_backbone_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = load_backbone(spec_of(), CPU)

    def refuses(*given: object, **how: object) -> None:
        raise RuntimeError("Check 'is_known' failed\nat src/core")

    known = SimpleNamespace(__version__="2026.1.0-123", convert_model=refuses)
    monkeypatch.setitem(sys.modules, "openvino", known)
    with pytest.raises(BallspotError, match=r"--engine openvino: cannot run resnet10t \(.*\); give --engine torch"):
        OpenvinoEngine(backbone, batch_rows=2)(torch.zeros(2, *SIZE, 3, dtype=torch.uint8))
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(BallspotError, match=r"--engine openvino: not installed; pip install 'ballspot\[openvino\]'"):
        OpenvinoEngine(backbone, batch_rows=2)


def test_a_shift_is_not_compiled_and_a_backbone_without_one_has_no_windows() -> None:
    shifted, plain = (load_backbone(spec_of(name), CPU) for name in ("regnety_002+tsm:s4", "resnet10t"))
    how: dict[str, Any] = {"batch_rows": 2, "device": CPU, "margin": 0}
    with pytest.raises(BallspotError, match=r"--compile: temporal shift \(regnety_002\+tsm:s4\) is not compiled"):
        window_engine(shifted, kind="torch", compiles=True, **how)
    with pytest.raises(ValueError, match="resnet10t has no shift"):
        WindowEngine(plain, **how)


class Stubborn(nn.Module):
    """Makes float32 numbers of its own, which do not go with halves."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        means = images.mean((2, 3)) * torch.ones(3)
        return nn.functional.linear(means, self.layer.weight, self.layer.bias)


def test_a_model_that_does_not_run_in_halves_keeps_its_weights_and_says_so() -> None:
    backbone = load_backbone(spec_of(), CPU)
    own = replace(backbone, model=Stubborn())
    engine = TorchEngine(own, batch_rows=2, device=CPU, precision="bfloat16")
    assert engine.uses_autocast and " autocast" in engine.spec.how
    assert all(value.dtype == torch.float32 for value in engine.model.state_dict().values())


def test_weights_that_the_filter_of_timm_cannot_read_come_back_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    model = timm.create_model("test_vit", num_classes=0, img_size=SIZE)
    state = {name: value for name, value in model.state_dict().items()}
    assert resampled(model, state) is state  # they fit
    other = {"pos_embed": torch.zeros(3)}
    assert resampled(model, other) is other


def test_a_file_in_the_cache_of_the_hub_is_taken_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = {"pytorch_model.bin": str(tmp_path / "pytorch_model.bin")}
    monkeypatch.setattr(weights, "try_to_load_from_cache", lambda repository, name: there.get(name))
    assert cached_hub_file({"hf_hub_id": "timm/x"}) == tmp_path / "pytorch_model.bin"
    assert cached_hub_file({}) is None
    model = timm.create_model("resnet10t", num_classes=0)
    save_file(model.state_dict(), tmp_path / "w.safetensors")
    asked: dict[str, Any] = {}
    monkeypatch.setattr(load, "cached_hub_file", lambda cfg: tmp_path / "w.safetensors")
    monkeypatch.setattr(timm, "create_model", lambda name, **how: asked.update(how) or model)
    load._create("resnet10t", SIZE, {}, pretrained=True)
    assert asked["pretrained_cfg_overlay"] == {"file": str(tmp_path / "w.safetensors")}


def test_a_hub_that_answers_with_an_error_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*given: object, **how: object) -> None:
        raise urllib.error.HTTPError("https://x", 404, "Not Found", None, None)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(weights.constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(weights.urllib.request, "urlopen", refuses)
    assert hub_silence() is None


def test_the_package_of_offline_weights_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    with pytest.raises(BallspotError, match=r"--weights offline: its package is missing; .*'ballspot\[offline\]'"):
        offline_state_dict("tf_efficientnet_lite2")


@pytest.mark.parametrize(
    ("pretrained", "said"),
    [
        (True, r"--weights hub: no weights of resnet10t .*no such size"),
        (False, "resnet10t: cannot be made for .*no such"),
    ],
)
def test_a_backbone_that_timm_cannot_make_is_told(pretrained: bool, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuses(*given: object, **how: object) -> None:
        raise ValueError("no such size\nmore")

    monkeypatch.setattr(load, "cached_hub_file", lambda cfg: None)
    monkeypatch.setattr(timm, "create_model", refuses)
    with pytest.raises(BallspotError, match=said):
        load._create("resnet10t", SIZE, {}, pretrained=pretrained)


def test_a_model_that_gives_more_than_a_vector_is_no_backbone() -> None:
    with pytest.raises(BallspotError, match=r"resnet10t: gives \(1, 3, 64, 96\), not one vector per picture"):
        load.feature_dim(spec_of(), nn.Identity(), CPU)


@pytest.mark.parametrize(("is_there", "has_units"), [(True, True), (True, False), (False, True)])
def test_bfloat16_is_for_gpus_that_have_units_for_it(
    is_there: bool, has_units: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: is_there)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: has_units and not including_emulation
    )
    told: list[str] = []
    found = devices.pick_precision("bfloat16", "cuda:1", tell=told.append)
    assert found == ("bfloat16" if is_there and has_units else "float32")
    if found == "float32":
        assert told == ["--precision bfloat16: cuda:1 has no units for it; features are computed in float32"]
        with pytest.raises(BallspotError, match="--precision bfloat16: cuda:1 has no units for it; give a mach"):
            devices.require_precision("bfloat16", "cuda:1")
