"""Temporal shift: the unit facts of the papers and of the public code, and golden vectors where they are at hand."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone.temporal_shift import (
    KINDS,
    Clips,
    GateShift,
    GateShiftFuse,
    ShiftedConv,
    ShiftSpec,
    TemporalShift,
    folded_channels,
    insert_shift,
    parse_backbone,
    reach_of,
    split_at_shift,
)

CPU = torch.device("cpu")
# Input channels of every block of timm's regnety_002, and the folds that E2E-Spot's and T-DEED's checkpoints have.
FOLDS = {"s1": [8], "s2": [8], "s3": [16, 40, 40, 40], "s4": [40, *[92] * 6]}


def shifted(kind: str, stages: tuple[str, ...] = ("s1", "s2", "s3", "s4"), seed: int = 0):
    """regnety_002 with lively weights, in evaluation."""
    torch.manual_seed(seed)
    model = timm.create_model("regnety_002", num_classes=0)
    clips = insert_shift(model, ShiftSpec(kind, stages), backbone="regnety_002")
    for module in model.modules():
        if isinstance(module, (torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.bias, std=0.2)
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.normal_(module.weight, std=0.1)
    return model.eval(), clips


def test_the_folds_of_every_block_are_those_of_public_checkpoints():
    model, _ = shifted("gsf")
    for stage, folds in FOLDS.items():
        blocks = list(model.get_submodule(stage).children())
        assert [block.get_submodule("conv1.gs.bn").num_features for block in blocks] == folds


@given(st.integers(8, 4096))
def test_a_quarter_of_the_channels_rounded_up_to_fours_is_folded(n_channels):
    assert folded_channels(n_channels) == int(np.ceil((n_channels // 4) / 4) * 4)


def test_tsm_moves_an_eighth_from_the_next_frame_and_an_eighth_from_the_last():
    clips = Clips()
    clips.n_frames = 3
    images = torch.arange(6 * 8, dtype=torch.float32).view(6, 8, 1, 1) + 1
    out = TemporalShift(8, clips)(images)[:, :, 0, 0]
    rows = images[:, :, 0, 0]
    for start in (0, 3):  # two clips, which nothing passes between
        assert out[start : start + 3, 0].tolist() == [*rows[start + 1 : start + 3, 0].tolist(), 0.0]
        assert out[start : start + 3, 1].tolist() == [0.0, *rows[start : start + 2, 1].tolist()]
    assert torch.equal(out[:, 2:], rows[:, 2:])


def open_gates(module: GateShift) -> None:
    """Gates of tanh(20) = 1 everywhere: all that is folded is moved."""
    torch.nn.init.constant_(module.conv3D.bias, 20.0)


def test_gsm_with_open_gates_moves_half_each_way_and_interleaves_the_channels():
    clips = Clips()
    clips.n_frames = 4
    module = GateShift(32, clips).eval()  # 8 folded channels: 0 to 3 from the next frame, 4 to 7 from the last
    open_gates(module)
    images = torch.randn(4, 32, 2, 2)
    with torch.inference_mode():
        out = module(images)
    for place, channel in enumerate((0, 2, 1, 3)):
        torch.testing.assert_close(out[:3, place], images[1:, channel])
        assert not out[3, place].any()
    for place, channel in enumerate((4, 6, 5, 7), start=4):
        torch.testing.assert_close(out[1:, place], images[:3, channel])
        assert not out[0, place].any()
    assert torch.equal(out[:, 8:], images[:, 8:])


def test_gsm_begins_with_closed_gates_so_only_the_channels_change_places():
    clips = Clips()
    clips.n_frames = 4
    images = torch.randn(4, 32, 2, 2)
    with torch.inference_mode():
        out = GateShift(32, clips).eval()(images)
    torch.testing.assert_close(out[:, :8], images[:, [0, 2, 1, 3, 4, 6, 5, 7]])


def test_gsf_weighs_what_was_shifted_against_what_stayed():
    clips = Clips()
    clips.n_frames = 4
    module = GateShiftFuse(32, clips).eval()
    open_gates(module)
    for conv in (module.channel_conv1, module.channel_conv2):
        torch.nn.init.zeros_(conv.weight)
        torch.nn.init.constant_(conv.bias, float(np.log(3)))  # sigmoid: a weight of 3/4
    images = torch.randn(4, 32, 2, 2)
    with torch.inference_mode():
        out = module(images)
    torch.testing.assert_close(out[:3, 0], 0.75 * images[1:, 0], rtol=1e-4, atol=1e-5)  # nothing stayed


@pytest.mark.parametrize(("kind", "stages", "reach"), [
    ("gsm", ("s1", "s2", "s3", "s4"), 26),  # techniques of the field: E2E-Spot's regnety_002 sees 26 frames either way
    ("gsf", ("s3", "s4"), 33),
    ("tsm", ("s1", "s2", "s3", "s4"), 13),
    ("tsm-block", ("s1", "s2", "s3", "s4"), 13),
])  # fmt: skip
def test_a_feature_sees_as_many_frames_as_its_reach_says_and_no_more(kind, stages, reach):
    model, clips = shifted(kind, stages)
    assert reach_of(model, ShiftSpec(kind, stages)) == reach
    clips.n_frames = n_frames = 2 * reach + 11
    middle = n_frames // 2
    images = torch.randn(n_frames, 3, 32, 32)
    images.requires_grad_(True)
    model(images)[middle].sum().backward()
    touched = torch.nonzero(images.grad.flatten(1).abs().sum(1)).flatten()  # pyright: ignore[reportOptionalMemberAccess]
    assert middle - reach <= int(touched.min()) and int(touched.max()) <= middle + reach
    # A relu can close the last way; by far the most of the reach is used.
    assert int(touched.max()) - int(touched.min()) >= 2 * reach - 8


@pytest.mark.parametrize("kind", KINDS)
def test_clips_of_a_batch_know_nothing_of_each_other(kind):
    model, clips = shifted(kind)
    images = torch.randn(12, 3, 32, 32)
    with torch.inference_mode():
        clips.n_frames = 6
        both = model(images)
        first, second = model(images[:6]), model(images[6:])
    torch.testing.assert_close(both, torch.cat((first, second)), rtol=1e-4, atol=1e-5)


@settings(deadline=None, max_examples=10)
@given(st.sampled_from(sorted(KINDS)), st.sampled_from([("s3", "s4"), ("s2",), ("s4",), ("s1", "s2", "s3", "s4")]))
def test_the_two_parts_of_a_shifted_model_are_the_whole(kind, stages):
    model, clips = shifted(kind, stages)
    clips.n_frames = 5
    images = torch.randn(5, 3, 32, 32)
    front, back = split_at_shift(model, ShiftSpec(kind, stages))
    with torch.inference_mode():
        torch.testing.assert_close(back(front(images)), model(images), rtol=1e-5, atol=1e-6)


def test_pictures_that_are_no_whole_clips_are_refused():
    model, clips = shifted("tsm")
    clips.n_frames = 4
    with pytest.raises(ValueError, match="not a whole number of clips"):
        model(torch.randn(6, 3, 32, 32))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("regnety_002", ("regnety_002", None)),
        ("regnety_004+tsm", ("regnety_004", ShiftSpec("tsm", ("s1", "s2", "s3", "s4")))),
        ("regnety_002+gsf", ("regnety_002", ShiftSpec("gsf", ("s3", "s4")))),
        ("regnety_002+gsm:s4,s2", ("regnety_002", ShiftSpec("gsm", ("s2", "s4")))),
    ],
)
def test_names_say_a_shift(text, expected):
    assert parse_backbone(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("regnety_002+gsff", "did you mean 'gsf'"),
        ("regnety_002+gsf:s5", "stages 's5'"),
        ("regnety_002+gsf:s3,s3", "stages 's3,s3'"),
        ("regnety_002+", "no temporal shift ''"),
    ],
)
def test_a_shift_that_is_none_is_named(text, message):
    with pytest.raises(BallspotError, match=message):
        parse_backbone(text)


def test_a_model_without_stages_is_refused():
    with pytest.raises(BallspotError, match="temporal shift is for timm's RegNets"):
        insert_shift(timm.create_model("test_vit", num_classes=0), ShiftSpec("tsm", ("s1",)), backbone="test_vit+tsm")


class ShiftsInPlace(nn.Module):
    """E2E-Spot's TSM as its facts tell: the tensor that it is given changes, and with it the block's shortcut."""

    def __init__(self, net: nn.Module, n_frames: int) -> None:
        super().__init__()
        self.net, self.n_frames = net, n_frames

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fold = images.shape[1] // 8
        clips = images.view(-1, self.n_frames, *images.shape[1:])
        whole = clips.clone()
        clips[:, :, : 2 * fold] = 0
        clips[:, :-1, :fold] = whole[:, 1:, :fold]
        clips[:, 1:, fold : 2 * fold] = whole[:, :-1, fold : 2 * fold]
        return self.net(images)


@pytest.mark.parametrize(
    "name, kind",
    [("resnet18", ""), ("resnet18", "tsm-block"), ("resnet18", "gsm"), ("resnet50", "tsm-block"),
     ("convnext_tiny", "tsm-block"), ("convnext_tiny", "gsm")],
)  # fmt: skip
def test_other_backbones_of_e2espot_are_what_torchvision_and_timm_make_of_the_same_tensors(name, kind, tmp_path):
    """The reference is torchvision's own ResNet (timm's ConvNeXt) with the shift put in as the system does."""
    from ballspot.extract.backbone.load import load_backbone
    from ballspot.extract.backbone.spec import BackboneSpec

    torchvision = pytest.importorskip("torchvision")
    is_resnet = name.startswith("resnet")
    torch.manual_seed(3)
    reference = torchvision.models.get_model(name) if is_resnet else timm.create_model(name, num_classes=0)
    if is_resnet:
        reference.fc = nn.Identity()
    stages = [reference.get_submodule(f"layer{n}" if is_resnet else f"stages.{n - 1}.blocks") for n in (1, 2, 3, 4)]
    clips = Clips()
    clips.n_frames = 6
    for block in (block for stage in stages for block in stage.children()):
        attribute = "conv1" if is_resnet else "conv_dw"
        conv = getattr(block, attribute)
        if kind == "tsm-block":
            setattr(block, attribute, ShiftsInPlace(conv, clips.n_frames))
        elif kind == "gsm":
            shift = GateShift(conv.in_channels, clips)
            nn.init.normal_(shift.conv3D.weight, std=0.2)
            setattr(block, attribute, ShiftedConv(conv, shift, "gsm"))
    state = {f"_features.{key}": value for key, value in reference.state_dict().items()}
    torch.save({**state, "_pred_fine._fc_out.weight": torch.zeros(13, 8)}, tmp_path / "checkpoint_001.pt")
    images = torch.randn(6, 3, 64, 64)
    with torch.inference_mode():
        expected = reference.eval()(images.clone())
    backbone = load_backbone(BackboneSpec(name, str(tmp_path / "checkpoint_001.pt"), (64, 64)), CPU)
    assert backbone.spec.name == (f"{name}+{kind}:s1,s2,s3,s4" if kind else name)
    with torch.inference_mode():
        if backbone.shifted is not None:
            backbone.shifted.clips.n_frames = clips.n_frames
            images = backbone.shifted.front(images)
        features = backbone.model(images)
    # Of an untrained network the rounding grows from layer to layer; a shortcut that is not shifted makes tenths.
    assert float((features - expected).abs().max() / expected.abs().max()) < 1e-3


SHARED = Path(__file__).parents[4] / "shared"
GOLDEN = {name: (f"golden/{name}.pt", "golden/frames.npy", f"golden/{name}_features.npy")
          for name in ("course", "spot_gsm", "tdeed_gsf")}  # fmt: skip
GOLDEN |= {name: tuple(f"golden2/{name}/{file}" for file in ("checkpoint.pt", "frames.npy", "features.npy"))
           for name in ("e2espot_rny002_gsm_gru", "e2espot_rny002_tsm_gru", "e2espot_rny002_gsm_asformer",
                        "osl_e2e_rny002_gsm_gru", "tdeed_rny002_gsf_ball", "teamkit_rny002_gsf_ball")}  # fmt: skip


@pytest.mark.parametrize("system", GOLDEN)
def test_golden_vectors_of_the_original_systems_are_matched(system):
    """Made by running the original systems' own code on random weights; ../shared/golden*/README.md says how.

    Of E2E-Spot's TSM the features differ by 28 % where the shortcut is not shifted.
    """
    from ballspot.extract.backbone.engines import normalisation
    from ballspot.extract.backbone.load import load_backbone
    from ballspot.extract.backbone.spec import BackboneSpec

    paths = [SHARED / path for path in GOLDEN[system]]
    if not all(path.is_file() for path in paths):
        pytest.skip(f"../shared/{GOLDEN[system][0]} is not here")
    checkpoint, frames, expected = paths[0], *(torch.from_numpy(np.load(path)) for path in paths[1:])
    backbone = load_backbone(BackboneSpec("regnety_002", str(checkpoint), tuple(frames.shape[1:3])), CPU)
    scale, shift = normalisation(backbone.mean, backbone.std)
    images = frames.permute(0, 3, 1, 2).float() * scale + shift
    with torch.inference_mode():
        if backbone.shifted is not None:
            backbone.shifted.clips.n_frames = len(frames)
            images = backbone.shifted.front(images)
        features = backbone.model(images)
    assert float((features - expected).abs().max() / expected.abs().max()) < 1e-4
    assert float(((features - expected).abs() / expected.abs().clamp_min(0.01 * expected.abs().max())).max()) < 2e-3
