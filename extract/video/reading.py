"""How a video file is opened: which of its streams is the video, and its packets as a decoder wants them."""

from collections.abc import Iterator
from pathlib import Path

import av
from av.bitstream import BitStreamFilterContext
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

ATTACHED_PICTURE = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC: a cover, not a video


DEFAULT = 1  # AV_DISPOSITION_DEFAULT


VOP_START = b"\x00\x00\x01\xb6"  # begins a picture in MPEG-4 part 2


B_FRAME = 2  # the two bits after it: 0 I, 1 P, 2 B, 3 S


N_LOOKED_AT = 300  # packets; where pictures are packed, every group of them shows it


BACK_S = 0.1  # a time of decoding that goes back by more begins another recording


AHEAD_S = 3600.0  # and one that jumps ahead by more, in containers whose clock just runs on


RUNNING_CLOCKS = ("mpegts", "mpeg")


def opened(path: Path, **options: str) -> InputContainer:
    """The file, open; by its absolute path, since FFmpeg takes the letters before a colon for a protocol."""
    return av.open(str(path.absolute()), options=options)


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams that are no cover pictures, the one that players show first: the default, else the largest."""
    streams = [stream for stream in container.streams.video if not int(stream.disposition) & ATTACHED_PICTURE]
    return sorted(streams, key=lambda stream: (-(int(stream.disposition) & DEFAULT), -_area(stream), stream.index))


def _area(stream: VideoStream) -> int:
    context = stream.codec_context
    return 0 if context is None else int(context.width or 0) * int(context.height or 0)


class Clock:
    """Makes one clock of those of several recordings in one file, packet after packet in the order of the file.

    Where the time of decoding goes back, another recording has begun: its stamps are moved so that it follows the one
    before. `n_resets` counts how often that was so.
    """

    def __init__(self, stream: VideoStream, container: str) -> None:
        ticks_a_second = 1 / float(stream.time_base or 1)
        self._back = BACK_S * ticks_a_second
        self._ahead = AHEAD_S * ticks_a_second if container in RUNNING_CLOCKS else float("inf")
        self._offset = self.n_resets = 0
        self._last: int | None = None
        self._step, self._latest = 1, 0

    def set(self, packet: Packet) -> Packet:
        """Moves the stamps of the next packet."""
        if packet.dts is not None:
            now = packet.dts + self._offset
            if self._last is not None and not -self._back <= now - self._last <= self._ahead:
                shown = packet.dts if packet.pts is None else packet.pts
                self._offset = max(self._last, self._latest) + self._step - shown
                self.n_resets += 1
                now = packet.dts + self._offset
            elif self._last is not None and now > self._last:
                self._step = now - self._last
            self._last = now
        if self._offset:
            packet.dts = None if packet.dts is None else packet.dts + self._offset
            packet.pts = None if packet.pts is None else packet.pts + self._offset
        if packet.pts is not None:
            self._latest = max(self._latest, packet.pts)
        return packet


def is_packed(path: Path, stream_index: int) -> bool:
    """Whether an MPEG-4 video has packed B-frames (XviD, DivX in AVI): packets of two pictures, and empty ones."""
    with opened(path) as container:
        stream = container.streams[stream_index]
        for number, packet in enumerate(container.demux(stream)):
            if bytes(packet).count(VOP_START) > 1:
                return True
            if number >= N_LOOKED_AT:
                break
    return False


def demuxed(
    container: InputContainer, stream: VideoStream, *, is_packed: bool = False, clock: Clock | None = None
) -> Iterator[Packet]:
    """The stream's packets from where the container stands, an empty one last, which ends decoding.

    Packed B-frames come one a packet; with a `clock`, stamps are those that it sets.
    """
    packets = _unpacked(container, stream) if is_packed else container.demux(stream)
    for packet in packets:
        yield packet if clock is None or not packet.size else clock.set(packet)


def _unpacked(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of packed B-frames, each with one picture, an empty one last.

    Their times of showing follow from their kinds, since FFmpeg reckons them before they are unpacked: a B-frame is
    shown when it is decoded, any other when the next such is.
    """
    unpack = BitStreamFilterContext("mpeg4_unpack_bframes", stream)
    waiting: list[Packet] = []  # a picture that others are predicted from, and the B-frames after it
    step = 1
    for packet in container.demux(stream):
        is_end = not packet.size  # asked before it is handed over, which empties it
        for one in unpack.filter(None if is_end else packet):
            one.stream = stream
            if _is_b_frame(one):
                one.pts = one.dts
            elif waiting:
                first, last = waiting[0], waiting[-1]
                if one.dts is not None and last.dts is not None and one.dts > last.dts:
                    step = one.dts - last.dts
                first.pts = one.dts
                yield from waiting
                waiting = []
            waiting.append(one)
        if is_end:
            if waiting and waiting[-1].dts is not None:
                waiting[0].pts = waiting[-1].dts + step
            yield from waiting
            yield packet


def _is_b_frame(packet: Packet) -> bool:
    content = bytes(packet)
    at = content.find(VOP_START) + len(VOP_START)
    return len(content) > at >= len(VOP_START) and content[at] >> 6 == B_FRAME
