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
    """The scores of one clip, (1, T, 1 + K) logits with their offsets (1, T) and team logits (1, T) where there are.

    Softmax over background and classes. With ``placing`` "maximum" rows then move by their offsets (`moved_rows`),
    with "added" tokens go to theirs (`added_rows`); a row that none moved to is zero and does not count where
    ``count`` is "placed". The team of a score is what the head says at the row where the score stands, not at the one
    that it came from. Scores are not finite where logits or offsets are not.
    """
    rows = output.class_logits[0].float().softmax(-1)  # (T, 1 + K)
    if procedure.placing == "added":
        return added_rows(rows, output.offsets, procedure)
    if procedure.placing == "maximum" and output.offsets is not None:
        rows = moved_rows(rows, output.offsets[0].float())
    counts = torch.ones(len(rows), dtype=torch.bool, device=rows.device)
    if procedure.count == "placed":
        counts = (rows != 0).any(-1)  # background counts, too; NaN is not zero
    scores = rows[:, 1:]
    if output.team_logits is not None:
        right = output.team_logits[0].float().sigmoid()[:, None]  # (T, 1)
        scores = torch.cat([scores * (1.0 - right), scores * right], dim=-1)
    return PlacedClip(scores, counts)


def moved_rows(rows: Tensor, offsets: Tensor) -> Tensor:
    """Rows (T, C), none negative, moved by ``offsets`` (T,) rows, (T, C), as T-DEED's process_prediction moves them.

    Row t goes to t + offset, the offset rounded (halves to even) and the place held inside 0 .. T - 1; where several
    meet, each column keeps its maximum. Rows that nothing reaches are zero. An offset that is no number makes its own
    row NaN instead of moving it.
    """
    n_rows = len(rows)
    known = ~offsets.isnan()
    own = torch.arange(n_rows, device=rows.device)
    # Beyond T an offset leaves the clip anyhow; whole numbers that large would not fit.
    moved = own + torch.where(known, offsets, 0.0).clamp(-n_rows, n_rows).round().long()
    place = moved.clamp(0, n_rows - 1)[:, None].expand_as(rows)
    told = torch.where(known[:, None], rows, torch.nan)
    return torch.zeros_like(rows).scatter_reduce_(0, place, told, "amax")


def added_rows(tokens: Tensor, offsets: Tensor | None, procedure: Procedure) -> PlacedClip:
    """Tokens (N, 1 + K) with offsets (1, N) on the rows of a clip, added where they meet (the course baseline).

    Token i goes to row floor(i * token_rows + offset + 0.5), and is dropped where that leaves the clip; a row that
    none reaches does not count.
    """
    n_rows = min(procedure.clip_rows, len(tokens) * procedure.token_rows)  # fewer of a clip that is cut short
    grid = ClipGrid(clip_frames=n_rows, temporal_stride=procedure.token_rows)
    placed = place_scores(tokens[None], offsets, grid, merge="sum")[0]
    return PlacedClip(placed[:, 1:], (placed != 0).any(-1))
