"""Temporal shift in a backbone's convolutions: frames of a clip exchange channels with their neighbours.

TSM (Lin, Gan, Han, ICCV 2019) moves a share of the channels a frame forward and as many a frame back; GSM (Sudhakaran,
Escalera, Lanz, CVPR 2020) gates what is moved by a 3x3x3 convolution; GSF (the same, TPAMI 2023) also weighs what came
against what stayed. E2E-Spot's TSM writes into the tensor that the block holds as its shortcut, so that the block's
whole input is shifted (`tsm-block`). Parameters have the names of the public code (E2E-Spot's `gsm`, T-DEED's `gs`, and
`net` for the convolution that follows), so that its checkpoints load as they are. `shift_places.py` says where models
have what is shifted.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from .shift_places import LAYOUTS, STAGES, Layout, blocks_of, first_conv, layout_of

SHIFTED = ".net."  # stands in the name of every tensor of a convolution behind a shift
BLOCK_TSM = "tsm-block"
TWO_LOOKS = "+regions"  # behind the name of a backbone that stands twice in a network of extract/regions
REACH = {"tsm": 1, BLOCK_TSM: 1, "gsm": 2, "gsf": 3}  # frames either side that one block adds to what a feature sees
USUAL_STAGES = {
    "tsm": STAGES,
    BLOCK_TSM: STAGES,
    "gsm": STAGES,
    "gsf": ("s3", "s4"),
}  # as E2E-Spot and T-DEED have them

ATTRIBUTES = {"tsm": "tsm", BLOCK_TSM: "tsm", "gsm": "gsm", "gsf": "gs"}  # what the public code calls them


@dataclass(frozen=True)
class ShiftSpec:
    """Which shift a backbone has, in which of its stages."""

    kind: str
    stages: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.kind}:{','.join(self.stages)}"


def parse_backbone(text: str) -> tuple[str, ShiftSpec | None]:
    """The timm model and the shift that ``regnety_002+gsf:s3,s4`` names; without stages the usual ones of that shift.

    Raises BallspotError for another shift or stage, and for two looks (`extract/regions`), which no store can hold.
    """
    if text.endswith(TWO_LOOKS):
        raise BallspotError(
            f"{text}: AdaSpot chooses each frame's box by the whole clip, and clips that overlap choose otherwise: a "
            "frame has no row of its own that a store could hold; predict from videos"
        )
    name, plus, shift = text.partition("+")
    if not plus:
        return name, None
    kind, colon, stages = shift.partition(":")
    if kind not in REACH:
        near = get_close_matches(kind, REACH, n=1, cutoff=0.0)[0]
        raise BallspotError(f"--backbone {text}: no temporal shift {kind!r}; did you mean {near!r}?")
    chosen = tuple(stages.split(",")) if colon else USUAL_STAGES[kind]
    if not set(chosen) <= set(STAGES) or len(set(chosen)) != len(chosen):
        raise BallspotError(
            f"--backbone {text}: stages {stages!r}; give some of {', '.join(STAGES)}, e.g. +{kind}:s3,s4"
        )
    return name, ShiftSpec(kind, tuple(sorted(chosen)))


def folded_channels(n_channels: int) -> int:
    """How many of a block's input channels are shifted: a quarter, rounded up to a multiple of 4."""
    return -(-(n_channels // 4) // 4) * 4


class Clips:
    """How many frames each clip of a batch has; all shifts of a backbone read the same."""

    def __init__(self) -> None:
        self.n_frames = 1


class Shift(nn.Module, ABC):
    """Base of the shifts: pictures (B, C, H, W), B a whole number of clips, the first channels of each exchanged."""

    def __init__(self, n_channels: int, clips: Clips) -> None:
        super().__init__()
        self.n_folded = folded_channels(n_channels)
        self.clips = clips

    def forward(self, images: Tensor) -> Tensor:
        n_frames = self.clips.n_frames
        if images.shape[0] % n_frames:
            raise ValueError(f"{images.shape[0]} pictures are not a whole number of clips of {n_frames} frames")
        folded = images[:, : self.n_folded]
        clips = folded.unflatten(0, (-1, n_frames)).transpose(1, 2)  # (B, F, H, W) -> (N, F, T, H, W)
        mixed = self.exchange(clips).transpose(1, 2).flatten(0, 1)
        return torch.cat((mixed, images[:, self.n_folded :]), dim=1)

    @abstractmethod
    def exchange(self, clips: Tensor) -> Tensor:
        """The folded channels (N, F, T, H, W) after the exchange."""


class TemporalShift(Shift):
    """TSM: an eighth of the channels comes from the next frame, an eighth from the one before; zeros past the ends."""

    def __init__(self, n_channels: int, clips: Clips) -> None:
        super().__init__(n_channels, clips)
        self.n_folded = 2 * (n_channels // 8)

    def exchange(self, clips: Tensor) -> Tensor:
        first, second = clips.chunk(2, dim=1)
        return torch.cat((from_next(first), from_previous(second)), dim=1)


class GateShift(Shift):
    """GSM: the gated part of half of the folded channels comes from the next frame, of the others from the last."""

    def __init__(self, n_channels: int, clips: Clips) -> None:
        super().__init__(n_channels, clips)
        self.bn = nn.BatchNorm3d(self.n_folded)
        self.conv3D = nn.Conv3d(self.n_folded, 2, 3, padding=1, groups=2)  # the public name
        self.relu = nn.ReLU()
        self.interleaves = True  # as in the public code
        nn.init.zeros_(self.conv3D.weight)
        if self.conv3D.bias is not None:
            nn.init.zeros_(self.conv3D.bias)

    def exchange(self, clips: Tensor) -> Tensor:
        gates = torch.tanh(self.conv3D(self.relu(self.bn(clips))))  # (N, 2, T, H, W)
        halves = clips.chunk(2, dim=1)
        parts = []
        for number, (half, moved) in enumerate(zip(halves, (from_next, from_previous), strict=True)):
            gated = gates[:, number : number + 1] * half
            parts.append(self.mix(moved(gated), half - gated, number))
        return torch.cat([_interleaved(part) if self.interleaves else part for part in parts], dim=1)

    def mix(self, shifted: Tensor, stayed: Tensor, number: int) -> Tensor:
        """What comes of a half: (N, F / 2, T, H, W), what was shifted and what stayed."""
        del number
        return shifted + stayed


class GateShiftFuse(GateShift):
    """GSF: as GSM, what was shifted and what stayed weighed by a convolution over channels and time of their means."""

    def __init__(self, n_channels: int, clips: Clips) -> None:
        super().__init__(n_channels, clips)
        self.channel_conv1 = nn.Conv2d(2, 1, 3, padding=1)
        self.channel_conv2 = nn.Conv2d(2, 1, 3, padding=1)
        self.sigmoid = nn.Sigmoid()

    def mix(self, shifted: Tensor, stayed: Tensor, number: int) -> Tensor:
        conv = (self.channel_conv1, self.channel_conv2)[number]
        means = torch.stack((shifted.mean((3, 4)), stayed.mean((3, 4))), dim=1)  # (N, 2, F / 2, T)
        weight = self.sigmoid(conv(means))[:, 0, :, :, None, None]
        return shifted * weight + stayed * (1 - weight)


def from_next(clips: Tensor) -> Tensor:
    """(N, F, T, H, W) with frame t + 1 in the place of frame t, zeros in the last."""
    return torch.cat((clips[:, :, 1:], torch.zeros_like(clips[:, :, :1])), dim=2)


def from_previous(clips: Tensor) -> Tensor:
    """(N, F, T, H, W) with frame t - 1 in the place of frame t, zeros in the first."""
    return torch.cat((torch.zeros_like(clips[:, :, :1]), clips[:, :, :-1]), dim=2)


def _interleaved(part: Tensor) -> Tensor:
    """Channels 0, F/2, 1, F/2 + 1, ...: the two halves of the channels in turns."""
    n, channels, *rest = part.shape
    return part.view(n, 2, channels // 2, *rest).transpose(1, 2).reshape(n, channels, *rest)


class ShiftedConv(nn.Module):
    """A block's first convolution, `net`, behind its shift, which is held under its public name."""

    def __init__(self, net: nn.Module, shift: Shift, attribute: str) -> None:
        super().__init__()
        self.net, self.attribute = net, attribute
        self.add_module(attribute, shift)

    def forward(self, images: Tensor) -> Tensor:
        return self.net(getattr(self, self.attribute)(images))


class ConvOfShiftedBlock(ShiftedConv):
    """The first convolution of a block whose whole input is shifted: what it is given has been shifted before."""

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)


class ShiftInput:
    """Called before a block: its input as `conv1` has it shifted, for the shortcut too."""

    def __init__(self, shift: Shift) -> None:
        self.shift = shift

    def __call__(self, block: nn.Module, given: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        del block
        images, *more = given
        return (self.shift(images), *more)


KINDS: dict[str, type[Shift]] = {"tsm": TemporalShift, BLOCK_TSM: TemporalShift, "gsm": GateShift, "gsf": GateShiftFuse}


def insert_shift(model: nn.Module, spec: ShiftSpec, *, backbone: str, keeps: bool = False) -> Clips:
    """Puts a shift before the first convolution of every residual block of the stages, in place; returns what sets clip
    lengths. `tsm-block` puts it before the whole block, its shortcut included.

    The model then reads pictures (B, 3, H, W) of B / n_frames clips. With `keeps`, weights that were trained without a
    shift are rearranged so that features begin as they were while the gates of a GSM or GSF are closed; of a TSM, which
    has no gates, they do not. Raises BallspotError for a model that has no such blocks, which RegNets, ResNets,
    ConvNeXts, EfficientNets and MobileNets have.
    """
    clips = Clips()
    layout = layout_of(model)
    if layout is None:
        raise BallspotError(
            f"--backbone {backbone}: temporal shift is for timm's RegNets, ResNets, ConvNeXts, EfficientNets and "
            f"MobileNets, e.g. regnety_002+{spec}"
        )
    blocks = [block for stage in layout.places(spec.stages) for block in blocks_of(model, stage, layout)]
    if not blocks:
        raise BallspotError(
            f"--backbone {backbone}: has no residual block in {', '.join(spec.stages)} to shift; give other stages"
        )
    for block in blocks:
        name = first_conv(block)
        conv: Any = block.get_submodule(name)
        plain: nn.Conv2d = getattr(conv, "conv", conv)
        shift = KINDS[spec.kind](plain.in_channels, clips)
        if isinstance(shift, GateShift):
            shift.interleaves = layout.interleaves
            if keeps:
                keep_features(block, plain, shift)
        if spec.kind == BLOCK_TSM:
            setattr(block, name, ConvOfShiftedBlock(conv, shift, ATTRIBUTES[spec.kind]))
            block.register_forward_pre_hook(ShiftInput(shift))
        else:
            setattr(block, name, ShiftedConv(conv, shift, ATTRIBUTES[spec.kind]))
    return clips


def keep_features(block: nn.Module, conv: nn.Conv2d, shift: GateShift) -> None:
    """Makes a block whose gates are closed give what it gave without a shift, in place.

    Closed gates leave the folded channels where they are, but for two things. GSM and GSF interleave them: their
    places in the convolution's weights are changed alike; one that reads each channel by itself (ConvNeXt's) has its
    output so in another order, and what reads that is changed, too. GSF halves them, with the even weighing that it
    then begins with: their weights are doubled.
    """
    if conv.groups not in (1, conv.in_channels):
        return
    order = torch.arange(conv.in_channels)
    if shift.interleaves:
        half = shift.n_folded // 2
        within = torch.arange(half).view(2, half // 2).T.flatten()  # 0, half / 2, 1, ...
        order[: shift.n_folded] = torch.cat((within, within + half))
    with torch.no_grad():
        if conv.groups == 1:
            conv.weight.copy_(conv.weight[:, order])
            reads = conv.weight[:, : shift.n_folded]
        else:
            followers: Any = block
            if shift.interleaves:
                tensors = (conv.weight, conv.bias, followers.norm.weight, followers.norm.bias)
                for tensor in [one for one in tensors if one is not None]:
                    tensor.copy_(tensor[order])
                followers.mlp.fc1.weight.copy_(followers.mlp.fc1.weight[:, order])
            reads = conv.weight[: shift.n_folded]
        if isinstance(shift, GateShiftFuse):
            for weighing in (shift.channel_conv1, shift.channel_conv2):
                nn.init.zeros_(weighing.weight)
                nn.init.zeros_(weighing.bias)  # pyright: ignore[reportArgumentType]  # it has one
            reads.mul_(2.0)


def reach_of(model: nn.Module, spec: ShiftSpec) -> int:
    """How many frames either side decide a feature of the shifted model."""
    return REACH[spec.kind] * sum(isinstance(module, Shift) for module in model.modules())


class Back(nn.Module):
    """The stages of a model from its first shift on: maps of frames -> features (B, D)."""

    def __init__(self, model: nn.Module, layout: Layout, first: int) -> None:
        super().__init__()
        names = (*layout.places(STAGES[first:]), *layout.maps)
        self.maps = tuple(_flat(name) for name in names)
        self.last = tuple(_flat(name) for name in layout.head)
        for name in (*names, *layout.head):
            self.add_module(_flat(name), model.get_submodule(name))

    def forward_features(self, maps: Tensor) -> Tensor:
        """The last feature map (B, D, h, w)."""
        for name in self.maps:
            maps = self.get_submodule(name)(maps)
        return maps

    def forward(self, maps: Tensor) -> Tensor:
        features = self.forward_features(maps)
        for name in self.last:
            features = self.get_submodule(name)(features)
        return features


def _flat(name: str) -> str:
    """A module's place as a name of its own, which may have no points."""
    return name.replace(".", "_")


def split_at_shift(model: nn.Module, spec: ShiftSpec) -> tuple[nn.Sequential, Back]:
    """The parts of a shifted model before and from its first shift on; together they are the model."""
    layout = layout_of(model) or LAYOUTS[0]
    first = STAGES.index(spec.stages[0])
    front = [model.get_submodule(name) for name in (*layout.before, *layout.places(STAGES[:first]))]
    return nn.Sequential(*front), Back(model, layout, first)
