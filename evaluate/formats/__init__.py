"""Label and prediction files of other tools, read and written: SoccerNet, E2E-Spot, OSL, SoccerTrack, CSV, and the
submission zip. A new format is one module here and one line in family.py.
"""

from .family import FORMATS, read_videos, write_videos
from .submission import pack_submission
from .table import write_csv
from .videos import DEFAULT_FPS, VideoSpots, split_halves

__all__ = [
    "DEFAULT_FPS",
    "FORMATS",
    "VideoSpots",
    "pack_submission",
    "read_videos",
    "split_halves",
    "write_csv",
    "write_videos",
]
