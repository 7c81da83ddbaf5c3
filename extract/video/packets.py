"""The packets of a video from a key frame on, wherever its container lands when it is asked to seek."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from itertools import chain

import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from ..container import Clock, demuxed, opened
from .probe import VideoProbe

INEXACT = ("mpeg",)  # after a seek, packets of an MPEG program stream have other time stamps
LOOSE = frozenset({"mpeg4", "msmpeg4v1", "msmpeg4v2", "msmpeg4v3", "h263", "h263p", "flv", "flv1", "wmv1", "wmv2"})
"""Codecs of whose pictures sound encoders leave more at the end than FFmpeg's `aggressive` allows."""


def can_seek(probe: VideoProbe) -> bool:
    """Whether a video can be read from elsewhere than its start."""
    probe = probe.whole or probe
    is_plain = not probe.is_packed and not probe.n_resets
    return is_plain and probe.pts is not None and probe.container not in INEXACT and len(probe.key_index) > 1


def nothing() -> None:
    """For who does not want to know that packets are read."""


def packets_from(
    probe: VideoProbe, index: int, beat: Callable[[], None] = nothing, *, container: InputContainer | None = None
) -> Iterator[Packet]:
    """The packets, in order of decoding, from a key frame at or before frame `index` on; empty ones end the stream.

    Takes the open ``container``, where one can seek in it, else opens the file anew; decodes in one thread, since frame
    threads beside torch's can hang when they are stopped early, and with an eye for damage: of bytes changed at random,
    FFmpeg then tells 54 of 57 instead of 47.
    Containers seek by other clocks than the one that frames are shown by (mp4 by the time of decoding, MPEG-TS by
    bytes), so that they may land behind the key frame that was asked for: then one farther back is tried, at last the
    start of the file. `beat` is called for every packet: where reading begins long before `index`, pictures are long in
    coming. Raises av's FFmpegError or OSError for what cannot be read.
    """
    place = int(np.searchsorted(probe.key_index, index, side="right")) - 1
    step = 1
    given: AbstractContextManager[InputContainer] = opened(probe.path) if container is None else nullcontext(container)
    with given as container:
        stream = _made_ready(container, probe)
        while can_seek(probe) and probe.pts is not None and place > 0:
            wanted = int(probe.pts[probe.key_index[place]])
            container.seek(wanted, stream=stream, backward=True)
            packets = _whole(demuxed(container, stream), probe)
            first = next((packet for packet in packets if packet.is_keyframe and packet.pts is not None), None)
            if first is not None and first.pts is not None and first.pts <= wanted:
                for packet in chain([first], packets):
                    beat()
                    yield packet
                return
            place, step = place - step, 2 * step
    with opened(probe.path) as container:
        stream = _made_ready(container, probe)
        clock = Clock(stream, container.format.name) if probe.n_resets else None
        for packet in _whole(demuxed(container, stream, is_packed=probe.is_packed, clock=clock), probe):
            beat()
            yield packet


def _whole(packets: Iterator[Packet], probe: VideoProbe) -> Iterator[Packet]:
    """The packets but for the last one where that is cut off."""
    return (one for one in packets if probe.cut_stamp is None or not (one.is_corrupt and one.pts == probe.cut_stamp))


def _made_ready(container: InputContainer, probe: VideoProbe) -> VideoStream:
    stream = next(one for one in container.streams.video if one.index == probe.stream_index)
    if stream.codec_context.is_open:  # by an earlier reading, which has set the rest, too
        return stream
    stream.codec_context.thread_type = "SLICE"
    stream.codec_context.thread_count = 1
    stream.codec_context.options = {"err_detect": "careful" if probe.codec in LOOSE else "aggressive"}
    return stream
