"""Heads whose scores have no mean, and scores that are no numbers, are refused before a spot is written."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import LabelSet
from ballspot.temporal.config import Config, HeadSection
from ballspot.temporal.heads.checkpoints import Checkpoint, HeadDescription, Progress
from ballspot.temporal.prediction.ensemble import Ensemble
from ballspot.temporal.prediction.score import MatchScores, require_finite

CPU = torch.device("cpu")


def checkpoint(*, labels: tuple[str, ...] = ("A", "B"), fps: str = "25") -> Checkpoint:
    description = HeadDescription(
        Config(head=HeadSection(kind="linear")), LabelSet("-".join(labels), labels), (4,), "0" * 64, Fraction(fps)
    )
    return Checkpoint(description, Progress(), {}, None, {}, {})


def test_heads_of_other_classes_or_rates_are_not_averaged() -> None:
    assert Ensemble((checkpoint(), checkpoint(fps="25025/1001")), CPU).labels == ("A", "B")  # one rate, said otherwise
    with pytest.raises(BallspotError, match="label set 'B-A' cannot be averaged with one of 'A-B'; choose runs of one"):
        Ensemble((checkpoint(), checkpoint(labels=("B", "A"))), CPU)
    with pytest.raises(
        BallspotError, match="trained at 50 frames a second cannot be averaged with one trained at 25 fra"
    ):
        Ensemble((checkpoint(), checkpoint(fps="50")), CPU)


def test_the_first_frame_whose_scores_are_no_numbers_is_named() -> None:
    scores = np.zeros((4, 2), np.float32)
    scored = MatchScores(np.arange(0, 8, 2), scores, np.ones(4))
    require_finite(scored, "m")
    scores[2:, 1] = np.nan
    with pytest.raises(
        BallspotError, match=r"match 'm': scores from frame 4 on are not finite; .* lower learning_rate"
    ):
        require_finite(replace(scored, scores=scores), "m")
