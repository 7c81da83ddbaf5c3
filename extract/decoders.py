"""The decoders behind `VideoSource`: decord where it agrees with the packets, and PyAV, which reads everything."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from typing import Any

import av
import numpy as np
from av.error import FFmpegError

from .video import DecodingError, VideoProbe, VideoSource, cut_at_keys

PIECE_BYTES = 32 * 2**20
GOP_BYTES = 192 * 2**20
PIECE_FRAMES = 32


class PyavSource:
    """PyAV, frame after frame: flat memory for any video; every frame's time stamp is compared with the packets'."""

    name = "pyav"
    version = av.__version__

    def __init__(self, probe: VideoProbe) -> None:
        self.probe = probe

    def frames(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """See `VideoSource`. Pieces have 32 frames, fewer of large pictures. Opens the file anew for each call."""
        n_piece = _piece_frames(self.probe)
        piece: list[np.ndarray] = []
        expected = start
        try:
            for index, frame in self._decoded(start):
                if expected == stop:
                    break
                if index is None or index < start:
                    continue
                if index != expected:
                    raise DecodingError(f"{self.probe.path}: frame {expected} is missing ({index} follows); {_REPAIR}")
                if frame.is_corrupt:
                    raise DecodingError(f"{self.probe.path}: frame {expected} is damaged; {_REPAIR}")
                piece.append(frame.to_ndarray(format="rgb24"))
                expected += 1
                if len(piece) == n_piece or expected == stop:
                    yield np.stack(piece)
                    piece = []
        except (FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or _first_line(error)
            raise DecodingError(
                f"{self.probe.path}: frame {expected} cannot be decoded ({reason}); {_REPAIR}"
            ) from error
        if expected != stop:
            raise DecodingError(f"{self.probe.path}: decoding ended at frame {expected} of {stop}; {_REPAIR}")

    def _decoded(self, start: int) -> Iterator[tuple[int | None, av.VideoFrame]]:
        """Frames from a key frame at or before `start` on, with their index; None for one that no packet announced."""
        pts = self.probe.pts
        with av.open(str(self.probe.path)) as container:
            stream = container.streams.video[0]
            # One thread: frame threads beside torch's can hang when they are stopped early.
            stream.codec_context.thread_type = "SLICE"
            stream.codec_context.thread_count = 1
            key = self.probe.key_index[np.searchsorted(self.probe.key_index, start, side="right") - 1]
            if pts is not None and key > 0:
                container.seek(int(pts[key]), stream=stream, backward=True)
            order = count()
            for frame in container.decode(stream):
                yield (next(order) if pts is None else _index_of(pts, frame.pts)), frame

    def __enter__(self) -> "PyavSource":
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class DecordSource:
    """decord, in pieces that begin at key frames, winding back after each.

    It decodes ahead without bound between two calls; winding back to the start stops that, and beginning at a key frame
    makes the next call no dearer: 20 MB instead of 590 on a 3,000-frame clip.
    """

    name = "decord"

    def __init__(self, probe: VideoProbe) -> None:
        """Opens the video. Raises DecodingError when decord cannot, or sees other frames than the packets."""
        self.probe = probe
        import_module("torch")  # decord's libraries break torch's when they are loaded first
        decord: Any = import_module("decord")
        self.version: str = decord.__version__
        self.errors = (decord.DECORDError, RuntimeError, OSError, IndexError)
        try:
            self.reader: Any = decord.VideoReader(str(probe.path), num_threads=1, fault_tol=0)
        except self.errors as error:
            raise DecodingError(f"{probe.path}: decord cannot open it ({_first_line(error)})") from error
        self._require_agreement()

    def frames(self, start: int, stop: int) -> Iterator[np.ndarray]:
        """See `VideoSource`. Pieces are whole groups of pictures, up to 32 frames or one group."""
        for begin, end in cut_at_keys(self.probe, start, stop, n_frames=_piece_frames(self.probe)):
            try:
                piece = self.reader.get_batch(range(begin, end)).asnumpy()
                self.reader.seek(0)
            except self.errors as error:
                where = f"{self.probe.path}: frames {begin} to {end}"
                raise DecodingError(f"{where} cannot be decoded ({_first_line(error)})") from error
            if len(piece) != end - begin:
                raise DecodingError(f"{self.probe.path}: decord gave {len(piece)} frames for {begin} to {end}")
            yield piece[max(start - begin, 0) :]

    def _require_agreement(self) -> None:
        probe = self.probe
        if len(self.reader) != probe.n_frames:
            raise DecodingError(f"{probe.path}: decord counts {len(self.reader)} frames, the packets {probe.n_frames}")
        if probe.longest_gop * _frame_bytes(probe) > GOP_BYTES:
            raise DecodingError(f"{probe.path}: {probe.longest_gop} frames between key frames are too many for decord")
        if probe.pts is None:
            return
        begins = np.asarray(self.reader.get_frame_timestamp(range(probe.n_frames)))[:, 0]
        times = (probe.pts - probe.pts[0]) * float(probe.time_base)
        if np.abs(begins - begins[0] - times).max() * float(probe.fps) > 0.5:
            raise DecodingError(f"{probe.path}: decord shows frames at other times than the packets say")

    def __enter__(self) -> "DecordSource":
        return self

    def __exit__(self, *exception: object) -> None:
        del self.reader


DECODERS: dict[str, Callable[[VideoProbe], VideoSource]] = {"decord": DecordSource, "pyav": PyavSource}


def open_source(probe: VideoProbe, decoder: str) -> VideoSource:
    """The video, open in the decoder of that name ("decord", "pyav"). Raises DecodingError when it does not suit."""
    return DECODERS[decoder](probe)


_REPAIR = "copy or download the video again, or repair it with `ffmpeg -i IN OUT`"


def _index_of(pts: np.ndarray, stamp: int | None) -> int | None:
    if stamp is None:
        return None
    index = int(np.searchsorted(pts, stamp))
    return index if index < len(pts) and pts[index] == stamp else None


def _frame_bytes(probe: VideoProbe) -> int:
    return probe.width * probe.height * 3


def _piece_frames(probe: VideoProbe) -> int:
    return min(max(PIECE_BYTES // _frame_bytes(probe), 1), PIECE_FRAMES)


def _first_line(error: Exception) -> str:
    """The error's first line without the places in decord's own source that it begins with."""
    lines = [re.sub(r"^.*\.(cc|h):\d+: ", "", line).strip() for line in str(error).splitlines()]
    return next((line[:120] for line in lines if line), type(error).__name__)
