"""The decoders behind `VideoSource`: PyAV, which reads everything exactly, decord, torchcodec, and folders of JPGs."""

import re
from collections.abc import Callable, Iterator
from importlib import import_module
from itertools import count
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.reformatter import VideoReformatter

from .damage import damaged_frames
from .packets import nothing, packets_from
from .picture_folders import ImageSource
from .video import REPAIR, DecodingError, VideoProbe, VideoSource, cut_at_keys

Beat = Callable[[], None]

PIECE_BYTES = 32 * 2**20
GOP_BYTES = 192 * 2**20
PIECE_FRAMES = 32
DECORD_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "")  # of MPEG-TS it gives wrong frames
DECORD_IRREGULARITY = 0.1  # frames; Matroska rounds time stamps to milliseconds: 0.06 at 60 frames a second


class PyavSource:
    """PyAV, frame after frame: flat memory for any video; every frame's time stamp is compared with the packets'.

    With `substitute`, a frame that is damaged or missing shows the last good one before it (the next one after it when
    there is none in its segment's groups of pictures), and is written down in `substituted`.
    """

    name = "pyav"
    version = av.__version__

    def __init__(self, probe: VideoProbe, *, substitute: bool = False, beat: Beat = nothing) -> None:
        if probe.path.is_dir():
            raise DecodingError(f"{probe.path}: a folder of pictures, not a video")
        self.probe, self.substitute, self.beat = probe, substitute, beat
        self.substituted: set[int] = set()

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """See `VideoSource`. Opens the file anew for each call."""
        bad: frozenset[int] = frozenset()
        if self.substitute:
            bad = frozenset(damaged_frames(self.probe, start, stop, self.beat).tolist())
        good = self._good_frames(start, stop, bad)
        if not self.substitute:
            yield from (picture for index, picture in good if (index - start) % step == 0)
            return
        expected, last = start, None
        for index, picture in good:
            if index < start:
                last = picture
                continue
            stand_in = picture if last is None else last
            yield from (self._stand_in(k, stand_in) for k in range(expected, index) if (k - start) % step == 0)
            if (index - start) % step == 0:
                yield picture
            expected, last = index + 1, picture
        if expected < stop and last is None:
            raise DecodingError(f"{self.probe.path}: no good frame from {start} to {stop}; {REPAIR}")
        if last is not None:
            yield from (self._stand_in(k, last) for k in range(expected, stop) if (k - start) % step == 0)

    def _good_frames(self, start: int, stop: int, bad: frozenset[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Index and picture of the frames from `start` on; with `bad` ones left out, from the key frame on.

        Without `substitute` all frames from the key frame on must be there and whole: later ones may hang on them.
        """
        key = int(self.probe.key_index[np.searchsorted(self.probe.key_index, start, side="right") - 1])
        expected = key
        reformatter = VideoReformatter()
        try:
            for index, frame in self.decoded(start):
                if index is None or index in bad or index < expected:
                    continue
                if index >= stop:
                    break
                if not self.substitute:
                    if index != expected:
                        raise DecodingError(
                            f"{self.probe.path}: frame {expected} is missing ({index} follows); {REPAIR}"
                        )
                    if frame.is_corrupt:
                        raise DecodingError(f"{self.probe.path}: frame {expected} is damaged; {REPAIR}")
                expected = index + 1
                if index >= start or self.substitute:
                    yield index, reformatter.reformat(frame, format="rgb24").to_ndarray()
                if expected == stop:
                    return
        except (FFmpegError, OSError) as error:
            reason = getattr(error, "strerror", None) or first_line(error)
            raise DecodingError(
                f"{self.probe.path}: frame {expected} cannot be decoded ({reason}); {REPAIR}"
            ) from error
        if not self.substitute and expected != stop:
            raise DecodingError(f"{self.probe.path}: decoding ended at frame {expected} of {stop}; {REPAIR}")

    def decoded(self, start: int) -> Iterator[tuple[int | None, av.VideoFrame]]:
        """Frames from a key frame at or before `start` on, with their index; None for one that no packet announced."""
        pts, order = self.probe.pts, count()
        for packet in packets_from(self.probe, start, self.beat):
            try:
                frames = packet.decode()
            except FFmpegError:
                if not self.substitute:
                    raise
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame):
                    yield (next(order) if pts is None else index_of(pts, frame.pts)), frame

    def _stand_in(self, index: int, picture: np.ndarray) -> np.ndarray:
        self.substituted.add(index)
        return picture

    def __enter__(self) -> "PyavSource":
        return self

    def __exit__(self, *exception: object) -> None:
        return None


class DecordSource:
    """decord, in pieces that begin at key frames, winding back after each.

    It decodes ahead without bound between two calls; winding back to the start stops that, and beginning at a key frame
    makes the next call no dearer: 20 MB instead of 590 on a 3,000-frame clip. It conceals damage without a word, so
    every piece is held to what `damaged_frames` says. Where torch is used too, it must be imported first.
    """

    name = "decord"

    def __init__(self, probe: VideoProbe, *, substitute: bool = False, beat: Beat = nothing) -> None:
        """Opens the video. Raises DecodingError when decord is not there, cannot, or sees other frames."""
        self.probe, self.beat = probe, beat
        self.substituted: set[int] = set()
        try:
            decord: Any = import_module("decord")
        except (ImportError, OSError) as error:
            raise DecodingError(
                f"--decoder decord: cannot be loaded ({first_line(error)}); pip install decord, or give --decoder auto"
            ) from error
        decord.logging.set_level(decord.logging.QUIET)
        self.version: str = decord.__version__
        self.errors = (decord.DECORDError, RuntimeError, OSError, IndexError)
        try:
            self.reader: Any = decord.VideoReader(str(probe.path), num_threads=1)
        except self.errors as error:
            raise DecodingError(f"{probe.path}: decord cannot open it ({first_line(error)})") from error
        self._require_agreement()

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """See `VideoSource`. Pieces are whole groups of pictures, up to 32 frames or one group."""
        _require_undamaged(self.probe, start, stop, self.beat)
        for begin, end in cut_at_keys(self.probe, start, stop, n_frames=_piece_frames(self.probe)):
            try:
                piece = self.reader.get_batch(range(begin, end)).asnumpy()
                self.reader.seek(0)
            except self.errors as error:
                where = f"{self.probe.path}: frames {begin} to {end}"
                raise DecodingError(f"{where} cannot be decoded ({first_line(error)})") from error
            if len(piece) != end - begin:
                raise DecodingError(f"{self.probe.path}: decord gave {len(piece)} frames for {begin} to {end}")
            yield from (piece[k - begin] for k in range(max(start, begin), end) if (k - start) % step == 0)

    def _require_agreement(self) -> None:
        probe = self.probe
        if len(self.reader) != probe.n_frames:
            raise DecodingError(f"{probe.path}: decord counts {len(self.reader)} frames, the packets {probe.n_frames}")
        if probe.longest_gop * _frame_bytes(probe) > GOP_BYTES:
            raise DecodingError(f"{probe.path}: {probe.longest_gop} frames between key frames are too many for decord")
        if probe.pts is None:
            return
        if probe.has_leading or probe.has_refresh or probe.container not in DECORD_CONTAINERS:
            kind = "open groups" if probe.has_leading else "gradual refresh" if probe.has_refresh else probe.container
            raise DecodingError(f"{probe.path}: decord gives other frames than it is asked for ({kind})")
        if probe.irregularity > DECORD_IRREGULARITY:
            raise DecodingError(
                f"{probe.path}: decord gives other frames than it is asked for at a variable frame rate"
            )
        begins = np.asarray(self.reader.get_frame_timestamp(range(probe.n_frames)))[:, 0]
        _require_times(probe, begins, self.name)

    def __enter__(self) -> "DecordSource":
        return self

    def __exit__(self, *exception: object) -> None:
        del self.reader


class TorchcodecSource:
    """torchcodec (extra `torchcodec`), which needs FFmpeg's libraries; it may conceal damage, as decord does."""

    name = "torchcodec"

    def __init__(self, probe: VideoProbe, *, substitute: bool = False, beat: Beat = nothing) -> None:
        """Opens the video. Raises DecodingError when torchcodec is not there, cannot, or sees other frames."""
        self.probe, self.beat = probe, beat
        self.substituted: set[int] = set()
        try:
            module: Any = import_module("torchcodec")
            self.version: str = module.__version__
            decoder: Any = import_module("torchcodec.decoders").VideoDecoder
        except (ImportError, RuntimeError, OSError) as error:
            raise DecodingError(
                f"--decoder torchcodec: cannot be loaded ({first_line(error)}); pip install 'ballspot[torchcodec]' and "
                "FFmpeg's libraries, or give --decoder auto"
            ) from error
        try:
            self.reader: Any = decoder(
                str(probe.path), dimension_order="NHWC", num_ffmpeg_threads=1, seek_mode="exact", device="cpu"
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise DecodingError(f"{probe.path}: torchcodec cannot open it ({first_line(error)})") from error
        if len(self.reader) != probe.n_frames:
            raise DecodingError(f"{probe.path}: torchcodec counts {len(self.reader)} frames, not {probe.n_frames}")
        if probe.has_refresh:
            raise DecodingError(f"{probe.path}: torchcodec would begin where pictures are not whole (gradual refresh)")
        try:
            self.first_s = float(self.reader.get_frame_at(0).pts_seconds)
        except (RuntimeError, IndexError, ValueError) as error:
            raise DecodingError(f"{probe.path}: frame 0 cannot be decoded ({first_line(error)})") from error

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """See `VideoSource`. Pieces of up to 32 frames, each with its time stamps compared."""
        _require_undamaged(self.probe, start, stop, self.beat)
        n_piece = _piece_frames(self.probe)
        for begin in range(start, stop, n_piece):
            end = min(begin + n_piece, stop)
            try:
                piece = self.reader.get_frames_in_range(begin, end)
            except (RuntimeError, IndexError, ValueError) as error:
                where = f"{self.probe.path}: frames {begin} to {end}"
                raise DecodingError(f"{where} cannot be decoded ({first_line(error)})") from error
            _require_times(self.probe, piece.pts_seconds.numpy() - self.first_s, self.name, begin)
            pictures = piece.data.numpy()
            yield from (pictures[k - begin] for k in range(begin, end) if (k - start) % step == 0)

    def __enter__(self) -> "TorchcodecSource":
        return self

    def __exit__(self, *exception: object) -> None:
        del self.reader


DECODERS: dict[str, Callable[..., VideoSource]] = {
    "decord": DecordSource,
    "pyav": PyavSource,
    "torchcodec": TorchcodecSource,
    "jpg": ImageSource,
}


def open_source(probe: VideoProbe, decoder: str, *, substitute: bool = False, beat: Beat = nothing) -> VideoSource:
    """The video, open in the decoder of that name. Raises DecodingError when it does not suit.

    `beat` is called again and again while frames are read, those too that nobody asked for.
    """
    return DECODERS[decoder](probe, substitute=substitute, beat=beat)


def first_line(error: Exception) -> str:
    """The error's first line without the places in decord's own source that it begins with."""
    lines = [re.sub(r"^.*\.(cc|h):\d+: ", "", line).strip() for line in str(error).splitlines()]
    return next((line[:120] for line in lines if line), type(error).__name__)


def _require_undamaged(probe: VideoProbe, start: int, stop: int, beat: Beat) -> None:
    bad = damaged_frames(probe, start, stop, beat)
    bad = bad[(bad >= start) & (bad < stop)]
    if len(bad):
        raise DecodingError(f"{probe.path}: frame {bad[0]} is damaged; {REPAIR}")


def _require_times(probe: VideoProbe, begins_s: np.ndarray, decoder: str, first: int = 0) -> None:
    if probe.pts is None:
        return
    times = (probe.pts[first : first + len(begins_s)] - probe.pts[0]) * float(probe.time_base)
    begins_s = begins_s - (begins_s[0] if first == 0 else 0)
    if np.abs(begins_s - times).max() * float(probe.fps) > 0.5:
        raise DecodingError(f"{probe.path}: {decoder} shows frames at other times than the packets say")


def index_of(pts: np.ndarray, stamp: int | None) -> int | None:
    if stamp is None:
        return None
    index = int(np.searchsorted(pts, stamp))
    return index if index < len(pts) and pts[index] == stamp else None


def _frame_bytes(probe: VideoProbe) -> int:
    return probe.width * probe.height * 3


def _piece_frames(probe: VideoProbe) -> int:
    return min(max(PIECE_BYTES // _frame_bytes(probe), 1), PIECE_FRAMES)
