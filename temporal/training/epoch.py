"""The training of a head, an epoch at a time: random clips, targets, losses, steps."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...cache.code import is_memory, is_reference, shown
from ...cache.errors import BallspotError
from ...cache.stores import FLIPPED_VIEW
from ..clips import (
    Anchors,
    ClipStarts,
    DecidedRows,
    EventTable,
    TokenTargets,
    clip_events,
    draw_clips,
    drop_frames,
    gather_clips,
    jitter_shift,
    mix_clips,
    rows_ahead,
    switch_frames,
    token_targets,
)
from ..config import ClipGrid, Config, TrainingSection, is_sigmoid
from ..features import FeatureLayout, ResidentFeatures
from ..heads import HeadOutput
from ..own import class_offer, own_class_means
from .losses import (
    class_loss,
    class_total,
    class_weights,
    clip_total,
    known_total,
    offset_loss,
    sigmoid_loss,
    sigmoid_total,
    team_loss,
)
from .optimizer import Learner, computing, descend, scheduled_rate

CLIPS_AT_ONCE = 256  # whose targets are made together
PASSES_AN_EPOCH = 1.7  # the original's 500,000 frames over the 288,308 that its training matches have at stride 2


@dataclass(frozen=True)
class TrainingMaterial:
    """What a head is trained on: scaled features and events of the training matches, and the weights (1 + K,).

    ``anchors``: where clips are drawn more often, None everywhere alike. ``decided``: the rows of which the labels are
    known, None for all.
    """

    features: ResidentFeatures
    events: EventTable
    weights: Tensor
    anchors: Anchors | None = None
    decided: DecidedRows | None = None


@dataclass(frozen=True)
class EpochSummary:
    """An epoch's means over its steps, the learning rate of its last step, events that lost their token."""

    loss: float
    class_loss: float
    offset_loss: float
    team_loss: float
    learning_rate: float
    n_token_collisions: int


@dataclass(frozen=True)
class Batch:
    """Features of clips (B, T, D) and what their tokens should answer.

    Where clips are mixed the targets are of 2 B clips, those of their partners last, with the share (2 B,) of each.
    """

    frames: Tensor
    wanted: TokenTargets
    share: Tensor | None = None


@dataclass(frozen=True)
class LossParts:
    """The losses of one batch: their weighted sum () to descend, the sum and its parts (4,) detached."""

    total: Tensor
    parts: Tensor


def training_material(
    features: ResidentFeatures,
    events: EventTable,
    config: Config,
    *,
    anchors: Anchors | None = None,
    decided: DecidedRows | None = None,
) -> TrainingMaterial:
    """Features and events with the class weights counted from them, on the features' device.

    With ``decided`` only decided frames count as background, and clips hold some of them.
    """
    grid_frames = n_grid_frames(features, config)
    if decided is not None:
        grid_frames = decided.n_grid_frames(features.matches, ClipGrid.of(config, features.frame_spacing))
        anchors = (anchors or Anchors.nowhere()).among(decided, features.matches)
    weights = class_weights(
        events.counts,
        max(grid_frames - int(events.counts.sum()), 1),
        kind=config.loss.class_weights,
        background_constant=config.loss.background_constant,
        action_constant=config.loss.action_constant,
    )
    return TrainingMaterial(features, events, weights.to(features.device), anchors, decided)


def n_grid_frames(features: ResidentFeatures | FeatureLayout, config: Config) -> int:
    """How many frames the matches have on the grid of every ``clip_stride``-th source frame."""
    grid = ClipGrid.of(config, features.frame_spacing)
    return sum(-(-match.n_rows // grid.row_stride) for match in features.matches)


def clips_an_epoch(features: ResidentFeatures | FeatureLayout, config: Config) -> int:
    """How many clips an epoch draws: epoch_frames / clip_frames, rounded up; "auto" is 1.7 passes over the grid."""
    frames = config.training.epoch_frames
    if frames == "auto":
        frames = PASSES_AN_EPOCH * n_grid_frames(features, config)
    return max(math.ceil(frames / config.clips.clip_frames), 1)


def epoch_seed(seed: int, epoch: int) -> int:
    """The number that all chance of one epoch comes from; epoch 0 is the initial weights.

    Since an epoch's chance depends on nothing before it, a resumed run needs no generator states to repeat itself.
    """
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def train_epoch(
    learner: Learner[Any],
    material: TrainingMaterial,
    config: Config,
    *,
    epoch: int,
    seed: int,
    on_step: Callable[[], None] = lambda: None,
) -> EpochSummary:
    """Trains ``learner`` in place for epoch ``epoch`` (from 1) and returns the epoch's means.

    ``on_step`` is called after every step.

    Seeds torch's global generator, which dropout draws from; the caller keeps the outer state if it needs it.
    Raises BallspotError when the loss is not finite any more.
    """
    torch.manual_seed(epoch_seed(seed, epoch))
    section, features = config.training, material.features
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    drawn = epoch_clips(material, config, clips_an_epoch(features, config), generator=generator)
    n_steps = steps_an_epoch(features, config)
    learner.model.train()
    sums = torch.zeros(4, device=features.device)
    n_collisions = torch.zeros((), dtype=torch.int64, device=features.device)
    rate = 0.0
    for step, batch in enumerate(training_batches(material, drawn, config)):  # no step waits for a GPU
        n_done = (epoch - 1) * n_steps + step
        rate = scheduled_rate(section, n_done, n_steps=n_steps)
        learner.set_rate(rate)
        sums += train_step(learner, batch, material.weights, config)
        if learner.average is not None:
            learner.average.update(learner.model, n_steps_done=n_done)
        n_collisions += batch.wanted.n_collisions.sum()
        on_step()
    return epoch_summary(sums / n_steps, rate, int(n_collisions), epoch=epoch, section=section)


def steps_an_epoch(features: ResidentFeatures, config: Config) -> int:
    """How many steps an epoch takes."""
    return math.ceil(clips_an_epoch(features, config) / config.training.batch_clips)


def epoch_clips(material: TrainingMaterial, config: Config, n_clips: int, *, generator: torch.Generator) -> ClipStarts:
    """So many clips, drawn as the configuration says."""
    features = material.features
    return draw_clips(
        features,
        n_clips,
        ClipGrid.of(config, features.frame_spacing),
        pad_frames=config.clips.pad_frames,
        generator=generator,
        anchors=material.anchors,
    )


def train_step(learner: Learner[Any], batch: Batch, weights: Tensor, config: Config) -> Tensor:
    """One step down the loss of a batch; that loss and its parts before it, (4,)."""
    section, frames = config.training, batch.frames
    losses: list[LossParts] = []

    def loss() -> Tensor:
        with computing(section, frames.device):
            output = (learner.forward or learner.model)(frames)
        losses.append(batch_loss(output, batch.wanted, batch.share, weights, config))
        return losses[-1].total

    try:
        descend(learner.model, learner.optimizer, loss, sam_rho=section.sam_rho, gradient_clip=section.gradient_clip)
    except RuntimeError as error:
        if is_memory(error) or not is_reference(config.head.kind):
            raise
        raise BallspotError(
            f"{shown(config.head.kind)}: its gradient cannot be taken ({' '.join(str(error).split())[:160]}); "
            "`ballspot check-head` says more"
        ) from error
    return losses[0].parts


def epoch_summary(
    means: Tensor, rate: float, n_collisions: int, *, epoch: int, section: TrainingSection
) -> EpochSummary:
    """The summary of an epoch from the means (4,) of its losses. Raises BallspotError when they are not finite."""
    total, class_part, offset_part, team_part = means.tolist()
    if not math.isfinite(total):
        raise BallspotError(f"the loss of epoch {epoch} is {total}; lower learning_rate ({section.learning_rate:g})")
    return EpochSummary(total, class_part, offset_part, team_part, rate, n_collisions)


def training_batches(material: TrainingMaterial, clips: ClipStarts, config: Config) -> Iterator[Batch]:
    """The clips in batches of ``batch_clips``, each as `training_batch` gives it.

    Targets take no chance, so those of many small batches are made at once. The draw of the whole epoch goes to the
    device in one piece; features that lie in memory or on a disk are read ahead for it (`rows_ahead`).
    """
    size = config.training.batch_clips
    targets = target_batches(material, clips, config, size=size)
    if config.augmentation.index_jitter:
        read = None
    else:
        read = rows_ahead(material.features, clips, ClipGrid.of(config, material.features.frame_spacing), size=size)
    clips = clips.on(material.features.rows.device)
    for start, wanted in zip(range(0, len(clips), size), targets, strict=True):
        frames = None if read is None else next(read)
        yield training_batch(material, clips.part(start, start + size), wanted, config, frames=frames)


def target_batches(
    material: TrainingMaterial, clips: ClipStarts, config: Config, *, size: int
) -> Iterator[TokenTargets]:
    """What the tokens of the clips should answer, ``size`` clips at a time, on the device of the events."""
    clips = clips.on(material.events.key.device)
    n_at_once = max(CLIPS_AT_ONCE // size, 1) * size
    for first in range(0, len(clips), n_at_once):
        block = clips.part(first, first + n_at_once)
        wanted = clip_targets(material, block, config)
        for start in range(0, len(block), size):
            yield wanted.part(start, start + size)


def clip_targets(material: TrainingMaterial, clips: ClipStarts, config: Config) -> TokenTargets:
    """What the tokens of the clips should answer, from the events of the material."""
    features = material.features
    grid = ClipGrid.of(config, features.frame_spacing)
    flipped = None
    if clips.view_index is not None:
        flipped = torch.zeros_like(clips.view_index, dtype=torch.bool)
        for place, view in enumerate(features.views):
            if view == FLIPPED_VIEW:
                flipped |= clips.view_index == place
    wanted = token_targets(
        clip_events(material.events, clips, grid, flipped=flipped),
        grid,
        config.targets,
        priority=material.events.priority,
        multi_label=is_sigmoid(config.loss.class_loss),
    )
    decided = material.decided
    if decided is None:
        return wanted
    # A token that has an event is known wherever it lies: tokens may be farther apart than a decision reaches.
    return replace(wanted, known=decided.tokens(features, clips, grid) | (wanted.class_index > 0))


def training_batch(
    material: TrainingMaterial, clips: ClipStarts, wanted: TokenTargets, config: Config, *, frames: Tensor | None = None
) -> Batch:
    """The clips with features that are changed as `augmentation` says; ``wanted``: what their tokens should answer.

    ``frames`` (B, T, D): the clips' features where they were read before.
    """
    features, change = material.features, config.augmentation
    grid = ClipGrid.of(config, features.frame_spacing)
    shift = None
    if change.index_jitter:
        shift = jitter_shift(len(clips), grid, chance=change.index_jitter)
    if frames is None:
        frames = gather_clips(features, clips, grid, row_shift=shift)
    if change.frame_switch:
        frames = switch_frames(frames, chance=change.frame_switch)
    if change.temporal_drop:
        frames = drop_frames(frames, chance=change.temporal_drop)
    if not change.mixup_alpha:
        return Batch(frames, wanted)
    frames, other, share = mix_clips(frames, alpha=change.mixup_alpha)
    return Batch(frames, wanted.taken_by(other), torch.cat([share, 1.0 - share]))


def batch_loss(
    output: HeadOutput, wanted: TokenTargets, share: Tensor | None, weights: Tensor, config: Config
) -> LossParts:
    """The losses of a batch; with ``share`` (2 B,) every clip of the output answers for two clips' targets."""
    class_part, offset_part, team_part = means = loss_means(output, wanted, share, weights, config)
    section = config.loss
    total = class_part + section.offset_weight * offset_part + section.team_weight * team_part
    return LossParts(total, torch.stack([total, *means]).detach())


def loss_means(
    output: HeadOutput, wanted: TokenTargets, share: Tensor | None, weights: Tensor, config: Config
) -> tuple[Tensor, Tensor, Tensor]:
    """The mean loss of the classes, of the offsets and of the teams, each (); 0 for what the head does not say."""
    section = config.loss
    logits, offsets, team_logits = (None if one is None else one.float() for one in output)
    if share is not None:
        logits, offsets, team_logits = (
            None if one is None else torch.cat([one, one]) for one in (logits, offsets, team_logits)
        )
    if logits is None:
        raise ValueError("a head without class logits cannot be trained")
    of_tokens = wanted.token_share(share)
    common = {"weights": weights, "focal_gamma": section.focal_gamma, "share": of_tokens}
    if is_reference(section.class_loss):
        offer = class_offer(section, logits, wanted.class_index, wanted.labels)
        own = {**offer, "weights": weights, "strength": wanted.strength}
        class_part = own_class_means(section.class_loss, share=of_tokens, **own)
    elif wanted.labels is not None:
        class_part = sigmoid_loss(logits[..., 1:], wanted.labels, **common)
    else:
        strength = wanted.strength if config.targets.label_sd else None
        class_part = class_loss(logits, wanted.class_index, strength=strength, **common)
    offset_part = team_part = class_part.new_zeros(())
    if offsets is not None:
        offset_part = offset_loss(
            offsets, wanted.known_offset, kind=section.offset_loss, huber_delta=section.huber_delta, share=share
        )
    if team_logits is not None:
        team_part = team_loss(team_logits, wanted.known_team, share=share)
    return class_part, offset_part, team_part


def loss_totals(wanted: TokenTargets, share: Tensor | None, weights: Tensor, config: Config) -> Tensor:
    """What each of the means of `loss_means` was divided by, (3,).

    Means times totals add up over the parts of a batch, so that parts on several devices, or one after another, can
    be judged as the whole batch would be.
    """
    of_tokens = wanted.token_share(share)
    if is_reference(config.loss.class_loss):
        of_classes = clip_total(wanted.class_index, share=of_tokens)
    elif wanted.labels is not None:
        of_classes = sigmoid_total(wanted.labels, weights, share=of_tokens)
    else:
        strength = wanted.strength if config.targets.label_sd else None
        of_classes = class_total(wanted.class_index, weights, strength=strength, share=of_tokens)
    of_others = (known_total(one, share=share) for one in (wanted.known_offset, wanted.known_team))
    return torch.stack([of_classes, *of_others])
