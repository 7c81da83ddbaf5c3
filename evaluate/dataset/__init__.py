"""What there is: label sets, matches, splits, true spots and predicted spots.

This room reads and checks them; it scores nothing.
"""

from .columns import HALF_S, SpotArrays, SpotColumns, column_arrays, columns_of
from .data_selection import DataSelection, names_to_predict
from .given import Given, data_root_of, given_predictions, label_set_for, matches_of, refuse_sweep, split_remark
from .labels import (
    MAX_POSITION_MS,
    TEAMS,
    VISIBILITIES,
    LabelArrays,
    Spot,
    annotation_entries,
    brief,
    half_of,
    is_text,
    label_arrays,
    labels_in,
    read_label,
    read_labels,
    read_note,
    read_position,
    read_team,
    read_visibility,
    spots_of_half,
)
from .labelsets import BALL_12, BUILT_IN, LABELS_FILE, PLAYER_8, LabelSet, add_label, label_set_of, load_label_set
from .matches import (
    ALONE_OF_HALF_2,
    OF_HALF,
    PREFERRED_VIDEOS,
    VIDEO_SUFFIXES,
    Match,
    find_matches,
    halves_by_match,
    halves_of,
    rate_remark,
    resolve_match,
    why_no_video,
)
from .predictions import SCORES_FILE, Predictions, open_predictions
from .splits import OF_RUN, SPLITS_FILE, Fold, Splits, TrainDraw, recorded_splits, recordings_of
from .spots import SPOTS_FILE, SpotFile, game_time, read_confidence, read_spots, spot_entry, spots_in, write_spots
from .thresholds import (
    decided_threshold,
    read_threshold,
    recorded_threshold,
    rounded_down,
    threshold_in,
    write_threshold,
)
from .video_records import VIDEO_FILE, LooseVideos, is_recorded, video_record, videos_selection
