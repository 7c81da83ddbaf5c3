"""The recurrent trunk of AdaSpot: what is learned of each place in the clip, added to the features, and a wide GRU."""

import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from ..config import HeadSection
from .downsampling import downsample, n_tokens


class PlacedGRU(nn.Module):
    """A bidirectional GRU over tokens that know their place, after the facts of AdaSpot (repository arturxe2/AdaSpot).

    Each direction has as many numbers as a token, so that there are twice as many behind. A learned encoding is added
    before, one vector a place: clips have the length it was made for. With a width other than ``dim`` a linear layer
    comes first.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        super().__init__()
        inner = section.width or dim
        self.width = 2 * inner
        self.temporal_stride = section.temporal_stride
        self.project = nn.Identity() if inner == dim else nn.Linear(dim, inner)
        length = n_tokens(clip_frames, self.temporal_stride)
        self.positions = nn.Parameter(torch.empty(length, inner).normal_(std=1.0 / length))
        self.gru = nn.GRU(inner, inner, batch_first=True, bidirectional=True)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, 2 width). BallspotError for clips of another length than the encoding's."""
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, width)
        if tokens.shape[1] != len(self.positions):
            raise BallspotError(
                f"head adaspot: clips of {tokens.shape[1]} tokens, where its encoding has {len(self.positions)} places; "
                "give clips of the length it was trained for (clip_frames)"
            )
        return self.gru(tokens + self.positions)[0]
