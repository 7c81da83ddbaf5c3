"""What a head says of a clip's tokens, placed on its rows as the system does it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ClipGrid, Procedure
from ..heads import HeadOutput
from ..prediction import place_scores


@dataclass(frozen=True)
class PlacedClip:
    """``scores`` (T, K), or (T, 2 K) with the left team's classes first; ``counts`` bool (T,): rows that merging
    counts.
    """

    scores: Tensor
    counts: Tensor


def place_clip(output: HeadOutput, procedure: Procedure) -> PlacedClip:
    """The scores of one clip, (1, T, 1 + K) logits with their offsets (1, T) and team logits (1, T) where there are."""
    rows = output.class_logits[0].float().softmax(-1)
    if procedure.placing == "added":
        return added_rows(rows, output.offsets, procedure)
    return PlacedClip(rows[:, 1:], torch.ones(len(rows), dtype=torch.bool))


def added_rows(tokens: Tensor, offsets: Tensor | None, procedure: Procedure) -> PlacedClip:
    """Tokens (N, 1 + K) with offsets (1, N) on the rows of a clip, added where they meet (the course baseline).

    Token i goes to row floor(i * token_rows + offset + 0.5), and is dropped where that leaves the clip; a row that
    none reaches does not count.
    """
    n_rows = min(procedure.clip_rows, len(tokens) * procedure.token_rows)  # fewer of a clip that is cut short
    grid = ClipGrid(clip_frames=n_rows, temporal_stride=procedure.token_rows)
    placed = place_scores(tokens[None], offsets, grid, merge="sum")[0]
    return PlacedClip(placed[:, 1:], (placed != 0).any(-1))
