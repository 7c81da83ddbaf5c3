"""A head and rows become the scores of a match, whole or while its rows arrive, and spots written to a folder."""

from .ensemble import Ensemble, MatchStream
from .offsets import place_scores
from .score import MatchScores, Sides, joined, match_scores, require_finite
from .stream import score_match
from .write import (
    PredictedMatch,
    chosen_threshold,
    claim_folder,
    copy_predicted,
    keep_threshold,
    predict_matches,
    prediction_record,
    write_prediction,
    write_wholes,
)
