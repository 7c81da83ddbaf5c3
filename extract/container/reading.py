"""How a video file is opened: which of its streams is the video, and its packets as a decoder wants them."""

from collections.abc import Iterator
from pathlib import Path

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.stream import VideoStream

ATTACHED_PICTURE = 0x400  # FFmpeg's AV_DISPOSITION_ATTACHED_PIC: a cover, not a video
DEFAULT = 1  # AV_DISPOSITION_DEFAULT
VOP_START = b"\x00\x00\x01\xb6"  # begins a picture in MPEG-4 part 2
I_FRAME, B_FRAME = 0, 2  # by the two bits after it
EMPTY_BYTES = 19  # at most, of a picture that is not coded, which keeps the place of one that came before
N_LOOKED_AT = 300  # packets; where pictures are packed, every group of them shows it
BACK_S = 0.1  # a time of decoding that goes back by more begins another recording
AHEAD_S = 3600.0  # and one that jumps ahead by more, in containers whose clock just runs on
RUNNING_CLOCKS = ("mpegts", "mpeg")


def opened(path: Path, **options: str) -> InputContainer:
    """The file, open; by its absolute path, since FFmpeg takes the letters before a colon for a protocol."""
    return av.open(str(path.absolute()), options=options)


def video_streams(container: InputContainer) -> list[VideoStream]:
    """The video streams that are no cover pictures, the one that players show first: the default, else the largest."""
    streams = [stream for stream in container.streams.video if not stream.disposition.value & ATTACHED_PICTURE]
    return sorted(streams, key=lambda stream: (-(stream.disposition.value & DEFAULT), -_area(stream), stream.index))


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


def packs_frames(path: Path, stream_index: int) -> bool:
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

    Packed B-frames come one a packet; with a `clock`, stamps are those that it sets. An empty packet before the end
    says that the picture before it stays (Theora in Ogg). A decoder would take it for the end, so it is left out.
    """
    packets = _unpacked(container, stream) if is_packed else container.demux(stream)
    for packet in packets:
        if not packet.size and packet.dts is not None:
            continue
        yield packet if clock is None or not packet.size else clock.set(packet)


def _unpacked(container: InputContainer, stream: VideoStream) -> Iterator[Packet]:
    """The packets of packed B-frames, each with one picture, an empty one last.

    Their times of showing follow from their kinds, since FFmpeg reckons them before they are unpacked: a B-frame is
    shown when it is decoded, any other picture when the next such is.
    """
    waiting: list[Packet] = []  # a picture that others are predicted from, and the B-frames after it
    step = 1
    for packet in _single_pictures(container.demux(stream), stream):
        if not packet.size:
            if waiting and waiting[-1].dts is not None:
                waiting[0].pts = waiting[-1].dts + step
            yield from waiting
            yield packet
            return
        if _kind_of(bytes(packet)) == B_FRAME:
            packet.pts = packet.dts
        elif waiting:
            last = waiting[-1]
            if packet.dts is not None and last.dts is not None and packet.dts > last.dts:
                step = packet.dts - last.dts
            waiting[0].pts = packet.dts
            yield from waiting
            waiting = []
        waiting.append(packet)


def _single_pictures(packets: Iterator[Packet], stream: VideoStream) -> Iterator[Packet]:
    """Packets of one picture each, made of those of packed B-frames, an empty one last.

    The second picture of a packet takes the place of the next packet, and so on, until one that holds no picture.
    """
    held: list[bytes] = []
    times = (0, 0)  # of the last two packets, in the order of decoding
    for packet in packets:
        if not packet.size:
            for number, content in enumerate(held, start=1):
                yield _picture(content, times[1] + number * (times[1] - times[0]), packet, stream)
            yield packet
            return
        content = bytes(packet)
        second = content.find(VOP_START, content.find(VOP_START) + len(VOP_START))
        is_place = bool(held) and len(content) <= EMPTY_BYTES and _kind_of(content) != B_FRAME
        held += [] if is_place else [content] if second < 0 else [content[:second], content[second:]]
        times = times if packet.dts is None else (times[1], packet.dts)
        yield _picture(held.pop(0), packet.dts, packet, stream)


def _picture(content: bytes, dts: int | None, of: Packet, stream: VideoStream) -> Packet:
    one = Packet(len(content))  # with the zeros after it that decoders read on into
    one.update(content)
    one.stream = stream
    one.dts, one.time_base = dts, of.time_base
    one.is_keyframe = _kind_of(content) == I_FRAME
    return one


def _kind_of(content: bytes) -> int:
    """The kind of the first picture: I_FRAME, 1 for P, B_FRAME, 3 for S; -1 where there is none."""
    at = content.find(VOP_START) + len(VOP_START)
    return content[at] >> 6 if len(content) > at >= len(VOP_START) else -1
