"""The decoders behind `VideoSource`: PyAV, which reads everything exactly, decord, torchcodec, and folders of JPGs."""

from collections.abc import Callable

from .decord import DecordSource
from .derived import MotionSource, ResampledSource
from .images import ImageSource
from .packets import nothing
from .probe import Beat, VideoProbe, VideoSource
from .pyav import PyavSource
from .torchcodec import TorchcodecSource

DECODERS: dict[str, Callable[..., VideoSource]] = {
    "decord": DecordSource,
    "pyav": PyavSource,
    "torchcodec": TorchcodecSource,
    "jpg": ImageSource,
}


def open_source(
    probe: VideoProbe, decoder: str, *, substitute: bool = False, beat: Beat = nothing, motion: int = 0
) -> VideoSource:
    """The video, open in the decoder of that name. Raises DecodingError when it does not suit.

    `beat` is called again and again while frames are read, those too that nobody asked for. With `motion` pictures are
    of three moments, so many frames apart.
    """
    if probe.whole is not None and probe.chosen is not None:
        own = DECODERS[decoder](probe.whole, substitute=substitute, beat=beat)
        source: VideoSource = ResampledSource(own, probe.chosen)
    else:
        source = DECODERS[decoder](probe, substitute=substitute, beat=beat)
    return MotionSource(source, n_frames=probe.n_frames, away=motion) if motion else source
