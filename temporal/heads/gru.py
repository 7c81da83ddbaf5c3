"""The recurrent trunks: gated recurrent units that read the tokens forwards and backwards."""

import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from ..config import HeadSection
from .downsampling import downsample, n_tokens

MOST_HIDDEN = 768  # of E2E-Spot's GRU in each direction: the features of its largest backbone but the ResNet-50


class BiGRU(nn.Module):
    """A bidirectional GRU over the tokens, as E2E-Spot (Hong et al. 2022) has on its backbone; any clip length.

    Half of a token's numbers come from each direction. With a width other than ``dim`` a linear layer comes first.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        """Clips of any length have the same layers; ``clip_frames`` is not needed."""
        super().__init__()
        self.width = width = section.width or dim
        if width % 2:
            raise ValueError(f"width {width} is odd: each of the two directions of a GRU has half of it")
        self.temporal_stride = section.temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        self.gru = nn.GRU(
            width,
            width // 2,
            num_layers=section.gru_layers,
            bidirectional=True,
            batch_first=True,
            dropout=section.dropout if section.gru_layers > 1 else 0.0,  # between layers only
        )

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, width)."""
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, width)
        return self.gru(tokens)[0]


class SpotGRU(nn.Module):
    """The GRU of E2E-Spot (Hong et al., ECCV 2022), which reads the features as they are; any clip length.

    Each direction has as many numbers as there are features, 768 at most, so a token has twice that; `width` has no
    say. Written from its facts.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        """Clips of any length have the same layers; ``clip_frames`` is not needed."""
        super().__init__()
        hidden = min(dim, MOST_HIDDEN)
        self.width = 2 * hidden
        self.temporal_stride = section.temporal_stride
        dropout = section.dropout if section.gru_layers > 1 else 0.0  # between layers only
        self.gru = nn.GRU(dim, hidden, section.gru_layers, bidirectional=True, batch_first=True, dropout=dropout)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, 2 * hidden)."""
        return self.gru(downsample(frames, self.temporal_stride))[0]


class PlacedGRU(nn.Module):
    """The GRU of AdaSpot (repository arturxe2/AdaSpot), which knows each token's place in the clip.

    Each direction has as many numbers as a token, so that there are twice as many behind. A learned encoding is added
    before, one vector a place: clips have the one length that it was made for. With a width other than ``dim`` a linear
    layer comes first. Written from its facts.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        super().__init__()
        inner = section.width or dim
        self.width = 2 * inner
        self.clip_frames, self.temporal_stride = clip_frames, section.temporal_stride
        self.project = nn.Identity() if inner == dim else nn.Linear(dim, inner)
        length = n_tokens(clip_frames, self.temporal_stride)
        self.positions = nn.Parameter(torch.empty(length, inner).normal_(std=1.0 / length))
        self.gru = nn.GRU(inner, inner, batch_first=True, bidirectional=True)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D), T the clip's frames -> tokens (B, N, 2 width). Raises BallspotError for another T."""
        if frames.shape[1] != self.clip_frames:
            raise BallspotError(
                f"head adaspot: a clip of {frames.shape[1]} frames, where its encoding is of {self.clip_frames}; set "
                f"clip_frames={self.clip_frames}"
            )
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, width)
        return self.gru(tokens + self.positions)[0]
