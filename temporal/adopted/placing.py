"""What a head says of a clip's tokens, placed on its rows as the system does it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import Procedure
from ..heads import HeadOutput


@dataclass(frozen=True)
class PlacedClip:
    """``scores`` (T, K), or (T, 2 K) with the left team's classes first; ``counts`` bool (T,): rows that merging
    counts.
    """

    scores: Tensor
    counts: Tensor


def place_clip(output: HeadOutput, procedure: Procedure) -> PlacedClip:
    """The scores of one clip, (1, T, 1 + K) logits with their offsets (1, T) and team logits (1, T) where there are."""
    del procedure
    rows = output.class_logits[0].float().softmax(-1)
    return PlacedClip(rows[:, 1:], torch.ones(len(rows), dtype=torch.bool))
