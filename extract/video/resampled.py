"""A video as if it had another frame rate: for each moment of that rate, the frame that is shown nearest to it."""

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction

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


class ResampledSource:
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

    def __enter__(self) -> "ResampledSource":
        self.source.__enter__()
        return self

    def __exit__(self, *exception: object) -> None:
        self.source.__exit__(*exception)
