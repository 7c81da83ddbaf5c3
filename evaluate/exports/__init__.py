"""Predictions for other programs: subtitles, chapters and Sportscode timelines.

A new export is one module here and one line in family.py.
"""

from .family import EXPORTS, safe_names, write_exports
from .selection import Chosen, Selection, choose_spots, classes_of, threshold_remark
from .spans import one_line
