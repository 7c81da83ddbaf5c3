"""Scores of a whole match: windows over all of it in batches, offsets placed, overlapping windows averaged."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from .clips import ClipStarts, gather_clips
from .config import Config
from .features import ResidentFeatures
from .heads import SpottingHead
from .placing import place_scores
from .windows import match_windows


@dataclass(frozen=True)
class Prediction:
    """How a match is scored: windows, phases, coverage and merging, as the `prediction` section describes them."""

    clip_frames: int
    clip_stride: int
    temporal_stride: int
    window_overlap: float = 0.5
    window_batch_clips: int = 64
    phases: Literal["all", "one"] = "all"
    coverage: Literal["every-frame", "stop-early"] = "every-frame"
    merge: Literal["sum", "maximum"] = "sum"


def prediction_of(config: Config) -> Prediction:
    """How the configuration says that matches are scored."""
    section = config.prediction
    return Prediction(
        clip_frames=config.clips.clip_frames,
        clip_stride=config.clips.clip_stride,
        temporal_stride=config.head.temporal_stride,
        window_overlap=section.window_overlap,
        window_batch_clips=section.window_batch_clips,
        phases=section.phases,
        coverage=section.coverage,
        merge=section.merge,
    )


@dataclass(frozen=True)
class MatchScores:
    """Scores of one match: ``scores`` float32 (n, K) without background, ``frame_index`` int64 (n,) of its video.

    ``support`` int64 (n,): how many windows saw the frame; every one at least 1 unless coverage stops early.
    """

    frame_index: np.ndarray
    scores: np.ndarray
    support: np.ndarray


@torch.inference_mode()
def score_match(head: SpottingHead, features: ResidentFeatures, match_index: int, how: Prediction) -> MatchScores:
    """The scores of one match of ``features``.

    A frame's scores are what the windows that see it placed there, summed and divided by the number of those windows.
    With a clip_stride above 1 every phase of the frames is predicted, so that each frame has scores of its own;
    ``phases`` "one" predicts frames 0, clip_stride, ... only and returns just these.
    """
    was_training = head.training
    head.eval()
    row_stride = features.row_stride(how.clip_stride)
    n_rows = features.matches[match_index].n_rows
    starts = torch.from_numpy(
        match_windows(
            n_rows,
            clip_frames=how.clip_frames,
            row_stride=row_stride,
            overlap=how.window_overlap,
            phases=how.phases,
            coverage=how.coverage,
        )
    )
    device = features.rows.device
    reach = torch.arange(how.clip_frames, device=device) * row_stride  # (T,)
    n_slots = max(n_rows, int(starts.max()) + 1 if len(starts) else 0) + how.clip_frames * row_stride
    total = torch.zeros(n_slots, head.n_labels, device=device)
    support = torch.zeros(n_slots, dtype=torch.int64, device=device)
    # A short match whose coverage stops early has no window at all.
    for batch in starts.split(how.window_batch_clips) if len(starts) else ():
        clips = ClipStarts(torch.full_like(batch, match_index), batch)
        frames = gather_clips(features, clips, clip_frames=how.clip_frames, row_stride=row_stride)  # (B, T, D)
        output = head(frames)
        probabilities = output.class_logits.float().softmax(-1)[..., 1:]  # (B, N, K)
        placed = place_scores(
            probabilities,
            output.offsets,
            clip_frames=how.clip_frames,
            temporal_stride=how.temporal_stride,
            merge=how.merge,
        )  # (B, T, K)
        slot = (batch.to(device)[:, None] + reach).flatten()  # (B * T,)
        total.index_add_(0, slot, placed.flatten(0, 1))
        support.index_add_(0, slot, torch.ones_like(slot))
    head.train(was_training)
    rows = np.arange(0, n_rows, 1 if how.phases == "all" else row_stride)
    support = support[:n_rows].cpu().numpy()[rows]
    scores = total[:n_rows].cpu().numpy()[rows] / np.maximum(support, 1)[:, None]
    return MatchScores(rows * features.frame_spacing, scores.astype(np.float32), support)
