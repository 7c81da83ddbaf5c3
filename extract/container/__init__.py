"""A video file as it is opened: its streams, its packets on one clock, and how its pictures are turned.

This room also says what a file is that is no video, and where an H.264 stream can really begin. It decodes nothing.
"""

from .bitstream import is_gradual, length_bytes_of
from .kinds import what_else
from .orientation import FrameTurner, swaps_sides, turn_of, turned
from .reading import RUNNING_CLOCKS, Clock, demuxed, opened, packs_frames, video_streams
from .stamps import FramePlaces, Stamps
