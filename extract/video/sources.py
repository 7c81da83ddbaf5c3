"""The decoders behind `VideoSource`: PyAV, which reads everything exactly, decord, torchcodec on a CPU or a GPU, and
folders of JPGs.
"""

from collections.abc import Callable

from .decord import DecordSource
from .derived import MotionSource, ResampledSource
from .images import ImageSource
from .packets import nothing
from .probe import Beat, VideoProbe, VideoSource
from .pyav import PyavSource
from .torchcodec import NvdecSource, TorchcodecSource

DECODERS: dict[str, Callable[..., VideoSource]] = {
    "decord": DecordSource,
    "pyav": PyavSource,
    "torchcodec": TorchcodecSource,
    "jpg": ImageSource,
    "nvdec": NvdecSource,
}


def open_source(
    probe: VideoProbe,
    decoder: str,
    *,
    substitute: bool = False,
    beat: Beat = nothing,
    motion: int = 0,
    stays_open: bool = False,
) -> VideoSource:
    """The video, open in the decoder of that name. Raises DecodingError when it does not suit.

    `beat` is called again and again while frames are read, those too that nobody asked for. With `motion` pictures are
    of three moments, so many frames apart. With `stays_open` PyAV keeps the file open from one range of frames to the
    next, for who reads many short ones. A decoder on a GPU has it behind an @: `nvdec@cuda:1`.
    """
    name, _, device = decoder.partition("@")
    place = {"device": device} if device else {}
    own = DECODERS[name](probe.whole or probe, substitute=substitute, beat=beat, **place)
    if isinstance(own, PyavSource):
        own.stays_open = stays_open
    source = own if probe.whole is None or probe.chosen is None else ResampledSource(own, probe.chosen)
    return MotionSource(source, n_frames=probe.n_frames, away=motion) if motion else source
