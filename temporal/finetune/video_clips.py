"""Clips of decoded pictures straight from videos, read ahead by worker processes; nothing is dumped to disk."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ...cache.disk import Closable
from ...cache.errors import BallspotError
from ...cache.workers import end_with_parent, process_context
from ...extract.backbone import BackboneSpec, first_line, fitted, picture_settings
from ...extract.video import PATIENCE_S, DecodingError, VideoProbe, VideoSource, open_source
from .augmentation import Change, change_pictures

MOST_OPEN = 16  # videos that a process holds open
AHEAD = 3  # clips that each process has ready


@dataclass(frozen=True)
class WantedClip:
    """A clip to decode: its video, its first frame, and the changes of each of its versions."""

    video: int
    start: int
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class ClipPictures:
    """One clip of pictures of 0..255, and ``inside`` bool (T,): whether a frame lies within its video, else black.

    ``pictures``: with `ClipFormat.is_changed` float32 (versions, T, H, W, 3), changed already; else uint8 (T, H, W, 3).
    """

    pictures: Tensor
    inside: Tensor

    def pin_memory(self) -> "ClipPictures":
        """The same in memory that a GPU copies from by itself."""
        return replace(self, pictures=self.pictures.pin_memory())


@dataclass(frozen=True)
class ClipFormat:
    """How clips are read: so many frames, each `stride` after the other, as the backbone reads pictures.

    With ``is_changed`` they are changed where they are decoded. Else they are as decoded, bytes, where a resized
    picture is rounded: a quarter of the memory and of the way to a GPU. With ``motion`` pictures are of three moments,
    so many frames apart.
    """

    n_frames: int
    stride: int
    backbone: BackboneSpec
    is_changed: bool
    motion: int = 0


@dataclass
class VideoClips(Dataset["ClipPictures | str"]):
    """The clips of videos, decoded when they are asked for.

    A frame that cannot be had gives its error's text instead: what a worker process raises would come with a traceback.
    Each process holds its videos open: of the last few that it read.
    """

    probes: tuple[VideoProbe, ...]
    how: ClipFormat
    _sources: OrderedDict[int, VideoSource] = field(default_factory=OrderedDict)

    def __getitem__(self, wanted: WantedClip) -> "ClipPictures | str":
        try:
            return self.clip(wanted)
        except DecodingError as error:
            return str(error)

    def clip(self, wanted: WantedClip) -> ClipPictures:
        """The clip that is wanted. Raises DecodingError for a frame that cannot be had."""
        how, probe = self.how, self.probes[wanted.video]
        frames = wanted.start + np.arange(how.n_frames) * how.stride
        inside = (frames >= 0) & (frames < probe.n_frames)
        pictures = np.zeros((how.n_frames, probe.height, probe.width, 3), dtype=np.uint8)
        shown = frames[inside]
        read = self._source(wanted.video).frames(int(shown[0]), int(shown[-1]) + 1, how.stride)
        for place, picture in zip(np.flatnonzero(inside), read, strict=True):
            pictures[place] = picture
        backbone = how.backbone
        resized = fitted(
            torch.from_numpy(pictures),
            backbone.size,
            uncropped=backbone.uncropped,
            interpolation=backbone.interpolation or picture_settings(backbone.name)[2],
        )
        if how.is_changed:
            resized = torch.stack([change_pictures(resized, change) for change in wanted.changes])
        elif resized.dtype != torch.uint8:
            resized = resized.round_().to(torch.uint8)  # within 0..255 already
        return ClipPictures(resized, torch.from_numpy(inside))

    def _source(self, video: int) -> VideoSource:
        if video in self._sources:
            self._sources.move_to_end(video)
        else:
            while len(self._sources) >= MOST_OPEN:
                self._sources.popitem(last=False)[1].__exit__(None, None, None)
            self._sources[video] = self._opened(video)
        return self._sources[video]

    def _opened(self, video: int) -> VideoSource:
        return open_source(self.probes[video], "pyav", motion=self.how.motion, stays_open=True).__enter__()

    def close(self) -> None:
        """Closes the videos that are open."""
        while self._sources:
            self._sources.popitem()[1].__exit__(None, None, None)


class ClipReader(Closable):
    """Clips of one training, read ahead by `n_workers` processes that stay until it is closed, or here with none.

    With ``pins`` clips come in pinned memory. A context manager.
    """

    def __init__(self, clips: VideoClips, *, n_workers: int, pins: bool = False) -> None:
        self.clips = clips
        self._order: list[WantedClip] = []
        self._loader: Any = None
        if n_workers:
            self._loader = DataLoader(
                clips,
                batch_size=None,
                sampler=self._order,
                num_workers=n_workers,
                prefetch_factor=AHEAD,
                persistent_workers=True,
                pin_memory=pins,
                multiprocessing_context=process_context((__name__,)),  # torch is imported once for all of them
                worker_init_fn=_begin,
                generator=torch.Generator(),  # the global one is for dropout, and must not hang on how clips are read
                timeout=PATIENCE_S,
            )

    def read(self, order: Sequence[WantedClip]) -> Iterator[ClipPictures]:
        """The clips that are wanted, in this order, all of which must be taken before others are asked for.

        Raises DecodingError for a frame that cannot be had, BallspotError for processes that end or hang.
        """
        if self._loader is None:
            yield from map(self.clips.clip, order)
            return
        self._order[:] = order
        clips = iter(self._loader)
        for _ in order:
            try:
                clip = next(clips)
            except RuntimeError as error:  # a worker ended, or gave nothing for so long
                raise BallspotError(
                    f"decoding ahead: {first_line(error)}; is there room in memory and /dev/shm? Or set fewer "
                    "decode_workers, 0 for none"
                ) from error
            if isinstance(clip, str):
                raise DecodingError(clip)
            yield clip

    def close(self) -> None:
        """Ends the processes."""
        self._loader = None
        self.clips.close()


def _begin(_: int) -> None:
    """What each process does first. Torch itself watches what started it, which here is the fork server."""
    end_with_parent()
    torch.set_num_threads(1)
