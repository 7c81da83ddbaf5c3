"""What a command shows and takes: tables on standard output, progress on standard error, and the click options that
several commands share. This room and the commands folders are the only ones that know click.
"""

from .console import ProgressLine, clock, note, print_table, say
from .help import command
from .options import (
    FOLDER,
    SIZE,
    FiniteRange,
    GridType,
    data_argument,
    data_option,
    device_option,
    dtype_option,
    json_option,
    labels_file_option,
    labels_of_run_option,
    labels_option,
    leave_out_option,
    matches_options,
    parse_fps,
    set_option,
    split_of_option,
    splits_option,
    threads_option,
    trust_option,
)
