"""The scores of overlapping clips of one video, merged as the system does it."""

import numpy as np

from ..config import Procedure
from ..prediction import MatchScores, Sides, match_scores
from .placing import PlacedClip


class MergedClips:
    """Sums over clips and what they are divided by, of a video of ``n_rows`` rows."""

    def __init__(self, procedure: Procedure, n_rows: int, *, n_columns: int) -> None:
        self.procedure = procedure
        self.total = np.zeros((n_rows, n_columns))
        self.support = np.zeros(n_rows, dtype=np.int64)

    def add(self, start: int, clip: PlacedClip) -> None:
        """A clip whose first row is ``start``; what lies outside the video is dropped."""
        scores = clip.scores.cpu().numpy()
        first, stop = max(start, 0), min(start + len(scores), len(self.total))
        if first >= stop:
            return
        inside = slice(first - start, stop - start)
        counts = clip.counts.cpu().numpy() if self.procedure.count == "placed" else np.ones(len(scores), dtype=bool)
        self.total[first:stop] += scores[inside]
        self.support[first:stop] += counts[inside]

    def scores(self, sides: Sides) -> MatchScores:
        """The scores of every row; a row that nothing was placed at has none."""
        mean = self.total / np.maximum(self.support, 1)[:, None]
        frame_index = np.arange(len(mean), dtype=np.int64) * self.procedure.stride
        return match_scores(mean, frame_index, self.support, sides=sides)
