"""Scores of a match from several heads and views at once, while its features arrive."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from ...cache.stores import FLIPPED_VIEW, ORIGINAL
from ..config import DTYPES, prediction_views
from ..features import OF_MATCH, RowFile, Scaling, common_dims, fit_scaling_to, row_stride
from ..heads import Checkpoint, HeadDescription
from .score import MatchScores, mean_of_views, mean_scores, prediction_of
from .stream import ScoreStream, joined


class MatchStream:
    """The mean scores of all heads, as `predict` computes them from stored features, while the rows arrive."""

    def __init__(
        self,
        checkpoints: Sequence[Checkpoint],
        *,
        frame_spacing: int,
        device: torch.device,
        scalings: Sequence[Scaling | None],
    ) -> None:
        """``scalings``: what each head's features are scaled by, None as stored. They may be changed between pushes."""
        self.scalings = list(scalings)
        self._configs = [checkpoint.description.config for checkpoint in checkpoints]
        self._streams: list[dict[str, ScoreStream]] = []
        for checkpoint, config in zip(checkpoints, self._configs, strict=True):
            head = checkpoint.load(device)
            how, stride = prediction_of(config), row_stride(frame_spacing, config.clips.clip_stride)
            self._streams.append(
                {
                    view: ScoreStream(head, how, row_stride=stride, frame_spacing=frame_spacing, device=device)
                    for view in prediction_views(config)
                }
            )
        self._waiting: list[dict[str, list[MatchScores]]] = [
            {view: [] for view in of_views} for of_views in self._streams
        ]

    @property
    def look_ahead_rows(self) -> int:
        """How many rows past a row must have come, at most, until its score is final."""
        return max(stream.look_ahead_rows for of_views in self._streams for stream in of_views.values())

    def push(self, rows: Mapping[str, np.ndarray]) -> MatchScores:
        """Takes the next rows (n, D) of every view and gives the scores that no later row can change."""
        for index, of_views in enumerate(self._streams):
            dtype, scaling = DTYPES[self._configs[index].clips.resident_dtype], self.scalings[index]
            for view, stream in of_views.items():
                given = torch.from_numpy(np.array(rows[view])).to(dtype)
                if scaling is not None:
                    scaling.apply(given)
                self._waiting[index][view].append(stream.push(given))
        return self._ready()

    def finish(self) -> MatchScores:
        """The scores of the rows that are left, once there are no more."""
        for index, of_views in enumerate(self._streams):
            for view, stream in of_views.items():
                self._waiting[index][view].append(stream.finish())
        return self._ready()

    def _ready(self) -> MatchScores:
        """The mean over views and heads of what all of them have by now."""
        whole = [{view: joined(parts) for view, parts in of_views.items()} for of_views in self._waiting]
        n_rows = min(len(scores.frame_index) for of_views in whole for scores in of_views.values())
        every = []
        for index, of_views in enumerate(whole):
            self._waiting[index] = {view: [scores.part(n_rows)] for view, scores in of_views.items()}
            scored = [scores.part(0, n_rows) for scores in of_views.values()]
            every.append(mean_of_views(*scored) if len(scored) > 1 else scored[0])
        return mean_scores(every)


def scalings_of(checkpoints: Sequence[Checkpoint], rows: RowFile | None) -> list[Scaling | None]:
    """What each head's features are scaled by: the run's own numbers, or those of the whole match in ``rows``."""
    return [
        _of_match(checkpoint.description, rows) if needs_whole_match([checkpoint]) else checkpoint.scaling
        for checkpoint in checkpoints
    ]


def needs_whole_match(checkpoints: Sequence[Checkpoint]) -> bool:
    """Whether some head's features are scaled by the mean and deviation of the match that they come from."""
    return any(one.description.config.clips.scaling in OF_MATCH for one in checkpoints)


def wanted_views(checkpoints: Sequence[Checkpoint]) -> tuple[str, ...]:
    """The views that any of the heads reads."""
    flipped = any(FLIPPED_VIEW in prediction_views(one.description.config) for one in checkpoints)
    return (ORIGINAL, FLIPPED_VIEW) if flipped else (ORIGINAL,)


def _of_match(description: HeadDescription, rows: RowFile | None) -> Scaling:
    if rows is None:
        raise ValueError("a scaling by the whole match needs its rows")
    section = description.config.clips
    dtype, dims = DTYPES[section.resident_dtype], common_dims(section.scaling, description.dims)
    return fit_scaling_to(lambda: rows.original(dtype), common_dims=dims)
