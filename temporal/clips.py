"""Clips: runs of evenly spaced rows of one match, gathered as whole batches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .features import ResidentFeatures


@dataclass(frozen=True)
class ClipStarts:
    """Where clips begin: match_index int64 (B,), start_row int64 (B,) within the match, negative before its start.

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
    features: ResidentFeatures,
    clips: ClipStarts,
    *,
    clip_frames: int,
    row_stride: int,
    row_shift: Tensor | None = None,
) -> Tensor:
    """The clips' features, float32 (B, T, D), on the features' device; frames outside the match are zeros.

    ``row_shift`` int64 (B, T) reads each frame so many rows away from its own.
    """
    place_of = features.rows.device
    first_row = torch.tensor([match.first_row for match in features.matches], device=place_of)
    n_rows = torch.tensor([match.n_rows for match in features.matches], device=place_of)
    match_index, start_row = clips.match_index.to(place_of), clips.start_row.to(place_of)
    row = start_row[:, None] + torch.arange(clip_frames, device=place_of) * row_stride  # (B, T)
    if row_shift is not None:
        row = row + row_shift.to(place_of)
    count = n_rows[match_index][:, None]  # (B, 1)
    inside = (row >= 0) & (row < count)
    place = first_row[match_index][:, None] + row.clamp(min=0).minimum(count - 1)  # (B, T)
    if clips.view_index is not None:
        place = place + clips.view_index.to(place_of)[:, None] * features.n_rows
    frames = features.rows.index_select(0, place.flatten()).view(*place.shape, -1)  # (B, T, D)
    frames = frames.to(features.device).float()
    return frames.masked_fill_(~inside.to(features.device)[..., None], 0.0)
