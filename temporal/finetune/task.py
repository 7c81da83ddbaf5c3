"""What a fine-tuning is for, and the model that it begins with."""

from collections import Counter
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import torch

from ...cache.code import portable
from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...cache.stores import Segment
from ...extract.backbone import Backbone, BackboneSpec, Loaded, default_batch_rows, load_model
from ...extract.rows import ExtractionJob, SegmentRunner, Settings
from ...extract.video import VideoProbe, at_rate, probe_video, video_digest
from ..config import deciding_table, prediction_views
from ..features import MatchRows, ResidentFeatures
from ..training import SPLIT, Task
from .settings import FinetuneSection


@dataclass(frozen=True)
class Finetuning:
    """All that decides a fine-tuning: the task, how its backbone is trained and where that begins.

    Videos are read at ``fps``, where the weights ask for that. With ``motion`` pictures are of three moments, so many
    frames apart, as `extract --motion` makes them.
    """

    task: Task
    section: FinetuneSection
    backbone: BackboneSpec
    fps: Fraction | None = None
    motion: int = 0

    def loaded(self) -> Loaded:
        """The backbone to begin with, on the CPU. Raises BallspotError as `load_model` does."""
        return load_model(self.backbone)

    def key(self, weights_sha256: str, *, n_processes: int) -> str:
        """The digest of all that decides the result, `weights_sha256` being that of the weights it begins with.

        All videos are read once for theirs.
        """
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
                "seed": self.task.seed,
                "label_set": self.task.label_set.as_record(),
                "splits": self.task.splits.by_part,
                "videos": self._video_digests(),
                "labels": labels,
                "shuffle_labels": self.task.shuffle_labels,
            }
        )

    def _video_digests(self) -> dict[str, dict[str, str]]:
        given = {
            split: [self.task.matches[name] for name in self.task.splits.part(split)] for split in ("train", SPLIT)
        }
        return {
            split: {match.name: video_digest(match.video) for match in matches if match.video is not None}
            for split, matches in given.items()
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
            },
        }

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
        return self.fps or Counter(probe.fps for probe in self._own_probes("train").values()).most_common(1)[0][0]

    def probes(self, split: str) -> dict[str, VideoProbe]:
        """The videos of a split, at one frame rate. Raises BallspotError for a match without one."""
        return {name: at_rate(probe, self.rate) for name, probe in self._own_probes(split).items()}

    def _own_probes(self, split: str) -> dict[str, VideoProbe]:
        found = {}
        for name in self.task.splits.part(split):
            video = self.task.matches[name].video
            if video is None:
                raise BallspotError(
                    f"{self.task.matches[name].folder}: match {name!r} has no video; put one there, or name other "
                    "matches with --splits"
                )
            found[name] = probe_video(video)
        return found

    def stride(self, backbone: Backbone) -> int:
        """Every how many frames a row is extracted: with a shift as far apart as the clips' frames were in training."""
        return 1 if backbone.shifted is None else self.task.config.clips.clip_stride

    def fingerprint(self, backbone: Backbone) -> str:
        """The fingerprint of the set that `extract --weights RUN` makes with the trained backbone."""
        margin = 0 if backbone.shifted is None else backbone.shifted.reach
        views = prediction_views(self.task.config)
        spec = backbone.features(stride=self.stride(backbone), views=views, margin=margin, motion=self.motion)
        return spec.fingerprint

    def extracted(
        self, backbone: Backbone, probes: dict[str, VideoProbe], *, stride: int, views: tuple[str, ...]
    ) -> ResidentFeatures:
        """The features of whole matches as their stores would hold them, float16, a row every `stride` frames."""
        device = self.task.device
        rows = default_batch_rows("torch", str(device))
        job = ExtractionJob(backbone, device, Settings(stride=stride, batch_rows=rows, views=views, motion=self.motion))
        matches, pieces, first_row = [], {view: list[np.ndarray]() for view in views}, 0
        with SegmentRunner(job) as runner:
            for name, probe in probes.items():
                runner.open(probe, "pyav")
                for block in runner.rows(Segment(0, runner.n_rows), match=name):
                    for view in views:
                        pieces[view].append(block.features[view])
                matches.append(
                    MatchRows(name, first_row, runner.n_rows, probe.n_frames, probe.fps, probe.axis.times_us)
                )
                first_row += runner.n_rows
        whole = torch.from_numpy(np.concatenate([piece for view in views for piece in pieces[view]]))
        return ResidentFeatures(whole.to(device), tuple(matches), stride, device, (backbone.dim,), views)


def skeleton(finetuning: Finetuning) -> Loaded:
    """A model of the fine-tuned backbone's shape with numbers of no meaning."""
    return load_model(replace(finetuning.backbone, weights="random"))
