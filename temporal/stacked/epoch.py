"""An epoch of several runs at once: each draws its own clips and its own changes; all heads take each step together.

What a run draws comes from a generator of its own, seeded as `train_epoch` seeds torch's, and in the same order: clips,
then for every step the changes of its clips, then the masks of dropout.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ..clips import (
    ClipStarts,
    TokenTargets,
    draw_partners,
    drop_frames,
    gather_clips,
    jitter_shift,
    mixed_with,
    rows_ahead,
    switch_frames,
)
from ..config import ClipGrid, Config
from ..heads import HeadOutput, masks_of_runs
from ..training import (
    EpochSummary,
    TrainingMaterial,
    batch_loss,
    clips_an_epoch,
    computing,
    epoch_clips,
    epoch_seed,
    epoch_summary,
    scheduled_rate,
    steps_an_epoch,
    target_batches,
)
from .stack import Stack

Outcome = EpochSummary | BallspotError
Answers = dict[str, Tensor]
Drawn = TypeVar("Drawn")
ANSWERS = ("class_index", "strength", "labels", "offset", "team", "known")


@dataclass(frozen=True)
class Runs:
    """What the runs of a stack are trained on: one material, a configuration and a seed of each."""

    material: TrainingMaterial
    configs: tuple[Config, ...]
    seeds: tuple[int, ...]

    @property
    def config(self) -> Config:
        """What all configurations have in common may be read from this one."""
        return self.configs[0]


class Chance:
    """The generator of a run: its chance on the CPU, and that of its masks where the head computes."""

    def __init__(self, seed: int, device: torch.device) -> None:
        self.own = torch.Generator().manual_seed(seed)
        self.of_masks = self.own if device.type == "cpu" else torch.Generator(device).manual_seed(seed)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Draws of torch's global generator are the run's while this lasts."""
        outer = torch.get_rng_state()
        torch.set_rng_state(self.own.get_state())
        try:
            yield
        finally:
            self.own.set_state(torch.get_rng_state())
            torch.set_rng_state(outer)


def train_stacked_epoch(stack: Stack, runs: Runs, *, epoch: int) -> list[Outcome]:
    """Trains all runs of a stack for epoch ``epoch`` (from 1): of each its means, or why it cannot go on."""
    material, config, n_runs = runs.material, runs.config, len(stack)
    features, device = material.features, material.features.device
    chances = [Chance(epoch_seed(seed, epoch), device) for seed in runs.seeds]
    size, n_steps = config.training.batch_clips, steps_an_epoch(features, config)
    drawn = in_steps([_draw(runs, seed, epoch=epoch) for seed in runs.seeds], size=size)
    stack.train()
    sums = torch.zeros(n_runs, 4, device=device)
    n_collisions = torch.zeros(n_runs, dtype=torch.int64, device=device)
    rates = [0.0] * n_runs
    with masks_of_runs([chance.of_masks for chance in chances]):
        for step, (frames, answers, collisions) in enumerate(stacked_batches(runs, drawn, chances)):
            n_done = (epoch - 1) * n_steps + step
            rates = [scheduled_rate(one.training, n_done, n_steps=n_steps) for one in runs.configs]
            stack.set_rates(rates)
            sums += stacked_step(stack, runs, frames, answers)
            stack.average(n_steps_done=n_done)
            n_collisions += collisions
    found = (sums / n_steps).cpu(), n_collisions.tolist()
    outcomes: list[Outcome] = []
    for one, means, rate, n_lost in zip(runs.configs, found[0], rates, found[1], strict=True):
        try:
            outcomes.append(epoch_summary(means, rate, n_lost, epoch=epoch, section=one.training))
        except BallspotError as error:
            outcomes.append(error)
    return outcomes


def stacked_step(stack: Stack, runs: Runs, frames: Tensor, answers: Answers) -> Tensor:
    """One step of every run down the loss of its clips, frames (K, B, T, D); the losses before it, (K, 4)."""
    losses: list[Tensor] = []

    def of_run(parameters: dict[str, Any], buffers: Answers, own: Tensor, wanted: Answers) -> tuple[Tensor, Tensor]:
        output: HeadOutput = stack.forward(parameters, buffers, own)
        targets = TokenTargets(**{name: wanted.get(name) for name in ANSWERS}, n_collisions=None)  # pyright: ignore  under vmap nobody counts
        loss = batch_loss(output, targets, wanted.get("share"), runs.material.weights, runs.config)
        return loss.total, loss.parts

    def loss() -> Tensor:
        with computing(runs.config.training, frames.device):
            total, parts = torch.vmap(of_run)(stack.parameters, stack.buffers, frames, answers)
        losses.append(parts)
        return total

    stack.descend(loss)
    return losses[0].detach()


def stacked_batches(
    runs: Runs, drawn: ClipStarts, chances: Sequence[Chance]
) -> Iterator[tuple[Tensor, Answers, Tensor]]:
    """Of every step the frames (K, B, T, D), the answers by name (K, B, ...), and events that lost their token (K,).

    ``drawn`` has the clips of a step side by side, run by run (`in_steps`).
    """
    features, config = runs.material.features, runs.config
    grid = ClipGrid.of(config, features.frame_spacing)
    n_runs, size = len(chances), len(chances) * config.training.batch_clips
    change = config.augmentation
    targets = target_batches(runs.material, drawn, config, size=size)
    read = None if change.index_jitter else rows_ahead(features, drawn, grid, size=size)
    clips = drawn.on(features.rows.device)
    for start, wanted in zip(range(0, len(clips), size), targets, strict=True):
        part = clips.part(start, start + size)
        n_clips = len(part) // n_runs
        shift = None
        if change.index_jitter:
            jitter = partial(jitter_shift, n_clips, grid, chance=change.index_jitter)
            shift = torch.cat([_by(chance, jitter) for chance in chances])
        frames = gather_clips(features, part, grid, row_shift=shift) if read is None else next(read)
        frames = frames.unflatten(0, (n_runs, n_clips))
        if change.frame_switch:
            frames = _each(chances, frames, partial(switch_frames, chance=change.frame_switch))
        if change.temporal_drop:
            frames = _each(chances, frames, partial(drop_frames, chance=change.temporal_drop))
        answers = {
            field.name: value.unflatten(0, (n_runs, n_clips))
            for field in fields(wanted)
            if (value := getattr(wanted, field.name)) is not None
        }
        collisions = answers.pop("n_collisions").sum(1)
        if change.mixup_alpha:
            frames, answers = _mixed(frames, answers, chances, alpha=change.mixup_alpha)
        yield frames, answers, collisions


def in_steps(of_runs: Sequence[ClipStarts], *, size: int) -> ClipStarts:
    """The clips of all runs, an equal number each, so that those of one step lie side by side, run by run."""
    n_clips = len(of_runs[0])
    place = torch.arange(len(of_runs) * n_clips).view(len(of_runs), n_clips)
    order = torch.cat([block.flatten() for block in place.split(size, dim=1)])
    joined = ClipStarts(
        torch.cat([clips.match_index for clips in of_runs]),
        torch.cat([clips.start_row for clips in of_runs]),
        torch.cat([clips.view_index for clips in of_runs if clips.view_index is not None])
        if of_runs[0].view_index is not None
        else None,
    )
    return joined.map(lambda values: values[order])


def _draw(runs: Runs, seed: int, *, epoch: int) -> ClipStarts:
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    n_clips = clips_an_epoch(runs.material.features, runs.config)
    return epoch_clips(runs.material, runs.config, n_clips, generator=generator)


def _mixed(frames: Tensor, answers: Answers, chances: Sequence[Chance], *, alpha: float) -> tuple[Tensor, Answers]:
    """Every clip (K, B, T, D) mixed with another of its run and batch; answers are then of 2 B, with their share."""
    n_runs, n_clips = frames.shape[:2]
    partners = partial(draw_partners, n_clips, alpha=alpha, device=torch.device("cpu"))
    drawn = [_by(chance, partners) for chance in chances]
    other = torch.stack([one[0] + place * n_clips for place, one in enumerate(drawn)])  # (K, B), into all clips
    share = torch.stack([one[1] for one in drawn])
    other, share = (values.to(frames.device, non_blocking=True) for values in (other, share))
    flat = mixed_with(frames.flatten(0, 1), other.flatten(), share.flatten())
    both = {
        name: torch.cat([values, values.flatten(0, 1)[other.flatten()].unflatten(0, (n_runs, n_clips))], dim=1)
        for name, values in answers.items()
    }
    if "known" in both:  # as `TokenTargets.taken_by`
        both["known"] = (both["known"][:, :n_clips] & both["known"][:, n_clips:]).repeat(1, 2, 1)
    return flat.unflatten(0, (n_runs, n_clips)), {**both, "share": torch.cat([share, 1.0 - share], dim=1)}


def _each(chances: Sequence[Chance], frames: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """The frames (K, B, T, D), each run's changed by its own chance."""
    return torch.stack([_by(chance, partial(change, one)) for chance, one in zip(chances, frames, strict=True)])


def _by(chance: Chance, draw: Callable[[], Drawn]) -> Drawn:
    """What is drawn by a run's chance."""
    with chance.taken():
        return draw()
