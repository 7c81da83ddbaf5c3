"""The labelled events of all training matches in one table, looked up for whole batches of clips at once."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ...evaluate.dataset import LabelArrays
from ..config import ClipGrid
from ..features import MatchRows
from .gather import ClipStarts

MATCH_SPAN = 2**40  # keeps the frames of different matches apart on one line of sorted numbers


@dataclass(frozen=True)
class EventTable:
    """Events of all matches sorted by match and frame.

    ``key`` int64 (E,) is match * MATCH_SPAN + frame, ``label_index`` int64 (E,) counts classes from 0, ``team`` int64
    (E,) is 0 left, 1 right, -1 unknown, ``counts`` int64 (K,) events of each class, ``priority`` int64 (K,) 1 for the
    most frequent class .. K for the rarest. With ``sided`` classes K is twice the labels: first all of the left, then
    all of the right; an event of unknown team counts as the left's.
    """

    key: Tensor
    label_index: Tensor
    team: Tensor
    counts: Tensor
    priority: Tensor
    sided: bool = False

    @property
    def n_labels(self) -> int:
        return len(self.counts)

    def most_within(self, n_source_frames: int) -> int:
        """The most events that any stretch of so many source frames holds; asked of the device once a length."""
        if n_source_frames not in self._most:
            last = torch.searchsorted(self.key, self.key + n_source_frames)
            counts = last - torch.searchsorted(self.key, self.key)
            self._most[n_source_frames] = int(counts.max()) if len(counts) else 0
        return self._most[n_source_frames]

    @cached_property
    def _most(self) -> dict[int, int]:
        return {}


@dataclass(frozen=True)
class ClipEvents:
    """The events inside each clip of a batch, padded to the most that any has.

    ``relative`` int64 (B, M): source frames since the clip's start; ``label_index`` and ``team`` int64 (B, M), as in
    the table; ``inside`` bool (B, M), False where a clip has fewer events. Sorted by time within a clip.
    """

    relative: Tensor
    label_index: Tensor
    team: Tensor
    inside: Tensor


def event_table(
    labels: Sequence[LabelArrays], *, n_labels: int, sided: bool = False, device: torch.device | str = "cpu"
) -> EventTable:
    """The table of matches in the order of the resident features; ``sided`` gives each side classes of its own."""
    keys = [arrays.frame_index + index * MATCH_SPAN for index, arrays in enumerate(labels)]
    key = np.concatenate([np.zeros(0, np.int64), *keys]).astype(np.int64)
    label_index = np.concatenate([np.zeros(0, np.int64), *(arrays.label_index for arrays in labels)]).astype(np.int64)
    team = np.concatenate([np.zeros(0, np.int64), *(arrays.team for arrays in labels)]).astype(np.int64)
    if sided:
        label_index, n_labels = label_index + n_labels * (team == 1), 2 * n_labels
    counts = np.bincount(label_index, minlength=n_labels)
    by_count = np.argsort(-counts, kind="stable")  # of equally rare classes the later one wins
    priority = np.empty(n_labels, np.int64)
    priority[by_count] = np.arange(1, n_labels + 1)
    arrays = (key, label_index, team, counts, priority)
    return EventTable(*(torch.from_numpy(array).to(device) for array in arrays), sided=sided)


def clip_events(table: EventTable, clips: ClipStarts, grid: ClipGrid, *, flipped: Tensor | None = None) -> ClipEvents:
    """The events of each clip, up to where its last frame's successor would be.

    In the clips that ``flipped`` bool (B,) names, left and right have changed places; an event of unknown team stays.
    """
    device = table.key.device
    clips = clips.on(device)
    start = clips.start_row * grid.frame_spacing + clips.match_index * MATCH_SPAN  # (B,)
    first = torch.searchsorted(table.key, start)
    count = torch.searchsorted(table.key, start + grid.n_source_frames) - first  # (B,)
    # Elsewhere a bound, since the clips' own number would have to be waited for.
    on_cpu = device.type == "cpu"
    most = int(count.max()) if on_cpu and len(count) else 0 if on_cpu else table.most_within(grid.n_source_frames)
    column = torch.arange(most, device=device)
    inside = column < count[:, None]  # (B, M)
    place = (first[:, None] + column).clamp(max=max(len(table.key) - 1, 0))
    if not len(table.key):
        empty = place.new_zeros(len(clips), 0)
        return ClipEvents(empty, empty, empty, empty.bool())
    label_index, team = table.label_index[place], table.team[place]
    if flipped is not None:
        flipped = flipped.to(device, non_blocking=True)
        team = torch.where(flipped[:, None] & (team >= 0), 1 - team, team)
        if table.sided:
            n_labels = table.n_labels // 2
            other_side = (label_index + n_labels) % table.n_labels
            swapped = flipped[:, None] & (team >= 0)
            label_index = torch.where(swapped, other_side, label_index)
    return ClipEvents(table.key[place] - start[:, None], label_index, team, inside)


def redraw_times(labels: Sequence[LabelArrays], matches: Sequence[MatchRows], *, seed: int) -> list[LabelArrays]:
    """The same events at times that mean nothing: uniform over the frames of their match, no two at one frame.

    A control: what a head trained on these reaches is what one reaches without learning when events happen. The
    draw depends on the seed and on the match's place alone; every class keeps its count.
    """
    redrawn = []
    for index, (arrays, match) in enumerate(zip(labels, matches, strict=True)):
        generator = np.random.default_rng((seed, index))
        n_events = len(arrays.frame_index)
        frames = generator.choice(match.n_video_frames, n_events, replace=n_events > match.n_video_frames)
        order = np.argsort(frames, kind="stable")
        redrawn.append(
            LabelArrays(
                frame_index=frames[order].astype(np.int64),
                label_index=arrays.label_index[order],
                team=arrays.team[order],
                visible=arrays.visible[order],
                n_collisions=0,
                n_outside=arrays.n_outside,
            )
        )
    return redrawn
