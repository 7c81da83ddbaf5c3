"""Videos made of other videos: at another frame rate, or each picture of three moments.

At another rate, each moment of it has the frame that is shown nearest to it. A picture of three moments has the grey
levels of a frame, of one before it and of one after it as its channels: what moves has a colour, what stays is grey.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import count
from math import gcd

import numpy as np

from ...cache.times import is_same_rate, nearest_frames
from .probe import VideoProbe, VideoSource


def at_rate(probe: VideoProbe, rate: Fraction | None) -> VideoProbe:
    """The video's frames at `rate`, as a probe of a video that has it; the same probe where the rates are one.

    Frame k of it is the video's frame `chosen[k]`, and its time is k / rate, counted from the start of the file as the
    video's own times are. None leaves every video as it is.
    """
    if rate is None or is_same_rate(probe.fps, rate):
        return probe
    chosen = nearest_frames(probe.axis, rate)
    keys = np.unique(np.searchsorted(chosen, probe.key_index))
    return replace(
        probe,
        fps=rate,
        n_frames=len(chosen),
        n_container_frames=0,
        n_hidden=0,
        n_undecodable=0,
        pts=None,
        key_index=keys[keys < len(chosen)],
        start_us=0,
        whole=probe,
        chosen=chosen,
    )


class ResampledSource(VideoSource):
    """A `VideoSource` of the chosen frames of another one, which it closes with itself."""

    def __init__(self, source: VideoSource, chosen: np.ndarray) -> None:
        self.source, self.chosen = source, chosen
        self.name, self.version = source.name, source.version
        self.substituted: set[int] = set()

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """The pictures of every `step`-th frame of that range; one that stands for several is given as often."""
        numbers = range(start, stop, step)
        wanted = self.chosen[start:stop:step].tolist()
        if not wanted:
            return
        steps = set(np.diff(wanted).tolist())
        own_step = steps.pop() if len(steps) == 1 else 1
        own_step = max(own_step, 1)
        read = iter(self.source.frames(wanted[0], wanted[-1] + 1, own_step))
        at, picture = wanted[0] - own_step, None
        for number, frame in zip(numbers, wanted, strict=True):
            while at < frame:
                picture, at = next(read), at + own_step
            if frame in self.source.substituted:
                self.substituted.add(number)
            if picture is not None:
                yield picture

    def __exit__(self, *exception: object) -> None:
        self.source.__exit__(*exception)


class MotionSource(VideoSource):
    """A `VideoSource` of pictures of three moments, `away` frames apart, of another one, which it closes with itself.

    Past the ends of the video its first or last frame is repeated. A picture counts as substituted where one of its
    three frames is.
    """

    def __init__(self, source: VideoSource, *, n_frames: int, away: int) -> None:
        self.source, self.n_frames, self.away = source, n_frames, away
        self.name, self.version = source.name, source.version
        self.substituted: set[int] = set()

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """The pictures of every `step`-th frame of that range; the frames around them are read once each."""
        if start >= stop:
            return
        self.source.substituted.clear()
        last, end = range(start, stop, step)[-1], self.n_frames - 1
        own_step = gcd(step, self.away)
        if (last + self.away > end and (end - start) % own_step) or (start < self.away and start % own_step):
            own_step = 1  # the first or last frame, which is repeated, is none of those between
        first = 0 if start < self.away else start - self.away
        numbers = range(first, min(last + self.away, end) + 1, own_step)
        read = zip(numbers, self.source.frames(numbers.start, numbers.stop, own_step), strict=True)
        for number, picture in moving(read, away=self.away, start=start, step=step):
            if number > last:
                return
            around = {max(number - self.away, 0), number, min(number + self.away, end)}
            if around & self.source.substituted:
                self.substituted.add(number)
            yield picture

    def __exit__(self, *exception: object) -> None:
        self.source.__exit__(*exception)


def moving(
    pictures: Iterable[tuple[int, np.ndarray]], *, away: int, start: int = 0, step: int = 1
) -> Iterator[tuple[int, np.ndarray]]:
    """Pictures (H, W, 3) of three moments for the frames `start`, `start + step`, ..., each with its number.

    ``pictures`` are frames with rising numbers: among them must be every frame that is `away` before or after a wanted
    one. When they end, the last of them is the video's last frame.
    """
    greys: dict[int, np.ndarray] = {}
    wanted = count(start, step)
    at, last = next(wanted), -1
    for last, picture in pictures:
        greys[last] = grey_of(picture)
        while at + away <= last:
            yield at, _three(greys, at, away, last)
            at = next(wanted)
            for past in [number for number in greys if number < max(at - away, 0)]:
                del greys[past]
    while at <= last:
        yield at, _three(greys, at, away, last)
        at = next(wanted)


def grey_of(picture: np.ndarray) -> np.ndarray:
    """uint8 (H, W, 3) -> uint8 (H, W): the luma of BT.601 with weights of a 256th, rounded; whole numbers alone."""
    total = np.multiply(picture[..., 0], np.uint16(77), dtype=np.uint16)
    total += np.multiply(picture[..., 1], np.uint16(150), dtype=np.uint16)
    total += np.multiply(picture[..., 2], np.uint16(29), dtype=np.uint16)
    total += 128
    total >>= 8
    return total.astype(np.uint8)


def _three(greys: dict[int, np.ndarray], at: int, away: int, last: int) -> np.ndarray:
    """The picture of frame `at`: its own grey levels are the second channel."""
    moments = (max(at - away, 0), at, min(at + away, last))
    picture = np.empty((*greys[at].shape, 3), dtype=np.uint8)
    for channel, moment in enumerate(moments):
        picture[..., channel] = greys[moment]
    return picture
