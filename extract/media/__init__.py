"""Videos and pictures cut out of matches: short clips around spots, and contact sheets of mistakes."""

from .sheet import draw_sheet
from .spot_clips import INDEX_FILE, ClipSettings, cut_clips, plan_clips
