"""Spots of a video that has no store: whole files, folders of them, or a stream that has not ended."""

from .live import live_spots
from .predict import RowScorer, predict_keeping, predict_videos
from .videos import given_videos, halves_of_videos
