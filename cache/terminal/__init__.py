"""What a command shows and takes: tables on standard output, progress on standard error, and the click options that
several commands share. This room and the commands folders are the only ones that know click.
"""

from .console import ProgressLine, clock, note, print_table
from .options import (
    AS_JSON,
    DATA,
    FOLDER,
    LABELS,
    SIZE,
    SPLITS_FILE,
    FiniteRange,
    GridType,
    labels_option,
    parse_fps,
    split_option,
    splits_option,
)

__all__ = [
    "AS_JSON",
    "DATA",
    "FOLDER",
    "LABELS",
    "SIZE",
    "SPLITS_FILE",
    "FiniteRange",
    "GridType",
    "ProgressLine",
    "clock",
    "labels_option",
    "note",
    "parse_fps",
    "print_table",
    "split_option",
    "splits_option",
]
