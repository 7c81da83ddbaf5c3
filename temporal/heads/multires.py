"""The multi-resolution trunk: the same clip seen at several temporal strides at once."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from .downsampling import spread_by_frames, spread_by_repeats
from .transformer import Transformer


class MultiResolution(nn.Module):
    """Branches of their own temporal stride over one clip, put back over the finest branch's tokens, side by side.

    Branch b has stride ``factors[b]`` times the first one's. ``alignment`` "frames" puts every coarse token over the
    frames it stands for; "repeat" does as the original did and misplaces them (see `spread_by_repeats`).
    """

    def __init__(
        self,
        branches: Sequence[Transformer],
        *,
        factors: Sequence[int],
        alignment: Literal["frames", "repeat"] = "frames",
    ) -> None:
        super().__init__()
        self.branches = nn.ModuleList(branches)
        self.factors = tuple(factors)
        self.aligned = alignment == "frames"
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
