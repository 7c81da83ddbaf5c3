"""When the frames of a video are shown: one time axis for labels, predictions, clips and stores."""

from .axis import (
    LONGEST_S,
    TimeAxis,
    axis_of_rows,
    axis_of_stamps,
    frame_of,
    nearest_common,
    position_of,
    rate_of,
    require_length,
    usual_rate,
)
from .resampling import is_same_rate, n_frames_at, nearest_frames
