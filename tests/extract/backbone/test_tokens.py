"""Transformers: patch tokens over a grid, sizes of pictures that are read whole, and weights of another size."""

from pathlib import Path

import pytest
import timm
import torch
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone import BackboneSpec, load_backbone, make_engine, settle
from ballspot.extract.backbone.pooling import WithStrength, with_pooling

CPU = torch.device("cpu")
VITS = {  # with the tokens before the patches: class, registers, distillation (as the papers and timm have them)
    "vit_tiny_patch16_224": 1,
    "vit_base_patch16_224.mae": 1,
    "vit_small_patch14_dinov2": 1,
    "vit_small_patch14_reg4_dinov2": 5,
    "vit_small_patch16_dinov3": 5,
    "vit_base_patch16_siglip_224": 0,
    "deit_tiny_distilled_patch16_224": 2,
    "eva02_tiny_patch14_224": 1,
}


def shallow(name: str, size: tuple[int, int]) -> nn.Module:
    torch.manual_seed(0)
    return timm.create_model(name, pretrained=False, num_classes=0, img_size=size, depth=2).eval()


@pytest.mark.parametrize(("name", "n_before"), VITS.items(), ids=list(VITS))
def test_a_cell_is_the_mean_of_the_tokens_of_its_patches(name: str, n_before: int) -> None:
    patch = 14 if "patch14" in name else 16
    size = (4 * patch, 6 * patch)
    model = shallow(name, size)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    pooling = with_pooling(model, BackboneSpec(name, "random", size, ("blocks.0", "pooled"), (2, 3)))
    outputs: list[torch.Tensor] = []
    hook = model.get_submodule("blocks.0").register_forward_hook(lambda _, __, output: outputs.append(output))
    with torch.inference_mode():
        last = model.forward_features(images)  # pyright: ignore  timm types it as a Tensor or a Module[reportCallIssue]  # timm's models have it
        hook.remove()
        features = pooling(images)
    expected = []
    for tokens in (outputs[0], last):
        patches = tokens[:, n_before:]
        assert patches.shape[1] == 24
        by_place = patches.reshape(2, 2, 2, 3, 2, -1)  # batch, cell's row, row in it, cell's column, column in it
        expected.append(by_place.mean(dim=(2, 4)))
    torch.testing.assert_close(features, torch.cat(expected, dim=-1).flatten(1), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize(("name", "n_before"), VITS.items(), ids=list(VITS))
def test_the_strength_of_a_place_is_the_mean_of_its_patch_token(name: str, n_before: int) -> None:
    patch = 14 if "patch14" in name else 16
    size = (2 * patch, 3 * patch)
    model = shallow(name, size)
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    strong = WithStrength(model, BackboneSpec(name, "random", size))
    with torch.inference_mode():
        tokens = model.forward_features(images)  # pyright: ignore[reportCallIssue]  # timm's models have it
        expected = torch.cat((model(images), tokens[:, n_before:].mean(dim=2)), dim=1)
        assert expected.shape[1] == model.num_features + 6
        torch.testing.assert_close(strong(images), expected, atol=1e-5, rtol=1e-5)
    assert strong.shape_at(size) == (2, 3)


def test_an_engine_computes_the_same_tokens() -> None:
    backbone = load_backbone(BackboneSpec("test_vit", "random:3", (64, 112), grid=(2, 7)), CPU)
    engine = make_engine(backbone, kind="torch", batch_rows=2, device=CPU)
    pictures = torch.randint(0, 256, (2, 64, 112, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    mean, std = torch.tensor(backbone.mean), torch.tensor(backbone.std)
    with torch.inference_mode():
        maps = backbone.model.model.forward_features(((pictures / 255 - mean) / std).permute(0, 3, 1, 2))  # pyright: ignore
    expected = maps[:, 1:].reshape(2, 2, 2, 7, 64).mean(dim=2).flatten(1)
    assert backbone.dim == 2 * 7 * 64
    torch.testing.assert_close(torch.from_numpy(engine(pictures)), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("layers", "grid", "message"),
    [
        (("pooled",), (5, 3), r"--grid 5x3: the map of layer 'pooled' has 4x7 cells at 64x112 pixels"),
        (("head",), (1, 1), "--layers head: test_vit gives no map of the picture there"),
        (("block.0",), (1, 1), "did you mean blocks.0"),
    ],
)
def test_what_gives_no_such_grid_is_named(layers: tuple[str, ...], grid: tuple[int, int], message: str) -> None:
    with pytest.raises(BallspotError, match=message):
        load_backbone(BackboneSpec("test_vit", "random", (64, 112), layers, grid), CPU)


def test_pictures_are_whole_patches() -> None:
    """224x398 is 28.4 patches of 14 wide, and 24.9 of 16."""
    of_14 = settle(None, backbone="vit_small_patch14_dinov2")
    assert (of_14.size, of_14.line) == (
        (224, 392),
        "--size 224x392: whole patches of vit_small_patch14_dinov2, nearest to 224x398",
    )
    assert settle(None, backbone="vit_small_patch16_dinov3").size == (224, 400)
    assert settle(None, backbone="vit_tiny_patch16_224", size=(64, 112)).size == (64, 112)
    assert settle(None, backbone="convnext_atto", size=(63, 97)).size == (63, 97)
    with pytest.raises(BallspotError, match=r"patches of 14x14 pixels.*; give --size 56x98 or 70x112"):
        settle(None, backbone="vit_small_patch14_dinov2", size=(64, 100))


def test_weights_of_another_size_are_taken_with_their_positions_resampled(tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs = timm.create_model("test_vit", pretrained=False).state_dict()  # 160x160, with a classifier
    torch.save(theirs, tmp_path / "w.pth")
    backbone = load_backbone(BackboneSpec("test_vit", str(tmp_path / "w.pth"), (64, 112), grid=(2, 2)), CPU)
    ours = backbone.model.model.state_dict()  # pyright: ignore[reportAttributeAccessIssue]  # of the pooling
    torch.testing.assert_close(ours["blocks.1.attn.qkv.weight"], theirs["blocks.1.attn.qkv.weight"])
    of_theirs = theirs["pos_embed"][:, 1:].reshape(1, 10, 10, 64).permute(0, 3, 1, 2)  # after the class token's
    resized = nn.functional.interpolate(
        of_theirs, size=(4, 7), mode="bicubic", antialias=True
    )  # as timm's and DINOv2's
    torch.testing.assert_close(ours["pos_embed"][:, 1:], resized.flatten(2).transpose(1, 2))
    torch.testing.assert_close(ours["pos_embed"][:, :1], theirs["pos_embed"][:, :1])
    del theirs["blocks.1.attn.qkv.weight"]
    torch.save(theirs, tmp_path / "w.pth")
    with pytest.raises(BallspotError, match=r"lacks the tensor 'blocks.1.attn.qkv.weight'"):
        load_backbone(BackboneSpec("test_vit", str(tmp_path / "w.pth"), (64, 112)), CPU)
