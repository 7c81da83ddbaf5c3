"""The decoder torchcodec (extra `torchcodec`)."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from ..container import turned
from .checks import _piece_frames, _require_times, _require_undamaged, _turn_left
from .packets import nothing
from .probe import Beat, DecodingError, VideoProbe, first_line


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
                str(probe.path.absolute()),
                stream_index=probe.stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                seek_mode="exact",
                device="cpu",
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise DecodingError(f"{probe.path}: torchcodec cannot open it ({first_line(error)})") from error
        if len(self.reader) != probe.n_frames:
            raise DecodingError(f"{probe.path}: torchcodec counts {len(self.reader)} frames, not {probe.n_frames}")
        if probe.n_undecodable or probe.n_resets or probe.is_packed:
            raise DecodingError(f"{probe.path}: torchcodec does not count its frames as players do")
        if probe.has_refresh:
            raise DecodingError(f"{probe.path}: torchcodec would begin where pictures are not whole (gradual refresh)")
        try:
            first = self.reader.get_frame_at(0)
            self.first_s = float(first.pts_seconds)
        except (RuntimeError, IndexError, ValueError) as error:
            raise DecodingError(f"{probe.path}: frame 0 cannot be decoded ({first_line(error)})") from error
        self.turn = _turn_left(probe, first.data.numpy(), self.name)

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
            yield from (turned(pictures[k - begin], self.turn) for k in range(begin, end) if (k - start) % step == 0)

    def __enter__(self) -> "TorchcodecSource":
        return self

    def __exit__(self, *exception: object) -> None:
        del self.reader
