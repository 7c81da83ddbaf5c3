"""What training makes small: weighted cross-entropy of the classes, and smooth L1 of the unmasked offsets."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LARGEST_RATIO = 1.0


def class_weights(
    counts: Tensor,
    n_background: float,
    *,
    kind: Literal["median-root", "none"] = "median-root",
    background_constant: float = 0.5,
    action_constant: float = 5.0,
) -> Tensor:
    """The weight of background and of every class, float32 (1 + K,), from labels counted over the training matches.

    "median-root": square root of (median class frequency / class frequency), divided by the mean of these, clamped to
    at most 1, then a constant added. ``n_background`` is the number of frames of the clip grid without an event. A
    class that never occurs counts as occurring once. "none": ones.
    """
    if kind == "none":
        return torch.ones(1 + len(counts))
    frequency = torch.cat([torch.tensor([float(n_background)]), counts.cpu().float()]).clamp(min=1.0)  # (1 + K,)
    ratio = (frequency.quantile(0.5) / frequency).sqrt()  # the mean of the middle two where the number is even
    weights = (ratio / ratio.mean()).clamp(max=LARGEST_RATIO) + action_constant
    weights[0] += background_constant - action_constant
    return weights


def class_loss(logits: Tensor, class_index: Tensor, *, weights: Tensor, focal_gamma: float = 0.0) -> Tensor:
    """Cross-entropy times the class weight times (1 - p)^gamma, divided by the sum of the weights: ().

    logits (B, N, C), class_index (B, N), weights (C,). Gamma 0 is torch's weighted mean of cross-entropy. The focal
    factor is Lin et al. 2017; p is the probability given to the true class.
    """
    flat = logits.flatten(0, -2)  # (B * N, C)
    target = class_index.flatten()
    log_p = F.log_softmax(flat, dim=-1).gather(1, target[:, None]).squeeze(1)  # (B * N,)
    weight = weights[target]
    loss = -log_p * weight
    if focal_gamma:
        # Clamped: at p = 1 the power's slope at zero is infinite for gamma below 1.
        loss = loss * (-torch.expm1(log_p)).clamp(min=1e-6) ** focal_gamma
    return loss.sum() / weight.sum()


def offset_loss(offsets: Tensor, targets: Tensor) -> Tensor:
    """Smooth L1 averaged over tokens whose target is not NaN; zero when there are none: ().

    offsets (B, N), targets (B, N), in clip frames.
    """
    known = ~targets.isnan()
    error = F.smooth_l1_loss(offsets, torch.where(known, targets, 0.0), reduction="none")
    return torch.where(known, error, 0.0).sum() / known.sum().clamp(min=1)
