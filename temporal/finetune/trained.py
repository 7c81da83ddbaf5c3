"""What a fine-tuning leaves: a backbone, its head, and where they came from."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...cache.runs import RunFolder
from ...extract.backbone import RUN_BACKBONE, Backbone, Settled, assemble, save_backbone
from ..config import prediction_views
from ..heads import HeadDescription, Progress, write_checkpoint
from ..training import BEST
from .task import Finetuning, skeleton


@dataclass(frozen=True)
class Trained:
    """A trained model taken apart: the backbone as `extract` uses it, its tensors as trained, the head."""

    backbone: Backbone
    tensors: dict[str, Tensor]
    description: HeadDescription
    head: Any

    @classmethod
    def of(cls, finetuning: Finetuning, description: HeadDescription, state: dict[str, Tensor]) -> "Trained":
        """From the state of an `EndToEnd`, which is copied."""
        tensors = {
            name.removeprefix("backbone."): value.detach().cpu().clone()
            for name, value in state.items()
            if name.startswith("backbone.")
        }
        fresh = skeleton(finetuning)
        fresh.model.load_state_dict(tensors)
        with torch.random.fork_rng(devices=[]):
            head = description.build()
        head.load_state_dict(
            {name.removeprefix("head."): value for name, value in state.items() if name.startswith("head.")}
        )
        backbone = assemble(fresh, finetuning.task.device)
        described = replace(description, features_fingerprint=finetuning.fingerprint(backbone))
        return cls(backbone, tensors, described, head.to(finetuning.task.device).eval())

    def write(self, run: RunFolder, finetuning: Finetuning, progress: Progress) -> None:
        """Writes what `extract --weights RUN` and `predict RUN` read."""
        spec, views = self.backbone.spec, ",".join(prediction_views(finetuning.task.config))
        settled = Settled(
            spec.name,
            spec.size,
            finetuning.stride(self.backbone),
            views=views,
            uncropped=spec.uncropped,
            interpolation=spec.interpolation,
            fps=finetuning.fps,
            motion=finetuning.motion,
        )
        save_backbone(run.path / RUN_BACKBONE, self.tensors, settled)
        write_checkpoint(run.path / BEST, description=self.description, head=self.head, progress=progress, scaling=None)
