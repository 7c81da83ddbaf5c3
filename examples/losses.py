"""Losses: smoothed labels for the classes, and one for offsets that forgives far misses."""

import torch
from torch import Tensor
from torch.nn import functional as F


def smooth(logits: Tensor, class_index: Tensor, weights: Tensor, epsilon: float = 0.1) -> Tensor:
    log_p = F.log_softmax(logits, dim=-1)  # (B, N, 1 + K)
    own = -log_p.gather(-1, class_index[..., None]).squeeze(-1)
    return weights[class_index] * ((1 - epsilon) * own - epsilon * log_p.mean(-1))  # (B, N)


def cauchy(offsets: Tensor, targets: Tensor) -> Tensor:
    return torch.log1p((offsets - targets) ** 2)  # (B, N), clip frames
