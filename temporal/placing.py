"""Offset correction: every token's scores move to the clip frame that its offset points at."""

from typing import Literal

import torch
from torch import Tensor

from .downsampling import token_frames


def place_scores(
    scores: Tensor,
    offsets: Tensor | None,
    *,
    clip_frames: int,
    temporal_stride: int,
    merge: Literal["sum", "maximum"] = "sum",
) -> Tensor:
    """Scores on clip frames: (B, N, K) and offsets (B, N) -> (B, T, K).

    Token i goes to frame floor(i * temporal_stride + offset + 0.5): halves round up. Scores that meet at one frame are
    added, or the highest is kept, class by class; a frame that none reaches has score zero; a token that is moved out
    of the clip is dropped. Without offsets every token stays at its frame.
    """
    n_clips, _, n_classes = scores.shape
    place = token_frames(clip_frames, temporal_stride, device=scores.device).expand(n_clips, -1)  # (B, N)
    if offsets is not None:
        place = torch.floor(place + offsets.double() + 0.5).clamp(-1, clip_frames).long()
    inside = (place >= 0) & (place < clip_frames)
    slot = torch.where(inside, place, clip_frames)  # one more frame, cut off below, takes what is dropped
    placed = scores.new_zeros(n_clips, clip_frames + 1, n_classes)
    placed.scatter_reduce_(1, slot[..., None].expand_as(scores), scores, "sum" if merge == "sum" else "amax")
    return placed[:, :clip_frames]
