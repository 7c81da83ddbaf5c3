"""Scores of a match from several heads and views at once, while its features arrive."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..cache.errors import BallspotError
from ..cache.files import make_folder
from ..cache.layout import ORIGINAL
from .checkpoints import Checkpoint, HeadDescription
from .features import READ_ROWS, SMALLEST_SD, Scaling, common_dims, fit_scaling_to, means_of_sets, row_stride
from .predicting import DTYPES, prediction_views
from .prediction import MatchScores, mean_of_views, mean_scores, prediction_of
from .streaming import ScoreStream, joined
from .training import FLIPPED_VIEW

OF_MATCH = ("match", "match-common")  # scalings that only a whole match can tell


class RowFile:
    """The rows of a match's views, float16 or float32, in a file that has no name and ends with this process."""

    def __init__(self, folder: Path, views: Sequence[str]) -> None:
        self.folder, self.views = make_folder(folder), tuple(views)
        self.n_rows, self._dim, self._type = 0, 0, np.dtype(np.float16)
        try:
            self._files = {view: tempfile.TemporaryFile(dir=folder) for view in views}  # noqa: SIM115  # closed below
        except OSError as error:
            raise self._full(error) from error

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Takes the next rows (n, D) of every view. Raises BallspotError when the disk takes no more."""
        for view, file in self._files.items():
            self._type, self._dim = rows[view].dtype, rows[view].shape[1]
            try:
                file.write(np.ascontiguousarray(rows[view]).tobytes())
                file.flush()
            except OSError as error:
                raise self._full(error) from error
        self.n_rows += len(rows[self.views[0]])

    def pieces(self) -> Iterator[dict[str, np.ndarray]]:
        """The rows again, from the first on, READ_ROWS at a time."""
        for start in range(0, self.n_rows, READ_ROWS):
            yield {view: self._read(view, start, READ_ROWS) for view in self.views}

    def original(self, dtype: torch.dtype) -> Iterator[Tensor]:
        """The original view's rows in pieces of READ_ROWS, as a head's tensor holds them."""
        for start in range(0, self.n_rows, READ_ROWS):
            yield torch.from_numpy(self._read(ORIGINAL, start, READ_ROWS)).to(dtype)

    def _full(self, error: OSError) -> BallspotError:
        return BallspotError(
            f"{self.folder}: no room for a match's features ({error.strerror}); free space, or choose another --out"
        )

    def _read(self, view: str, start: int, n_rows: int) -> np.ndarray:
        file, width = self._files[view], self._dim * self._type.itemsize
        file.seek(start * width)
        return np.frombuffer(bytearray(file.read(n_rows * width)), self._type).reshape(-1, self._dim)

    def close(self) -> None:
        """Gives the room back."""
        for file in self._files.values():
            with suppress(OSError):  # what did not fit was told when it was written
                file.close()

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


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


class RunningScaling:
    """The mean and deviation of the rows so far, for a match that has not ended: what they are at the end, by then."""

    def __init__(self, *, common_dims: Sequence[int] = ()) -> None:
        """``common_dims`` as of `features.fit_scaling`."""
        self.common_dims, self.n_rows = common_dims, 0
        self._sum = self._squares = torch.zeros((), dtype=torch.float64)

    def add(self, rows: Tensor) -> Scaling:
        """Takes rows (n, D) in, and gives the scaling by all rows so far."""
        self.n_rows += len(rows)
        self._sum = self._sum + rows.double().sum(0)
        self._squares = self._squares + rows.double().square().sum(0)
        mean = self._sum / self.n_rows
        variance = (self._squares / self.n_rows - mean.square()).clamp_min(0)
        sd = means_of_sets(variance, self.common_dims).sqrt()
        return Scaling(mean.float(), torch.where(sd < SMALLEST_SD, torch.ones_like(sd), sd).float())


def _of_match(description: HeadDescription, rows: RowFile | None) -> Scaling:
    if rows is None:
        raise ValueError("a scaling by the whole match needs its rows")
    section = description.config.clips
    dtype, dims = DTYPES[section.resident_dtype], common_dims(section.scaling, description.dims)
    return fit_scaling_to(lambda: rows.original(dtype), common_dims=dims)
