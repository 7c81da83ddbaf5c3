"""Training clips changed at random, as whole batches: frames read beside their place, switched, dropped, clips mixed.

All draws come from torch's global generator, which each epoch seeds.
"""

import torch
from torch import Tensor

from ..config import ClipGrid

LONGEST_DROP = 0.2  # of a clip


def jitter_shift(n_clips: int, grid: ClipGrid, *, chance: float) -> Tensor:
    """Row shifts int64 (B, T): each frame, by ``chance``, is read one row early or late (half a step where it can be).

    With row_stride 1 the neighbouring clip frame is read. The 2023 challenge's winner uses chances of 0.25 to 0.4.
    """
    step = max(grid.row_stride // 2, 1)
    moved = torch.rand(n_clips, grid.clip_frames) < chance
    side = torch.randint(0, 2, (n_clips, grid.clip_frames)) * 2 - 1
    return torch.where(moved, side * step, 0)


def switch_frames(frames: Tensor, *, chance: float) -> Tensor:
    """Clips (B, T, D) in which each frame, by ``chance``, carries its successor's features, and that one its own.

    Of two frames that would both switch with the one between them the earlier pair goes first (ASTRA, Xarles 2023,
    switches neighbouring frames with chance 0.3).
    """
    n_clips, length, _ = frames.shape
    wants = torch.rand(n_clips, length) < chance
    wants[:, -1:] = False
    order = torch.arange(length).repeat(n_clips, 1)
    busy = torch.zeros(n_clips, dtype=torch.bool)
    for frame in range(length - 1):  # over T, never over clips
        switches = wants[:, frame] & ~busy
        order[:, frame] += switches.long()
        order[:, frame + 1] -= switches.long()
        busy = switches
    return frames.gather(1, order.to(frames.device, non_blocking=True)[..., None].expand_as(frames))


def drop_frames(frames: Tensor, *, chance: float) -> Tensor:
    """Clips (B, T, D) of which each, by ``chance``, loses a run of frames (zeros), at most a fifth of the clip long."""
    n_clips, length, _ = frames.shape
    longest = max(int(length * LONGEST_DROP), 1)
    n_lost = torch.randint(1, longest + 1, (n_clips, 1)) * (torch.rand(n_clips, 1) < chance)
    first = (torch.rand(n_clips, 1) * (length - n_lost + 1)).long()
    frame = torch.arange(length)
    lost = (frame >= first) & (frame < first + n_lost)  # (B, T)
    return frames.masked_fill(lost.to(frames.device, non_blocking=True)[..., None], 0.0)


def mix_clips(frames: Tensor, *, alpha: float) -> tuple[Tensor, Tensor, Tensor]:
    """Every clip mixed with another of its batch: the clips (B, T, D), the others' places (B,), its own share (B,)."""
    other, share = draw_partners(len(frames), alpha=alpha, device=frames.device)
    return mixed_with(frames, other, share), other, share


def draw_partners(n_clips: int, *, alpha: float, device: torch.device) -> tuple[Tensor, Tensor]:
    """For each of the clips of a batch the place of another (B,), and its own share (B,) of the mixture.

    The share comes from Beta(alpha, alpha) and is at least a half, so that a clip stays mostly itself (Zhang et al.
    2018).
    """
    share = torch.distributions.Beta(alpha, alpha).sample((n_clips,))
    other = torch.randperm(n_clips)
    return other.to(device, non_blocking=True), share.maximum(1.0 - share).to(device, non_blocking=True)


def mixed_with(frames: Tensor, other: Tensor, share: Tensor) -> Tensor:
    """``share`` (B,) of every clip (B, ...) and the rest of its partner ``other`` (B,)."""
    own = share.view(-1, *([1] * (frames.ndim - 1)))
    return own * frames + (1.0 - own) * frames[other]
