"""Where the labels of matches that are labelled in part are known, and where nobody has decided."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ...evaluate.dataset import LabelArrays
from ..config import ClipGrid
from ..features import MatchRows, ResidentFeatures
from .gather import ClipStarts, clip_places

Stretch = tuple[int, int]  # ms, from the first to behind the last


@dataclass(frozen=True)
class DecidedRows:
    """Which rows of the training matches somebody has decided on: ``rows`` bool (R,), one view's, on the CPU.

    What lies elsewhere is neither an event nor background, and nothing is learned from it.
    """

    rows: Tensor

    @classmethod
    def of(
        cls, stretches: Mapping[str, Sequence[Stretch]], matches: Sequence[MatchRows], frame_spacing: int
    ) -> "DecidedRows":
        """The rows in the stretches of each match, by name; all of a match that has no entry."""
        rows = torch.ones(sum(match.n_rows for match in matches), dtype=torch.bool)
        for match in matches:
            if match.name not in stretches:
                continue
            own = rows[match.first_row : match.first_row + match.n_rows]
            own[:] = False
            for start_ms, end_ms in stretches[match.name]:
                first = match.axis.frame_of(max(start_ms, 0))
                last = match.axis.frame_of(end_ms - 1)
                own[first // frame_spacing : last // frame_spacing + 1] = True
        return cls(rows)

    def labels(self, labels: LabelArrays, match: MatchRows, frame_spacing: int) -> LabelArrays:
        """The labels of a match that lie where somebody has decided; all of them where they are what was decided."""
        row = np.minimum(labels.frame_index // frame_spacing, match.n_rows - 1)
        kept = self.rows.numpy()[match.first_row + row]
        columns = {name: getattr(labels, name)[kept] for name in ("frame_index", "label_index", "team", "visible")}
        return replace(labels, **columns)

    def n_grid_frames(self, matches: Sequence[MatchRows], grid: ClipGrid) -> int:
        """How many frames of the clip grid are decided."""
        counts = (int(self.rows[one.first_row : one.first_row + one.n_rows].sum()) for one in matches)
        return sum(-(-count // grid.row_stride) for count in counts)

    def starts(self, matches: Sequence[MatchRows], ranges: Tensor, grid: ClipGrid) -> Tensor:
        """Of all starts of all matches, in the ``ranges`` (matches, 2) of each, those whose clip holds a decided row.

        bool (starts,), the matches one after another.
        """
        found = []
        for match, (low, high) in zip(matches, ranges.tolist(), strict=True):
            own = self.rows[match.first_row : match.first_row + match.n_rows]
            before = torch.cat([own.new_zeros(1, dtype=torch.int64), own.long().cumsum(0)])
            start = torch.arange(low, high + 1)
            end = (start + grid.n_rows).clamp(0, match.n_rows)
            found.append(before[end] > before[start.clamp(0, match.n_rows)])
        return torch.cat(found)

    def tokens(self, features: ResidentFeatures, clips: ClipStarts, grid: ClipGrid) -> Tensor:
        """Which tokens of the clips are decided, bool (B, N), where the clips lie: those whose frame is.

        A frame before the first or behind the last of its match counts as the first or last one.
        """
        place, _ = clip_places(features, ClipStarts(clips.match_index, clips.start_row), grid)
        return self.rows.to(place.device, non_blocking=True)[place[:, :: grid.temporal_stride]]
