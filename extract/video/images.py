"""Folders of pictures, read as videos."""

from collections.abc import Callable, Iterator

import av
import numpy as np
from av.error import FFmpegError

from ..container import opened
from .packets import nothing
from .probe import DecodingError, VideoProbe, VideoSource, image_files


class ImageSource(VideoSource):
    """A folder of numbered JPG files, each one frame; read by PyAV's JPEG decoder."""

    name = "jpg"
    version = av.__version__

    def __init__(self, probe: VideoProbe, *, substitute: bool = False, beat: Callable[[], None] = nothing) -> None:
        if not probe.path.is_dir():
            raise DecodingError(f"{probe.path}: a video, not a folder of pictures")
        self.probe, self.substitute, self.beat = probe, substitute, beat
        self.files = [path for _, path in image_files(probe.path)]
        self.substituted: set[int] = set()

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """See `VideoSource`."""
        last: np.ndarray | None = None
        for index in range(start, stop, step):
            self.beat()
            try:
                last = self._picture(index)
            except DecodingError:
                if not self.substitute:
                    raise
                self.substituted.add(index)
                last = self._nearest(index) if last is None else last
            yield last

    def _picture(self, index: int) -> np.ndarray:
        path = self.files[index]
        try:
            with opened(path) as container:
                frame = next(container.decode(video=0))
        except (FFmpegError, OSError, StopIteration, IndexError) as error:
            raise DecodingError(f"{path}: frame {index} cannot be read; write it again") from error
        if frame.is_corrupt:
            raise DecodingError(f"{path}: frame {index} is damaged; write it again")
        return frame.to_ndarray(format="rgb24")

    def _nearest(self, index: int) -> np.ndarray:
        others = sorted(range(self.probe.n_frames), key=lambda other: (abs(other - index), other))
        for other in others[1:]:
            try:
                return self._picture(other)
            except DecodingError:
                continue
        raise DecodingError(f"{self.probe.path}: no picture in it can be read; write them again")
