"""Offset correction: every token's scores move to the clip frame that its offset points at."""

from typing import Literal

import torch
from torch import Tensor

from ..config import ClipGrid
from ..heads import token_frames


def place_scores(
    scores: Tensor,
    offsets: Tensor | None,
    grid: ClipGrid,
    *,
    merge: Literal["sum", "maximum"] = "sum",
    shared: bool = False,
) -> Tensor:
    """Scores on clip frames: (B, N, K) and offsets (B, N) -> (B, T, K).

    Token i goes to frame floor(i * temporal_stride + offset + 0.5): halves round up. Scores that meet at one frame are
    added, or the highest is kept, class by class; a frame that none reaches has score zero; a token that is moved out
    of the clip is dropped. Without offsets every token stays at its frame. With ``shared`` the first half of K is what
    the left team has of each class, the second what the right has: the highest sum of the two is kept, and its parts.
    """
    n_clips, clip_frames = len(scores), grid.clip_frames
    place = token_frames(grid.clip_frames, grid.temporal_stride, device=scores.device).expand(n_clips, -1)  # (B, N)
    if offsets is not None:
        exact = offsets if offsets.device.type == "mps" else offsets.double()  # Apple's GPU has no float64
        place = torch.floor(place + exact + 0.5).clamp(-1, clip_frames).long()
    inside = (place >= 0) & (place < clip_frames)
    slot = torch.where(inside, place, clip_frames)  # one more frame, cut off below, takes what is dropped

    def gathered(values: Tensor, how: Literal["sum", "amax"]) -> Tensor:
        """Values (B, N, C) at the frames that their tokens go to, (B, T + 1, C)."""
        placed = values.new_zeros(n_clips, clip_frames + 1, values.shape[-1])
        return placed.scatter_reduce_(1, slot[..., None].expand_as(values), values, how)

    if merge == "sum":
        return gathered(scores, "sum")[:, :clip_frames]
    if not shared:
        return gathered(scores, "amax")[:, :clip_frames]
    left, right = scores.chunk(2, dim=-1)
    both = left + right
    highest = gathered(both, "amax")
    wins = both == highest.gather(1, slot[..., None].expand_as(both))
    placed_right = gathered(torch.where(wins, right, 0.0), "amax")
    return torch.cat([highest - placed_right, placed_right], dim=-1)[:, :clip_frames]
