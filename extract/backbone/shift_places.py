"""Where timm's convolutional models have what a temporal shift needs: four stages, residual blocks, first convolutions.

A RegNet, a ResNet and a ConvNeXt have four stages of their own, and every block is residual. The families of MobileNet
(V2, V3, V4, MNASNet, FBNet) and EfficientNet (V1, V2, lite) have one list of up to seven stages: they are put together
by how much smaller their maps are than the picture, and the blocks with a shortcut are shifted, as TSM does in
MobileNetV2 (Lin, Gan, Han, ICCV 2019).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import nn

STAGES = ("s1", "s2", "s3", "s4")
SMALLER = (4, 8, 16, 32)  # how many times smaller either way the maps of the four stages are, at most


@dataclass(frozen=True)
class Layout:
    """Where a timm model has what a shift needs: its four stages, each one module or more, and their blocks.

    `before` are the modules before the first stage, `maps` and `head` those after the last. `blocks` stands between a
    stage's name and its blocks. With `interleaves`, gated shifts interleave channels as public checkpoints have it.
    """

    stages: tuple[tuple[str, ...], ...]
    before: tuple[str, ...]
    maps: tuple[str, ...]
    head: tuple[str, ...]
    blocks: str = ""
    interleaves: bool = True

    def places(self, stages: Sequence[str]) -> tuple[str, ...]:
        """What the model calls the stages that we call s1 to s4."""
        return tuple(name for stage in stages for name in self.stages[STAGES.index(stage)])


LAYOUTS = (
    Layout((("s1",), ("s2",), ("s3",), ("s4",)), ("stem",), ("final_conv",), ("head",)),  # RegNet
    Layout((("layer1",), ("layer2",), ("layer3",), ("layer4",)), ("conv1", "bn1", "act1", "maxpool"), (),
           ("global_pool", "fc")),  # ResNet
    Layout((("stages.0",), ("stages.1",), ("stages.2",), ("stages.3",)), ("stem",), ("norm_pre",), ("head",),
           ".blocks"),  # ConvNeXt
)  # fmt: skip
FIRST = ("conv1", "conv1", "conv_dw")  # what these call the first convolution of a block
MOBILE_BLOCKS = ("timm.models._efficientnet_blocks", "timm.layers.attention2d")  # where timm has their blocks
MOBILE_HEADS = (  # after the stages of an EfficientNet, and of a MobileNetV3 or V4
    (("conv_head", "bn2"), ("global_pool", "classifier")),
    ((), ("global_pool", "conv_head", "norm_head", "act2", "flatten", "classifier")),
)


def layout_of(model: nn.Module) -> Layout | None:
    """Where a model has its stages, None for one that shifts are not written for."""
    for layout, conv in zip(LAYOUTS, FIRST, strict=True):
        try:
            blocks = [block for stage in layout.places(STAGES) for block in _children(model, stage + layout.blocks)]
        except AttributeError:
            continue
        if blocks and all(first_conv(block) == conv for block in blocks):
            return layout
    return _mobile_layout(model)


def blocks_of(model: nn.Module, stage: str, layout: Layout) -> Iterator[nn.Module]:
    """The residual blocks of a stage that begin with a convolution."""
    for block in _children(model, stage + layout.blocks):
        if first_conv(block) and getattr(block, "has_skip", True):
            yield block


def first_conv(block: nn.Module) -> str:
    """The name of the convolution that a block begins with, also one that has been shifted; "" where there is none."""
    for name, child in block.named_children():
        inner = getattr(child, "net", child)  # behind a shift
        if isinstance(getattr(inner, "conv", inner), nn.Conv2d):
            return name
    return ""


def _children(model: nn.Module, name: str) -> list[nn.Module]:
    return list(model.get_submodule(name).children())


def _mobile_layout(model: nn.Module) -> Layout | None:
    """The layout of a model with one list `blocks` of stages, None for another."""
    blocks = getattr(model, "blocks", None)
    stem = [name for name in ("conv_stem", "bn1") if hasattr(model, name)]
    if not isinstance(blocks, nn.Sequential) or len(stem) < 2:
        return None
    kinds = {type(block).__module__ for stage in blocks.children() for block in stage.children()}
    if not kinds or not all(kind in MOBILE_BLOCKS for kind in kinds):
        return None
    stages: list[list[str]] = [[], [], [], []]
    smaller = _stride(model.get_submodule("conv_stem"))
    for name, stage in blocks.named_children():
        for block in stage.children():
            smaller *= _stride(block)
        place = next((number for number, most in enumerate(SMALLER) if smaller <= most), len(SMALLER) - 1)
        stages[place].append(f"blocks.{name}")
    maps, whole_head = MOBILE_HEADS[0 if hasattr(model, "bn2") else 1]
    head = tuple(name for name in whole_head if hasattr(model, name))
    if {name for name, _ in model.named_children()} != {*stem, "blocks", *maps, *head}:
        return None  # it has a step that its two parts would lack
    return Layout(tuple(map(tuple, stages)), tuple(stem), maps, head, interleaves=False)


def _stride(block: nn.Module) -> int:
    return max((one.stride[0] for one in block.modules() if isinstance(one, nn.Conv2d)), default=1)
