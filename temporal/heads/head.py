"""Heads in one shape: features (B, T, D) in; class logits, an offset and a team for every token out."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from ...cache.code import is_reference
from ..config import HeadSection
from ..own import OwnHead, OwnModule, tried
from .downsampling import downsample
from .dropout import Dropout
from .gru import BiGRU, PlacedGRU, SpotGRU
from .multires import MultiResolution
from .sgp_mixer import SGPMixerNet
from .stages import MSTCN, ASFormer
from .tcn import TCN
from .transformer import Transformer
from .unet import UNet


class HeadOutput(NamedTuple):
    """What a head says of every token."""

    class_logits: Tensor  # (B, N, 1 + K), background first
    offsets: Tensor | None  # (B, N), signed clip frames to the event; None from a head without offsets
    team_logits: Tensor | None = None  # (B, N), right against left; None from a head without teams


class SpottingHead(nn.Module):
    """A trunk, (B, T, D) -> (B, N, width), under a class layer (dropout, linear), offset and team layers (linear).

    ``n_classes`` counts the class logits beside background. With ``sided`` they are two for every label: first all
    labels for the left team, then all for the right.
    """

    def __init__(
        self,
        trunk: nn.Module,
        *,
        width: int,
        n_classes: int,
        class_dropout: float = 0.5,
        offsets: bool = True,
        teams: bool = False,
        sided: bool = False,
    ) -> None:
        super().__init__()
        self.n_classes = n_classes
        self.sided = sided
        self.trunk = trunk
        self.class_dropout = Dropout(class_dropout)
        self.class_layer = nn.Linear(width, 1 + n_classes)
        self.offset_layer = nn.Linear(width, 1) if offsets else None
        self.team_layer = nn.Linear(width, 1) if teams else None

    @property
    def n_labels(self) -> int:
        """How many labels the classes stand for."""
        return self.n_classes // 2 if self.sided else self.n_classes

    @property
    def only_clip_frames(self) -> int | None:
        """The one clip length that the trunk takes, None for a trunk that takes any."""
        of_one_length = (SGPMixerNet, PlacedGRU)
        return next((one.clip_frames for one in self.trunk.modules() if isinstance(one, of_one_length)), None)

    def forward(self, frames: Tensor) -> HeadOutput:
        """frames (B, T, D) -> class_logits (B, N, 1 + K), offsets (B, N), team_logits (B, N)."""
        tokens = self.trunk(frames)  # (B, T, D) -> (B, N, width)
        class_logits = self.class_layer(self.class_dropout(tokens))  # (B, N, 1 + K)
        offsets = None if self.offset_layer is None else self.offset_layer(tokens).squeeze(-1)  # (B, N)
        team_logits = None if self.team_layer is None else self.team_layer(tokens).squeeze(-1)  # (B, N)
        return HeadOutput(class_logits, offsets, team_logits)


class CellAttention(nn.Module):
    """The cells of each frame pooled by attention: (B, T, n_cells * D), cell by cell, -> (B, T, width).

    Each of ``n_heads`` heads takes a weighted mean over the cells of what one linear layer makes of every cell; the
    weights are a softmax of a linear layer of the cell and of a number for its place. They begin even: as the mean over
    the cells. With the place comes a vector that is added, so that a trunk can tell where something was seen.
    """

    def __init__(self, dim: int, *, n_cells: int, width: int, n_heads: int) -> None:
        """Raises ValueError for features that are not so many cells, and for a width that heads do not divide."""
        super().__init__()
        if dim % n_cells:
            raise ValueError(f"{dim} numbers are not {n_cells} cells of one width (head.cells)")
        if width % n_heads:
            raise ValueError(f"fused_width {width} does not divide by n_attention_heads {n_heads}")
        self.n_cells, self.n_heads = n_cells, n_heads
        self.value = nn.Linear(dim // n_cells, width)
        self.weigh = nn.Linear(dim // n_cells, n_heads)
        self.place_weights = nn.Parameter(torch.zeros(n_cells, n_heads))
        self.place_values = nn.Parameter(torch.zeros(n_cells, width))
        nn.init.zeros_(self.weigh.weight)
        nn.init.zeros_(self.weigh.bias)

    def forward(self, frames: Tensor) -> Tensor:
        cells = frames.unflatten(-1, (self.n_cells, -1))  # (B, T, C, D)
        weights = (self.weigh(cells) + self.place_weights).softmax(-2)  # (B, T, C, heads)
        values = (self.value(cells) + self.place_values).unflatten(-1, (self.n_heads, -1))  # (B, T, C, heads, w)
        return (weights[..., None] * values).sum(-3).flatten(-2)


class FusedTrunk(nn.Module):
    """Several feature sets side by side, each brought to ``set_width`` by a layer of its own, under one trunk.

    The sets' sizes and ranges differ; without layers of their own the widest would weigh most. A layer is linear, or
    attention over the cells of a frame.
    """

    def __init__(self, trunk: nn.Module, *, dims: Sequence[int], layers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.dims = tuple(dims)
        self.projections = nn.ModuleList(layers)
        self.trunk = trunk

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, sum of dims) -> tokens (B, N, width)."""
        parts = frames.split(self.dims, dim=-1)
        return self.trunk(torch.cat([layer(part) for layer, part in zip(self.projections, parts, strict=True)], dim=-1))


class LinearTrunk(nn.Module):
    """The kept frames themselves: a head on them is a linear probe, each token judged by its own frame."""

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        super().__init__()
        self.width = dim
        self.temporal_stride = section.temporal_stride

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> (B, N, D)."""
        return downsample(frames, self.temporal_stride)


class WholeHead(SpottingHead):
    """A head of a user's own that says everything itself; its layers stand for the outputs that it has."""

    def __init__(self, own: nn.Module, *, n_classes: int, sided: bool, said: Sequence[Tensor | None]) -> None:
        nn.Module.__init__(self)
        self.n_classes, self.sided = n_classes, sided
        self.trunk = own
        self.class_layer = nn.Identity()
        self.offset_layer, self.team_layer = (None if one is None else nn.Identity() for one in said[1:])

    def forward(self, frames: Tensor) -> HeadOutput:
        """frames (B, T, D) -> class_logits (B, N, 1 + K), offsets (B, N), team_logits (B, N)."""
        return HeadOutput(*self.trunk(frames))


# Each is made from features a frame, the section `head` and the frames of a clip, and says its own width.
TRUNKS = {
    "tcn": TCN,
    "transformer": Transformer,
    "multires": MultiResolution,
    "gru": BiGRU,
    "unet": UNet,
    "tdeed": UNet,
    "sgp-mixer": SGPMixerNet,
    "linear": LinearTrunk,
    "spot-gru": SpotGRU,
    "adaspot": PlacedGRU,
}

# Each of these is also told how many class logits there are, background included: its stages answer, too.
STAGED_TRUNKS = {"mstcn": MSTCN, "asformer": ASFormer}


def set_layer(section: HeadSection, dim: int) -> nn.Module:
    """What brings a feature set of ``dim`` numbers a frame to `fused_width`."""
    if section.cells == 1:
        return nn.Linear(dim, section.fused_width)
    return CellAttention(dim, n_cells=section.cells, width=section.fused_width, n_heads=section.n_attention_heads)


def build_head(section: HeadSection, *, dims: Sequence[int], n_labels: int, clip_frames: int) -> SpottingHead:
    """The head that ``section`` describes, for feature sets of ``dims`` numbers a frame and ``n_labels`` labels.

    Initial values come from torch's global generator: seed it first. Raises ValueError when the width does not divide
    by the attention heads.
    """
    is_fused = len(dims) > 1 or section.cells > 1
    dim = section.fused_width * len(dims) if is_fused else dims[0]
    sided = section.teams == "labels"
    n_classes = 2 * n_labels if sided else n_labels

    def fused(trunk: nn.Module) -> nn.Module:
        return FusedTrunk(trunk, dims=dims, layers=[set_layer(section, one) for one in dims]) if is_fused else trunk

    if is_reference(section.kind):
        trunk = OwnModule(section, dim=dim, n_classes=n_classes, clip_frames=clip_frames)
        whole = OwnHead(trunk, n_classes=n_classes, offsets=section.offsets, teams=section.teams == "head")
        said = tried(trunk if trunk.width else whole, dim=dim, clip_frames=clip_frames)
        width = trunk.width or 0
        if not width:
            return WholeHead(fused(whole), n_classes=n_classes, sided=sided, said=said)
    elif section.kind in STAGED_TRUNKS:
        trunk = STAGED_TRUNKS[section.kind](dim, section, clip_frames, n_logits=1 + n_classes)
        width = trunk.width
    else:
        trunk = TRUNKS[section.kind](dim, section, clip_frames)
        width = trunk.width
    return SpottingHead(
        fused(trunk),
        width=width,
        n_classes=n_classes,
        class_dropout=section.class_dropout,
        offsets=section.offsets,
        teams=section.teams == "head",
        sided=sided,
    )


def sketch_device(section: HeadSection) -> str:
    """Where a head is built for its shapes alone: without its numbers, but for own code, which may look at them."""
    return "cpu" if is_reference(section.kind) else "meta"


def n_parameters(head: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(parameter.numel() for parameter in head.parameters() if parameter.requires_grad)
