"""Clips: runs of evenly spaced rows of one match, drawn at random and gathered as whole batches."""

from dataclasses import dataclass

import torch
from torch import Tensor

from .features import ResidentFeatures


@dataclass(frozen=True)
class ClipStarts:
    """Where clips begin: match_index int64 (B,), start_row int64 (B,) within the match, negative before its start."""

    match_index: Tensor
    start_row: Tensor

    def __len__(self) -> int:
        return len(self.match_index)

    def part(self, start: int, stop: int) -> "ClipStarts":
        """Clips ``start`` to ``stop``."""
        return ClipStarts(self.match_index[start:stop], self.start_row[start:stop])


def start_range(n_rows: int, *, clip_frames: int, row_stride: int, pad_frames: int) -> tuple[int, int]:
    """The first and last start row of a clip that has at most ``pad_frames`` frames outside the match on either side.

    A match too short for that gets the starts at which a clip covers all of it.
    """
    before = -pad_frames * row_stride
    last = n_rows - 1 - (clip_frames - 1 - pad_frames) * row_stride
    return min(before, last), max(before, last)


def draw_clips(
    features: ResidentFeatures,
    n_clips: int,
    *,
    clip_frames: int,
    row_stride: int,
    pad_frames: int,
    generator: torch.Generator,
) -> ClipStarts:
    """``n_clips`` clips, every allowed start of every match equally likely, overlaps allowed; drawn on the CPU."""
    ranges = [
        start_range(match.n_rows, clip_frames=clip_frames, row_stride=row_stride, pad_frames=pad_frames)
        for match in features.matches
    ]
    first = torch.tensor([low for low, _ in ranges])
    counts = torch.tensor([high - low + 1 for low, high in ranges])
    ends = counts.cumsum(0)
    draw = torch.randint(int(ends[-1]), (n_clips,), generator=generator)
    match_index = torch.searchsorted(ends, draw, right=True)
    start_row = draw - (ends - counts)[match_index] + first[match_index]
    return ClipStarts(match_index, start_row)


def gather_clips(features: ResidentFeatures, clips: ClipStarts, *, clip_frames: int, row_stride: int) -> Tensor:
    """The clips' features, float32 (B, T, D), on the features' device; frames outside the match are zeros."""
    device = features.rows.device
    first_row = torch.tensor([match.first_row for match in features.matches], device=device)
    n_rows = torch.tensor([match.n_rows for match in features.matches], device=device)
    match_index, start_row = clips.match_index.to(device), clips.start_row.to(device)
    row = start_row[:, None] + torch.arange(clip_frames, device=device) * row_stride  # (B, T)
    count = n_rows[match_index][:, None]  # (B, 1)
    inside = (row >= 0) & (row < count)
    place = first_row[match_index][:, None] + row.clamp(min=0).minimum(count - 1)  # (B, T)
    frames = features.rows.index_select(0, place.flatten()).view(*place.shape, -1).float()  # (B, T, D)
    return frames.masked_fill_(~inside[..., None], 0.0)
