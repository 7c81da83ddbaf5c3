"""Scores of a match while its features arrive: windows are scored as soon as they are whole, and then forgotten.

The windows, and what is kept of each, are those of `score_match`, so the scores are the same to the rounding of sums.
Memory holds the rows that some window still needs, whatever the length of the video.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from ..heads import SpottingHead
from .score import MatchScores, Prediction, Sides, match_scores, placed_scores, sides_of
from .windows import kept_frames, phase_lengths, window_step


@dataclass(frozen=True)
class _Window:
    """A window that can be scored: its first row, and which of its frames count, bool (T,)."""

    start: int
    counts: np.ndarray


class ScoreStream:
    """One head over one view of one match, fed row by row; ``push`` and ``finish`` give the scores that are final.

    ``frame_spacing`` source frames lie between rows. The parts that come back follow one another without a gap, from
    row 0 on, and together they are what `score_match` gives of that view.
    """

    def __init__(
        self, head: SpottingHead, how: Prediction, *, row_stride: int, frame_spacing: int, device: torch.device
    ) -> None:
        self.head, self.how, self.device = head.eval(), how, device
        self.row_stride, self.frame_spacing = row_stride, frame_spacing
        self.step = window_step(how.clip_frames, how.window_overlap)
        self.reach = how.clip_frames * row_stride  # rows from a window's first to behind its last
        self.sides: Sides = sides_of(head, how.class_loss)
        self.n_rows, self.first_row, self.given = 0, 0, 0
        self.next_window = [0] * (row_stride if how.phases == "all" else 1)  # of each phase
        self.rows: Tensor | None = None  # from first_row on
        n_columns = head.n_labels if self.sides == "none" else 2 * head.n_labels
        self.total = torch.zeros(0, n_columns, device=device)  # from `given` on
        self.support = torch.zeros(0, dtype=torch.int64, device=device)

    @property
    def look_ahead_rows(self) -> int:
        """How many rows past a row must have come, at most, until its score is final."""
        return self.reach

    def push(self, rows: Tensor) -> MatchScores:
        """Takes the next rows (n, D) and gives the scores that no later row can change."""
        rows = rows.to(self.device)
        self.rows = rows if self.rows is None else torch.cat([self.rows, rows])
        self.n_rows += len(rows)
        self._grow(self.n_rows)
        self._score(self._whole_windows())
        spacing = 1 if self.how.phases == "all" else self.row_stride
        return self._give(self._settled() // spacing * spacing)

    def finish(self) -> MatchScores:
        """The scores of the rows that are left, once there are no more."""
        self._score(self._last_windows())
        return self._give(self.n_rows)

    def _start_of(self, phase: int, number: int) -> int:
        return phase + self.row_stride * self.step * number

    def _whole_windows(self) -> list[_Window]:
        """Windows that are complete and that later rows make no last ones of."""
        # What must be there: the next row of the window's phase, or, stopping early, another whole clip.
        wanted = self.reach if self.how.coverage == "every-frame" else 2 * self.reach - self.row_stride
        found = []
        for phase, number in enumerate(self.next_window):
            while self._start_of(phase, number) + wanted < self.n_rows:
                found.append(self._start_of(phase, number))
                number += 1
            self.next_window[phase] = number
        return self._windows(found, n_rows=None)

    def _last_windows(self) -> list[_Window]:
        """The last window of each phase, moved back so that it ends with the match."""
        if self.how.coverage == "stop-early":
            return []
        lengths = phase_lengths(self.n_rows, self.row_stride)[: len(self.next_window)]
        starts = [
            phase + self.row_stride * max(length - self.how.clip_frames, 0)
            for phase, length in enumerate(lengths)
            if length
        ]
        return self._windows(starts, n_rows=self.n_rows)

    def _windows(self, starts: Sequence[int], *, n_rows: int | None) -> list[_Window]:
        """With what counts of each; ``n_rows`` None says that none of them ends the match."""
        if not starts:
            return []
        at = np.asarray(starts, dtype=np.int64)
        counts = kept_frames(
            at,
            int(at.max()) + self.reach + 1 if n_rows is None else n_rows,
            clip_frames=self.how.clip_frames,
            row_stride=self.row_stride,
            step=self.step,
            share=self.how.centre_share,
        )
        return [_Window(start, kept) for start, kept in zip(starts, counts, strict=True)]

    @torch.inference_mode()
    def _score(self, windows: Sequence[_Window]) -> None:
        if self.rows is None or not windows:
            return
        reach = torch.arange(self.how.clip_frames, device=self.device) * self.row_stride  # (T,)
        self._grow(max(window.start for window in windows) + self.reach)
        for first in range(0, len(windows), self.how.window_batch_clips):
            part = windows[first : first + self.how.window_batch_clips]
            starts = torch.tensor([window.start for window in part], device=self.device)
            place = starts[:, None] + reach - self.first_row  # (B, T)
            inside = place < len(self.rows)
            frames = self.rows[place.clamp(max=len(self.rows) - 1)].float() * inside[..., None]  # (B, T, D)
            counts = torch.from_numpy(np.stack([window.counts for window in part])).to(self.device)
            slot = (starts[:, None] + reach - self.given).flatten()  # (B * T,)
            placed = placed_scores(self.head, frames, self.how)
            self.total.index_add_(0, slot, (placed * counts[..., None]).flatten(0, 1))
            self.support.index_add_(0, slot, counts.flatten().long())

    def _grow(self, n_rows: int) -> None:
        """Room for the scores of rows up to ``n_rows``."""
        more = n_rows - self.given - len(self.total)
        if more > 0:
            self.total = torch.cat([self.total, self.total.new_zeros(more, self.total.shape[1])])
            self.support = torch.cat([self.support, self.support.new_zeros(more)])

    def _settled(self) -> int:
        """The first row that a window which is still to come may read or change."""
        if self.how.coverage == "stop-early":
            return min(self._start_of(phase, number) for phase, number in enumerate(self.next_window))
        # A window that was not scored yet, the last of its phase included, ends behind the newest row.
        return max(self.n_rows - self.reach, 0)

    def _give(self, stop: int) -> MatchScores:
        """Scores of the rows up to ``stop`` that were not given yet; rows that no window needs any more are dropped."""
        spacing = 1 if self.how.phases == "all" else self.row_stride
        rows = np.arange(self.given, stop, spacing)
        n_new = max(stop - self.given, 0)
        support = self.support[:n_new:spacing].cpu().numpy()
        scores = self.total[:n_new:spacing].cpu().numpy() / np.maximum(support, 1)[:, None]
        self.total, self.support = self.total[n_new:], self.support[n_new:]
        self.given += n_new
        if self.rows is not None:
            n_past = max(min(self._settled(), self.n_rows) - self.first_row, 0)
            self.rows = self.rows[n_past:]
            self.first_row += n_past
        return match_scores(scores, rows * self.frame_spacing, support, sides=self.sides)


def joined(parts: Sequence[MatchScores]) -> MatchScores:
    """The parts of one match, which follow one another, as one."""
    sided = [part.right_share for part in parts if part.right_share is not None]
    return replace(
        parts[0],
        frame_index=np.concatenate([part.frame_index for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        support=np.concatenate([part.support for part in parts]),
        right_share=np.concatenate(sided) if sided else None,
    )
