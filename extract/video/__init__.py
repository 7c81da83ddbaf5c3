"""One video: what it holds, and its frames, exactly and in order.

This room owns the decoders (one source a module), the damage checks, decoding in a process of its own, and videos
that still grow.
"""

from .derived import at_rate
from .live import LiveFrames, open_live
from .packets import INEXACT, can_seek, packets_from
from .probe import (
    REPAIR,
    DecodingError,
    VideoProbe,
    VideoSource,
    codec_of,
    image_files,
    probe_video,
    video_bytes,
    video_digest,
)
from .process import PATIENCE_S, Batch, DecodingProcess, want_of_shared_memory
from .pyav import PyavSource
from .sources import open_source
