"""The decoder PyAV, which reads every container exactly."""

from collections.abc import Iterator
from itertools import count

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from ..container import FramePlaces, opened, swaps_sides, turned
from .damage import damaged_frames
from .packets import can_seek, nothing, packets_from
from .probe import REPAIR, Beat, DecodingError, VideoProbe, VideoSource, first_line


class PyavSource(VideoSource):
    """PyAV, frame after frame: flat memory for any video; every frame's time stamp is compared with the packets'.

    With `substitute`, a frame that is damaged or missing shows the last good one before it (the next one after it when
    there is none in its segment's groups of pictures), and is written down in `substituted`.
    """

    name = "pyav"
    version = av.__version__

    def __init__(self, probe: VideoProbe, *, substitute: bool = False, beat: Beat = nothing) -> None:
        if probe.path.is_dir():
            raise DecodingError(f"{probe.path}: a folder of pictures, not a video")
        self.probe, self.substitute, self.beat = probe, substitute, beat
        self.stays_open = False
        self._container: InputContainer | None = None
        self.substituted: set[int] = set()
        self._reformatter = VideoReformatter()

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """See `VideoSource`. Opens the file anew for each call, but where it `stays_open` and one can seek in it."""
        bad: frozenset[int] = frozenset()
        if self.substitute:
            bad = frozenset(damaged_frames(self.probe, start, stop, self.beat).tolist())
        good = self._good_frames(start, stop, bad)
        if not self.substitute:
            yield from (self._picture(frame) for index, frame in good if (index - start) % step == 0)
            return
        expected, last = start, None
        for index, frame in good:
            if index < start:
                last = frame
                continue
            stand_in = frame if last is None else last
            yield from (self._stand_in(k, stand_in) for k in range(expected, index) if (k - start) % step == 0)
            if (index - start) % step == 0:
                yield self._picture(frame)
            expected, last = index + 1, frame
        if expected < stop and last is None:
            raise DecodingError(f"{self.probe.path}: no good frame from {start} to {stop}; {REPAIR}")
        if last is not None:
            yield from (self._stand_in(k, last) for k in range(expected, stop) if (k - start) % step == 0)

    def _good_frames(self, start: int, stop: int, bad: frozenset[int]) -> Iterator[tuple[int, av.VideoFrame]]:
        """Index and frame from `start` on; with `bad` ones left out, from the key frame on. Only frames that are wanted
        are made pictures.

        Without `substitute` all frames from the key frame on must be there and whole: later ones may hang on them.
        """
        key = int(self.probe.key_index[np.searchsorted(self.probe.key_index, start, side="right") - 1])
        expected = key
        try:
            for index, frame in self.decoded(start):
                if index is None or index in bad or index < expected:
                    continue
                if index >= stop:
                    break
                if not self.substitute:
                    if index != expected:
                        raise DecodingError(
                            f"{self.probe.path}: frame {expected} is missing ({index} follows); {REPAIR}"
                        )
                    if frame.is_corrupt:
                        raise DecodingError(f"{self.probe.path}: frame {expected} is damaged; {REPAIR}")
                expected = index + 1
                if index >= start or self.substitute:
                    yield index, frame
                if expected == stop:
                    return
        except (FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise DecodingError(
                f"{self.probe.path}: frame {expected} cannot be decoded ({reason}); {REPAIR}"
            ) from error
        if not self.substitute and expected != stop:
            raise DecodingError(f"{self.probe.path}: decoding ended at frame {expected} of {stop}; {REPAIR}")

    def decoded(self, start: int) -> Iterator[tuple[int | None, av.VideoFrame]]:
        """Frames from a key frame at or before `start` on, with their index; None for one that no packet announced."""
        order = count()
        places = None if self.probe.pts is None else FramePlaces(self.probe.pts)
        for packet in packets_from(self.probe, start, self.beat, container=self._kept()):
            try:
                frames = packet.decode()
            except FFmpegError:
                if not self.substitute:
                    raise
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    yield (next(order) if places is None else places.of(frame.pts)), frame

    def _kept(self) -> InputContainer | None:
        if self.stays_open and self._container is None and can_seek(self.probe):
            self._container = opened(self.probe.path)
        return self._container

    def _picture(self, frame: av.VideoFrame) -> np.ndarray:
        """The picture as it is shown; where the size changes within the video, in the first one, as players do."""
        width, height = self.probe.width, self.probe.height
        if swaps_sides(self.probe.turn):
            width, height = height, width
        return turned(self._reformatter.reformat(frame, width, height, format="rgb24").to_ndarray(), self.probe.turn)

    def _stand_in(self, index: int, frame: av.VideoFrame) -> np.ndarray:
        self.substituted.add(index)
        return self._picture(frame)

    def __exit__(self, *exception: object) -> None:
        if self._container is not None:
            self._container.close()
        self._container = None
