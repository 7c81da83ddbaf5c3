"""Scores of a match, whole or while its rows arrive: windows over it in batches, overlapping windows averaged.

A window is scored as soon as it is whole and then forgotten, so that memory holds the rows that some window still
needs, whatever the length of the video. Rows that come all at once are batched differently from rows that come piece by
piece; scores differ by the rounding of sums, and nothing else.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ...cache.code import is_reference
from ...cache.stores import FLIPPED_VIEW
from ..config import ClipGrid, Config, prediction_views
from ..features import ResidentFeatures, gather_rows
from ..heads import SpottingHead
from .score import MatchScores, Sides, match_scores, mean_of_views, placed_scores, require_finite, sides_of
from .windows import kept_frames, match_windows, window_step


def score_match(head: SpottingHead, features: ResidentFeatures, match_index: int, config: Config) -> MatchScores:
    """The scores of one match of ``features``.

    A frame's scores are what the windows that count there placed there, summed and divided by the number of those
    windows. With a clip_stride above 1 every phase of the frames is predicted, so that each frame has scores of its
    own; ``phases`` "one" predicts frames 0, clip_stride, ... only and returns just these. ``flip_average`` takes the
    mean of the picture and its mirror image, whose left is our right; ``features`` must have that view.
    """
    was_training = head.training
    stream = ScoreStream(head, config, frame_spacing=features.frame_spacing, device=features.device)
    rows = {view: features.match_rows(match_index, features.views.index(view)) for view in prediction_views(config)}
    stream.add(rows)
    scored = stream.finish()
    head.train(was_training)
    require_finite(scored, features.matches[match_index].name)
    return scored


Mapper = Callable[[Callable[..., Tensor], Iterable[tuple[Tensor, ...]]], Iterable[Tensor]]


@contextmanager
def side_by_side(head: SpottingHead, config: Config, *, n_batches: int) -> Iterator[Mapper]:
    """A `map` over batches, in their order. On a CPU every thread of torch's computes batches of its own.

    The parts of a head are too small for threads to share them: two threads on one batch take nearly as long as one.
    The numbers are those of one thread, however many there are. Own code may keep what it likes between calls, so it is
    called by one thread.
    """
    n_threads = min(torch.get_num_threads(), n_batches)
    if n_threads < 2 or next(head.parameters()).device.type != "cpu" or is_reference(config.head.kind):
        yield map
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # a thread that begins takes this for its own number
    try:
        with ThreadPoolExecutor(n_threads) as pool:
            yield pool.map
    finally:
        torch.set_num_threads(before)


class ScoreStream:
    """One head over the views of one match, fed row by row; ``push`` and ``finish`` give the scores that are final.

    ``frame_spacing`` source frames lie between rows. The parts that come back follow one another without a gap, from
    row 0 on.
    """

    def __init__(self, head: SpottingHead, config: Config, *, frame_spacing: int, device: torch.device) -> None:
        self.head, self.config, self.device = head.eval(), config, device
        self.grid = ClipGrid.of(config, frame_spacing)
        self.sides: Sides = sides_of(head, config)
        n_phases = self.grid.row_stride if config.prediction.phases == "all" else 1
        self.n_scored = [0] * n_phases  # windows of each phase
        self.n_rows, self.first_row, self.given = 0, 0, 0
        n_columns = head.n_labels if self.sides == "none" else 2 * head.n_labels
        views = prediction_views(config)
        self.rows: dict[str, Tensor] = {}  # of each view, from first_row on
        self.total = {view: torch.zeros(0, n_columns, device=device) for view in views}  # from `given` on
        self.support = torch.zeros(0, dtype=torch.int64)

    @property
    def look_ahead_rows(self) -> int:
        """How many rows past a row must have come, at most, until its score is final."""
        return self.grid.n_rows

    def add(self, rows: Mapping[str, Tensor]) -> None:
        """Takes the next rows (n, D) of every view."""
        self.rows = {view: torch.cat([self.rows[view], rows[view]]) if self.rows else rows[view] for view in self.total}
        self.n_rows += len(next(iter(rows.values())))

    def push(self, rows: Mapping[str, Tensor]) -> MatchScores:
        """Takes the next rows (n, D) of every view and gives the scores that no later row can change."""
        self.add(rows)
        self._score(self._due(is_end=False))
        return self._give(self._settled() // self._spacing * self._spacing)

    def finish(self) -> MatchScores:
        """The scores of the rows that are left, once there are no more."""
        self._score(self._due(is_end=True))
        return self._give(self.n_rows)

    @property
    def _spacing(self) -> int:
        """Rows from one with scores to the next."""
        return 1 if self.config.prediction.phases == "all" else self.grid.row_stride

    def _due(self, *, is_end: bool) -> np.ndarray:
        """The start rows of the windows that are whole and were not scored yet, phase by phase."""
        starts = match_windows(self.n_rows, self.grid, self.config.prediction, is_end=is_end)
        due = [of_phase[n_scored:] for of_phase, n_scored in zip(starts, self.n_scored, strict=True)]
        self.n_scored = [len(of_phase) for of_phase in starts]
        return np.concatenate(due)

    @torch.inference_mode()
    def _score(self, starts: np.ndarray) -> None:
        """Adds what the windows say to the sums of the rows that count in them."""
        self._grow(max(self.n_rows, int(starts.max(initial=0)) + self.grid.n_rows) - self.given)
        if not len(starts):
            return
        counted = torch.from_numpy(kept_frames(starts, self.n_rows, self.grid, self.config.prediction))  # (w, T)
        place = torch.from_numpy(starts)[:, None] + torch.arange(0, self.grid.n_rows, self.grid.row_stride)  # (w, T)
        outside = place >= self.n_rows
        self.support.index_add_(0, (place - self.given).flatten(), counted.flatten().long())
        size = self.config.prediction.window_batch_clips
        for view, total in self.total.items():
            batches = zip(place.split(size), outside.split(size), counted.split(size), strict=True)
            placed = partial(self._placed, self.rows[view], self.n_rows - 1)
            with side_by_side(self.head, self.config, n_batches=-(-len(starts) // size)) as each:
                for at, there in zip(place.split(size), each(placed, batches), strict=True):
                    row = (at - self.given).flatten().to(self.device, non_blocking=True)
                    total.index_add_(0, row, there.flatten(0, 1))

    @torch.inference_mode()
    def _placed(self, rows: Tensor, last: int, batch: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        """The scores of some windows at their frames, (B, T, K), 0 where they do not count."""
        at, beyond, counts = batch
        frames = gather_rows(rows, at.clamp(max=last) - self.first_row, beyond, device=self.device)  # (B, T, D)
        counted_there = counts.to(self.device, non_blocking=True)[..., None]
        return placed_scores(self.head, frames, self.grid, self.config) * counted_there

    def _grow(self, n_rows: int) -> None:
        """Room for the sums of ``n_rows`` rows."""
        more = n_rows - len(self.support)
        if more > 0:
            self.support = torch.cat([self.support, self.support.new_zeros(more)])
            self.total = {
                view: torch.cat([total, total.new_zeros(more, total.shape[1])]) for view, total in self.total.items()
            }

    def _settled(self) -> int:
        """The first row that a window which is still to come may read or change."""
        if self.config.prediction.coverage == "stop-early":
            step = window_step(self.grid.clip_frames, self.config.prediction.window_overlap)
            return min(phase + self.grid.row_stride * step * number for phase, number in enumerate(self.n_scored))
        # A window that was not scored yet, the last of its phase included, ends behind the newest row.
        return max(self.n_rows - self.grid.n_rows, 0)

    def _give(self, stop: int) -> MatchScores:
        """Scores of the rows up to ``stop`` that were not given yet; rows that no window needs any more are dropped."""
        frame_index = np.arange(self.given, stop, self._spacing) * self.grid.frame_spacing
        n_new = max(stop - self.given, 0)
        support = self.support[: n_new : self._spacing].numpy()
        scored = {}
        for view, total in self.total.items():
            scores = total[: n_new : self._spacing].cpu().numpy() / np.maximum(support, 1)[:, None]
            scored[view] = match_scores(scores, frame_index, support, sides=self.sides)
        self.total = {view: total[n_new:] for view, total in self.total.items()}
        self.support = self.support[n_new:]
        self.given += n_new
        n_past = max(min(self._settled(), self.n_rows) - self.first_row, 0)
        self.rows = {view: rows[n_past:] for view, rows in self.rows.items()}
        self.first_row += n_past
        mirrored = scored.pop(FLIPPED_VIEW, None)
        original = next(iter(scored.values()))
        return original if mirrored is None else mean_of_views(original, mirrored)
