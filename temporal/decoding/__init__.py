"""From per-frame scores to spots in time: peaks, suppression, post-processing by class, and its tuning."""

from .peaks import decode_as_configured, decode_scores, spots_of
from .postprocessing import (
    ClassDecoding,
    as_configured,
    as_plain,
    class_decoding,
    decode_classes,
    decoded_spots,
    read_postprocessing,
    rows_a_second,
    write_postprocessing,
)
from .scores import PLAIN_FILE, SavedScores, open_scores, read_scores, write_scores
from .tuning import TunedClass, tune_classes
