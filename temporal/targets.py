"""What each token should answer, for a whole batch of clips at once: its class and its offset.

All arithmetic is in whole source frames relative to the clip's start, so every tie and rounding is exact.
"""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from .downsampling import n_tokens
from .events import ClipEvents

FAR = 2**40  # farther than any event


@dataclass(frozen=True)
class TokenTargets:
    """``class_index`` int64 (B, N), 0 background, 1 + label otherwise; ``offset`` float32 (B, N), NaN where masked.

    ``n_collisions`` int64 (): events of this batch that found their token taken by one of a rarer (or their own) class.
    """

    class_index: Tensor
    offset: Tensor
    n_collisions: Tensor


def token_targets(
    events: ClipEvents,
    *,
    priority: Tensor,
    clip_frames: int,
    clip_stride: int,
    temporal_stride: int,
    label_assignment: Literal["strided", "nearest"] = "nearest",
    event_time: Literal["exact", "floor"] = "exact",
    offset_window: int | Literal["none"] = "none",
) -> TokenTargets:
    """Class and offset targets of every token of every clip.

    ``event_time`` "floor" moves an event that falls between two clip frames to the earlier, as the original does;
    "exact" keeps its time, so an offset can be a fraction of a clip frame.
    """
    relative = events.relative
    if event_time == "floor":
        relative = relative.div(clip_stride, rounding_mode="floor") * clip_stride
    token, taken = assign_tokens(
        relative,
        clip_frames=clip_frames,
        clip_stride=clip_stride,
        temporal_stride=temporal_stride,
        label_assignment=label_assignment,
    )
    length = n_tokens(clip_frames, temporal_stride)
    class_index, n_collisions = class_targets(
        token, events.label_index, taken & events.inside, priority=priority, length=length
    )
    offset = offset_targets(
        relative,
        events.inside,
        token_frames=torch.arange(length, device=relative.device) * (temporal_stride * clip_stride),
    )  # source frames
    offset = offset / clip_stride  # clip frames
    if offset_window != "none":
        offset = offset.masked_fill(offset.abs() > offset_window, torch.nan)
    return TokenTargets(class_index, offset, n_collisions)


def assign_tokens(
    relative: Tensor,
    *,
    clip_frames: int,
    clip_stride: int,
    temporal_stride: int,
    label_assignment: Literal["strided", "nearest"],
) -> tuple[Tensor, Tensor]:
    """For events ``relative`` (B, M) source frames after the start: their token (B, M), and whether they have one.

    "nearest": the token whose frame is nearest, the earlier on a tie. "strided": the token whose clip frame is the
    event's own; an event on a dropped frame has none.
    """
    last = n_tokens(clip_frames, temporal_stride) - 1
    if label_assignment == "strided":
        frame = relative.div(clip_stride, rounding_mode="floor")  # the clip frame an event falls in
        return frame // temporal_stride, frame % temporal_stride == 0
    spacing = clip_stride * temporal_stride
    # Token i is nearest where |r - i * spacing| is least; of r = (i + 1/2) * spacing the earlier i is wanted.
    token = (2 * relative + spacing - 1).div(2 * spacing, rounding_mode="floor")
    return token.clamp(max=last), torch.ones_like(relative, dtype=torch.bool)


def class_targets(
    token: Tensor, label_index: Tensor, taken: Tensor, *, priority: Tensor, length: int
) -> tuple[Tensor, Tensor]:
    """The class of every token (B, length), and how many events lost their token to another.

    Of several events at one token the class of highest ``priority`` (K,) wins: the rarest.
    """
    rank = torch.where(taken, priority[label_index], 0)  # (B, M)
    slot = torch.where(taken, token, 0)
    best = token.new_zeros(len(token), length).scatter_reduce(1, slot, rank, "amax")  # (B, N)
    class_of_rank = torch.zeros(len(priority) + 1, dtype=torch.int64, device=token.device)
    class_of_rank[priority] = torch.arange(1, len(priority) + 1, device=token.device)
    return class_of_rank[best], taken.sum() - (best > 0).sum()


def offset_targets(relative: Tensor, inside: Tensor, *, token_frames: Tensor) -> Tensor:
    """The signed distance from every token to its nearest event, float32 (B, N), in the unit of ``relative``.

    The earlier event on a tie. NaN throughout a clip that has no event. ``relative`` and ``inside`` are (B, M),
    ``token_frames`` (N,).
    """
    if relative.shape[1] == 0:
        return torch.full((len(relative), len(token_frames)), torch.nan, device=relative.device)
    distance = relative[:, None, :] - token_frames[:, None]  # (B, N, M)
    # One sortable number: twice the distance, plus one when the event comes later, so that a tie goes to the earlier.
    code = torch.where(inside[:, None, :], 2 * distance.abs() + (distance > 0), 2 * FAR).amin(-1)  # (B, N)
    magnitude = (code // 2).float()
    signed = torch.where(code % 2 == 1, magnitude, -magnitude)
    return torch.where(code < 2 * FAR, signed, torch.nan) + 0.0  # turns -0 into 0
