"""What each token should answer, for a whole batch of clips at once: its class, its offset and its team.

All arithmetic is in whole source frames relative to the clip's start, so every tie and rounding is exact.
"""

from dataclasses import dataclass
from math import ceil
from typing import Literal

import torch
from torch import Tensor

from ..config import ClipGrid, TargetSection
from .events import ClipEvents

FAR = 2**40  # farther than any event
SD_REACH = 3.0  # deviations; beyond it a soft label is below 0.011


@dataclass(frozen=True)
class TokenTargets:
    """The answers that N tokens of B clips should give.

    ``class_index`` int64 (B, N): 0 background, 1 + label otherwise. ``strength`` float32 (B, N): how much of the token
    is of that class, the rest being background; 1 everywhere with hard labels. ``labels`` float32 (B, N, K): the same
    for every class by itself, where several events may share a token; None unless asked for. ``offset`` float32
    (B, N), NaN where masked. ``team`` float32 (B, N): 0 left, 1 right, NaN where there is none or no event.
    ``n_collisions`` int64 (B,): events that found their token taken by one of a rarer (or their own) class.
    ``known`` bool (B, N): whether anybody has decided what the token should answer; None where all are known.
    """

    class_index: Tensor
    strength: Tensor
    labels: Tensor | None
    offset: Tensor
    team: Tensor
    n_collisions: Tensor
    known: Tensor | None = None

    @property
    def known_offset(self) -> Tensor:
        """The offsets, NaN where nobody has decided, too."""
        return self.offset if self.known is None else self.offset.masked_fill(~self.known, torch.nan)

    @property
    def known_team(self) -> Tensor:
        """The teams, NaN where nobody has decided, too."""
        return self.team if self.known is None else self.team.masked_fill(~self.known, torch.nan)

    def token_share(self, share: Tensor | None) -> Tensor | None:
        """How much the losses of classes count: the ``share`` (B,) of each clip, or (B, N), 0 for unknown tokens."""
        if self.known is None:
            return share
        return self.known.float() if share is None else self.known * share[:, None]

    def part(self, start: int, stop: int) -> "TokenTargets":
        """The targets of clips ``start`` to ``stop``."""
        labels = None if self.labels is None else self.labels[start:stop]
        return TokenTargets(
            self.class_index[start:stop],
            self.strength[start:stop],
            labels,
            self.offset[start:stop],
            self.team[start:stop],
            self.n_collisions[start:stop],
            None if self.known is None else self.known[start:stop],
        )

    def taken_by(self, order: Tensor) -> "TokenTargets":
        """These targets followed by those of the clips ``order`` (B,), as one batch of 2 B.

        A token of two mixed clips is known where both know it: each shows what may be in the other.
        """

        def both(values: Tensor) -> Tensor:
            return torch.cat([values, values[order]])

        labels = None if self.labels is None else both(self.labels)
        answers = (both(self.class_index), both(self.strength), labels, both(self.offset), both(self.team))
        known = None if self.known is None else (self.known & self.known[order]).repeat(2, 1)
        return TokenTargets(*answers, self.n_collisions, known)


def token_targets(
    events: ClipEvents, grid: ClipGrid, section: TargetSection, *, priority: Tensor, multi_label: bool = False
) -> TokenTargets:
    """Class, offset and team targets of every token of every clip, as the section `targets` says.

    ``event_time`` "floor" moves an event that falls between two clip frames to the earlier, as the original does;
    "exact" keeps its time, so an offset can be a fraction of a clip frame. An event gives its class to its own token
    and to those within ``label_radius`` tokens (T-DEED, Xarles et al. 2024), then, fading as a Gaussian of ``label_sd``
    tokens, to those beyond. A token farther than ``offset_window`` clip frames from its event has no offset target, or
    with ``offset_background`` "zero" the target 0, as T-DEED has.
    """
    relative = events.relative
    if section.event_time == "floor":
        relative = relative.div(grid.clip_stride, rounding_mode="floor") * grid.clip_stride
    token, taken = assign_tokens(relative, grid, section.label_assignment)
    length = grid.n_tokens
    taken = taken & events.inside
    radius, sd = section.label_radius, section.label_sd
    reach = radius + ceil(SD_REACH * sd)
    class_index, distance, winner = class_targets(
        token, events.label_index, taken, priority=priority, length=length, reach=reach
    )
    own = class_index if reach == 0 else class_targets(
        token, events.label_index, taken, priority=priority, length=length
    )[0]  # fmt: skip
    team = token_teams(events.team, winner)
    strength = _strength(distance, radius=radius, sd=sd)
    labels = None
    if multi_label:
        labels = label_targets(
            token, events.label_index, taken, n_labels=len(priority), length=length, radius=radius, sd=sd
        )
    offset = offset_targets(
        relative,
        events.inside,
        token_frames=torch.arange(length, device=relative.device) * (grid.temporal_stride * grid.clip_stride),
    )  # source frames
    offset = offset / grid.clip_stride  # clip frames
    if section.offset_window != "none":
        offset = offset.masked_fill(offset.abs() > section.offset_window, torch.nan)
    if section.offset_background == "zero":
        offset = offset.nan_to_num(nan=0.0)
    return TokenTargets(class_index, strength, labels, offset, team, taken.sum(-1) - (own > 0).sum(-1))


def assign_tokens(
    relative: Tensor, grid: ClipGrid, label_assignment: Literal["strided", "nearest"]
) -> tuple[Tensor, Tensor]:
    """For events ``relative`` (B, M) source frames after the start: their token (B, M), and whether they have one.

    "nearest": the token whose frame is nearest, the earlier on a tie. "strided": the token whose clip frame is the
    event's own; an event on a dropped frame has none.
    """
    if label_assignment == "strided":
        frame = relative.div(grid.clip_stride, rounding_mode="floor")  # the clip frame an event falls in
        return frame // grid.temporal_stride, frame % grid.temporal_stride == 0
    spacing = grid.clip_stride * grid.temporal_stride
    # Token i is nearest where |r - i * spacing| is least; of r = (i + 1/2) * spacing the earlier i is wanted.
    token = (2 * relative + spacing - 1).div(2 * spacing, rounding_mode="floor")
    return token.clamp(max=grid.n_tokens - 1), torch.ones_like(relative, dtype=torch.bool)


def class_targets(
    token: Tensor, label_index: Tensor, taken: Tensor, *, priority: Tensor, length: int, reach: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Of every token (B, length): its class, how many tokens it is from its event's own, and which event that is.

    Of several events within ``reach`` tokens the nearest wins, of equally near ones the class of highest ``priority``
    (K,), the rarest, and of one class the earlier event. A token without has class 0, distance -1 and event -1.
    """
    n_clips, n_events = token.shape
    if n_events == 0:
        nothing = token.new_full((n_clips, length), -1)
        return torch.zeros_like(nothing), nothing, nothing
    n_ranks = len(priority) + 1
    column = torch.arange(n_events, device=token.device)
    best = token.new_zeros(n_clips, length)
    for shift in range(-reach, reach + 1):
        slot = token + shift
        usable = taken & (slot >= 0) & (slot < length)
        # One sortable number above 0: nearness, then rarity, then earliness.
        rank = ((reach - abs(shift)) * n_ranks + priority[label_index]) * n_events + (n_events - 1 - column)
        best.scatter_reduce_(1, torch.where(usable, slot, 0), torch.where(usable, rank, 0), "amax")
    found = best > 0
    event = torch.where(found, n_events - 1 - best % n_events, 0)  # (B, N)
    distance = reach - best // n_events // n_ranks
    class_index = torch.where(found, label_index.gather(1, event) + 1, 0)
    return class_index, torch.where(found, distance, -1), torch.where(found, event, -1)


def label_targets(
    token: Tensor, label_index: Tensor, taken: Tensor, *, n_labels: int, length: int, radius: int, sd: float
) -> Tensor:
    """How much of every token is of every class, float32 (B, length, n_labels), classes apart from one another."""
    n_clips = len(token)
    targets = torch.zeros(n_clips, length * n_labels, device=token.device)
    reach = radius + ceil(SD_REACH * sd)
    for shift in range(-reach, reach + 1):
        slot = token + shift
        usable = taken & (slot >= 0) & (slot < length)
        strength = _strength(torch.tensor(abs(shift)), radius=radius, sd=sd).item()
        place = torch.where(usable, slot * n_labels + label_index, 0)
        targets.scatter_reduce_(1, place, usable.float() * strength, "amax")
    return targets.view(n_clips, length, n_labels)


def token_teams(team: Tensor, winner: Tensor) -> Tensor:
    """The team of the event that each token has, float32 (B, N): 0, 1, NaN without one or where it is unknown."""
    if team.shape[1] == 0:
        return torch.full(winner.shape, torch.nan, device=winner.device)
    of_token = torch.where(winner >= 0, team.gather(1, winner.clamp(min=0)), -1)
    return of_token.float().masked_fill(of_token < 0, torch.nan)


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


def _strength(distance: Tensor, *, radius: int, sd: float) -> Tensor:
    """1 up to the radius, then a Gaussian of the tokens beyond it."""
    if sd == 0.0:
        return torch.ones_like(distance, dtype=torch.float32)
    beyond = (distance - radius).clamp(min=0).float()
    return torch.exp(-0.5 * (beyond / sd) ** 2)
