"""One video: what it holds, and its frames, exactly and in order.

This room owns the decoders (one source a module), the damage checks, decoding in a process of its own, and videos
that still grow.
"""

from .live import LiveFrames, open_live
from .orientation import FrameTurner, swaps_sides
from .packets import INEXACT, can_seek, packets_from
from .probe import (
    REPAIR,
    DecodingError,
    UnsuitableError,
    VideoProbe,
    codec_of,
    image_files,
    probe_video,
    video_bytes,
    video_digest,
)
from .process import PATIENCE_S, Batch, DecodingProcess
from .pyav import PyavSource, index_of
from .reading import opened
from .sources import open_source

__all__ = [
    "INEXACT",
    "PATIENCE_S",
    "REPAIR",
    "Batch",
    "DecodingError",
    "DecodingProcess",
    "FrameTurner",
    "LiveFrames",
    "PyavSource",
    "UnsuitableError",
    "VideoProbe",
    "can_seek",
    "codec_of",
    "image_files",
    "index_of",
    "open_live",
    "open_source",
    "opened",
    "packets_from",
    "probe_video",
    "swaps_sides",
    "video_bytes",
    "video_digest",
]
