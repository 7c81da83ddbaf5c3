"""A backbone under a head as one model: clips of pictures in, what the head says of every token out."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from ...cache.machine import has_bfloat16_units
from ...extract.backbone import Loaded, normalisation, picture_settings
from ..heads import HeadOutput, SpottingHead
from ..training import can_fuse
from .settings import PARTS, FinetuneSection


@dataclass(frozen=True)
class Precision:
    """The numbers that a model is trained in on a device: `name` is float32, bfloat16 or float16.

    Weights, their gradients and the optimizer are float32 whatever it is.
    """

    name: str
    device: torch.device
    remark: str = ""

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of a forward pass."""
        dtype = torch.float16 if self.name == "float16" else torch.bfloat16
        return torch.autocast(self.device.type, dtype, enabled=self.name != "float32")

    def scaler(self) -> torch.amp.GradScaler:
        """What keeps small gradients of float16 from becoming zero; it does nothing for other numbers."""
        return torch.amp.GradScaler(self.device.type, enabled=self.name == "float16")


def chosen_precision(asked: str, device: torch.device) -> Precision:
    """The numbers that are asked for, as this device has them; `remark` says why they are others.

    "auto" is bfloat16 on a GPU that multiplies it in units of its own, else float32. Raises BallspotError for
    float16 without a GPU.
    """
    on_gpu = device.type == "cuda"
    if asked == "auto":
        return Precision("bfloat16" if on_gpu and torch.cuda.is_bf16_supported(False) else "float32", device)
    if asked == "float16" and not on_gpu:
        raise BallspotError("--precision float16: is for GPUs; give bfloat16 or float32")
    if asked == "bfloat16" and device.type == "cpu" and not has_bfloat16_units():
        remark = "--precision bfloat16: this CPU has no units for it, where it would be slower; computing in float32"
        return Precision("float32", device, remark)
    return Precision(asked, device)


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
