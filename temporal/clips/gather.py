"""Clips: runs of evenly spaced rows of one match, gathered as whole batches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ClipGrid
from ..features import ResidentFeatures


@dataclass(frozen=True)
class ClipStarts:
    """Where clips begin: match_index int64 (B,), start_row int64 (B,) within the match, negative before its start.

    On the CPU, where they are drawn.

    ``view_index`` int64 (B,) says which view of the features each is read from; None: all from the original.
    """

    match_index: Tensor
    start_row: Tensor
    view_index: Tensor | None = None

    def __len__(self) -> int:
        return len(self.match_index)

    def part(self, start: int, stop: int) -> "ClipStarts":
        """Clips ``start`` to ``stop``."""
        view_index = None if self.view_index is None else self.view_index[start:stop]
        return ClipStarts(self.match_index[start:stop], self.start_row[start:stop], view_index)


def gather_clips(
    features: ResidentFeatures, clips: ClipStarts, grid: ClipGrid, *, row_shift: Tensor | None = None
) -> Tensor:
    """The clips' features, float32 (B, T, D), on the features' device; frames outside the match are zeros.

    ``row_shift`` int64 (B, T) reads each frame so many rows away from its own.
    """
    first_row, last_row = features.bounds[clips.match_index, :, None].unbind(1)  # (B, 1), first and last of its match
    place = first_row + clips.start_row[:, None] + torch.arange(0, grid.n_rows, grid.row_stride)  # (B, T)
    if row_shift is not None:
        place = place + row_shift
    outside = (place < first_row) | (place > last_row)
    place = place.maximum(first_row).minimum(last_row)
    if clips.view_index is not None:
        place = place + clips.view_index[:, None] * features.n_rows
    return gather_rows(features.rows, place, outside, device=features.device)


def gather_rows(rows: Tensor, place: Tensor, outside: Tensor, *, device: torch.device) -> Tensor:
    """Rows (n, D) at ``place`` int64 (B, T), float32 (B, T, D) on ``device``; zeros where ``outside`` bool (B, T)."""
    frames = rows.index_select(0, place.flatten().to(rows.device)).view(*place.shape, -1)  # (B, T, D)
    frames = frames.to(device).float()
    return frames.masked_fill_(outside.to(device)[..., None], 0.0) if bool(outside.any()) else frames
