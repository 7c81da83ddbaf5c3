"""The features of all matches in one tensor, scaled once, so that any batch of clips is one gather.

The tensor lies in memory, or, when it would take more than the given limit, in a file that is mapped into memory: the
operating system then keeps those of its pages that fit. Every result is the same either way.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from math import inf
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL, FeatureStore
from ...cache.times import TimeAxis
from .scaling import READ_ROWS, Scaling, common_dims, fit_scaling
from .sources import FeatureSource
from .spill import SpillFile, take_room

GPU_SHARE = 0.6  # of the free memory of a GPU, for features; the rest is for heads, their gradients and activations
USUAL_LIMIT_GB = 8.0  # of the configuration: a number that nobody chose says nothing of GPUs
NUMPY_DTYPES = {torch.float16: np.float16, torch.float32: np.float32}


@dataclass(frozen=True)
class MatchRows:
    """Where a match lies in the tensor: ``n_rows`` rows from ``first_row``; its row r is frame r * spacing.

    ``times_us`` int64 (n_video_frames,), or None at a constant rate, is when each frame is shown (`TimeAxis`).
    """

    name: str
    first_row: int
    n_rows: int
    n_video_frames: int
    fps: Fraction
    times_us: np.ndarray | None = None

    @property
    def axis(self) -> TimeAxis:
        """The time axis of the match's video."""
        return TimeAxis(self.fps, self.n_video_frames, self.times_us)


@dataclass(frozen=True)
class FeatureLayout:
    """What the stores of some matches say before their rows are read: where each match goes, spacing, widths.

    ``cells`` says of how many places of one width a row of each set is, 1 where it is of the whole picture.
    """

    matches: tuple[MatchRows, ...]
    frame_spacing: int
    dims: tuple[int, ...]
    cells: tuple[int, ...] = ()

    @property
    def n_rows(self) -> int:
        """Rows of all matches in one view."""
        return sum(match.n_rows for match in self.matches)


@dataclass(frozen=True)
class ResidentFeatures:
    """Features (V * R, D): the R rows of the matches one after another, once for every view.

    ``frame_spacing`` source frames lie between rows, ``device`` is where batches are wanted, ``dims`` the widths of
    the feature sets that stand side by side in D.
    """

    rows: Tensor
    matches: tuple[MatchRows, ...]
    frame_spacing: int
    device: torch.device
    dims: tuple[int, ...]
    views: tuple[str, ...] = (ORIGINAL,)

    @property
    def dim(self) -> int:
        return self.rows.shape[1]

    @property
    def n_rows(self) -> int:
        """Rows of one view: R."""
        return len(self.rows) // len(self.views)

    @cached_property
    def bounds(self) -> Tensor:
        """The first and the last row of each match, int64 (matches, 2), on the CPU."""
        return torch.tensor([(match.first_row, match.first_row + match.n_rows - 1) for match in self.matches])

    def bounds_on(self, device: torch.device) -> Tensor:
        """`bounds` on a device, brought there once."""
        if device not in self._bounds:
            self._bounds[device] = self.bounds.to(device)
        return self._bounds[device]

    @cached_property
    def _bounds(self) -> dict[torch.device, Tensor]:
        return {}

    def match_rows(self, match_index: int, view_index: int = 0) -> Tensor:
        """The rows of one match in one view, (n_rows, D), sharing the tensor."""
        match = self.matches[match_index]
        first = view_index * self.n_rows + match.first_row
        return self.rows[first : first + match.n_rows]

    def only(self, match_index: int) -> "ResidentFeatures":
        """One match alone in its original view, sharing the tensor."""
        match = replace(self.matches[match_index], first_row=0)
        return replace(self, rows=self.match_rows(match_index), matches=(match,), views=self.views[:1])


def load_features(
    source: FeatureSource,
    names: Sequence[str],
    *,
    device: torch.device | str,
    dtype: torch.dtype = torch.float16,
    views: Sequence[str] = (ORIGINAL,),
    limit_gb: float = inf,
    spill: Path | None = None,
    file: Path | None = None,
) -> ResidentFeatures:
    """The stored features of the matches ``names``, unscaled, in that order.

    Beyond ``limit_gb`` (10^9 bytes; on a GPU `limit_on`) they lie in a nameless file in the folder ``spill``, gone with
    the process, and batches of them are brought to ``device``. With ``file`` they lie in that new NPY file, mapped,
    whatever their size. Raises BallspotError as `read_layout` does, and for a feature that is not finite.
    """
    layout, device = read_layout(source, names, views), torch.device(device)
    shape = (len(views) * layout.n_rows, sum(layout.dims))
    n_bytes = shape[0] * shape[1] * dtype.itemsize
    pieces = (piece.to(dtype) for view in views for piece in _pieces(source, layout, view))
    if file is None and n_bytes > limit_on(device, limit_gb) * 1e9:
        content = f"{n_bytes / 1e9:.1f} GB of features"
        spilled = SpillFile(spill, content=content, remedy="raise resident_limit_gb", n_bytes=n_bytes)
        for piece in pieces:
            spilled.append(piece.numpy())
        rows = torch.from_numpy(spilled.rows())
    else:
        rows = torch.empty(shape, dtype=dtype, device=device) if file is None else _new_file(file, shape, dtype)
        n_done = 0
        for piece in pieces:
            rows[n_done : n_done + len(piece)] = piece.to(rows.device)
            n_done += len(piece)
    return ResidentFeatures(rows, layout.matches, layout.frame_spacing, device, layout.dims, tuple(views))


def limit_on(device: torch.device, limit_gb: float) -> float:
    """How many features (10^9 bytes) may lie on a device, of which the configuration says ``limit_gb``.

    On a GPU it is 0.6 of what is free there, whatever the machine's memory; a ``limit_gb`` other than the usual 8
    bounds it, too.
    """
    if device.type != "cuda":
        return limit_gb
    free_gb = GPU_SHARE * torch.cuda.mem_get_info(device)[0] / 1e9
    return free_gb if limit_gb == USUAL_LIMIT_GB else min(limit_gb, free_gb)


def _pieces(source: FeatureSource, layout: FeatureLayout, view: str) -> Iterator[Tensor]:
    """The stored rows of all matches in a view, one after another, READ_ROWS at a time."""
    for match in layout.matches:
        with source.open(match.name) as group:
            for start in range(0, match.n_rows, READ_ROWS):
                piece = torch.from_numpy(group.read(start, min(start + READ_ROWS, match.n_rows), view=view))
                _require_finite(piece, source, match.name, first_row=start)
                yield piece


def _new_file(file: Path, shape: tuple[int, int], dtype: torch.dtype) -> Tensor:
    """The numbers of a new NPY file, mapped."""
    mapped = np.lib.format.open_memmap(file, mode="w+", dtype=NUMPY_DTYPES[dtype], shape=shape)
    with file.open("r+b") as stream:
        take_room(stream.fileno(), file.stat().st_size)
    return torch.from_numpy(mapped)


def read_layout(source: FeatureSource, names: Sequence[str], views: Sequence[str] = (ORIGINAL,)) -> FeatureLayout:
    """What the stores of the matches ``names`` hold, without reading a row.

    Raises BallspotError for a match without a store or without one of the ``views``, for stores of different width or
    spacing, and for a store whose frames are not evenly spaced from 0.
    """
    matches: list[MatchRows] = []
    spacings: dict[int, str] = {}
    dims: dict[tuple[int, ...], str] = {}
    first_row, cells = 0, ()
    for name in names:
        with source.open(name) as group:
            cells = tuple(store_of_set.spec.n_cells for store_of_set in group.stores)
            if group.n_rows > 1:  # one row alone fits any spacing
                spacings.setdefault(group.frame_spacing, name)
            dims.setdefault(group.dims, name)
            axis = group.axis
            matches.append(MatchRows(name, first_row, group.n_rows, axis.n_frames, axis.fps, axis.times_us))
            first_row += group.n_rows
            for store_of_set in group.stores:
                for view in views:
                    _require_view(store_of_set, view)
    for what, found in (("frames between rows", spacings), ("features a row", dims)):
        if len(found) > 1:
            raise BallspotError(f"{source.path}: {what} differ between matches {found}; extract them alike")
    return FeatureLayout(tuple(matches), next(iter(spacings), 1), next(iter(dims)), cells)


def from_arrays(arrays: Mapping[str, np.ndarray], *, dtype: torch.dtype = torch.float32) -> ResidentFeatures:
    """Features given directly: match name -> (n_frames, D), every frame a row, 25 a second."""
    matches, first_row = [], 0
    for name, array in arrays.items():
        matches.append(MatchRows(name, first_row, len(array), len(array), Fraction(25)))
        first_row += len(array)
    rows = torch.cat([torch.from_numpy(np.asarray(array)).to(dtype) for array in arrays.values()])
    return ResidentFeatures(rows, tuple(matches), 1, torch.device("cpu"), (rows.shape[1],))


def scale_features(features: ResidentFeatures, scaling: str, *, fitted: Scaling | None = None) -> Scaling | None:
    """Scales the tensor in place; what was fitted to the whole of it, to be kept with the run, or None.

    "none": as stored. "train": every feature to mean 0 and sd 1 over all matches given, or by ``fitted``, which came
    from the training matches. "match": each match by its own mean and sd, which takes no label and so may be done to
    a test match too; it removes what differs between matches and not within one (kits, grass, light).
    "match-common": each match by its own mean and one deviation for all features of a set, so that features that vary
    little stay little. Principal components keep their order in size; "match" would blow their noise up to the size of
    the first. Means and deviations are those of the original view, and every view is scaled by them.
    """
    if scaling == "none":
        return None
    if scaling in ("match", "match-common"):
        for index in range(len(features.matches)):
            of_match = fit_scaling(features.match_rows(index), common_dims=common_dims(scaling, features.dims))
            for view_index in range(len(features.views)):
                of_match.apply(features.match_rows(index, view_index))
        return None
    fitted = fitted or fit_scaling(features.rows[: features.n_rows])
    fitted.apply(features.rows)
    return fitted


def _require_finite(piece: Tensor, source: FeatureSource, match: str, *, first_row: int) -> None:
    """Raises BallspotError for rows with a feature that is not finite, which no store of ours holds."""
    if torch.isfinite(piece.sum(dtype=torch.float32)):  # one pass: what is not finite makes no finite sum
        return
    bad = torch.nonzero(~torch.isfinite(piece).all(dim=1)).flatten()
    if len(bad):
        raise BallspotError(
            f"{source.path}: match {match!r}: row {first_row + int(bad[0])} holds a feature that is not finite; "
            "extract that match again"
        )


def _require_view(store: FeatureStore, view: str) -> None:
    if view not in store.views:
        raise BallspotError(
            f"{store.path}: has no view {view!r}, only {', '.join(store.views)}; extract it, or change views"
        )
