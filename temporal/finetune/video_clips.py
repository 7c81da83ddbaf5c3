"""Clips of decoded pictures straight from videos, read ahead by worker processes; nothing is dumped to disk."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...cache.errors import BallspotError
from ...cache.workers import process_context
from ...extract.backbone import BackboneSpec, first_line, fitted, picture_settings
from ...extract.video import PATIENCE_S, DecodingError, VideoProbe, open_source
from ..clips import ClipStarts


@dataclass(frozen=True)
class ClipPictures:
    """One clip: its number, pictures (T, H, W, 3), uint8 or, where they were resized, float32, of 0..255.

    ``inside`` bool (T,): whether the frame lies within its video; the pictures of those that do not are black.
    """

    number: int
    pictures: Tensor
    inside: Tensor


class VideoClips(Dataset["ClipPictures | str"]):
    """The clips that an epoch drew, decoded when they are asked for, as the backbone reads pictures.

    With ``motion`` pictures are of three moments, so many frames apart. A frame that cannot be had gives its error's
    text instead: what a worker process raises would come with a traceback.
    """

    def __init__(
        self,
        probes: Sequence[VideoProbe],
        clips: ClipStarts,
        *,
        clip_frames: int,
        clip_stride: int,
        backbone: BackboneSpec,
        motion: int = 0,
    ) -> None:
        self.probes, self.clips = tuple(probes), clips
        self.clip_frames, self.clip_stride, self.motion = clip_frames, clip_stride, motion
        self.backbone, self.interpolation = backbone, backbone.interpolation or picture_settings(backbone.name)[2]

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, number: int) -> "ClipPictures | str":
        try:
            return self.clip(number)
        except DecodingError as error:
            return str(error)

    def clip(self, number: int) -> ClipPictures:
        """The clip of that number. Raises DecodingError for a frame that cannot be had."""
        probe = self.probes[int(self.clips.match_index[number])]
        frames = int(self.clips.start_row[number]) + np.arange(self.clip_frames) * self.clip_stride
        inside = (frames >= 0) & (frames < probe.n_frames)
        shape = (self.clip_frames, probe.height, probe.width, 3)
        pictures = np.zeros(shape, dtype=np.uint8)
        wanted = frames[inside]
        with open_source(probe, "pyav", motion=self.motion) as source:
            read = source.frames(int(wanted[0]), int(wanted[-1]) + 1, self.clip_stride)
            for place, picture in zip(np.flatnonzero(inside), read, strict=True):
                pictures[place] = picture
        resized = fitted(
            torch.from_numpy(pictures),
            self.backbone.size,
            uncropped=self.backbone.uncropped,
            interpolation=self.interpolation,
        )
        return ClipPictures(number, resized, torch.from_numpy(inside))


def read_clips(dataset: VideoClips, order: Sequence[int], *, n_workers: int) -> Iterator[ClipPictures]:
    """The clips of these numbers, in this order, decoded by `n_workers` processes ahead of time, or here with none.

    Raises DecodingError for a frame that cannot be had, BallspotError for processes that end or hang.
    """
    if n_workers == 0:
        yield from (dataset.clip(number) for number in order)
        return
    loader: Any = DataLoader(
        dataset,
        batch_size=None,
        sampler=list(order),
        num_workers=n_workers,
        prefetch_factor=4,
        multiprocessing_context=process_context((__name__,)),  # every epoch starts them anew: torch is imported once
        worker_init_fn=_one_thread,
        generator=torch.Generator(),  # the global one is for dropout, and must not hang on how clips are read
        timeout=PATIENCE_S,
    )
    clips = iter(loader)
    for _ in order:
        try:
            clip = next(clips)
        except RuntimeError as error:  # a worker ended, or gave nothing for so long
            raise BallspotError(
                f"decoding ahead: {first_line(error)}; is there room in memory and /dev/shm? Or set decode_workers=0"
            ) from error
        if isinstance(clip, str):
            raise DecodingError(clip)
        yield clip


def _one_thread(_: int) -> None:
    torch.set_num_threads(1)
