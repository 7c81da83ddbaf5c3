"""The decoders behind `VideoSource`: PyAV, which reads everything exactly, decord, torchcodec, and folders of JPGs."""

from collections.abc import Callable

from .decord import DecordSource
from .images import ImageSource
from .packets import nothing
from .probe import Beat, VideoProbe, VideoSource
from .pyav import PyavSource
from .resampled import ResampledSource
from .torchcodec import TorchcodecSource

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
    if probe.whole is not None and probe.chosen is not None:
        return ResampledSource(DECODERS[decoder](probe.whole, substitute=substitute, beat=beat), probe.chosen)
    return DECODERS[decoder](probe, substitute=substitute, beat=beat)
