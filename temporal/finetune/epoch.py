"""One epoch of fine-tuning: clips drawn, decoded, changed and judged; steps that several processes take as one."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from ...cache.stores import FLIPPED_VIEW
from ...extract.video import VideoProbe
from ..clips import ClipStarts, TokenTargets, draw_partners, mixed_with
from ..training import (
    EpochSummary,
    Learner,
    TrainingMaterial,
    clip_targets,
    clips_an_epoch,
    epoch_clips,
    epoch_seed,
    epoch_summary,
    loss_means,
    loss_totals,
    scheduled_rate,
)
from .augmentation import change_pictures
from .model import EndToEnd
from .processes import Group
from .video_clips import ClipPictures, VideoClips, read_clips

if TYPE_CHECKING:
    from .task import Finetuning


@dataclass(frozen=True)
class Drawn:
    """The versions of clips that an epoch trains on: `clips` as their targets see them, mirrored ones named.

    Version v shows the decoded clip v // copies; a step takes `per_step` of them, of which each process has a run.
    """

    decoded: ClipStarts
    clips: ClipStarts
    n_steps: int
    per_step: int


@dataclass
class Epochs:
    """What the epochs of a fine-tuning share."""

    learner: Learner[EndToEnd]
    material: TrainingMaterial
    probes: tuple[VideoProbe, ...]
    finetuning: "Finetuning"
    group: Group

    def __post_init__(self) -> None:
        self.config, self.section = self.finetuning.task.config, self.finetuning.section
        self.forward = self.learner.forward or self.learner.model
        views = ("original", FLIPPED_VIEW)
        self.mirrored = replace(self.material, features=replace(self.material.features, views=views))

    def train(self, epoch: int) -> EpochSummary:
        """Trains the model for epoch `epoch` (from 1) and returns the epoch's means.

        Raises BallspotError when the loss is not finite any more, DecodingError for a frame that cannot be had.
        """
        seed = epoch_seed(self.finetuning.task.seed, epoch)
        torch.manual_seed(seed + self.group.rank)
        drawn = self.draw(seed)
        pictures = self.decoded(drawn)
        training = self.config.training
        sums = torch.zeros(4, dtype=torch.float64, device=self.group.device)
        rate = 0.0
        self.forward.train()
        for step in range(drawn.n_steps):
            n_done = (epoch - 1) * drawn.n_steps + step
            rate = scheduled_rate(training, n_done, n_steps=drawn.n_steps)
            self.learner.set_rate(rate)
            sums += self.step(drawn, step, pictures, seed)
            if self.learner.average is not None:
                self.learner.average.update(self.learner.model, n_steps_done=n_done)
        n_collisions = int(clip_targets(self.mirrored, drawn.clips, self.config).n_collisions.sum())
        means = self.group.total(sums) / drawn.n_steps
        return epoch_summary(means, rate, n_collisions, epoch=epoch, section=training)

    def draw(self, seed: int) -> Drawn:
        """The clips of an epoch: whole steps for all processes, at least as many as the configuration asks for."""
        training, section = self.config.training, self.section
        per_step = training.batch_clips * section.accumulate * self.group.n_processes
        n_steps = -(-clips_an_epoch(self.material.features, self.config) // per_step)
        generator = torch.Generator().manual_seed(seed)
        decoded = epoch_clips(self.material, self.config, n_steps * per_step // section.copies, generator=generator)
        flips = torch.rand(n_steps * per_step, generator=generator) < section.flip
        versions = torch.arange(n_steps * per_step) // section.copies
        clips = ClipStarts(decoded.match_index[versions], decoded.start_row[versions], flips.long())
        return Drawn(decoded, clips, n_steps, per_step)

    def own(self, drawn: Drawn, step: int) -> list[range]:
        """The versions of this process in a step, a range for every batch that is judged at once."""
        size = self.config.training.batch_clips
        first = step * drawn.per_step + self.group.rank * size * self.section.accumulate
        return [range(first + k * size, first + (k + 1) * size) for k in range(self.section.accumulate)]

    def decoded(self, drawn: Drawn) -> Iterator[ClipPictures]:
        """The decoded clips of this process in the order in which its steps want them."""
        clip, copies = self.config.clips, self.section.copies
        dataset = VideoClips(
            self.probes,
            drawn.decoded,
            clip_frames=clip.clip_frames,
            clip_stride=clip.clip_stride,
            backbone=self.finetuning.backbone,
            motion=self.finetuning.motion,
        )
        order = [
            version // copies
            for step in range(drawn.n_steps)
            for batch in self.own(drawn, step)
            for version in batch
            if version % copies == 0
        ]
        return read_clips(dataset, order, n_workers=self.section.decode_workers)

    def step(self, drawn: Drawn, step: int, pictures: Iterator[ClipPictures], seed: int) -> Tensor:
        """One step down the gradient of all batches of all processes as if they were one; this process's part of the
        losses (total, class, offset, team), float64 (4,).
        """
        batches = []
        for versions in self.own(drawn, step):
            wanted = clip_targets(self.mirrored, drawn.clips.part(versions.start, versions.stop), self.config)
            batches.append((versions, *self.partners(wanted)))
        weights = self.material.weights
        totals = [loss_totals(wanted, share, weights, self.config) for _, wanted, _, share in batches]
        everybody = self.group.total(torch.stack(totals).sum(0)).clamp_min(torch.finfo(torch.float32).tiny)
        factors = torch.tensor(
            [1.0, self.config.loss.offset_weight, self.config.loss.team_weight], device=self.group.device
        )
        parts = torch.zeros(3, dtype=torch.float64, device=self.group.device)
        self.learner.optimizer.zero_grad(set_to_none=True)
        for place, (versions, wanted, other, share) in enumerate(batches):
            images, inside = self.batch(drawn, versions, pictures, seed)
            if other is not None and share is not None:
                own_share = share[: len(other)]
                images, inside = mixed_with(images, other, own_share), torch.maximum(inside, inside[other])
            with self.unsynced(is_last=place == len(batches) - 1):
                with torch.autocast(images.device.type, torch.bfloat16, enabled=self.uses_amp):
                    output = self.forward(images, inside)
                means = torch.stack(loss_means(output, wanted, share, weights, self.config))
                losses = means * totals[place] / everybody
                # Processes' gradients are averaged; their sum is wanted.
                (losses * factors).sum().mul(self.group.n_processes).backward()
            parts += losses.detach().double()
        if self.config.training.gradient_clip:
            nn.utils.clip_grad_norm_(self.learner.model.parameters(), self.config.training.gradient_clip)
        self.learner.optimizer.step()
        return torch.cat([(parts * factors).sum()[None], parts])

    def partners(self, wanted: TokenTargets) -> tuple[TokenTargets, Tensor | None, Tensor | None]:
        """Where clips are mixed: the targets of both, the partners' places (B,), and the shares (2 B,) of each."""
        alpha = self.config.augmentation.mixup_alpha
        if not alpha:
            return wanted, None, None
        other, share = draw_partners(len(wanted.class_index), alpha=alpha, device=self.group.device)
        return wanted.taken_by(other), other, torch.cat([share, 1.0 - share])

    def batch(
        self, drawn: Drawn, versions: range, pictures: Iterator[ClipPictures], seed: int
    ) -> tuple[Tensor, Tensor]:
        """Changed pictures float32 (B, T, H, W, 3) and which of their frames are real, float32 (B, T)."""
        flips = drawn.clips.view_index
        changed, inside = [], []
        clip: ClipPictures | None = None
        for version in versions:
            if version % self.section.copies == 0:
                clip = next(pictures)
            if clip is None or flips is None:
                raise ValueError("a batch begins with the first version of a clip")
            mirrored = bool(flips[version])
            changed.append(change_pictures(clip.pictures, self.section, seed=seed + 1 + version, mirrored=mirrored))
            inside.append(clip.inside)
        device = self.group.device
        return torch.stack(changed).to(device), torch.stack(inside).float().to(device)

    @property
    def uses_amp(self) -> bool:
        """Whether the forward pass is in bfloat16: on GPUs, where it is asked for."""
        return self.config.training.amp and self.group.device.type == "cuda"

    def unsynced(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Gradients of all but a step's last batch stay with their process."""
        if isinstance(self.forward, DistributedDataParallel) and not is_last:
            return self.forward.no_sync()
        return nullcontext()
