"""What a head is taught with: which clips are drawn, the rows of them, and what each token should answer."""

from .augmentation import draw_partners, drop_frames, jitter_shift, mix_clips, mixed_with, switch_frames
from .decided import DecidedRows, Stretch
from .events import EventTable, clip_events, event_table, redraw_times
from .gather import ClipStarts, gather_clips
from .reading import rows_ahead
from .sampling import Anchors, draw_clips, event_anchors, mistake_anchors
from .targets import TokenTargets, token_targets
