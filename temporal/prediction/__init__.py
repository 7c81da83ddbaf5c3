"""A head and rows become the scores of a match, whole or while its rows arrive, and spots written to a folder."""

from .ensemble import MatchStream, needs_whole_match, scalings_of, wanted_views
from .score import MatchScores, prediction_of, score_match
from .stream import joined
from .write import (
    PredictedMatch,
    claim_folder,
    predict_matches,
    prediction_record,
    require_alike,
    require_fingerprint,
    saved_scores,
    write_prediction,
)

__all__ = [
    "MatchScores",
    "MatchStream",
    "PredictedMatch",
    "claim_folder",
    "joined",
    "needs_whole_match",
    "predict_matches",
    "prediction_of",
    "prediction_record",
    "require_alike",
    "require_fingerprint",
    "saved_scores",
    "scalings_of",
    "score_match",
    "wanted_views",
    "write_prediction",
]
