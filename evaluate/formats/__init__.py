"""Label and prediction files of other tools, read and written: SoccerNet, E2E-Spot, OSL, SoccerTrack, CSV, Sportscode,
SoccerNet's player-centric task, and the submission zip. A new format is one module here and one line in family.py.
"""

from .family import FORMATS, read_videos, write_videos
from .sportscode import Instance, timeline_xml
from .submission import pack_submission
from .table import write_csv
from .videos import AFTER_S, BEFORE_S, DEFAULT_FPS, Format, Source, VideoSpots, split_halves
