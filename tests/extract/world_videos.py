"""Videos as people have them, of many codecs, containers and clocks; each picture shows its own number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from ballspot.extract.container.orientation import turned
from ballspot.extract.data_root.synth import draw_number

SIZE = (64, 96)
N = 60
VOP = b"\x00\x00\x01\xb6"
OPPOSITE = {
    "turned 90 degrees clockwise": "turned 90 degrees counterclockwise",
    "turned 90 degrees counterclockwise": "turned 90 degrees clockwise",
}


@dataclass(frozen=True)
class How:
    """How a video is written: codec, ticks of each frame in units of `time_base`, sound from a time on, and so on."""

    codec: str = "libx264"
    time_base: Fraction = Fraction(1, 25)
    ticks: Sequence[int] = tuple(range(N))
    bf: int = 0
    gop: int = 12
    pixels: str = "yuv420p"
    sound_from_s: float | None = None
    rotation: int = 0  # degrees counterclockwise, as a container says it
    is_mirrored: bool = False
    turn: str = ""  # what players do then
    size: tuple[int, int] = SIZE  # height and width
    first: int = 0  # the number of the first picture
    covers: int = 0  # pictures of another number, in a stream ahead, without the default flag
    options: dict[str, str] = field(default_factory=dict)
    container: dict[str, str] = field(default_factory=dict)


def write(path: Path, how: How) -> Path:
    """Writes the video; its first frame shows the number 0."""
    with av.open(str(path), "w", options=how.container) as container:
        other = _stream(container, How(gop=1)) if how.covers else None
        stream = _stream(container, how)
        if other is not None:
            other.disposition, stream.disposition = 0, 1
        sound: Any = None
        if how.sound_from_s is not None:
            codec = {".ts": "mp2", ".mkv": "pcm_s16le"}.get(path.suffix, "aac")
            sound = container.add_stream(codec, rate=48_000, layout="mono")
        packets = [(packet.dts * packet.time_base, packet) for packet in _encoded(stream, how)]
        if other is not None:
            packets += [(packet.dts * packet.time_base, packet) for packet in _encoded(other, How(gop=1, first=900))]
        if sound is not None:
            last_s = float(how.ticks[-1] * how.time_base)
            packets += [(packet.dts * packet.time_base, packet) for packet in _sounds(sound, how.sound_from_s, last_s)]
        for _, packet in sorted(packets, key=lambda pair: pair[0]):
            container.mux(packet)
    return path


def _stream(container: Any, how: How) -> Any:
    stream = container.add_stream(how.codec, rate=25)
    swaps = "90" in how.turn
    stream.height, stream.width = how.size[::-1] if swaps else how.size
    stream.pix_fmt = how.pixels
    stream.codec_context.time_base = stream.time_base = how.time_base
    stream.codec_context.thread_count = 1
    stream.codec_context.gop_size = how.gop
    stream.codec_context.bit_rate = 2_000_000
    if how.codec == "libx264":
        stream.options = {"preset": "ultrafast", "bf": str(how.bf), "sc_threshold": "0", **how.options}
    else:
        stream.codec_context.max_b_frames = how.bf
        stream.options = how.options
    if how.rotation or how.is_mirrored:
        stream.set_display_rotation(how.rotation, hflip=how.is_mirrored)
    return stream


def _encoded(stream: Any, how: How) -> list[Any]:
    packets = []
    for number, tick in enumerate(how.ticks):
        luma = np.full(how.size, 90, np.uint8)
        draw_number(luma, how.first + number)
        picture = turned(np.stack([luma] * 3, axis=2), OPPOSITE.get(how.turn, how.turn))
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=how.pixels)
        frame.pts, frame.time_base = tick, how.time_base
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _sounds(stream: Any, from_s: float, until_s: float) -> list[Any]:
    packets = []
    size = stream.codec_context.frame_size or 1152
    for number in range(int((until_s - from_s) * 48_000 / size) + 1):
        is_float = stream.codec_context.format.name == "fltp"
        silence = np.zeros((1, size), np.float32 if is_float else np.int16)
        frame = av.AudioFrame.from_ndarray(silence, format="fltp" if is_float else "s16", layout="mono")
        frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
        frame.pts = round(from_s * 48_000) + number * size
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def copied(source: Path, out: Path, keep: Callable[[int, Any], bool]) -> Path:
    """The packets of the first stream that are to be kept, by their number and themselves, time stamps as they are."""
    with av.open(str(source)) as old, av.open(str(out), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for number, packet in enumerate(old.demux(stream)):
            if packet.size and keep(number, packet):
                packet.stream = copy
                new.mux(packet)
    return out


def tuned_in(path: Path) -> Path:
    """An MPEG-TS recording that begins seven frames after a key frame."""
    content = write(path.with_name("whole.ts"), How(bf=2, container={"mpegts_flags": "resend_headers"})).read_bytes()
    with av.open(str(path.with_name("whole.ts"))) as container:
        places = [packet.pos for packet in container.demux(video=0) if packet.size]
    head = content[: 3 * 188]  # the tables
    path.write_bytes(head + content[places[7] :])
    return path


def two_recordings(path: Path) -> Path:
    """Two MPEG-TS recordings in one file: the clock of the second begins anew."""
    first = write(path.with_name("first.ts"), How(ticks=range(30), gop=10))
    second = write(path.with_name("second.ts"), How(ticks=range(30), gop=10))
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


def packed(path: Path) -> Path:
    """MPEG-4 in AVI with packed B-frames: the first B-frame lies in the packet of the frame that it needs."""
    source = write(path.with_name("plain.avi"), How(codec="mpeg4", bf=2, options={"b_strategy": "0"}))
    with av.open(str(source)) as old, av.open(str(path), "w") as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        pictures = [(bytes(packet), packet.is_keyframe) for packet in old.demux(stream) if packet.size]
        kinds = [content[content.find(VOP) + 4] >> 6 for content, _ in pictures]
        chunks: list[tuple[bytes, bool]] = []
        at = 0
        while at < len(pictures):
            content, is_key = pictures[at]
            n_b = next((k for k in range(at + 1, len(pictures)) if kinds[k] != 2), len(pictures)) - at - 1
            if not n_b:
                chunks.append((content, is_key))
            else:
                chunks.append((content + pictures[at + 1][0], is_key))
                chunks += [(pictures[at + k][0], False) for k in range(2, n_b + 1)]
                chunks.append((VOP + b"\x50\x01", False))  # a picture that is not coded
            at += 1 + n_b
        first, is_key = chunks[0]
        begins = first.find(VOP)
        chunks[0] = (first[:begins] + b"\x00\x00\x01\xb2DivX503b1393p\x00" + first[begins:], is_key)
        for number, (content, is_key) in enumerate(chunks):
            packet = av.Packet(content)
            packet.pts = packet.dts = number
            packet.time_base, packet.is_keyframe = Fraction(1, 25), is_key
            packet.stream = copy
            new.mux(packet)
    return path


def one_stamp(*numbers: int, n: int = N) -> list[int]:
    """Ticks of frames of which these numbers have the stamp of the frame before them."""
    return [k - sum(k >= number for number in numbers) for k in range(n)]


def two_sizes(path: Path) -> Path:
    """A recording of which the second half is twice as high and wide."""
    first = write(path.with_name("first.ts"), How(ticks=range(30), gop=10))
    second = write(path.with_name("second.ts"), How(ticks=range(40, 70), gop=10, size=(128, 192), first=30))
    path.write_bytes(first.read_bytes() + second.read_bytes())
    return path


def cut_short(path: Path) -> Path:
    """An MP4 whose index comes first, of which the end was not downloaded."""
    content = write(path, How(bf=2, container={"movflags": "faststart"})).read_bytes()
    path.write_bytes(content[: len(content) * 9 // 10])
    return path


def without_index(path: Path) -> Path:
    """An AVI whose index was never written."""
    content = write(path, How(codec="mpeg4")).read_bytes()
    path.write_bytes(content[: content.rfind(b"idx1")])
    return path


def gap(*, at: int = 30, ticks: int = 100, n: int = N) -> list[int]:
    """Ticks of frames after which, at one place, more time passes."""
    return [k + (ticks if k >= at else 0) for k in range(n)]


def variable(n: int = N) -> list[int]:
    """Ticks that go on by 1, 1, 2 and 3."""
    return np.cumsum([0, *([1, 1, 2, 3] * n)])[:n].tolist()


MS = Fraction(1, 1000)
FINE = Fraction(1, 90_000)
KINDS: dict[str, tuple[str, How | Callable[[Path], Path]]] = {
    "25 fps": (".mp4", How()),
    "B-frames": (".mp4", How(bf=2)),
    "B-frames without an edit list": (".mp4", How(bf=2, container={"use_editlist": "0"})),
    "29.97 fps": (".mp4", How(time_base=Fraction(1001, 30_000))),
    "23.976 fps in Matroska": (".mkv", How(time_base=Fraction(1001, 24_000))),
    "59.94 fps in Matroska": (".mkv", How(time_base=Fraction(1001, 60_000), bf=2)),
    "120 fps": (".mp4", How(time_base=Fraction(1, 120))),
    "12.5 fps": (".mp4", How(time_base=Fraction(2, 25))),
    "fragments": (".mp4", How(bf=2, container={"movflags": "frag_keyframe+empty_moov"})),
    "a gap": (".mp4", How(ticks=gap())),
    "a gap in Matroska": (".mkv", How(ticks=gap(), bf=2)),
    "a gap in MPEG-TS": (".ts", How(ticks=gap(), bf=2)),
    "two gaps": (".mp4", How(ticks=[k + 40 * (k >= 20) + 90 * (k >= 41) for k in range(N)])),
    "a trimmed tail": (".mp4", How(ticks=[*range(N - 1), N + 3])),
    "a first frame that stays": (".mp4", How(ticks=[0, *range(10, N + 9)])),
    "variable rate": (".mp4", How(ticks=variable())),
    "variable rate in Matroska": (".mkv", How(ticks=variable(), bf=2)),
    "jitter": (".mp4", How(time_base=FINE, ticks=[3600 * k + (k * 7919) % 900 for k in range(N)])),
    "sound from the start, pictures 0.4 s late": (".mp4", How(ticks=range(10, 10 + N), sound_from_s=0.0)),
    "pictures late in Matroska": (".mkv", How(ticks=range(10, 10 + N), sound_from_s=0.0)),
    "pictures late in MPEG-TS": (".ts", How(ticks=range(10, 10 + N), sound_from_s=0.0, bf=2)),
    "sound that begins late": (".mp4", How(sound_from_s=0.5)),
    "MPEG-TS": (".ts", How(bf=2)),
    "MPEG-TS tuned in to": (".ts", tuned_in),
    "MPEG-2 in MPEG-TS": (".ts", How(codec="mpeg2video", bf=2)),
    "MPEG-2 program stream": (".mpg", How(codec="mpeg2video", bf=2)),
    "MPEG-4 in AVI": (".avi", How(codec="mpeg4")),
    "MPEG-4 with B-frames in AVI": (".avi", How(codec="mpeg4", bf=2)),
    "packed B-frames in AVI": (".avi", packed),
    "Motion JPEG": (".avi", How(codec="mjpeg", pixels="yuvj420p")),
    "VP9": (".webm", How(codec="libvpx-vp9", time_base=MS, ticks=[40 * k for k in range(N)])),
    "ProRes": (".mov", How(codec="prores_ks", pixels="yuv422p10le")),
    "FLV": (".flv", How(codec="flv", time_base=MS, ticks=[40 * k for k in range(N)])),
    "WMV": (".wmv", How(codec="wmv2", time_base=MS, ticks=[40 * k for k in range(N)])),
    "turned by 90 degrees": (".mp4", How(rotation=90, turn="turned 90 degrees counterclockwise")),
    "turned by 180 degrees": (".mp4", How(rotation=180, turn="turned by 180 degrees", bf=2)),
    "turned by 270 degrees": (".mov", How(rotation=-90, turn="turned 90 degrees clockwise")),
    "mirrored": (".mp4", How(is_mirrored=True, turn="mirrored left to right")),
    "another stream ahead of the default": (".mkv", How(covers=1)),
    # Beyond what was reported:
    "HEVC with B-frames": (".mp4", How(codec="libx265", bf=2, options={"x265-params": "log-level=none"})),
    "HEVC in MPEG-TS": (".ts", How(codec="libx265", bf=2, options={"x265-params": "log-level=none"})),
    "VP8": (".webm", How(codec="libvpx", time_base=MS, ticks=[40 * k for k in range(N)])),
    "4:4:4": (".mp4", How(pixels="yuv444p")),
    "ten bits": (".mp4", How(pixels="yuv420p10le", bf=2)),
    "29.97 on a clock of 600": (".mov", How(time_base=Fraction(1, 600), ticks=[round(20.02 * k) for k in range(N)])),
    "a burst of pictures": (".mp4", How(time_base=MS, ticks=[40 * k - 30 * max(min(k - 20, 5), 0) for k in range(N)])),
    "a gap of twenty minutes": (".mkv", How(ticks=gap(ticks=30_000))),
    "fragments with late pictures": (
        ".mp4",
        How(ticks=range(10, 10 + N), sound_from_s=0.0, container={"movflags": "frag_keyframe+empty_moov"}),
    ),
    "turned, in Matroska": (".mkv", How(rotation=90, turn="turned 90 degrees counterclockwise", bf=2)),
    "five pictures a second": (".mp4", How(time_base=Fraction(1, 5))),
    "half a picture a second": (".mp4", How(time_base=Fraction(2, 1))),
    "lossless FFV1": (".mkv", How(codec="ffv1")),
    "H.264 in AVI": (".avi", How()),
    "H.264 with B-frames in AVI": (".avi", How(bf=2)),
    "H.264 with B-frames and a gap in AVI": (".avi", How(bf=2, ticks=gap(ticks=5))),
    "AVI without an index": (".avi", without_index),
    "two sizes": (".ts", two_sizes),
    "a download that was cut short": (".mp4", cut_short),
    "a clock that wraps around": (".ts", How(bf=2, container={"output_ts_offset": "95442.5"})),
    "VP9 with alpha": (
        ".webm",
        How(codec="libvpx-vp9", pixels="yuva420p", time_base=MS, ticks=[40 * k for k in range(N)]),
    ),
}


def make(folder: Path, kind: str) -> Path:
    """The video of a kind, written into a folder."""
    suffix, how = KINDS[kind]
    path = folder / f"a{suffix}"
    return write(path, how) if isinstance(how, How) else how(path)
