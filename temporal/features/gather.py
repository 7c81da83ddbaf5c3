"""Rows taken from many places at once, to where they are wanted: what training and prediction hand to a head."""

import torch
from torch import Tensor


def gather_rows(rows: Tensor, place: Tensor, outside: Tensor, *, device: torch.device) -> Tensor:
    """Rows (n, D) at ``place`` int64 (B, T), float32 (B, T, D) on ``device``; zeros where ``outside`` bool (B, T)."""
    return bring_rows(read_rows(rows, place, device=device), outside, device=device)


def read_rows(rows: Tensor, place: Tensor, *, device: torch.device) -> Tensor:
    """Rows (n, D) at ``place`` (B, T), as they are stored and where they lie, (B, T, D).

    Those that a GPU wants from the CPU go to pinned memory, from which they are copied while both compute.
    """
    index = place.flatten().to(rows.device, non_blocking=True)
    if rows.device.type == "cpu" and device.type == "cuda":
        room = torch.empty(len(index), rows.shape[1], dtype=rows.dtype, pin_memory=True)
        return torch.index_select(rows, 0, index, out=room).view(*place.shape, -1)
    return rows.index_select(0, index).view(*place.shape, -1)


def bring_rows(frames: Tensor, outside: Tensor, *, device: torch.device) -> Tensor:
    """Frames (B, T, D) as float32 on ``device``, zeros where ``outside`` (B, T); a GPU is not waited for."""
    frames = frames.to(device, non_blocking=True).float()
    if outside.device.type == "cpu" and not bool(outside.any()):
        return frames
    return frames.masked_fill_(outside.to(device, non_blocking=True)[..., None], 0.0)
