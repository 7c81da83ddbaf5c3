"""The decoder torchcodec (extra `torchcodec`)."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np

from ..container import turned
from .checks import _piece_frames, _require_times, _require_undamaged, _turn_left
from .packets import nothing
from .probe import Beat, DecodingError, VideoProbe, VideoSource, first_line


class TorchcodecSource(VideoSource):
    """torchcodec (extra `torchcodec`), which needs FFmpeg's libraries; it may conceal damage, as decord does."""

    name = "torchcodec"
    device = "cpu"

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
                f"--decoder {self.name}: cannot be loaded ({first_line(error)}); pip install 'ballspot[torchcodec]' "
                "and FFmpeg's libraries, or give --decoder auto"
            ) from error
        try:
            self.reader: Any = decoder(
                str(probe.path.absolute()),
                stream_index=probe.stream_index,
                dimension_order="NHWC",
                num_ffmpeg_threads=1,
                seek_mode="exact",
                device=self.device,
            )
        except (RuntimeError, ValueError, OSError) as error:
            raise DecodingError(f"{probe.path}: {self.name} cannot open it ({first_line(error)})") from error
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
        self._require_own()
        self.turn = _turn_left(probe, first.data.cpu().numpy(), self.name)

    def frames(self, start: int, stop: int, step: int = 1) -> Iterator[np.ndarray]:
        """See `VideoSource`. Pieces of up to 32 frames, each with its time stamps compared."""
        self._require_undamaged(start, stop)
        n_piece = _piece_frames(self.probe)
        for begin in range(start, stop, n_piece):
            end = min(begin + n_piece, stop)
            try:
                piece = self.reader.get_frames_in_range(begin, end)
            except (RuntimeError, IndexError, ValueError) as error:
                where = f"{self.probe.path}: frames {begin} to {end}"
                raise DecodingError(f"{where} cannot be decoded ({first_line(error)})") from error
            _require_times(self.probe, piece.pts_seconds.cpu().numpy() - self.first_s, self.name, begin)
            pictures = piece.data.cpu().numpy()
            yield from (turned(pictures[k - begin], self.turn) for k in range(begin, end) if (k - start) % step == 0)

    def _require_undamaged(self, start: int, stop: int) -> None:
        """Raises DecodingError for a damaged frame among those; PyAV decodes them for it once more."""
        _require_undamaged(self.probe, start, stop, self.beat)

    def _require_own(self) -> None:
        """Raises DecodingError where something else decodes in this one's place."""

    def __exit__(self, *exception: object) -> None:
        del self.reader


class NvdecSource(TorchcodecSource):
    """The decoder of an NVIDIA GPU, by torchcodec built for CUDA. Its pictures differ from those of all others in their
    last bits: colours are converted on the GPU.

    torchcodec decodes on the CPU, without a word, what the GPU cannot (Meta, torchcodec: `VideoDecoder.cpu_fallback`);
    such a video is refused. What a GPU conceals of damage is not found: to look for it, a core would decode everything
    once more, at a tenth of the rate. Videos that players turn are refused.
    """

    name = "nvdec"

    def __init__(
        self, probe: VideoProbe, *, substitute: bool = False, beat: Beat = nothing, device: str = "cuda:0"
    ) -> None:
        """Opens the video on a GPU. Raises DecodingError as TorchcodecSource does, and where a CPU would decode it."""
        self.device = device
        super().__init__(probe, substitute=substitute, beat=beat)

    def _require_undamaged(self, start: int, stop: int) -> None:
        self.beat()

    def _require_own(self) -> None:
        fallback = getattr(self.reader, "cpu_fallback", None)  # known when a frame has been decoded
        if fallback is None:
            raise DecodingError(
                f"--decoder nvdec: torchcodec {self.version} does not say whether a GPU decodes; install 0.10 or later"
            )
        if fallback:
            raise DecodingError(
                f"{self.probe.path}: this GPU cannot decode it ({str(fallback).strip().rstrip('.')}); give --decoder "
                "auto, with another --set"
            )
