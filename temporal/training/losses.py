"""What training makes small: the class loss, the offset loss of unmasked tokens, and the team loss.

Every loss takes a ``share`` (B,) that weighs whole clips against one another, for clips that are mixed of two. Those of
classes take one of every token (B, N), too, which is 0 where nobody has decided what the token should answer.
"""

from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from ...cache.code import is_reference
from ..config import OffsetLoss
from ..own import own_offset_errors

LARGEST_RATIO = 1.0
SMALLEST_MISS = 1e-6  # at p = 1 the slope of (1 - p)^gamma is infinite for gamma below 1


def class_weights(
    counts: Tensor,
    n_background: float,
    *,
    kind: Literal["median-root", "constant", "none"] = "median-root",
    background_constant: float = 0.5,
    action_constant: float = 5.0,
) -> Tensor:
    """The weight of background and of every class, float32 (1 + K,), from labels counted over the training matches.

    "median-root": square root of (median class frequency / class frequency), divided by the mean of these, clamped to
    at most 1, then a constant added. ``n_background`` is the number of frames of the clip grid without an event. A
    class that never occurs counts as occurring once. "constant": the constants alone. "none": ones.
    """
    if kind == "none":
        return torch.ones(1 + len(counts))
    weights = torch.full((1 + len(counts),), float(action_constant))
    weights[0] = background_constant
    if kind == "constant":
        return weights
    frequency = torch.cat([torch.tensor([float(n_background)]), counts.cpu().float()]).clamp(min=1.0)  # (1 + K,)
    ratio = (frequency.quantile(0.5) / frequency).sqrt()  # the mean of the middle two where the number is even
    return weights + (ratio / ratio.mean()).clamp(max=LARGEST_RATIO)


def class_loss(
    logits: Tensor,
    class_index: Tensor,
    *,
    weights: Tensor,
    focal_gamma: float = 0.0,
    strength: Tensor | None = None,
    share: Tensor | None = None,
) -> Tensor:
    """Cross-entropy times the class weight times (1 - p)^gamma, divided by the sum of the weights: ().

    logits (B, N, C), class_index (B, N), weights (C,). Gamma 0 is torch's weighted mean of cross-entropy. The focal
    factor is Lin et al. 2017; p is the probability given to the true class. Where ``strength`` (B, N) is below 1 the
    rest of the token counts as background.
    """
    log_p = F.log_softmax(logits, dim=-1)
    of_class = class_index[..., None]
    loss, weight = _focal(log_p.gather(-1, of_class).squeeze(-1), weights[class_index], focal_gamma)
    if strength is not None:
        background = _focal(log_p[..., 0], weights[0].expand_as(loss), focal_gamma)
        loss = strength * loss + (1.0 - strength) * background[0]
        weight = strength * weight + (1.0 - strength) * background[1]
    return _weighted_mean(loss, weight, share)


def sigmoid_loss(
    logits: Tensor, labels: Tensor, *, weights: Tensor, focal_gamma: float = 0.0, share: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of every class by itself, focal, averaged over tokens and classes by weight: ().

    logits (B, N, K) of the classes without background, labels (B, N, K) in 0..1, weights (1 + K,): a class's own where
    it is present, background's where it is not. The winner of the 2023 challenge used gamma 1.2.
    """
    log_p, log_q = F.logsigmoid(logits), F.logsigmoid(-logits)
    present = _focal(log_p, weights[1:].expand_as(logits), focal_gamma)
    absent = _focal(log_q, weights[0].expand_as(logits), focal_gamma)
    loss = labels * present[0] + (1.0 - labels) * absent[0]
    weight = labels * present[1] + (1.0 - labels) * absent[1]
    # Summed over classes, so that a token's loss is of the size that cross-entropy has.
    return _weighted_mean(loss, weight, share) * logits.shape[-1]


def offset_loss(
    offsets: Tensor,
    targets: Tensor,
    *,
    kind: OffsetLoss = "smooth-l1",
    huber_delta: float = 0.5,
    share: Tensor | None = None,
) -> Tensor:
    """The error averaged over tokens whose target is not NaN; zero when there are none: ().

    offsets (B, N), targets (B, N), in clip frames. Smooth L1 is the original's, the square T-DEED's, Huber's with
    ``huber_delta`` 0.5 spivak's (Soares et al. 2022); own code gives the error of every token.
    """
    known = ~targets.isnan()
    wanted = torch.where(known, targets, 0.0)
    if is_reference(kind):
        error = own_offset_errors(kind, offsets=offsets, targets=wanted, huber_delta=huber_delta)
    elif kind == "mse":
        error = F.mse_loss(offsets, wanted, reduction="none")
    elif kind == "huber":
        error = F.huber_loss(offsets, wanted, reduction="none", delta=huber_delta)
    else:
        error = F.smooth_l1_loss(offsets, wanted, reduction="none")
    return _known_mean(error, known, share)


def team_loss(logits: Tensor, teams: Tensor, *, share: Tensor | None = None) -> Tensor:
    """Binary cross-entropy of right against left over tokens whose team is not NaN; zero when there are none: ()."""
    known = ~teams.isnan()
    error = F.binary_cross_entropy_with_logits(logits, torch.where(known, teams, 0.0), reduction="none")
    return _known_mean(error, known, share)


def class_total(class_index: Tensor, weights: Tensor, *, strength: Tensor | None, share: Tensor | None) -> Tensor:
    """What `class_loss` divides by: it hangs on the targets alone, so parts of a batch can be judged as one: ()."""
    weight = weights[class_index]
    if strength is not None:
        weight = strength * weight + (1.0 - strength) * weights[0]
    return _shared(weight, share).sum()


def clip_total(class_index: Tensor, *, share: Tensor | None) -> Tensor:
    """What the mean of an own class loss is divided by, clips by their share, or by the mean of their tokens': ()."""
    if share is None:
        return torch.tensor(float(len(class_index)), device=class_index.device)
    return share.sum() if share.ndim == 1 else share.mean(1).sum()


def sigmoid_total(labels: Tensor, weights: Tensor, *, share: Tensor | None) -> Tensor:
    """What `sigmoid_loss` divides by: ()."""
    weight = labels * weights[1:] + (1.0 - labels) * weights[0]
    return _shared(weight, share).sum()


def known_total(targets: Tensor, *, share: Tensor | None) -> Tensor:
    """What the losses of offsets and teams divide by, the tokens that have such a target: ()."""
    known = (~targets.isnan()).float()
    return (known if share is None else known * share[:, None]).sum()


def _focal(log_p: Tensor, weight: Tensor, gamma: float) -> tuple[Tensor, Tensor]:
    """Cross-entropy times weight times (1 - p)^gamma, and the weight."""
    loss = -log_p * weight
    if gamma:
        loss = loss * (-torch.expm1(log_p)).clamp(min=SMALLEST_MISS) ** gamma
    return loss, weight


def _weighted_mean(loss: Tensor, weight: Tensor, share: Tensor | None) -> Tensor:
    loss, weight = _shared(loss, share), _shared(weight, share)
    total = weight.sum()
    return loss.sum() / torch.where(total > 0, total, 1.0)  # all weights 0: a background that weighs nothing, alone


def _shared(values: Tensor, share: Tensor | None) -> Tensor:
    """Values (B, N, ...) times the share of each clip (B,) or token (B, N)."""
    return values if share is None else values * share.view(*share.shape, *([1] * (values.ndim - share.ndim)))


def _known_mean(error: Tensor, known: Tensor, share: Tensor | None) -> Tensor:
    weight = known.float() if share is None else known * share[:, None]
    total = torch.where(known, error * weight, 0.0).sum()
    n_known = weight.sum()
    return total / torch.where(n_known > 0, n_known, 1.0)
