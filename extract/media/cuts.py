"""Short videos cut out of long ones: copied from a key frame on, or encoded anew from exactly the frame wanted."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import PictureType

from ...cache.disk import whole_file
from ...cache.errors import BallspotError
from ..container import FramePlaces, FrameTurner, opened, swaps_sides
from ..video import INEXACT, REPAIR, DecodingError, PyavSource, VideoProbe, codec_of, packets_from

ENCODER: dict[str, str] = {"preset": "veryfast", "crf": "18"}


@dataclass(frozen=True)
class Cut:
    """Frame indices of one cut: the spot's, the wanted start, and the run from ``start`` to before ``stop``.

    A copy begins at a key frame, so ``start`` can be ahead of ``wanted``; and it can end some frames behind ``stop``,
    for what is shown in order is not stored in order.
    """

    spot: int
    wanted: int
    start: int
    stop: int


def plan_cut(probe: VideoProbe, spot: int, *, before_s: float, after_s: float, how: str) -> Cut:
    """The frames around frame ``spot``, which is one of the video's: seconds to the nearest frame, within the video.

    Where the frames are not shown at a constant rate, the seconds are counted by the time stamps: from the frame that
    is shown then.
    """
    if not probe.axis.is_regular:
        bounds_us = probe.axis.frame_times_us(np.array([spot])) + np.array([-1_000_000 * before_s, 1_000_000 * after_s])
        wanted, last = probe.axis.last_shown(bounds_us).tolist()
    else:
        wanted, last = (spot + round(seconds * float(probe.fps)) for seconds in (-before_s, after_s))
    wanted, last = max(wanted, 0), min(last, probe.n_frames - 1)
    start = wanted
    if how == "keyframe":
        start = int(probe.key_index[np.searchsorted(probe.key_index, wanted, side="right") - 1])
    return Cut(spot, wanted, start, last + 1)


def container_of(probe: VideoProbe, how: str) -> str:
    """The container of a cut by FFmpeg's name: mp4, or matroska where mp4 cannot hold the codec that is copied."""
    return "mp4" if how == "exact" or _holds("mp4", probe.codec) else "matroska"


def audio_note(probe: VideoProbe, how: str) -> str | None:
    """Why a video's sound cannot be copied into its cuts; None where it can, or there is none."""
    with opened(probe.path) as container:
        if not container.streams.audio:
            return None
        try:
            codec, kind = codec_of(container.streams.audio[0], probe.path), container_of(probe, how)
        except BallspotError:
            return "its sound is of a codec that is not known here and is left out"
    if probe.pts is None:
        return "a video without time stamps: its sound is left out"
    if probe.n_resets:
        return "its clock begins anew within the file: its sound is left out"
    return None if _holds(kind, codec) else f"{codec} sound cannot be copied into {kind} and is left out"


def write_cut(probe: VideoProbe, cut: Cut, path: Path, *, how: str, with_audio: bool) -> None:
    """Writes the cut as a video file, whole or not at all, with the sound of its time as it is where it is asked for.

    Raises DecodingError for a frame that cannot be had, BallspotError where the packets cannot be copied.
    """
    if how == "keyframe" and probe.pts is None:
        raise BallspotError(f"{probe.path}: has no time stamps, so it cannot be cut by copying; give --cut exact")
    try:
        with whole_file(path) as temporary, ExitStack() as stack:
            options = {"use_editlist": "1"} if container_of(probe, how) == "mp4" else {}
            new = stack.enter_context(
                av.open(str(temporary), "w", format=container_of(probe, how), container_options=options)
            )
            packets = _copied(probe, cut, new) if how == "keyframe" else _encoded(probe, cut, new)
            first = next(packets, None)  # by now there is a video stream, which comes before the sound's
            sound = _copied_audio(probe, cut, new, stack) if with_audio else []
            for packet in [*sound, *([] if first is None else [first])]:
                new.mux(packet)
            for packet in packets:
                new.mux(packet)
    except (FFmpegError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        other = " or give --cut exact" if how == "keyframe" else ""
        raise DecodingError(f"{probe.path}: frames {cut.start} to {cut.stop}: {reason}; {REPAIR}{other}") from error


def _copied(probe: VideoProbe, cut: Cut, new: OutputContainer) -> Iterator[Packet]:
    """The packets from the key frame on, moved to time 0, up to where no gap is left among the frames shown.

    Frames that are shown before the key frame though stored after it are left out. Where an edit list hides the key
    frame that the video's first frames need, it goes along, before time 0, and stays hidden.
    """
    stamps: Any = probe.pts
    origin = int(stamps[cut.start])
    stream: Any = None
    waiting: list[Packet] = []
    places = FramePlaces(stamps)
    shown: set[int] = set()
    last = -1
    earlier: int | None = None
    has_hidden = False
    for packet in packets_from(probe, cut.start):
        if not packet.size or packet.pts is None:
            continue
        if stream is None:
            if packet.is_keyframe and packet.pts <= origin:
                waiting = []
            waiting.append(packet)
            if packet.pts != origin:
                continue
            stream = new.add_stream_from_template(packet.stream)
            has_hidden = not packet.is_keyframe
            ready = waiting if has_hidden else [packet]
        elif packet.pts < origin and not has_hidden:
            continue
        else:
            ready = [packet]
        for one in ready:
            place = places.of(one.pts)
            if place is not None and place >= cut.start:
                shown.add(place)
                last = max(last, place)
            moved = _moved(one, origin, stream)
            if moved.dts is not None and earlier is not None and moved.dts <= earlier:  # two with one stamp
                moved.dts = earlier + 1
                moved.pts = max(moved.pts or 0, moved.dts)
            earlier = moved.dts
            yield moved
        if last >= cut.stop - 1 and len(shown) == last - cut.start + 1:
            return
    if len(shown) != last - cut.start + 1 or last < cut.stop - 1:
        raise DecodingError(f"{probe.path}: packets of frames {cut.start} to {cut.stop} are missing; {REPAIR}")


def _moved(packet: Packet, origin: int, stream: Any) -> Packet:
    packet.pts = None if packet.pts is None else packet.pts - origin
    packet.dts = None if packet.dts is None else packet.dts - origin
    packet.stream = stream
    return packet


def _encoded(probe: VideoProbe, cut: Cut, new: OutputContainer) -> Iterator[Packet]:
    """The frames encoded anew as H.264, each with its own time stamp, moved to time 0; pixels keep their shape."""
    with opened(probe.path) as container:
        source: Any = container.streams[probe.stream_index]
        aspect = source.sample_aspect_ratio
    stream: Any = None
    turner = FrameTurner(probe.turn)
    for index, stored in exact_frames(probe, cut.start, cut.stop):
        if probe.pts is not None and index + 1 < cut.stop and probe.pts[index + 1] == probe.pts[index]:
            continue  # the next one is shown in its place, and encoders want times that grow
        frame = turner(stored)
        if stream is None:
            stream = new.add_stream("libx264", rate=probe.fps, options=ENCODER)
            stream.width, stream.height = probe.width, probe.height
            stream.pix_fmt = "yuv444p" if probe.width % 2 or probe.height % 2 else "yuv420p"
            stream.codec_context.time_base = 1 / probe.fps if probe.pts is None else probe.time_base
            stream.codec_context.thread_count = 1
            if aspect:
                stream.codec_context.sample_aspect_ratio = 1 / aspect if swaps_sides(probe.turn) else aspect
            for name in ("color_range", "colorspace", "color_primaries", "color_trc"):
                if hasattr(frame, name):  # the last two since PyAV 16
                    setattr(stream.codec_context, name, getattr(frame, name))
        picture = frame.reformat(probe.width, probe.height, format=stream.pix_fmt)
        picture.pts = index - cut.start if probe.pts is None else int(probe.pts[index] - probe.pts[cut.start])
        picture.time_base = stream.codec_context.time_base
        picture.pict_type = PictureType.NONE  # else the encoder would repeat the source's kinds of frames
        yield from stream.encode(picture)
    yield from stream.encode(None)


def exact_frames(probe: VideoProbe, start: int, stop: int) -> Iterator[tuple[int, av.VideoFrame]]:
    """Index and frame, as it is decoded, of every frame from ``start`` to before ``stop``.

    Raises DecodingError for one that is damaged or missing, or when an earlier one is that it may hang on.
    """
    expected = int(probe.key_index[np.searchsorted(probe.key_index, start, side="right") - 1])
    try:
        for index, frame in PyavSource(probe).decoded(start):
            if index is None or index < expected:
                continue
            if index != expected or frame.is_corrupt:
                raise DecodingError(f"{probe.path}: frame {expected} is damaged or missing; {REPAIR}")
            expected += 1
            if index >= start:
                yield index, frame
            if expected == stop:
                return
    except (FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise DecodingError(f"{probe.path}: frame {expected} cannot be decoded ({reason}); {REPAIR}") from error
    raise DecodingError(f"{probe.path}: decoding ended at frame {expected} of {stop}; {REPAIR}")


def _copied_audio(probe: VideoProbe, cut: Cut, new: OutputContainer, stack: ExitStack) -> list[Packet]:
    """The sound's packets that begin within the cut, moved by as much as the pictures; none where there is no sound."""
    if probe.pts is None:
        return []
    begin = Fraction(int(probe.pts[cut.start])) * probe.time_base
    end = Fraction(int(probe.pts[cut.stop - 1])) * probe.time_base + 1 / probe.fps
    for can_seek in (probe.container not in INEXACT, False):  # again from the file's start where a seek lands too late
        container = stack.enter_context(opened(probe.path))
        if not container.streams.audio:
            return []
        audio = container.streams.audio[0]
        time_base = audio.time_base or Fraction(1, 1000)
        if can_seek:
            container.seek(int(begin / time_base), stream=audio, backward=True)
        found, is_late = _packets_between(container, audio, begin, end)
        if not (can_seek and is_late):
            break
    if not found:
        return []
    stream = new.add_stream_from_template(audio)
    return [_moved(packet, round(begin / time_base), stream) for packet in found]


def _packets_between(
    container: InputContainer, audio: AudioStream, begin: Fraction, end: Fraction
) -> tuple[list[Packet], bool]:
    """The packets of a stream that begin from ``begin`` to before ``end``, and whether even the first one is later."""
    found: list[Packet] = []
    is_late = None
    for packet in container.demux(audio):
        if packet.pts is None or packet.time_base is None or not packet.size:
            continue
        at = packet.pts * packet.time_base
        is_late = at > begin if is_late is None else is_late
        if at >= end:
            break
        if at >= begin:
            found.append(packet)
    return found, bool(is_late)


def _holds(container: str, codec: str) -> bool:
    return codec in av.open(BytesIO(), "w", format=container).supported_codecs
