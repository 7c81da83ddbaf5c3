"""The multi-resolution trunk: the same clip seen at several temporal strides at once."""

import torch
from torch import Tensor, nn

from ..config import HeadSection
from .downsampling import spread_by_frames, spread_by_repeats
from .transformer import Transformer


class MultiResolution(nn.Module):
    """Transformers of their own temporal stride over one clip, put back over the finest one's tokens, side by side.

    Branch b has stride ``branch_factors[b]`` times the first one's. ``branch_alignment`` "frames" puts every coarse
    token over the frames it stands for; "repeat" does as the original did and misplaces them (see
    `spread_by_repeats`).
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        super().__init__()
        self.factors = section.branch_factors
        self.aligned = section.branch_alignment == "frames"
        strided = [section.model_copy(update={"temporal_stride": section.temporal_stride * f}) for f in self.factors]
        branches = [Transformer(dim, of_branch, clip_frames) for of_branch in strided]
        self.branches = nn.ModuleList(branches)
        self.width = sum(branch.width for branch in branches)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, sum of the branches' widths), N the finest branch's."""
        tokens = [branch(frames) for branch in self.branches]  # (B, ceil(T / (s * factor)), width) each
        length = tokens[0].shape[1]
        return torch.cat([self.spread(t, f, length) for t, f in zip(tokens, self.factors, strict=True)], dim=-1)

    def spread(self, tokens: Tensor, factor: int, length: int) -> Tensor:
        """One branch's tokens over the finest branch's ``length``."""
        if self.aligned:
            return spread_by_frames(tokens, factor, length)
        return spread_by_repeats(tokens, length)
