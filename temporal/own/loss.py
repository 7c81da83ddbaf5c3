"""Losses of a user's own, called with what they ask for, their mean taken as that of ours."""

from typing import Any

import torch
from torch import Tensor

from ...cache.code import called, is_reference, parse_reference
from ...cache.errors import BallspotError
from ..config import Config, LossSection, is_sigmoid

TRIED_CLIPS, TRIED_TOKENS = 2, 5


def own_class_means(text: str, *, share: Tensor | None, **offered: Any) -> Tensor:
    """The mean of a class loss over clips, each with its ``share`` (B,), or over tokens with theirs (B, N): ().

    Raises BallspotError where tokens have shares, some being unknown, and the loss is one of whole clips.

    The function may ask for ``logits`` (B, N, 1 + K), ``class_index`` (B, N), ``labels`` (B, N, K), ``strength``
    (B, N), ``weights`` (1 + K,) and ``focal_gamma``, and gives a loss for every token (B, N) or every clip (B,).
    """
    logits = offered["logits"]
    loss = _given(text, offered, {(len(logits),), tuple(logits.shape[:2])}, logits)
    if share is not None and share.ndim == 2:
        if loss.ndim != 2:
            raise BallspotError(
                f"{parse_reference(text).short}: gives a loss for each clip, and of some clips a part is undecided; "
                "give one for every token (B, N), or watch these matches to their ends"
            )
        total = share.sum()
        return (loss * share).sum() / torch.where(total > 0, total, 1.0)
    of_clips = loss.mean(dim=1) if loss.ndim == 2 else loss
    return of_clips.mean() if share is None else (of_clips * share).sum() / share.sum()


def own_offset_errors(text: str, **offered: Any) -> Tensor:
    """The error of every token's offset (B, N); of those without a target it does not count.

    The function may ask for ``offsets`` (B, N) and ``targets`` (B, N), both in clip frames, 0 where there is no target.
    """
    return _given(text, offered, {tuple(offered["offsets"].shape)}, offered["offsets"])


def try_losses(config: Config, *, n_classes: int) -> None:
    """Calls the own losses that a configuration names with small numbers. Raises BallspotError for what is wrong."""
    section, shape = config.loss, (TRIED_CLIPS, TRIED_TOKENS)
    draws = torch.Generator().manual_seed(0)
    if is_reference(section.class_loss):
        logits = torch.randn(*shape, 1 + n_classes, generator=draws).requires_grad_()
        index = torch.randint(0, 1 + n_classes, shape, generator=draws)
        labels = torch.nn.functional.one_hot(index, 1 + n_classes)[..., 1:].float()
        own_class_means(
            section.class_loss,
            share=None,
            **class_offer(section, logits, index, labels if is_sigmoid(section.class_loss) else None),
            weights=torch.ones(1 + n_classes),
            strength=torch.ones(shape),
        )
    if is_reference(section.offset_loss):
        offsets = torch.randn(*shape, generator=draws).requires_grad_()
        own_offset_errors(
            section.offset_loss, offsets=offsets, targets=torch.zeros(shape), huber_delta=section.huber_delta
        )


def class_offer(section: LossSection, logits: Tensor, index: Tensor, labels: Tensor | None) -> dict[str, Any]:
    """What a class loss can ask for beside weights and strength."""
    return {"logits": logits, "class_index": index, "labels": labels, "focal_gamma": section.focal_gamma}


def _given(text: str, offered: dict[str, Any], shapes: set[tuple[int, ...]], over: Tensor) -> Tensor:
    """What the function gives. Raises BallspotError unless it is a tensor of real numbers of one of the shapes."""
    found, loss = parse_reference(text), called(text, offered, when=f"given {tuple(over.shape)}")
    wanted = " or ".join(map(str, sorted(shapes, key=len, reverse=True)))
    if not isinstance(loss, Tensor) or tuple(loss.shape) not in shapes or not loss.is_floating_point():
        what = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        raise BallspotError(f"{found.short}: gives {what}, not a loss of {wanted}; leave the mean to ballspot")
    if over.requires_grad and not loss.requires_grad:
        raise BallspotError(f"{found.short}: its loss does not hang on what the head says; compute it of the tensors")
    return loss
