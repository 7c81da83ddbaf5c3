"""A backbone under a head as one model: clips of pictures in, what the head says of every token out."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from ...extract.backbone import Loaded, normalisation, picture_settings
from ..heads import HeadOutput, SpottingHead
from ..training import can_fuse
from .settings import PARTS, FinetuneSection


class EndToEnd(nn.Module):
    """Pictures (B, T, H, W, 3) of 0..255 -> the head's output; `inside` bool (B, T) says which frames are real.

    Features of frames outside the video are zeros, as they are where a head reads stored features.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, loaded: Loaded, head: SpottingHead, section: FinetuneSection) -> None:
        super().__init__()
        self.backbone, self.head = loaded.model, head
        self.clips = loaded.clips
        self.frozen = section.freeze
        self.norms = section.norms
        mean, std, _ = picture_settings(loaded.spec.name)
        scale, shift = normalisation(mean, std)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("shift", shift, persistent=False)
        for name in section.freeze:
            part = getattr(self.backbone, name, None)
            if part is None:
                raise BallspotError(f"finetune.freeze: {loaded.spec.name} has no part {name!r}; freeze is for RegNets")
            part.requires_grad_(False)
        if section.layer_decay < 1 and not all(hasattr(self.backbone, name) for name in PARTS):
            raise BallspotError(
                f"finetune.layer_decay: {loaded.spec.name} has no parts {','.join(PARTS)}; leave it at 1"
            )
        if section.checkpointing:
            try:
                self.backbone.set_grad_checkpointing(True)  # pyright: ignore[reportCallIssue]
            except (AssertionError, AttributeError) as error:
                raise BallspotError(f"finetune.checkpointing: {loaded.spec.name} cannot do it; leave it out") from error

    def forward(self, pictures: Tensor, inside: Tensor) -> HeadOutput:
        n_clips, n_frames = inside.shape
        images = pictures.flatten(0, 1).permute(0, 3, 1, 2)  # (B, T, H, W, 3) -> (B * T, 3, H, W)
        images = torch.addcmul(self.shift, images, self.scale)
        if self.clips is not None:
            self.clips.n_frames = n_frames
        features = self.backbone(images).unflatten(0, (n_clips, n_frames))
        return self.head(features.float() * inside[..., None])

    def train(self, mode: bool = True) -> "EndToEnd":
        """Training mode; norms that are frozen, and those of frozen parts, keep the statistics that they have."""
        super().train(mode)
        for name in self.frozen:
            self.backbone.get_submodule(name).eval()
        if self.norms == "frozen":
            for module in self.backbone.modules():
                if isinstance(module, (nn.BatchNorm2d, nn.BatchNorm3d)):
                    module.eval()
        return self


def make_optimizer(model: EndToEnd, section: FinetuneSection, *, rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW with a factor to the rate for every part of the backbone; the head's is 1.

    A part's factor is `backbone_rate` times `layer_decay` for every part between it and the head. Groups keep it under
    "factor"; the rate itself is set step by step.
    """
    groups = [
        {"params": parameters, "factor": factor, "lr": rate * factor} for factor, parameters in _groups(model, section)
    ]
    return torch.optim.AdamW(groups, lr=rate, weight_decay=weight_decay, fused=can_fuse(model))


def _groups(model: EndToEnd, section: FinetuneSection) -> Iterator[tuple[float, list[nn.Parameter]]]:
    of_part: dict[int, list[nn.Parameter]] = {}
    for name, parameter in model.backbone.named_parameters():
        if parameter.requires_grad:
            part = name.partition(".")[0]
            depth = len(PARTS) - 1 - PARTS.index(part) if part in PARTS else 0
            of_part.setdefault(depth, []).append(parameter)
    for depth, parameters in sorted(of_part.items()):
        yield section.backbone_rate * section.layer_decay**depth, parameters
    yield 1.0, list(model.head.parameters())
