"""Scores of a whole match: windows over all of it in batches, offsets placed, overlapping windows averaged."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...cache.stores import FLIPPED_VIEW
from ..clips import ClipStarts, gather_clips
from ..config import ClassLoss, Config
from ..features import ResidentFeatures
from ..heads import HeadOutput, SpottingHead
from .offsets import place_scores
from .windows import kept_frames, match_windows, window_step

Sides = Literal["none", "shared", "apart"]


@dataclass(frozen=True)
class Prediction:
    """How a match is scored: windows, phases, coverage and merging, as the `prediction` section describes them."""

    clip_frames: int
    clip_stride: int
    temporal_stride: int
    class_loss: ClassLoss = "cross-entropy"
    window_overlap: float = 0.5
    centre_share: float = 1.0
    window_batch_clips: int = 64
    phases: Literal["all", "one"] = "all"
    coverage: Literal["every-frame", "stop-early"] = "every-frame"
    flip_average: bool = False
    merge: Literal["sum", "maximum"] = "sum"


def prediction_of(config: Config) -> Prediction:
    """How the configuration says that matches are scored."""
    section = config.prediction
    return Prediction(
        clip_frames=config.clips.clip_frames,
        clip_stride=config.clips.clip_stride,
        temporal_stride=config.head.temporal_stride,
        class_loss=config.loss.class_loss,
        window_overlap=section.window_overlap,
        centre_share=section.centre_share,
        window_batch_clips=section.window_batch_clips,
        phases=section.phases,
        coverage=section.coverage,
        flip_average=section.flip_average,
        merge=section.merge,
    )


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


def score_match(head: SpottingHead, features: ResidentFeatures, match_index: int, how: Prediction) -> MatchScores:
    """The scores of one match of ``features``.

    A frame's scores are what the windows that count there placed there, summed and divided by the number of those
    windows. With a clip_stride above 1 every phase of the frames is predicted, so that each frame has scores of its
    own; ``phases`` "one" predicts frames 0, clip_stride, ... only and returns just these. ``flip_average`` takes the
    mean of the picture and its mirror image, whose left is our right; ``features`` must have that view.
    """
    scored = _score_view(head, features, match_index, how, view_index=0)
    if how.flip_average:
        mirrored = _score_view(head, features, match_index, how, view_index=features.views.index(FLIPPED_VIEW))
        scored = mean_of_views(scored, mirrored)
    require_finite(scored, features.matches[match_index].name)
    return scored


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


def mean_scores(every: Sequence[MatchScores]) -> MatchScores:
    """The mean of scores of the same frames of one match; a right share is the mean by score of those that have one.

    Where a head has no support (windows that stop early) the others alone are averaged. Raises ValueError where the
    frames are not the same.
    """
    first = every[0]
    if any(not np.array_equal(one.frame_index, first.frame_index) for one in every):
        raise ValueError("scores of different frames have no mean")
    scores = np.asarray(np.mean([one.scores for one in every], axis=0, dtype=np.float64))
    support = np.array([one.support for one in every])  # (heads, n)
    partial = (support == 0).any(axis=0)
    if partial.any():
        n_heads = np.maximum((support[:, partial] > 0).sum(axis=0), 1)
        scores[partial] *= len(every) / n_heads[:, None]
    sided = [one for one in every if one.right_share is not None]
    right_share = None
    if sided:
        right = np.sum([one.scores * one.right_share for one in sided], axis=0)
        total = np.sum([one.scores for one in sided], axis=0)
        right_share = np.divide(right, total, out=np.full_like(total, 0.5), where=total > 0).astype(np.float32)
    return MatchScores(first.frame_index, scores.astype(np.float32), support.max(axis=0), right_share)


@torch.inference_mode()
def _score_view(
    head: SpottingHead, features: ResidentFeatures, match_index: int, how: Prediction, *, view_index: int
) -> MatchScores:
    was_training = head.training
    head.eval()
    row_stride = features.row_stride(how.clip_stride)
    n_rows = features.matches[match_index].n_rows
    starts = match_windows(
        n_rows,
        clip_frames=how.clip_frames,
        row_stride=row_stride,
        overlap=how.window_overlap,
        phases=how.phases,
        coverage=how.coverage,
    )
    kept = kept_frames(
        starts,
        n_rows,
        clip_frames=how.clip_frames,
        row_stride=row_stride,
        step=window_step(how.clip_frames, how.window_overlap),
        share=how.centre_share,
    )
    device = features.device
    reach = torch.arange(how.clip_frames, device=device) * row_stride  # (T,)
    n_slots = max(n_rows, int(starts.max()) + 1 if len(starts) else 0) + how.clip_frames * row_stride
    sides = sides_of(head, how.class_loss)
    total = torch.zeros(n_slots, head.n_labels if sides == "none" else 2 * head.n_labels, device=device)
    support = torch.zeros(n_slots, dtype=torch.int64, device=device)
    for first in range(0, len(starts), how.window_batch_clips):
        part = slice(first, first + how.window_batch_clips)
        batch = torch.from_numpy(starts[part])
        counts = torch.from_numpy(kept[part]).to(device)  # (B, T)
        clips = ClipStarts(torch.full_like(batch, match_index), batch, torch.full_like(batch, view_index))
        frames = gather_clips(features, clips, clip_frames=how.clip_frames, row_stride=row_stride)  # (B, T, D)
        placed = placed_scores(head, frames, how)
        slot = (batch.to(device)[:, None] + reach).flatten()  # (B * T,)
        total.index_add_(0, slot, (placed * counts[..., None]).flatten(0, 1))
        support.index_add_(0, slot, counts.flatten().long())
    head.train(was_training)
    rows = np.arange(0, n_rows, 1 if how.phases == "all" else row_stride)
    support = support[:n_rows].cpu().numpy()[rows]
    scores = total[:n_rows].cpu().numpy()[rows] / np.maximum(support, 1)[:, None]
    return match_scores(scores, rows * features.frame_spacing, support, sides=sides)


def sides_of(head: SpottingHead, class_loss: ClassLoss) -> Sides:
    """How a head speaks of teams: "none"; "shared", the score of a class is that of its left plus that of its right;
    or "apart", either side has a score of its own, and the higher one counts.
    """
    if head.team_layer is None and not head.sided:
        return "none"
    return "apart" if head.sided and class_loss == "sigmoid" else "shared"


def placed_scores(head: SpottingHead, frames: Tensor, how: Prediction) -> Tensor:
    """The scores of clips (B, T, D) at their frames, (B, T, K); left and right classes apart where there are teams."""
    output = head(frames)
    return place_scores(
        probabilities(output, how.class_loss),
        output.offsets,
        clip_frames=how.clip_frames,
        temporal_stride=how.temporal_stride,
        merge=how.merge,
        shared=sides_of(head, how.class_loss) == "shared",
    )


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
    each = logits[..., 1:].sigmoid() if class_loss == "sigmoid" else logits.softmax(-1)[..., 1:]
    if output.team_logits is None:
        return each
    right = output.team_logits.float().sigmoid()[..., None]
    return torch.cat([each * (1.0 - right), each * right], dim=-1)
