"""Which clips an epoch draws: anywhere, or around anchors (events, or what an earlier head mistook for events)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...evaluate.dataset import LabelArrays
from ..config import ClipGrid, TrainingSection
from ..decoding import SavedScores, decode_scores
from ..features import MatchRows, ResidentFeatures
from .decided import DecidedRows
from .events import MATCH_SPAN, EventTable
from .gather import ClipStarts

MISTAKE_FLOOR = 0.1
MISTAKE_REACH_S = 0.5  # the metric's: a spot this near to an event of its class is no mistake


@dataclass(frozen=True)
class Anchors:
    """Rows to draw clips around: match_index and row int64 (a,), weight float64 (a,) in proportion to their chance.

    A clip's middle lies less than ``reach`` clip frames before its anchor, or up to so many after it: with half a clip
    for reach the anchor is anywhere within the clip. ``share`` of an epoch's clips is drawn so; with
    ``elsewhere`` the rest has its middle near none of them, else it is drawn from everywhere. With ``decided`` the rest
    is drawn among the clips that hold a row of it.
    """

    match_index: Tensor
    row: Tensor
    weight: Tensor
    reach: int
    share: float
    elsewhere: bool = False
    decided: DecidedRows | None = None

    @classmethod
    def nowhere(cls) -> "Anchors":
        """No anchors: clips are drawn everywhere alike."""
        none = torch.zeros(0, dtype=torch.int64)
        return cls(none, none, none.double(), reach=0, share=0.0)

    def among(self, decided: DecidedRows, matches: Sequence[MatchRows]) -> "Anchors":
        """Those at decided rows of the ``matches``; other clips are drawn among those that hold a decided row."""
        first = torch.tensor([match.first_row for match in matches])
        last = torch.tensor([match.first_row + match.n_rows - 1 for match in matches])
        kept = decided.rows[(first[self.match_index] + self.row).minimum(last[self.match_index])]
        columns = {name: getattr(self, name)[kept] for name in ("match_index", "row", "weight")}
        return replace(self, **columns, decided=decided)


def start_range(n_rows: int, grid: ClipGrid, *, pad_frames: int) -> tuple[int, int]:
    """The first and last start row of a clip that has at most ``pad_frames`` frames outside the match on either side.

    A match too short for that gets the starts at which a clip covers all of it.
    """
    before = -pad_frames * grid.row_stride
    last = n_rows - 1 - (grid.clip_frames - 1 - pad_frames) * grid.row_stride
    return min(before, last), max(before, last)


def draw_clips(
    features: ResidentFeatures,
    n_clips: int,
    grid: ClipGrid,
    *,
    pad_frames: int,
    generator: torch.Generator,
    anchors: Anchors | None = None,
) -> ClipStarts:
    """``n_clips`` clips in random order, drawn on the CPU; overlaps are allowed.

    Without ``anchors`` every allowed start of every match is equally likely. With several views each clip is read
    from any of them, equally likely.
    """
    ranges = torch.tensor([start_range(match.n_rows, grid, pad_frames=pad_frames) for match in features.matches])
    n_anchored = 0 if anchors is None or not len(anchors.row) else round(n_clips * anchors.share)
    free = None if anchors is None else _free_starts(features, ranges, grid, anchors)
    match_index, start_row = _anywhere(ranges, n_clips - n_anchored, generator, free)
    if anchors is not None and n_anchored:
        chosen = torch.multinomial(anchors.weight, n_anchored, replacement=True, generator=generator)
        reach = anchors.reach * grid.row_stride  # in rows, so that an anchor may lie between two frames of the clip
        shift = torch.randint(1 - reach, reach + 1, (n_anchored,), generator=generator) if reach else 0
        owner = anchors.match_index[chosen]
        start = anchors.row[chosen] + shift - _middle(grid)
        start = start.maximum(ranges[owner, 0]).minimum(ranges[owner, 1])
        order = torch.randperm(n_clips, generator=generator)
        match_index, start_row = torch.cat([match_index, owner])[order], torch.cat([start_row, start])[order]
    view_index = None
    if len(features.views) > 1:
        view_index = torch.randint(len(features.views), (n_clips,), generator=generator)
    return ClipStarts(match_index, start_row, view_index)


def event_anchors(table: EventTable, grid: ClipGrid, section: TrainingSection) -> Anchors:
    """Anchors at the events: all equally likely and clips close to them, or, where ``sampling`` is "class-balanced",
    all classes equally likely.

    A balanced clip has its event anywhere within it (Soares et al. 2022 draw near actions; class-balanced draws won
    the challenge of 2025).
    """
    balanced = section.sampling == "class-balanced"
    match_index, frame = table.key // MATCH_SPAN, table.key % MATCH_SPAN
    weight = torch.ones(len(frame), dtype=torch.float64)
    if balanced:
        weight = 1.0 / table.counts.cpu()[table.label_index.cpu()].double()
    return Anchors(
        match_index.cpu(),
        frame.cpu() // grid.frame_spacing,
        weight,
        reach=grid.clip_frames // 2 if balanced else section.near_frames,
        share=section.sampling_share,
        elsewhere=not balanced,
    )


def mistake_anchors(
    saved: Mapping[str, SavedScores],
    labels: Mapping[str, LabelArrays],
    features: ResidentFeatures,
    section: TrainingSection,
) -> Anchors:
    """Anchors at spots that other heads saw where no event of their class is near, in proportion to their score.

    ``saved`` and ``labels`` by match name, for the matches of ``features``; the scores must come from heads that were
    not trained on these matches, else there is little to find.
    """
    match_index, row, weight = [], [], []
    for index, match in enumerate(features.matches):
        scores = saved[match.name]
        window = round(2 * MISTAKE_REACH_S * float(match.fps) / max(scores.row_frames, 1))
        peaks = decode_scores(scores.scores, suppression="hard", nms_window=window, score_floor=MISTAKE_FLOOR)
        frame = scores.frame_index[peaks.row]
        near = np.abs(frame[:, None] - labels[match.name].frame_index) <= MISTAKE_REACH_S * float(match.fps)
        same = peaks.label_index[:, None] == labels[match.name].label_index
        mistaken = ~(near & same).any(axis=1)
        match_index.append(np.full(int(mistaken.sum()), index))
        row.append(frame[mistaken] // features.frame_spacing)
        weight.append(peaks.score[mistaken])
    columns = (torch.from_numpy(np.concatenate(column)) for column in (match_index, row, weight))
    return Anchors(*columns, reach=section.near_frames, share=section.sampling_share)


def _anywhere(ranges: Tensor, n_clips: int, generator: torch.Generator, free: Tensor | None) -> tuple[Tensor, Tensor]:
    """Clips among all starts of all matches, or among those at the places ``free`` of these."""
    counts = ranges[:, 1] - ranges[:, 0] + 1
    ends = counts.cumsum(0)
    if free is None:
        draw = torch.randint(int(ends[-1]), (n_clips,), generator=generator)
    else:
        draw = free[torch.randint(len(free), (n_clips,), generator=generator)]
    match_index = torch.searchsorted(ends, draw, right=True)
    return match_index, draw - (ends - counts)[match_index] + ranges[match_index, 0]


def _free_starts(features: ResidentFeatures, ranges: Tensor, grid: ClipGrid, anchors: Anchors) -> Tensor | None:
    """The places, among all starts of all matches, that clips without an anchor may have; None for all of them."""
    if not anchors.elsewhere and anchors.decided is None:
        return None
    ends = (ranges[:, 1] - ranges[:, 0] + 1).cumsum(0)
    given = torch.ones(int(ends[-1]), dtype=torch.bool)
    if anchors.decided is not None:
        given = anchors.decided.starts(features.matches, ranges, grid)
    if anchors.elsewhere:
        far = given & ~_near_starts(ranges, ends, grid, anchors)
        given = far if far.any() else given  # events everywhere: nowhere else to go
    return torch.nonzero(given).flatten()


def _near_starts(ranges: Tensor, ends: Tensor, grid: ClipGrid, anchors: Anchors) -> Tensor:
    """Of all starts of all matches, those whose clip has its middle within reach of an anchor: bool (starts,)."""
    reach = anchors.reach * grid.row_stride
    first_of = torch.cat([ends.new_zeros(1), ends[:-1]])  # the place of each match's first start
    low, high = ranges[anchors.match_index, 0], ranges[anchors.match_index, 1]
    start = anchors.row - _middle(grid)
    begin = (start - reach).maximum(low).minimum(high + 1) - low + first_of[anchors.match_index]
    end = (start + reach + 1).maximum(low).minimum(high + 1) - low + first_of[anchors.match_index]
    change = torch.zeros(int(ends[-1]) + 1, dtype=torch.int64)
    change.index_add_(0, begin, torch.ones_like(begin))
    change.index_add_(0, end, -torch.ones_like(end))
    return change.cumsum(0)[:-1] > 0


def _middle(grid: ClipGrid) -> int:
    """Rows from a clip's first to its middle frame."""
    return grid.clip_frames // 2 * grid.row_stride
