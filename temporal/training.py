"""The optimisation of a head, an epoch at a time: random clips, targets, losses, steps."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..cache.errors import BallspotError
from .clips import ClipStarts, draw_clips, gather_clips
from .config import Config
from .events import EventTable, clip_events
from .features import ResidentFeatures
from .heads import SpottingHead
from .losses import class_loss, class_weights, offset_loss
from .schedule import learning_rate
from .targets import token_targets

PASSES_AN_EPOCH = 1.7  # the original's 500,000 frames over the 288,308 that its training matches have at stride 2


@dataclass(frozen=True)
class TrainingMaterial:
    """What a head is trained on: scaled features and events of the training matches, and the weights (1 + K,)."""

    features: ResidentFeatures
    events: EventTable
    weights: Tensor


@dataclass(frozen=True)
class EpochSummary:
    """An epoch's means over its steps, the learning rate of its last step, events that lost their token."""

    loss: float
    class_loss: float
    offset_loss: float
    learning_rate: float
    n_token_collisions: int


def training_material(features: ResidentFeatures, events: EventTable, config: Config) -> TrainingMaterial:
    """Features and events with the class weights counted from them, on the features' device."""
    grid_frames = n_grid_frames(features, config.clips.clip_stride)
    weights = class_weights(
        events.counts,
        max(grid_frames - int(events.counts.sum()), 1),
        kind=config.loss.class_weights,
        background_constant=config.loss.background_constant,
        action_constant=config.loss.action_constant,
    )
    return TrainingMaterial(features, events, weights.to(features.rows.device))


def n_grid_frames(features: ResidentFeatures, clip_stride: int) -> int:
    """How many frames the matches have on the grid of every ``clip_stride``-th source frame."""
    row_stride = features.row_stride(clip_stride)
    return sum(-(-match.n_rows // row_stride) for match in features.matches)


def clips_an_epoch(features: ResidentFeatures, config: Config) -> int:
    """How many clips an epoch draws: epoch_frames / clip_frames, rounded up; "auto" is 1.7 passes over the grid."""
    frames = config.training.epoch_frames
    if frames == "auto":
        frames = PASSES_AN_EPOCH * n_grid_frames(features, config.clips.clip_stride)
    return max(math.ceil(frames / config.clips.clip_frames), 1)


def epoch_seed(seed: int, epoch: int) -> int:
    """The number that all chance of one epoch comes from; epoch 0 is the initial weights.

    Since an epoch's chance depends on nothing before it, a resumed run needs no generator states to repeat itself.
    """
    return int(np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0] >> np.uint64(1))


def make_optimizer(head: SpottingHead, config: Config) -> torch.optim.AdamW:
    """AdamW over all parameters; the rate is set step by step."""
    section = config.training
    return torch.optim.AdamW(head.parameters(), lr=section.learning_rate, weight_decay=section.weight_decay)


def train_epoch(
    head: SpottingHead,
    optimizer: torch.optim.Optimizer,
    material: TrainingMaterial,
    config: Config,
    *,
    epoch: int,
    seed: int,
) -> EpochSummary:
    """Trains ``head`` in place for epoch ``epoch`` (from 1) and returns the epoch's means.

    Seeds torch's global generator, which dropout draws from; the caller keeps the outer state if it needs it.
    Raises BallspotError when the loss is not finite any more.
    """
    torch.manual_seed(epoch_seed(seed, epoch))
    section, clip = config.training, config.clips
    n_clips = clips_an_epoch(material.features, config)
    n_steps = math.ceil(n_clips / section.batch_clips)
    drawn = draw_clips(
        material.features,
        n_clips,
        clip_frames=clip.clip_frames,
        row_stride=material.features.row_stride(clip.clip_stride),
        pad_frames=clip.pad_frames,
        generator=torch.Generator().manual_seed(epoch_seed(seed, epoch)),
    )
    head.train()
    sums = torch.zeros(3, device=material.features.rows.device)
    n_collisions = torch.zeros((), dtype=torch.int64, device=sums.device)
    rate = 0.0
    for step in range(n_steps):
        rate = learning_rate(
            (epoch - 1) * n_steps + step,
            n_steps=section.n_epochs * n_steps,
            n_warmup_steps=round(section.warmup_epochs * n_steps),
            peak=section.learning_rate,
            final=section.final_learning_rate,
            warmup_start=section.warmup_start,
        )
        for group in optimizer.param_groups:
            group["lr"] = rate
        batch = drawn.part(step * section.batch_clips, (step + 1) * section.batch_clips)
        total, parts, lost = batch_loss(head, material, batch, config)
        optimizer.zero_grad(set_to_none=True)
        total.backward()
        optimizer.step()
        sums += torch.stack([total.detach(), *parts])
        n_collisions += lost
    loss, class_part, offset_part = (sums / n_steps).tolist()
    if not math.isfinite(loss):
        raise BallspotError(f"the loss of epoch {epoch} is {loss}; lower learning_rate ({section.learning_rate:g})")
    return EpochSummary(loss, class_part, offset_part, rate, int(n_collisions))


def batch_loss(
    head: SpottingHead, material: TrainingMaterial, batch: ClipStarts, config: Config
) -> tuple[Tensor, tuple[Tensor, Tensor], Tensor]:
    """The total loss of a batch of clips (), its class and offset parts (detached), and events without a token."""
    clip, targets, features = config.clips, config.targets, material.features
    row_stride = features.row_stride(clip.clip_stride)
    frames = gather_clips(features, batch, clip_frames=clip.clip_frames, row_stride=row_stride)  # (B, T, D)
    events = clip_events(
        material.events, batch, frame_spacing=features.frame_spacing, span=clip.clip_frames * clip.clip_stride
    )
    wanted = token_targets(
        events,
        priority=material.events.priority,
        clip_frames=clip.clip_frames,
        clip_stride=clip.clip_stride,
        temporal_stride=config.head.temporal_stride,
        label_assignment=targets.label_assignment,
        event_time=targets.event_time,
        offset_window=targets.offset_window,
    )
    output = head(frames)
    class_part = class_loss(
        output.class_logits, wanted.class_index, weights=material.weights, focal_gamma=config.loss.focal_gamma
    )
    offset_part = class_part.new_zeros(()) if output.offsets is None else offset_loss(output.offsets, wanted.offset)
    total = class_part + config.loss.offset_weight * offset_part
    return total, (class_part.detach(), offset_part.detach()), wanted.n_collisions
