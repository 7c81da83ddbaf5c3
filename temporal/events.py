"""The labelled events of all training matches in one table, looked up for whole batches of clips at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..evaluate.labels import LabelArrays
from .clips import ClipStarts
from .features import MatchRows

MATCH_SPAN = 2**40  # keeps the frames of different matches apart on one line of sorted numbers


@dataclass(frozen=True)
class EventTable:
    """Events of all matches sorted by match and frame.

    ``key`` int64 (E,) is match * MATCH_SPAN + frame, ``label_index`` int64 (E,) counts classes from 0, ``counts``
    int64 (K,) events of each class, ``priority`` int64 (K,) 1 for the most frequent class .. K for the rarest.
    """

    key: Tensor
    label_index: Tensor
    counts: Tensor
    priority: Tensor

    @property
    def n_labels(self) -> int:
        return len(self.counts)


@dataclass(frozen=True)
class ClipEvents:
    """The events inside each clip of a batch, padded to the most that any has.

    ``relative`` int64 (B, M): source frames since the clip's start; ``label_index`` int64 (B, M); ``inside`` bool
    (B, M), False where a clip has fewer events. Sorted by time within a clip.
    """

    relative: Tensor
    label_index: Tensor
    inside: Tensor


def event_table(labels: Sequence[LabelArrays], *, n_labels: int, device: torch.device | str = "cpu") -> EventTable:
    """The table of matches in the order of the resident features."""
    keys = [arrays.frame_index + index * MATCH_SPAN for index, arrays in enumerate(labels)]
    key = np.concatenate([np.zeros(0, np.int64), *keys]).astype(np.int64)
    label_index = np.concatenate([np.zeros(0, np.int64), *(arrays.label_index for arrays in labels)]).astype(np.int64)
    counts = np.bincount(label_index, minlength=n_labels)
    by_count = np.argsort(-counts, kind="stable")  # of equally rare classes the later one wins
    priority = np.empty(n_labels, np.int64)
    priority[by_count] = np.arange(1, n_labels + 1)
    return EventTable(*(torch.from_numpy(array).to(device) for array in (key, label_index, counts, priority)))


def clip_events(table: EventTable, clips: ClipStarts, *, frame_spacing: int, span: int) -> ClipEvents:
    """The events of each clip, which covers ``span`` source frames from its start."""
    device = table.key.device
    start = clips.start_row.to(device) * frame_spacing + clips.match_index.to(device) * MATCH_SPAN  # (B,)
    first = torch.searchsorted(table.key, start)
    count = torch.searchsorted(table.key, start + span) - first  # (B,)
    most = int(count.max()) if len(count) else 0
    column = torch.arange(most, device=device)
    inside = column < count[:, None]  # (B, M)
    place = (first[:, None] + column).clamp(max=max(len(table.key) - 1, 0))
    if not len(table.key):
        empty = place.new_zeros(len(clips), 0)
        return ClipEvents(empty, empty, empty.bool())
    return ClipEvents(table.key[place] - start[:, None], table.label_index[place], inside)


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
