"""What a fine-tuning is for, and the model that it begins with."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ...cache.code import portable
from ...cache.disk import fingerprint
from ...extract.backbone import Backbone, BackboneSpec, Loaded, default_batch_rows, load_model
from ...extract.rows import Decoders, ExtractionJob, SegmentRunner, Settings
from ...extract.video import VideoProbe, at_rate
from ..config import deciding_table, prediction_views
from ..features import MatchRows, ResidentFeatures
from ..training import SPLIT, Task
from .model import Precision
from .settings import FinetuneSection
from .videos import Videos


@dataclass(frozen=True, kw_only=True)
class Finetuning:
    """All that decides a fine-tuning: the task, how its backbone is trained, where that begins, and the videos.

    Videos are read at ``fps``, where the weights ask for that. With ``motion`` pictures are of three moments, so many
    frames apart, as `extract --motion` makes them.
    """

    task: Task
    section: FinetuneSection
    backbone: BackboneSpec
    videos: Videos
    precision: Precision
    fps: Fraction | None = None
    motion: int = 0

    def loaded(self) -> Loaded:
        """The backbone to begin with, on the CPU. Raises BallspotError as `load_model` does."""
        return load_model(self.backbone)

    def key(self, weights_sha256: str, *, n_processes: int) -> str:
        """The digest of all that decides the result, `weights_sha256` being that of the weights it begins with."""
        left_out = {"decode_workers"}
        if self.section.norms == "frozen":
            left_out.add("checkpointing")  # else norms see every batch twice
        labels = {
            split: {name: repr(spots) for name, spots in self.task.spots(split).items()} for split in ("train", SPLIT)
        }
        return fingerprint(
            {
                "config": deciding_table(self.task.config),
                "finetune": self.section.model_dump(mode="json", exclude=left_out),
                "n_processes": n_processes,
                "backbone": portable(self.backbone.name),
                "weights": weights_sha256,
                "size": list(self.backbone.size),
                **self._pictures(),
                **self._numbers(),
                "seed": self.task.seed,
                "label_set": self.task.label_set.as_record(),
                "splits": self.task.splits.by_part,
                "videos": self._video_digests(),
                "labels": labels,
                "shuffle_labels": self.task.shuffle_labels,
            }
        )

    def _video_digests(self) -> dict[str, dict[str, str]]:
        return {
            split: {name: self.videos.digests[name] for name in self.task.splits.part(split)}
            for split in ("train", SPLIT)
        }

    def table(self) -> dict[str, Any]:
        """The whole configuration as plain nested dictionaries."""
        return {
            **self.task.config.model_dump(mode="json"),
            "finetune": {
                **self.section.model_dump(mode="json"),
                "backbone": self.backbone.name,
                "weights": self.backbone.weights,
                "size": list(self.backbone.size),
                **self._pictures(),
                **self._numbers(),
            },
        }

    def _numbers(self) -> dict[str, str]:
        """What the model is trained in, where that is not float32."""
        return {} if self.precision.name == "float32" else {"precision": self.precision.name}

    def _pictures(self) -> dict[str, Any]:
        """How pictures are read where that is not the plain way: cut, resized otherwise, at a rate of the weights, of
        three moments.
        """
        uncropped, interpolation = self.backbone.uncropped, self.backbone.interpolation
        return {
            **({} if uncropped is None else {"uncropped": list(uncropped)}),
            **({} if interpolation is None else {"interpolation": interpolation}),
            **({} if self.fps is None else {"fps": str(self.fps)}),
            **({} if not self.motion else {"motion": self.motion}),
        }

    @cached_property
    def rate(self) -> Fraction:
        """The frame rate at which all videos are read: the one asked for, else that of most of the training videos."""
        probes = (self.videos.probes[name] for name in self.task.splits.part("train"))
        return self.fps or Counter(probe.fps for probe in probes).most_common(1)[0][0]

    def probes(self, split: str) -> dict[str, VideoProbe]:
        """The videos of a split, at one frame rate."""
        return {name: at_rate(self.videos.probes[name], self.rate) for name in self.task.splits.part(split)}

    def stride(self, backbone: Backbone) -> int:
        """Every how many frames a row is extracted: with a shift as far apart as the clips' frames were in training."""
        return 1 if backbone.shifted is None else self.task.config.clips.clip_stride

    def fingerprint(self, backbone: Backbone) -> str:
        """The fingerprint of the set that `extract --weights RUN` makes with the trained backbone."""
        views = prediction_views(self.task.config)
        return backbone.features(stride=self.stride(backbone), views=views, motion=self.motion).fingerprint

    def extracted(self, backbone: Backbone, probes: Mapping[str, VideoProbe]) -> Iterator[ResidentFeatures]:
        """The features of whole matches, one after another, as their stores would hold them: float16.

        Only those of one match are held. Several processes decode where a GPU computes, each a part of the match.
        """
        device, stride, views = self.task.device, self.stride(backbone), prediction_views(self.task.config)
        on_gpu = device.type == "cuda"
        rows = default_batch_rows("torch", str(device))
        job = ExtractionJob(backbone, device, Settings(stride=stride, batch_rows=rows, views=views, motion=self.motion))
        n_decoders = self.section.n_decoders(on_gpu=True) if on_gpu else 1
        with Decoders(SegmentRunner(job), n_decoders=n_decoders) as decoders:
            for name, probe in probes.items():
                blocks = list(decoders.rows(probe, "pyav", match=name))
                whole = torch.from_numpy(np.concatenate([block.features[view] for view in views for block in blocks]))
                match = MatchRows(name, 0, sum(map(len, blocks)), probe.n_frames, probe.fps, probe.axis.times_us)
                yield ResidentFeatures(whole.to(device), (match,), stride, device, (backbone.dim,), views)


def dealt(probes: Mapping[str, VideoProbe], *, n_processes: int) -> list[list[str]]:
    """The matches that each of so many processes takes: the longest first, each to who has least so far."""
    hands: list[list[str]] = [[] for _ in range(n_processes)]
    n_frames = [0] * n_processes
    for name, probe in sorted(probes.items(), key=lambda one: (-one[1].n_frames, one[0])):
        least = n_frames.index(min(n_frames))
        hands[least].append(name)
        n_frames[least] += probe.n_frames
    return hands


def skeleton(finetuning: Finetuning) -> Loaded:
    """A model of the fine-tuned backbone's shape with numbers of no meaning."""
    return load_model(replace(finetuning.backbone, weights="random"))
