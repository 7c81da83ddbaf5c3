"""Clips: runs of evenly spaced rows of one match, gathered as whole batches."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..config import ClipGrid
from ..features import ResidentFeatures, gather_rows


@dataclass(frozen=True)
class ClipStarts:
    """Where clips begin: match_index int64 (B,), start_row int64 (B,) within the match, negative before its start.

    On the CPU, where they are drawn, or where `on` brought them.

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

    def on(self, device: torch.device) -> "ClipStarts":
        """The same clips on a device; nothing waits for the copy."""
        return self.map(lambda values: values.to(device, non_blocking=True))

    def map(self, change: Callable[[Tensor], Tensor]) -> "ClipStarts":
        """The same clips with every tensor changed alike."""
        view_index = None if self.view_index is None else change(self.view_index)
        return ClipStarts(change(self.match_index), change(self.start_row), view_index)


def gather_clips(
    features: ResidentFeatures, clips: ClipStarts, grid: ClipGrid, *, row_shift: Tensor | None = None
) -> Tensor:
    """The clips' features, float32 (B, T, D), on the features' device; frames outside the match are zeros.

    ``row_shift`` int64 (B, T) reads each frame so many rows away from its own. Clips that lie where the rows do (`on`)
    are gathered there without a wait for the CPU.
    """
    place, outside = clip_places(features, clips, grid, row_shift=row_shift)
    return gather_rows(features.rows, place, outside, device=features.device)


def clip_places(
    features: ResidentFeatures, clips: ClipStarts, grid: ClipGrid, *, row_shift: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """The rows of the clips' frames, int64 (B, T), and which of them lie outside their match, bool (B, T)."""
    device = clips.match_index.device
    bounds = features.bounds_on(device)[clips.match_index, :, None]
    first_row, last_row = bounds.unbind(1)  # (B, 1), first and last of its match
    place = first_row + clips.start_row[:, None] + torch.arange(0, grid.n_rows, grid.row_stride, device=device)
    if row_shift is not None:
        place = place + row_shift.to(device, non_blocking=True)
    outside = (place < first_row) | (place > last_row)
    place = place.maximum(first_row).minimum(last_row)
    if clips.view_index is not None:
        place = place + clips.view_index[:, None] * features.n_rows
    return place, outside
