"""Heads in one shape: features (B, T, D) in, class logits and an offset for every token out."""

from typing import NamedTuple

from torch import Tensor, nn

from .config import HeadSection
from .downsampling import n_tokens
from .multires import MultiResolution
from .tcn import TCN
from .transformer import Transformer


class HeadOutput(NamedTuple):
    """What a head says of every token: logits of background and K classes, and signed clip frames to the event."""

    class_logits: Tensor  # (B, N, 1 + K), background first
    offsets: Tensor | None  # (B, N), None from a head without offsets


class SpottingHead(nn.Module):
    """A trunk, (B, T, D) -> (B, N, width), under a class layer (dropout, linear) and an offset layer (linear)."""

    def __init__(
        self, trunk: nn.Module, *, width: int, n_labels: int, class_dropout: float = 0.5, offsets: bool = True
    ) -> None:
        super().__init__()
        self.n_labels = n_labels
        self.trunk = trunk
        self.class_dropout = nn.Dropout(class_dropout)
        self.class_layer = nn.Linear(width, 1 + n_labels)
        self.offset_layer = nn.Linear(width, 1) if offsets else None

    def forward(self, frames: Tensor) -> HeadOutput:
        """frames (B, T, D) -> class_logits (B, N, 1 + K), offsets (B, N)."""
        tokens = self.trunk(frames)  # (B, T, D) -> (B, N, width)
        class_logits = self.class_layer(self.class_dropout(tokens))  # (B, N, 1 + K)
        offsets = None if self.offset_layer is None else self.offset_layer(tokens).squeeze(-1)  # (B, N)
        return HeadOutput(class_logits, offsets)


def build_tcn(section: HeadSection, *, dim: int, clip_frames: int) -> tuple[nn.Module, int]:
    """A TCN trunk and its width; any clip length."""
    trunk = TCN(
        dim,
        width=section.width or dim,
        temporal_stride=section.temporal_stride,
        kernel_size=section.kernel_size,
        dilations=section.dilations,
    )
    return trunk, trunk.width


def build_transformer(section: HeadSection, *, dim: int, clip_frames: int) -> tuple[nn.Module, int]:
    """A Transformer trunk with positions for ``clip_frames``, and its width."""
    trunk = _transformer(section, dim, clip_frames, section.temporal_stride)
    return trunk, trunk.width


def build_multires(section: HeadSection, *, dim: int, clip_frames: int) -> tuple[nn.Module, int]:
    """Transformers at temporal_stride times each of branch_factors, side by side, and their width together."""
    branches = [
        _transformer(section, dim, clip_frames, section.temporal_stride * factor) for factor in section.branch_factors
    ]
    trunk = MultiResolution(branches, factors=section.branch_factors, alignment=section.branch_alignment)
    return trunk, trunk.width


TRUNKS = {"tcn": build_tcn, "transformer": build_transformer, "multires": build_multires}


def build_head(section: HeadSection, *, dim: int, n_labels: int, clip_frames: int) -> SpottingHead:
    """The head that ``section`` describes, for features of ``dim`` numbers a frame and ``n_labels`` classes.

    Initial values come from torch's global generator: seed it first. Raises ValueError when the width does not divide
    by the attention heads.
    """
    trunk, width = TRUNKS[section.kind](section, dim=dim, clip_frames=clip_frames)
    return SpottingHead(
        trunk, width=width, n_labels=n_labels, class_dropout=section.class_dropout, offsets=section.offsets
    )


def n_parameters(head: nn.Module) -> int:
    """How many numbers training adjusts."""
    return sum(parameter.numel() for parameter in head.parameters() if parameter.requires_grad)


def _transformer(section: HeadSection, dim: int, clip_frames: int, temporal_stride: int) -> Transformer:
    return Transformer(
        dim,
        width=section.width or dim,
        temporal_stride=temporal_stride,
        max_tokens=n_tokens(clip_frames, temporal_stride),
        n_layers=section.n_layers,
        n_attention_heads=section.n_attention_heads,
        feedforward_factor=section.feedforward_factor,
        dropout=section.dropout,
        norm=section.norm,
    )
