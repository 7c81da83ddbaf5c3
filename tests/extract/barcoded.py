"""Videos whose pictures show their own number, of every kind that leads readers astray, and how they are read."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from ballspot.extract.data_root.synth import DARK, LIGHT, N_BITS, N_COLUMNS, draw_number, write_video
from ballspot.extract.video.probe import VideoProbe, probe_video
from ballspot.extract.video.sources import open_source

N_FRAMES = 250
SIZE = (64, 96)


def read_number(picture: np.ndarray) -> int | None:
    """The number in a picture, uint8 (height, width) or (height, width, 3); None when it shows none clearly."""
    luma = picture.mean(axis=2) if picture.ndim == 3 else picture.astype(np.float64)
    block_height, block_width = luma.shape[0] // 16, luma.shape[1] // N_COLUMNS
    n_rows = 2 * N_BITS // N_COLUMNS
    code = luma[: n_rows * block_height, : N_COLUMNS * block_width]
    blocks = code.reshape(n_rows, block_height, N_COLUMNS, block_width)
    margin_y, margin_x = block_height // 4, block_width // 4
    inner = blocks[:, margin_y : block_height - margin_y, :, margin_x : block_width - margin_x]
    values = inner.mean(axis=(1, 3)).reshape(2, N_BITS)
    if np.abs(values[0] - values[1]).min() < (LIGHT - DARK) / 3:
        return None
    bits = values[0] > values[1]
    return int((bits << np.arange(N_BITS)).sum())


def numbers_of(probe: VideoProbe, decoder: str, start: int, stop: int, step: int = 1) -> list[int | None]:
    """What number each picture of a range shows."""
    with open_source(probe, decoder) as source:
        return [read_number(picture) for picture in source.frames(start, stop, step)]


def remux(source: Path, out: Path, *, first_pts: int = 0, stamps: dict[int, int] | None = None, **options: str) -> Path:
    """The same packets with time stamps moved by `first_pts` frames, or to other stamps by frame, in 12,800ths."""
    with av.open(str(source)) as old, av.open(str(out), "w", options={"use_editlist": "1", **options}) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.size and packet.pts is not None and packet.dts is not None:
                moved = stamps[packet.pts // 512] if stamps else packet.pts + first_pts * 512
                packet.dts += moved - packet.pts if not stamps else 0
                packet.pts = moved
                packet.stream = copy
                new.mux(packet)
    return out


def plain(path: Path, *, gop: int = 12, fps: Fraction = Fraction(25)) -> Path:
    write_video(path, N_FRAMES, fps=fps, size=SIZE, events=[], gop=gop)
    return path


def variable_rate(path: Path) -> Path:
    """Frames from 100 on are shown 20 frames later, and every third one is late by a quarter of a frame."""
    source = plain(path.with_name("constant.mp4"))
    stamps = {k: (k + (20 if k >= 100 else 0)) * 512 + (128 if k % 3 == 0 else 0) for k in range(N_FRAMES)}
    return remux(source, path, stamps=stamps)


def edit_list(path: Path) -> Path:
    """30 frames lie before time zero: in the file, but not shown."""
    return remux(plain(path.with_name("uncut.mp4")), path, first_pts=-30)


def encoded(path: Path, *, size: tuple[int, int] = SIZE, pixels: str = "yuv420p", **options: str) -> Path:
    """Numbered pictures by x264 with the given options."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *size, pixels
        stream.codec_context.thread_count = 1
        stream.options = {"preset": "ultrafast", "bf": "2", "g": "12", "sc_threshold": "0", **options}
        for number in range(N_FRAMES):
            luma = np.full(size, 90, np.uint8)
            draw_number(luma, number)
            frame = av.VideoFrame.from_ndarray(np.stack([luma] * 3, axis=2), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def odd_width(path: Path) -> Path:
    """97 x 65 pixels, in 4:4:4, since 4:2:0 needs even ones."""
    return encoded(path, size=(65, 97), pixels="yuv444p")


def open_groups(path: Path) -> Path:
    """Frames that are shown before a key frame are decoded after it, and need the group before too."""
    settings = "open-gop=1:keyint=12:min-keyint=12:scenecut=0:bframes=3:b-adapt=0"
    return encoded(path, preset="medium", **{"x264-params": settings})


def gradual_refresh(path: Path) -> Path:
    """No key frame but the first: every 24 frames a band of new picture begins to wander through."""
    return encoded(path, preset="medium", bf="0", g="24", **{"x264-params": "intra-refresh=1"})


def truncated(path: Path) -> Path:
    """Cut at 60 % of its bytes, with the index in front, so that it opens and counts 250 frames."""
    remux(plain(path.with_name("whole.mp4")), path, movflags="+faststart")
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    return path


def corrupted(path: Path, *, at: float = 0.5, n_bytes: int = 1, write: Callable[[Path], Path] = plain) -> Path:
    """A byte in the middle of the pictures is another one: decoders go on and conceal it."""
    content = bytearray(write(path).read_bytes())
    place = int(len(content) * at)
    content[place : place + n_bytes] = bytes(255 - value for value in content[place : place + n_bytes])
    path.write_bytes(bytes(content))
    return path


def count_too_high(path: Path) -> Path:
    """Ends neatly after 13 groups of pictures, but its index, in front, counts all 250 frames."""
    remux(plain(path.with_name("whole.mp4")), path, movflags="+faststart")
    with av.open(str(path)) as container:
        ends = [
            packet.pos + packet.size for packet in container.demux(video=0) if packet.size and packet.pos is not None
        ]
    path.write_bytes(path.read_bytes()[: max(ends[: 13 * 12])])
    return path


ALL = ("pyav", "decord", "torchcodec")
WHOLE: dict[str, tuple[Callable[[Path], Path], str, list[int], tuple[str, ...]]] = {
    # How it is written, its suffix, the frames that it shows, and the decoders that must give all of them.
    "B-frames, key frame every 12": (plain, ".mp4", list(range(N_FRAMES)), ALL),
    "key frame every 250": (lambda path: plain(path, gop=250), ".mp4", list(range(N_FRAMES)), ALL),
    "29.97 frames a second": (lambda path: plain(path, fps=Fraction(30000, 1001)), ".mp4", list(range(N_FRAMES)), ALL),
    "29.97 in Matroska": (lambda path: plain(path, fps=Fraction(30000, 1001)), ".mkv", list(range(N_FRAMES)), ALL),
    "variable frame rate": (variable_rate, ".mp4", list(range(N_FRAMES)), ("pyav",)),
    "edit list": (edit_list, ".mp4", list(range(30, N_FRAMES)), ("pyav", "torchcodec")),
    "odd width": (odd_width, ".mp4", list(range(N_FRAMES)), ALL),
    "open groups": (open_groups, ".mp4", list(range(N_FRAMES)), ("pyav", "torchcodec")),
    "open groups in MPEG-TS": (open_groups, ".ts", list(range(N_FRAMES)), ("pyav",)),
    "closed groups in MPEG-TS": (encoded, ".ts", list(range(N_FRAMES)), ("pyav",)),
    "gradual refresh": (gradual_refresh, ".mp4", list(range(N_FRAMES)), ("pyav",)),
}


def written_once(folder: Path) -> Callable[[str], VideoProbe]:
    """What gives the probe of a kind of video, which is written below ``folder`` when it is first asked for."""
    probes: dict[str, VideoProbe] = {}

    def probe_of(kind: str) -> VideoProbe:
        if kind not in probes:
            write, suffix, *_ = WHOLE[kind]
            probes[kind] = probe_video(write(folder / f"{len(probes)}{suffix}"))
        return probes[kind]

    return probe_of
