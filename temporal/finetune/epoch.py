"""One epoch of fine-tuning: clips drawn, decoded, changed and judged; steps that several processes take as one."""

from collections.abc import Iterator, Sequence
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
from .augmentation import Change, change_batch, drawn_change
from .model import EndToEnd, Precision
from .processes import Group
from .video_clips import ClipFormat, ClipPictures, ClipReader, VideoClips, WantedClip

if TYPE_CHECKING:
    from .task import Finetuning


@dataclass(frozen=True)
class Drawn:
    """The versions of clips that an epoch trains on: `clips` as their targets see them, mirrored ones named.

    Version v shows the decoded clip v // copies; a step takes `per_step` of them, of which each process has a run. The
    targets of all lie on the device from the start: no step waits for them.
    """

    decoded: ClipStarts
    clips: ClipStarts
    targets: TokenTargets
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
    precision: Precision

    def __post_init__(self) -> None:
        self.config, self.section = self.finetuning.task.config, self.finetuning.section
        self.forward = self.learner.forward or self.learner.model
        self.scaler = self.precision.scaler()
        on_gpu = self.group.device.type == "cuda"
        clip = self.config.clips
        how = ClipFormat(
            clip.clip_frames,
            clip.clip_stride,
            self.finetuning.backbone,
            is_changed=not on_gpu,
            motion=self.finetuning.motion,
        )
        n_workers = self.section.n_decoders(on_gpu=on_gpu)
        self.reader = ClipReader(VideoClips(self.probes, how), n_workers=n_workers, pins=on_gpu)
        views = ("original", FLIPPED_VIEW)
        self.mirrored = replace(self.material, features=replace(self.material.features, views=views))

    def train(self, epoch: int) -> EpochSummary:
        """Trains the model for epoch `epoch` (from 1) and returns the epoch's means.

        Raises BallspotError when the loss is not finite any more, DecodingError for a frame that cannot be had.
        """
        seed = epoch_seed(self.finetuning.task.seed, epoch)
        torch.manual_seed(seed + self.group.rank)
        drawn = self.draw(seed)
        pictures = self.reader.read(self.wanted(drawn, seed))
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
        n_collisions = int(drawn.targets.n_collisions.sum())
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
        return Drawn(decoded, clips, clip_targets(self.mirrored, clips, self.config), n_steps, per_step)

    def own(self, drawn: Drawn, step: int) -> list[range]:
        """The versions of this process in a step, a range for every batch that is judged at once."""
        size = self.config.training.batch_clips
        first = step * drawn.per_step + self.group.rank * size * self.section.accumulate
        return [range(first + k * size, first + (k + 1) * size) for k in range(self.section.accumulate)]

    def wanted(self, drawn: Drawn, seed: int) -> list[WantedClip]:
        """The clips to decode for this process, in the order in which its steps want them."""
        copies = self.section.copies
        return [
            WantedClip(
                int(drawn.decoded.match_index[version // copies]),
                int(drawn.decoded.start_row[version // copies]),
                tuple(self.changes(drawn, range(version, version + copies), seed)),
            )
            for step in range(drawn.n_steps)
            for batch in self.own(drawn, step)
            for version in batch
            if version % copies == 0
        ]

    def changes(self, drawn: Drawn, versions: range, seed: int) -> list[Change]:
        """What is done to the pictures of these versions."""
        flips = drawn.clips.view_index
        if flips is None:
            raise ValueError("an epoch draws which clips are mirrored")
        return [
            drawn_change(self.section, seed=seed + 1 + version, mirrored=bool(flips[version])) for version in versions
        ]

    def step(self, drawn: Drawn, step: int, pictures: Iterator[ClipPictures], seed: int) -> Tensor:
        """One step down the gradient of all batches of all processes as if they were one; this process's part of the
        losses (total, class, offset, team), float64 (4,).
        """
        batches = []
        for versions in self.own(drawn, step):
            wanted = drawn.targets.part(versions.start, versions.stop)
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
            images, inside = self.batch(pictures, self.changes(drawn, versions, seed))
            if other is not None and share is not None:
                own_share = share[: len(other)]
                images, inside = mixed_with(images, other, own_share), torch.maximum(inside, inside[other])
            with self.unsynced(is_last=place == len(batches) - 1):
                with self.precision.autocast():
                    output = self.forward(images, inside)
                means = torch.stack(loss_means(output, wanted, share, weights, self.config))
                losses = means * totals[place] / everybody
                # Processes' gradients are averaged; their sum is wanted.
                self.scaler.scale((losses * factors).sum().mul(self.group.n_processes)).backward()
            parts += losses.detach().double()
        if self.config.training.gradient_clip:
            self.scaler.unscale_(self.learner.optimizer)
            nn.utils.clip_grad_norm_(self.learner.model.parameters(), self.config.training.gradient_clip)
        self.scaler.step(self.learner.optimizer)
        self.scaler.update()
        return torch.cat([(parts * factors).sum()[None], parts])

    def partners(self, wanted: TokenTargets) -> tuple[TokenTargets, Tensor | None, Tensor | None]:
        """Where clips are mixed: the targets of both, the partners' places (B,), and the shares (2 B,) of each."""
        alpha = self.config.augmentation.mixup_alpha
        if not alpha:
            return wanted, None, None
        other, share = draw_partners(len(wanted.class_index), alpha=alpha, device=self.group.device)
        return wanted.taken_by(other), other, torch.cat([share, 1.0 - share])

    def batch(self, pictures: Iterator[ClipPictures], changes: Sequence[Change]) -> tuple[Tensor, Tensor]:
        """Changed pictures float32 (B, T, H, W, 3) and which of their frames are real, float32 (B, T)."""
        device, copies = self.group.device, self.section.copies
        clips = [next(pictures) for _ in range(len(changes) // copies)]
        inside = torch.stack([clip.inside for clip in clips]).float().repeat_interleave(copies, 0)
        if self.reader.clips.how.is_changed:
            return torch.cat([clip.pictures for clip in clips]).to(device), inside.to(device)
        # Each clip goes over by itself, while the GPU still computes; stacking them here would touch them twice.
        plain = torch.stack([clip.pictures.to(device, non_blocking=True) for clip in clips])
        versions = plain if copies == 1 else plain.repeat_interleave(copies, 0)
        return change_batch(versions, changes), inside.to(device, non_blocking=True)

    def unsynced(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Gradients of all but a step's last batch stay with their process."""
        if isinstance(self.forward, DistributedDataParallel) and not is_last:
            return self.forward.no_sync()
        return nullcontext()
