"""The decoder decord, and the containers that it reads right."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from ..container import turned
from .checks import _frame_bytes, _piece_frames, _require_times, _require_undamaged, _turn_left
from .packets import nothing
from .probe import Beat, DecodingError, VideoProbe, VideoSource, cut_at_keys, first_line

GOP_BYTES = 192 * 2**20
DECORD_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm", "flv", "")  # of MPEG-TS it gives wrong frames
DECORD_IRREGULARITY = 0.1  # frames; Matroska rounds time stamps to milliseconds: 0.06 at 60 frames a second


class DecordSource(VideoSource):
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
            self.reader: Any = decord.VideoReader(str(probe.path.absolute()), num_threads=1)
        except self.errors as error:
            raise DecodingError(f"{probe.path}: decord cannot open it ({first_line(error)})") from error
        self._require_agreement()
        self.turn = _turn_left(probe, self._first_picture(), self.name) if probe.turn else ""

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
            yield from (
                turned(piece[k - begin], self.turn) for k in range(max(start, begin), end) if (k - start) % step == 0
            )

    def _first_picture(self) -> np.ndarray:
        try:
            picture = self.reader.get_batch([0]).asnumpy()[0]
            self.reader.seek(0)
        except self.errors as error:
            raise DecodingError(f"{self.probe.path}: frame 0 cannot be decoded ({first_line(error)})") from error
        return picture

    def _require_agreement(self) -> None:
        probe = self.probe
        if probe.n_streams > 1:
            raise DecodingError(f"{probe.path}: decord might read another of its {probe.n_streams} video streams")
        if probe.n_undecodable or probe.n_resets or probe.is_packed:
            raise DecodingError(f"{probe.path}: decord does not count its frames as players do")
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

    def __exit__(self, *exception: object) -> None:
        del self.reader
