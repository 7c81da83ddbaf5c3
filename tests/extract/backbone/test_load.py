from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone.fold_norms import fold_batch_norms
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec

CPU = torch.device("cpu")
SIZE = (64, 96)


def lively(model: nn.Module) -> nn.Module:
    """Batch norms that do something: random statistics and gains, as after training."""
    generator = torch.Generator().manual_seed(5)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None and module.running_var is not None:
            module.running_mean.copy_(torch.randn(module.num_features, generator=generator) * 0.2)
            module.running_var.copy_(torch.rand(module.num_features, generator=generator) + 0.5)
            nn.init.uniform_(module.weight, 0.5, 1.5, generator=generator)
            nn.init.normal_(module.bias, std=0.2, generator=generator)
    return model.eval()


@pytest.mark.parametrize(
    "name",
    ["regnety_002", "regnetx_002", "tf_efficientnet_lite0", "mobilenetv3_small_050", "resnet18", "convnext_atto"],
)
def test_folding_changes_no_feature_by_more_than_a_ten_thousandth(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    plain = lively(timm.create_model(name, pretrained=False, num_classes=0))
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    backbone = load_backbone(BackboneSpec(name, str(tmp_path / "w.pth"), SIZE), CPU)
    images = torch.randn(3, 3, *SIZE, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = plain(images)
        features = backbone.model(images.contiguous(memory_format=torch.channels_last))
    assert backbone.dim == expected.shape[1]
    assert float((features - expected).abs().max() / expected.abs().max()) < 1e-4
    assert not any(isinstance(module, nn.BatchNorm2d) for module in backbone.model.modules())


class Reused(nn.Module):
    """Uses a convolution's output beside its norm: folding would change the result."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        maps = self.conv(images)
        return (self.bn(maps) + maps).mean(dim=(2, 3))


def test_a_model_that_cannot_be_folded_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    model = lively(Reused())
    images = torch.randn(2, 3, *SIZE)
    with torch.inference_mode():
        expected = model(images)
        features = fold_batch_norms(model, size=SIZE)(images)
    assert torch.equal(features, expected)
    assert isinstance(model.bn, nn.BatchNorm2d)


def test_a_seed_decides_random_weights_and_leaves_the_callers_randomness_alone() -> None:
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    digests = [
        load_backbone(BackboneSpec("regnety_002", text, SIZE), CPU).weights_sha256
        for text in ("random", "random:0", "random:1")
    ]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert digests[0] == digests[1] != digests[2]


def test_random_features_see_more_than_single_pixels() -> None:
    # timm starts the last gain of residual branches at zero; with 1x1 shortcuts only, shuffling far pixels of a
    # pooled picture would leave the features nearly unchanged.
    backbone = load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)
    torch.manual_seed(0)
    coarse = nn.functional.interpolate(torch.randn(1, 3, 8, 12), SIZE, mode="nearest")
    shuffled = coarse.flatten(2)[..., torch.randperm(SIZE[0] * SIZE[1])].view_as(coarse)
    with torch.inference_mode():
        one, other = backbone.model(coarse), backbone.model(shuffled)
    assert float((one - other).norm() / one.norm()) > 0.1


def test_normalisation_comes_from_the_weights_own_config() -> None:
    lite = load_backbone(BackboneSpec("tf_efficientnet_lite0", "random", SIZE), CPU)
    regnet = load_backbone(BackboneSpec("regnety_002", "random", SIZE), CPU)
    assert (lite.mean, lite.std) == ((0.5,) * 3, (0.5,) * 3)
    assert (regnet.mean, regnet.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert regnet.features(stride=1) != regnet.features(stride=2)
    assert regnet.features(stride=1).as_json()["size"] == [64, 96]


def test_a_transformer_is_made_for_the_asked_size() -> None:
    backbone = load_backbone(BackboneSpec("vit_tiny_patch16_224", "random", SIZE), CPU)
    assert backbone.dim == 192


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("regnety_02", "random", "no such model; did you mean regnety_"),
        ("regnety_002.pycls", "random", r"no such weights of regnety_002; did you mean regnety_002\.pycls_in1k\?"),
        ("hrnet_w18_small", "random", r"cannot read \(33, 50\) pictures \(The size of tensor .*; give another --size"),
        ("dla34", "random", r"cannot read \(33, 50\) pictures"),
        ("resnet18", "offline", "there are none for resnet18; use --backbone tf_efficientnet_lite0"),
    ],
)
def test_what_cannot_be_loaded_is_named(name: str, weights: str, message: str) -> None:
    with pytest.raises(BallspotError, match=message) as caught:
        load_backbone(BackboneSpec(name, weights, (33, 50)), CPU)
    assert "\n" not in str(caught.value)
