"""What a head says of clips, placed on their frames, and the scores of a match that come of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ..config import ClassLoss, ClipGrid, Config, is_sigmoid
from ..heads import HeadOutput, SpottingHead
from .offsets import place_scores

Sides = Literal["none", "shared", "apart"]


@dataclass(frozen=True)
class MatchScores:
    """Scores of one match: ``scores`` float32 (n, K) without background, ``frame_index`` int64 (n,) of its video.

    ``support`` int64 (n,): how many windows count at the frame; every one at least 1 unless coverage stops early.
    ``right_share`` float32 (n, K): how much of a score is the right team's, None from heads without teams.
    """

    frame_index: np.ndarray
    scores: np.ndarray
    support: np.ndarray
    right_share: np.ndarray | None = None

    def part(self, start: int, stop: int | None = None) -> "MatchScores":
        """Rows ``start`` to ``stop``."""
        return MatchScores(
            self.frame_index[start:stop],
            self.scores[start:stop],
            self.support[start:stop],
            None if self.right_share is None else self.right_share[start:stop],
        )


def joined(parts: Sequence[MatchScores]) -> MatchScores:
    """The parts of one match, which follow one another, as one."""
    shares = [part.right_share for part in parts if part.right_share is not None]
    return MatchScores(
        np.concatenate([part.frame_index for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.support for part in parts]),
        np.concatenate(shares) if shares else None,
    )


def require_finite(scored: MatchScores, match: str) -> None:
    """Raises BallspotError for scores that are not finite: of such features, or of a head that diverged."""
    rows = np.flatnonzero(~np.isfinite(scored.scores).all(axis=1))
    if len(rows):
        raise BallspotError(
            f"match {match!r}: scores from frame {scored.frame_index[rows[0]]} on are not finite; `ballspot cache "
            "verify` says whether its features are, else train with a lower learning_rate"
        )


def mean_of_views(scored: MatchScores, mirrored: MatchScores) -> MatchScores:
    """The mean of the picture's scores and of its mirror image's, whose left is our right."""
    if mirrored.right_share is not None:
        mirrored = replace(mirrored, right_share=1.0 - mirrored.right_share)
    return mean_scores([scored, mirrored])


def mean_scores(scored: Sequence[MatchScores]) -> MatchScores:
    """The mean of scores of the same frames of one match; a right share is the mean by score of those that have one.

    Where a head has no support (windows that stop early) the others alone are averaged. Raises ValueError where the
    frames are not the same.
    """
    first = scored[0]
    if any(not np.array_equal(other.frame_index, first.frame_index) for other in scored):
        raise ValueError("scores of different frames have no mean")
    scores = np.asarray(np.mean([head.scores for head in scored], axis=0, dtype=np.float64))
    support = np.array([head.support for head in scored])  # (heads, n)
    partial = (support == 0).any(axis=0)
    if partial.any():
        n_heads = np.maximum((support[:, partial] > 0).sum(axis=0), 1)
        scores[partial] *= len(scored) / n_heads[:, None]
    sided = [head for head in scored if head.right_share is not None]
    right_share = None
    if sided:
        right = np.sum([head.scores * head.right_share for head in sided], axis=0)
        total = np.sum([head.scores for head in sided], axis=0)
        right_share = np.divide(right, total, out=np.full_like(total, 0.5), where=total > 0).astype(np.float32)
    return MatchScores(first.frame_index, scores.astype(np.float32), support.max(axis=0), right_share)


def sides_of(head: SpottingHead, config: Config) -> Sides:
    """How a head speaks of teams: "none"; "shared", the score of a class is that of its left plus that of its right;
    or "apart", either side has a score of its own, and the higher one counts.
    """
    if head.team_layer is None and not head.sided:
        return "none"
    is_apart = config.prediction.team_scores == "apart" or (head.sided and is_sigmoid(config.loss.class_loss))
    return "apart" if is_apart else "shared"


def placed_scores(head: SpottingHead, frames: Tensor, grid: ClipGrid, config: Config) -> Tensor:
    """The scores of clips (B, T, D) at their frames, (B, T, K); left and right classes apart where there are teams."""
    output, class_loss = head(frames), config.loss.class_loss
    shared = sides_of(head, config) == "shared"
    scores = probabilities(output, class_loss)
    return place_scores(scores, output.offsets, grid, merge=config.prediction.merge, shared=shared)


def match_scores(scores: np.ndarray, frame_index: np.ndarray, support: np.ndarray, *, sides: Sides) -> MatchScores:
    """What mean scores (n, K) of frames say; (n, 2 K), the left team's classes first, where there are ``sides``."""
    right_share = None
    if sides != "none":
        left, right = np.split(scores, 2, axis=1)
        scores = np.maximum(left, right) if sides == "apart" else left + right
        both = left + right
        right_share = np.divide(right, both, out=np.full_like(both, 0.5), where=both > 0).astype(np.float32)
    return MatchScores(frame_index, scores.astype(np.float32), support, right_share)


def probabilities(output: HeadOutput, class_loss: ClassLoss) -> Tensor:
    """Of every token the probability of each class, (B, N, K), background left out; with team logits (B, N, 2 K).

    Those are the left team's share of every class, then the right's.
    """
    logits = output.class_logits.float()
    of_classes = logits[..., 1:].sigmoid() if is_sigmoid(class_loss) else logits.softmax(-1)[..., 1:]
    if output.team_logits is None:
        return of_classes
    right = output.team_logits.float().sigmoid()[..., None]
    return torch.cat([of_classes * (1.0 - right), of_classes * right], dim=-1)
