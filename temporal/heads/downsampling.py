"""From frames to tokens and back: one of every `temporal_stride` frames is kept, token i stands at frame i * stride."""

import torch
from torch import Tensor


def n_tokens(n_frames: int, temporal_stride: int) -> int:
    """How many tokens ``n_frames`` frames have: ceil(n_frames / temporal_stride), 50 at 4 gives 13."""
    return -(-n_frames // temporal_stride)


def downsample(frames: Tensor, temporal_stride: int) -> Tensor:
    """The kept frames: (B, T, D) -> (B, N, D), N = ceil(T / temporal_stride), frames 0, s, 2s, ..."""
    return frames[:, ::temporal_stride]


def token_frames(n_frames: int, temporal_stride: int, *, device: torch.device | str = "cpu") -> Tensor:
    """The clip frame of each token, int64 (N,)."""
    return torch.arange(0, n_frames, temporal_stride, device=device)


def spread_by_frames(coarse: Tensor, factor: int, length: int) -> Tensor:
    """Coarse tokens put back over the fine ones they stand for: (B, ceil(length / factor), D) -> (B, length, D).

    Fine token j receives coarse token j // factor, so a coarse token covers exactly the frames from its own up to the
    next coarse one, for every length.
    """
    index = torch.arange(length, device=coarse.device) // factor  # (length,)
    return coarse[:, index]


def spread_by_repeats(coarse: Tensor, length: int) -> Tensor:
    """Coarse tokens put back as the original did: each repeated length // N times, then copies of the last one.

    (B, N, D) -> (B, length, D). Misaligned wherever length is no multiple of N: of 50 frames at stride 4 the
    token of frame 48 lands at 36. Kept to show what that costs.
    """
    repeats = length // coarse.shape[1]
    index = torch.arange(length, device=coarse.device) // repeats
    return coarse[:, index.clamp(max=coarse.shape[1] - 1)]
