"""What a video holds, and how its frames are read.

The packets that PyAV demuxes, and their time stamps, say how many frames there are and when each is shown; a
container's own count can lie, and decoders are held to this one. The decoders themselves have modules of their own.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from ...cache.disk import file_digest
from ...cache.errors import BallspotError
from ...cache.times import TimeAxis, axis_of_stamps, nearest_common, usual_rate
from ..container import (
    RUNNING_CLOCKS,
    Clock,
    Stamps,
    demuxed,
    is_gradual,
    length_bytes_of,
    opened,
    packs_frames,
    swaps_sides,
    turn_of,
    video_streams,
    what_else,
)

Beat = Callable[[], None]
IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg"})
REORDERED = frozenset({"h264", "hevc"})  # AVI tells times of decoding alone; those of showing FFmpeg guesses wrongly
REPAIR = "copy or download the video again, or repair it with `ffmpeg -i IN OUT`"


class DecodingError(BallspotError):
    """A decoder is not there, does not suit a video, or cannot give one of its frames."""


@dataclass(frozen=True)
class VideoProbe:
    """What the packets of a video say, without decoding a picture.

    `pts` int64 (n_frames,) are the frames' time stamps in order of showing, in units of `time_base` seconds, or None
    when the container has none. `key_index` int64 are the frame indices from which decoding can begin.
    `n_container_frames` is the container's claim (0: none), `n_hidden` the packets that an edit list hides. With
    `has_leading`, frames that are shown before a key frame are decoded after it (open groups of pictures); with
    `has_refresh`, the container calls frames key frames from which the picture only comes about little by little: they
    are not in `key_index`. `container` is FFmpeg's name of the format.

    Of `n_streams` videos in the file, that of `stream_index` is meant. Its first frame is shown `start_us` microseconds
    after the file's start, as players count it; `n_undecodable` frames before it cannot be decoded, since the file
    begins between key frames. `turn` is what players do to its pictures (see `orientation`); width and height are those
    after it. With `is_packed` its packets are those of packed B-frames, with `n_resets` its clock begins anew so often.
    `n_incomplete` packets lack something, as the container tells, and with `cut_stamp` the last one is cut off: its
    picture, of that stamp, is left out. `order_stamps` int64 (n_frames,) stand in for `pts` where the container tells
    times of decoding alone: frames are shown one after another at these.

    Where frames were chosen by time (`at_rate`), `whole` is the probe of the file as it is and `chosen` int64
    (n_frames,) the frame of it that stands for each.
    """

    path: Path
    width: int
    height: int
    fps: Fraction
    n_frames: int
    n_container_frames: int
    n_hidden: int
    n_bytes: int
    codec: str
    time_base: Fraction
    pts: np.ndarray | None
    key_index: np.ndarray
    has_leading: bool = False
    has_refresh: bool = False
    container: str = ""
    stream_index: int = 0
    n_streams: int = 1
    start_us: int = 0
    n_undecodable: int = 0
    turn: str = ""
    is_packed: bool = False
    n_resets: int = 0
    n_incomplete: int = 0
    cut_stamp: int | None = None
    order_stamps: np.ndarray | None = None
    whole: "VideoProbe | None" = None
    chosen: np.ndarray | None = None

    @cached_property
    def axis(self) -> TimeAxis:
        """When each frame is shown."""
        stamps = self.order_stamps if self.pts is None else self.pts
        if stamps is None:
            return TimeAxis(self.fps, self.n_frames)
        return axis_of_stamps(stamps, self.time_base, fps=self.fps, start_us=self.start_us)

    @property
    def duration_s(self) -> float:
        """When the last frame ends, seconds from the file's start."""
        return self.axis.end_us / 1_000_000 if not self.axis.is_regular else float(self.n_frames / self.fps)

    @property
    def irregularity(self) -> float:
        """How far, in frames, any time stamp lies from a constant frame rate; above 0.5 the rate is variable."""
        if self.pts is None:
            return 0.0
        frames = (self.pts - self.pts[0]) * float(self.time_base * self.fps)
        return float(np.abs(frames - np.arange(self.n_frames)).max())

    def frame_times_us(self, frame_index: np.ndarray) -> np.ndarray:
        """When the given frames are shown, microseconds from the file's start, int64, from their time stamps."""
        return self.axis.frame_times_us(frame_index)

    def notes(self) -> tuple[str, ...]:
        """What is not as in a plain video, each in a few words, which extraction follows and a user should know."""
        if self.whole is not None:
            rates = f"{float(self.fps):.5g} frames a second are read, by time, of its {float(self.whole.fps):.5g}"
            return (*self.whole.notes(), rates)
        found = list(self.axis.oddities())
        if self.n_undecodable:
            found.append(
                "begins between key frames: frames count from the first that can be decoded, "
                f"{self.n_undecodable} come before it"
            )
        if self.n_streams > 1:
            found.append(f"has {self.n_streams} video streams, of which number {self.stream_index} is read")
        if self.turn:
            found.append(f"pictures are {self.turn}, as players show them")
        if self.is_packed:
            found.append("packed B-frames (XviD, DivX), which are unpacked")
        if self.n_resets:
            found.append(f"its clock begins anew {self.n_resets} times: the recordings follow one another")
        if self.order_stamps is not None:
            found.append("does not say when its pictures are shown (B-frames in AVI?): they are counted in their order")
        if self.cut_stamp is not None:
            found.append("is cut short within its last picture, which is left out")
        elif self.n_incomplete:
            found.append(
                f"the container says that {self.n_incomplete} packets lack something (a disturbed reception, or joined "
                "recordings): pictures there may be damaged"
            )
        return tuple(found)

    @property
    def longest_gop(self) -> int:
        """The largest number of frames from one key frame to the next."""
        return int(np.diff(self.key_index, append=self.n_frames).max())


class VideoSource(Protocol):
    """One decoder with one video open; a context manager, which has nothing to close unless a decoder says so.

    `name` and `version` go into the store. `frames(start, stop, step)` gives every `step`-th frame of that index range,
    in order, each as uint8 (height, width, 3) RGB; it gives exactly these or raises DecodingError. It may be called
    again, for any range, but not while an earlier call is still being read. `substituted` has the indices of the given
    frames that show another frame in place of one that is damaged: none unless the source was asked to do so.
    """

    name: str
    version: str
    substituted: set[int]

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        return None


def probe_video(path: Path, *, image_fps: Fraction | None = None) -> VideoProbe:
    """Reads every packet of the video stream, and decodes one picture: about 100,000 frames a second.

    Of several streams it is the one that players show first. A folder is taken for numbered JPG files, shown at
    `image_fps`. Raises BallspotError when the file is missing, empty, or not a video.
    """
    if path.is_dir():
        return probe_images(path, fps=image_fps)
    if not path.is_file():
        raise BallspotError(f"{path}: no such video file; put it there or remove the match")
    n_bytes = path.stat().st_size
    if n_bytes == 0:
        raise BallspotError(f"{path}: an empty file (0 bytes), not a video; copy or download it again")
    try:
        with opened(path) as container:
            streams = video_streams(container)
            if not streams:
                raise BallspotError(f"{path}: has no video stream; give a video of the match")
            index, n_streams = streams[0].index, len(streams)
            is_packed = codec_of(streams[0], path) == "mpeg4" and packs_frames(path, index)
            probe = _read_packets(path, n_bytes, container, streams[0], is_packed=is_packed)
        probe = replace(probe, stream_index=index, n_streams=n_streams)
        probe = _from_first_picture(probe)
        n_packets = probe.n_frames + probe.n_undecodable + (probe.cut_stamp is not None)
        if probe.n_container_frames in (0, n_packets):
            return probe
        # An edit list hides packets even from the demuxer; without it all that the file holds come.
        with opened(path, ignore_editlist="1") as container:
            n_in_file = sum(packet.size > 0 for packet in container.demux(container.streams[index]))
        return replace(probe, n_hidden=max(n_in_file - n_packets, 0))
    except (FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BallspotError(f"{path}: {what_else(path, reason)}") from error


def probe_images(folder: Path, *, fps: Fraction | None) -> VideoProbe:
    """The probe of a folder of JPG files whose names end in their frame's number, counted from any start.

    Their size is that of the first one that says it. Raises BallspotError where none does, for a folder without JPG
    files, a number that is missing or there twice, and without `fps`: pictures do not say how fast they are shown.
    """
    files = image_files(folder)
    if not files:
        raise BallspotError(f"{folder}: a folder without JPG files; give a video or a folder of numbered .jpg files")
    numbers = [number for number, _ in files]
    for number, expected in zip(numbers, range(numbers[0], numbers[0] + len(numbers)), strict=True):
        if number != expected:
            raise BallspotError(f"{folder}: no picture of number {expected}, or two of {number}; number them in a row")
    if fps is None:
        raise BallspotError(f"{folder}: pictures have no frame rate; give --image-fps, e.g. --image-fps 25")
    height, width = next(filter(all, (_picture_size(path) for _, path in files)), (0, 0))
    if not height:
        raise BallspotError(f"{files[0][1]}: cannot be read as a picture, nor can the others; write them again")
    return VideoProbe(
        path=folder,
        width=width,
        height=height,
        fps=fps,
        n_frames=len(files),
        n_container_frames=len(files),
        n_hidden=0,
        n_bytes=video_bytes(folder),
        codec="jpg",
        time_base=1 / fps,
        pts=None,
        key_index=np.arange(len(files), dtype=np.int64),
    )


def _picture_size(path: Path) -> tuple[int, int]:
    """Height and width of a picture; zeros, which FFmpeg says of some files too, where it is none."""
    try:
        with opened(path) as container:
            context = container.streams.video[0].codec_context
            return context.height, context.width
    except (FFmpegError, OSError, IndexError):
        return 0, 0


def image_files(folder: Path) -> list[tuple[int, Path]]:
    """The JPG files of a folder with the number at the end of their name, sorted by it; others are left out."""
    found = []
    for path in folder.iterdir():
        digits = re.search(r"(\d+)$", path.stem)
        if path.suffix.lower() in IMAGE_SUFFIXES and digits:
            found.append((int(digits[1]), path))
    return sorted(found)


def video_bytes(path: Path) -> int:
    """The size of a video file, or of all pictures in a folder."""
    return sum(file.stat().st_size for _, file in image_files(path)) if path.is_dir() else path.stat().st_size


def video_digest(path: Path) -> str:
    """The sha256 of a video file, or of the names and digests of all pictures in a folder."""
    if not path.is_dir():
        return file_digest(path)
    lines = (f"{file.name} {file_digest(file)}\n" for _, file in image_files(path))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def cut_at_keys(probe: VideoProbe, start: int, stop: int, *, n_frames: int) -> Iterator[tuple[int, int]]:
    """Index ranges that cover `start` to `stop`, each beginning at a key frame (the first: at or before `start`).

    A range is as long as whole groups of pictures fit into `n_frames`, but at least one group.
    """
    keys = probe.key_index[probe.key_index < stop]
    first = max(int(np.searchsorted(keys, start, side="right")) - 1, 0)
    bounds = [*(int(key) for key in keys[first:]), stop]
    begin = bounds[0]
    for at, after in zip(bounds[1:], [*bounds[2:], stop + n_frames + 1], strict=True):
        if after - begin > n_frames:
            yield begin, at
            begin = at


def codec_of(stream: VideoStream | AudioStream, path: Path) -> str:
    """FFmpeg's name of a stream's codec. Raises BallspotError for one that FFmpeg does not know."""
    context: Any = stream.codec_context  # None then, whatever PyAV's types say
    if context is None:
        raise BallspotError(
            f"{path}: its {stream.type} is of a codec that is not known here; copy it again, or convert it with "
            "`ffmpeg -i IN OUT`"
        )
    return context.name


def _read_packets(
    path: Path, n_bytes: int, container: InputContainer, stream: VideoStream, *, is_packed: bool
) -> VideoProbe:
    codec = codec_of(stream, path)
    clock = Clock(stream, container.format.name)
    stamps = _stamps_of(container, stream, codec, clock, is_packed=is_packed)
    if not stamps.shown:
        raise BallspotError(f"{path}: a video without a frame; copy or download it again")
    if container.format.name not in RUNNING_CLOCKS:  # those flag a whole packet, too, where a recording begins anew
        stamps.leave_out_cut()
    time_base = stream.time_base or Fraction(1, 1000)
    n_frames, n_container_frames = len(stamps.shown), stream.frames
    if container.format.name == "avi" and stamps.last_decoded + 1 >= n_container_frames > n_frames:
        n_container_frames = n_frames  # the others are empty: the frame before each is shown on
    is_guessed = container.format.name == "avi" and codec in REORDERED
    in_order = None if is_guessed and stream.codec_context.has_b_frames else stamps.in_order()
    order_stamps = None if in_order is not None else stamps.in_decoding_order()
    pts, key_index, has_leading = in_order or (None, np.flatnonzero(stamps.is_key), False)
    timed = order_stamps if pts is None else pts
    if timed is not None and n_frames > 1 and timed[0] == timed[-1]:
        raise BallspotError(f"{path}: all of its frames have one time stamp; write it again: `ffmpeg -r 25 -i IN OUT`")
    # An edit list can hide the key frame that the first shown frames need: decoding begins at the file's start then.
    key_index = np.union1d(np.array([0]), key_index).astype(np.int64)
    return VideoProbe(
        path=path,
        width=stream.codec_context.width,
        height=stream.codec_context.height,
        fps=_frame_rate(path, stream, timed, time_base),
        n_frames=n_frames,
        n_container_frames=n_container_frames,
        n_hidden=0,
        n_bytes=n_bytes,
        codec=codec,
        time_base=time_base,
        pts=pts,
        key_index=key_index,
        has_leading=has_leading,
        has_refresh=stamps.has_refresh,
        container=container.format.name,
        start_us=_start_us(
            container, stamps.decoded[0] if is_guessed else None if pts is None else int(pts[0]), time_base
        ),
        is_packed=is_packed,
        n_resets=clock.n_resets,
        n_incomplete=stamps.n_incomplete,
        cut_stamp=stamps.cut_stamp,
        order_stamps=order_stamps,
    )


def _stamps_of(container: InputContainer, stream: VideoStream, codec: str, clock: Clock, *, is_packed: bool) -> Stamps:
    """The stamps of all packets with a picture that is shown."""
    stamps = Stamps()
    length_bytes = length_bytes_of(stream.codec_context.extradata)
    for packet in demuxed(container, stream, is_packed=is_packed, clock=clock):
        stamps.last_decoded = stamps.last_decoded if packet.dts is None else packet.dts
        if packet.size and not packet.is_discard:
            is_h264_key = codec == "h264" and packet.is_keyframe
            begins_gradually = is_h264_key and is_gradual(bytes(packet), length_bytes=length_bytes)
            stamps.has_refresh = stamps.has_refresh or begins_gradually
            stamps.add(packet, is_key=packet.is_keyframe and not begins_gradually)
    return stamps


def _start_us(container: InputContainer, first: int | None, time_base: Fraction) -> int:
    """How long after the file's start the first frame is shown; players count from the first stamp of any stream."""
    if container.start_time is None or first is None:
        return 0
    start_us = round(first * time_base * 1_000_000) - int(container.start_time)
    return 0 if abs(start_us) <= 1 else start_us


def _from_first_picture(probe: VideoProbe) -> VideoProbe:
    """The probe of what can be decoded, turned as its first picture says it is shown.

    A recording can begin between key frames, or with frames that need the group before: they are left out.
    """
    frame = _first_picture(probe)
    if frame is None:
        raise BallspotError(
            f"{probe.path}: none of its {probe.n_frames} pictures can be decoded ({probe.codec}); {REPAIR}"
        )
    turn = turn_of(frame)
    sides = (frame.height, frame.width) if swaps_sides(turn) else (frame.width, frame.height)
    probe = replace(probe, turn=turn, width=sides[0], height=sides[1])
    if probe.order_stamps is not None and frame.dts is not None:
        late = _late(probe.order_stamps, frame.dts, 1 / (probe.fps * probe.time_base))
        late_us = round(int(late[0] - probe.order_stamps[0]) * probe.time_base * 1_000_000)
        probe = replace(probe, order_stamps=late, start_us=probe.start_us + late_us)
    if probe.pts is None or frame.pts is None:
        return probe
    first_key = int(probe.pts[probe.key_index[1]]) if len(probe.key_index) > 1 else None
    begins_late = frame.pts > probe.pts[0] and not _begins_with_key(probe)
    if not begins_late:
        return probe
    first = int(np.searchsorted(probe.pts, frame.pts if first_key is None else min(frame.pts, first_key)))
    pts = probe.pts[first:]
    shift_us = round(int(pts[0] - probe.pts[0]) * probe.time_base * 1_000_000)
    key_index = np.union1d(np.array([0]), probe.key_index[probe.key_index >= first] - first).astype(np.int64)
    return replace(
        probe,
        pts=pts,
        n_frames=len(pts),
        n_undecodable=first,
        key_index=key_index,
        start_us=probe.start_us + shift_us,
        fps=probe.fps if len(pts) < 2 else usual_rate(pts, probe.time_base),
    )


def _late(stamps: np.ndarray, first: int, step: Fraction) -> np.ndarray:
    """Times of decoding as those of showing: of each picture when the packet is read after which a decoder gives it.

    That is what FFmpeg shows. ``first`` is that time of the first picture, ``step`` the usual one.
    """
    n_late = int(np.searchsorted(stamps, first))
    more = stamps[-1] + np.rint(np.arange(1, n_late + 1) * float(step)).astype(np.int64)
    return np.concatenate([stamps[n_late:], more])


def _begins_with_key(probe: VideoProbe) -> bool:
    """Whether the first packet of the file, hidden or not, is that of a key frame, and no frame is shown before it."""
    with opened(probe.path) as container:
        stream = container.streams[probe.stream_index]
        first = next((packet for packet in container.demux(stream) if packet.size), None)
    if first is None or not first.is_keyframe:
        return False
    return first.pts is None or probe.pts is None or first.pts <= probe.pts[0]


def _first_picture(probe: VideoProbe) -> VideoFrame | None:
    """The first frame that a decoder gives whole, None where there is none."""
    try:
        with opened(probe.path) as container:
            stream = container.streams[probe.stream_index]
            if not isinstance(stream, VideoStream):
                return None
            stream.codec_context.thread_count = 1
            for packet in demuxed(container, stream, is_packed=probe.is_packed):
                try:
                    frames = packet.decode()
                except FFmpegError:
                    continue
                for frame in frames:
                    if isinstance(frame, VideoFrame) and not frame.is_corrupt:
                        return frame
    except (FFmpegError, OSError):
        pass  # what is wrong is told where pictures are wanted
    return None


def _frame_rate(path: Path, stream: VideoStream, pts: np.ndarray | None, time_base: Fraction) -> Fraction:
    """One over the usual step between stamps; where there are none, what the container says."""
    if pts is not None and len(pts) > 1:
        return usual_rate(pts, time_base)
    rate = stream.average_rate or stream.guessed_rate or Fraction(0)
    if rate <= 0:
        raise BallspotError(f"{path}: has no frame rate; convert it with `ffmpeg -i IN -r 25 OUT`")
    return nearest_common(rate)


def first_line(error: Exception) -> str:
    """The error's first line without the places in decord's own source that it begins with."""
    lines = [re.sub(r"^.*\.(cc|h):\d+: ", "", line).strip() for line in str(error).splitlines()]
    return next((line[:120] for line in lines if line), type(error).__name__)
