"""Temporal shift in every family of timm that people use: where it sits, how it begins, that it trains."""

from pathlib import Path

import pytest
import timm
import torch

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone.load import assemble, load_backbone, load_model
from ballspot.extract.backbone.shift_places import first_conv, layout_of
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.backbone.temporal_shift import (
    GateShift,
    Shift,
    ShiftSpec,
    insert_shift,
    parse_backbone,
    reach_of,
    split_at_shift,
)

CPU, SIZE = torch.device("cpu"), (32, 64)
FAMILIES = {  # a small model of each, and how many residual blocks it has in the stages s1 to s4
    "regnetx_002": [1, 1, 4, 7],
    "resnet10t": [1, 1, 1, 1],
    "convnext_atto": [2, 2, 6, 2],
    "tf_efficientnetv2_b0": [1, 1, 6, 7],
    "mobilenetv2_035": [1, 2, 5, 2],
    "mobilenetv3_small_050": [0, 1, 4, 2],
    "mobilenetv4_conv_small_035": None,
    "tf_efficientnet_lite0": [1, 1, 4, 3],
}


def model_of(name: str) -> torch.nn.Module:
    """The model with numbers everywhere: none of its branches begins at zero."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=0)
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.LayerNorm)):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
    for parameter in model.parameters():
        if parameter.ndim == 1 and parameter.abs().max() < 1e-3:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.eval()


@pytest.fixture
def clip() -> torch.Tensor:
    return torch.randn(4, 3, *SIZE, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", FAMILIES)
def test_every_residual_block_is_shifted_once_and_the_two_parts_are_the_whole(name, clip):
    model = model_of(name)
    spec = ShiftSpec("tsm", ("s1", "s2", "s3", "s4"))
    clips = insert_shift(model, spec, backbone=name)
    layout = layout_of(model)
    counts = [
        sum(isinstance(one, Shift) for place in layout.places([stage]) for one in model.get_submodule(place).modules())
        for stage in spec.stages
    ]
    assert sum(counts) == reach_of(model, spec) > 0
    assert FAMILIES[name] in (None, counts)
    clips.n_frames = len(clip)
    with torch.inference_mode():
        whole = model(clip)
        front, back = split_at_shift(model, ShiftSpec("tsm", ("s3", "s4")))
        torch.testing.assert_close(back(front(clip)), whole)
        moved = clip.clone()
        moved[2] += 1
        changed = (model(moved) - whole).abs().amax(1)
    assert (changed > 0).all()  # neighbours are seen


@pytest.mark.parametrize("kind", ["gsm", "gsf"])
@pytest.mark.parametrize("name", FAMILIES)
def test_trained_weights_give_the_features_that_they_gave_until_gates_open(name, kind, clip):
    plain, model = model_of(name), model_of(name)
    clips = insert_shift(model, ShiftSpec(kind, ("s1", "s2", "s3", "s4")), backbone=name, keeps=True)
    clips.n_frames = len(clip)
    with torch.no_grad():
        wanted = plain(clip)
        torch.testing.assert_close(model(clip), wanted, rtol=1e-4, atol=1e-5 * float(wanted.abs().max()))
        for module in model.modules():
            if isinstance(module, GateShift):
                torch.nn.init.constant_(module.conv3D.bias, 1.0)
        assert (model(clip) - wanted).abs().max() > 1e-3 * wanted.abs().max()


@pytest.mark.parametrize("name", ["mobilenetv2_035", "convnext_atto", "resnet10t"])
def test_a_step_of_training_opens_the_gates(name, clip):
    model = model_of(name).train()
    clips = insert_shift(model, ShiftSpec("gsf", ("s3", "s4")), backbone=name, keeps=True)
    clips.n_frames = len(clip)
    model(clip).square().mean().backward()
    gates = [one.conv3D.bias.grad for one in model.modules() if isinstance(one, GateShift)]
    assert gates and all(one is not None and one.abs().max() > 0 for one in gates)


@pytest.mark.parametrize("backbone", ["mobilenetv2_035+gsf", "convnext_atto+gsm:s4"])
def test_a_weights_file_of_the_plain_model_begins_as_it_is_and_one_of_the_shifted_is_read_back(backbone, tmp_path):
    name, shift = parse_backbone(backbone)
    file = tmp_path / "plain.pth"
    torch.save(model_of(name).state_dict(), file)
    images = torch.randn(3, 3, *SIZE)
    loaded = load_model(BackboneSpec(backbone, str(file), SIZE))
    assert loaded.clips is not None
    loaded.clips.n_frames = 3
    with torch.inference_mode():
        wanted = model_of(name)(images)
        torch.testing.assert_close(loaded.model.eval()(images), wanted, rtol=1e-4, atol=1e-4)
    torch.save(loaded.model.state_dict(), file)
    again = load_model(BackboneSpec(backbone, str(file), SIZE))
    for (key, one), (_, other) in zip(loaded.model.state_dict().items(), again.model.state_dict().items(), strict=True):
        assert torch.equal(one, other), key
    made = assemble(again, CPU)
    assert made.shifted is not None and made.shifted.reach == reach_of(loaded.model, shift)


def test_models_without_residual_blocks_are_refused_in_one_line(tmp_path: Path):
    for name, told in (
        ("vgg11+tsm", "is for timm's RegNets, ResNets, ConvNeXts, EfficientNets and MobileNets"),
        ("mobilenetv3_small_050+gsf:s1", "has no residual block in s1 to shift"),
        ("ghostnet_050+gsm", "is for timm's RegNets"),
    ):
        with pytest.raises(BallspotError, match=told) as caught:
            load_backbone(BackboneSpec(name, "random", SIZE), CPU)
        assert "\n" not in str(caught.value)


def test_what_a_block_begins_with_is_found_behind_a_shift_too():
    model = timm.create_model("mobilenetv2_035", num_classes=0)
    block = model.get_submodule("blocks.2.1")
    assert first_conv(block) == "conv_pw"
    insert_shift(model, ShiftSpec("gsm", ("s2",)), backbone="x")
    assert first_conv(block) == "conv_pw"
