"""The features of all matches in one tensor in memory, scaled once, so that any batch of clips is one gather."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
import torch
from torch import Tensor

from ..cache.errors import BallspotError
from ..cache.sets import FeatureSet
from ..cache.store import FeatureStore

READ_ROWS = 16384
SMALLEST_SD = 1e-6


@dataclass(frozen=True)
class MatchRows:
    """Where a match lies in the resident tensor: ``n_rows`` rows from ``first_row``; its row r is frame r * spacing."""

    name: str
    first_row: int
    n_rows: int
    n_video_frames: int
    fps: Fraction


@dataclass(frozen=True)
class ResidentFeatures:
    """Features (R, D) of the matches one after another; ``frame_spacing`` source frames from one row to the next."""

    rows: Tensor
    matches: tuple[MatchRows, ...]
    frame_spacing: int

    @property
    def dim(self) -> int:
        return self.rows.shape[1]

    def row_stride(self, clip_stride: int) -> int:
        """Rows between neighbours of a clip. Raises BallspotError when clip_stride does not fall on stored rows."""
        if clip_stride % self.frame_spacing:
            raise BallspotError(
                f"clip_stride {clip_stride} is no multiple of the {self.frame_spacing} frames between stored rows; "
                f"set clip_stride to a multiple of {self.frame_spacing}, or extract every frame"
            )
        return clip_stride // self.frame_spacing

    def match_rows(self, match_index: int) -> Tensor:
        """The rows of one match, a view (n_rows, D)."""
        match = self.matches[match_index]
        return self.rows[match.first_row : match.first_row + match.n_rows]

    def only(self, match_index: int) -> "ResidentFeatures":
        """One match alone, sharing the tensor."""
        match = replace(self.matches[match_index], first_row=0)
        return ResidentFeatures(self.match_rows(match_index), (match,), self.frame_spacing)


@dataclass(frozen=True)
class Scaling:
    """Per feature, what is subtracted and what it is then divided by: mean (D,), sd (D,), float32."""

    mean: Tensor
    sd: Tensor

    def apply(self, rows: Tensor) -> None:
        """Scales ``rows`` (n, D) in place, in float32 pieces."""
        for piece in rows.split(READ_ROWS):
            piece.copy_((piece.float() - self.mean.to(piece.device)) / self.sd.to(piece.device))


def load_features(
    feature_set: FeatureSet, names: Sequence[str], *, device: torch.device | str, dtype: torch.dtype = torch.float16
) -> ResidentFeatures:
    """The stored features of the matches ``names``, unscaled, in that order, on ``device``.

    Raises BallspotError for a match without a store, for stores of different width or spacing, and for a store whose
    frames are not evenly spaced from frame 0.
    """
    matches: list[MatchRows] = []
    spacings: dict[int, str] = {}
    dims: dict[int, str] = {}
    first_row = 0
    for name in names:
        with feature_set.open(name) as store:
            spacings.setdefault(_spacing(store), name)
            dims.setdefault(store.dim, name)
            matches.append(MatchRows(name, first_row, store.n_rows, store.n_video_frames, store.fps))
            first_row += store.n_rows
    for what, found in (("frames between rows", spacings), ("features a row", dims)):
        if len(found) > 1:
            raise BallspotError(f"{feature_set.path}: {what} differ between matches {found}; extract them alike")
    rows = torch.empty(first_row, next(iter(dims)), dtype=dtype, device=device)
    for match in matches:
        with feature_set.open(match.name) as store:
            for start in range(0, match.n_rows, READ_ROWS):
                piece = torch.from_numpy(store.read(start, min(start + READ_ROWS, match.n_rows)))
                rows[match.first_row + start : match.first_row + start + len(piece)] = piece.to(device)
    return ResidentFeatures(rows, tuple(matches), next(iter(spacings)))


def from_arrays(
    arrays: Mapping[str, np.ndarray], *, fps: Fraction = Fraction(25), dtype: torch.dtype = torch.float32
) -> ResidentFeatures:
    """Features given directly: match name -> (n_frames, D), every frame a row."""
    matches, first_row = [], 0
    for name, array in arrays.items():
        matches.append(MatchRows(name, first_row, len(array), len(array), fps))
        first_row += len(array)
    rows = torch.cat([torch.from_numpy(np.asarray(array)).to(dtype) for array in arrays.values()])
    return ResidentFeatures(rows, tuple(matches), 1)


def fit_scaling(rows: Tensor) -> Scaling:
    """The mean and standard deviation of each feature over ``rows`` (n, D); a constant feature gets sd 1.

    Summed in float64 over pieces, so that neither the number of rows nor their size costs precision or memory.
    """
    total = torch.zeros(rows.shape[1], dtype=torch.float64, device=rows.device)
    for piece in rows.split(READ_ROWS):
        total += piece.double().sum(0)
    mean = total / len(rows)
    squares = torch.zeros_like(total)
    for piece in rows.split(READ_ROWS):
        squares += (piece.double() - mean).square().sum(0)
    sd = (squares / len(rows)).sqrt()
    sd[sd < SMALLEST_SD] = 1.0
    return Scaling(mean.float().cpu(), sd.float().cpu())


def scale_features(features: ResidentFeatures, scaling: str, *, fitted: Scaling | None = None) -> Scaling | None:
    """Scales the resident tensor in place; what was fitted to the whole of it, to be kept with the run, or None.

    "none": as stored. "train": every feature to mean 0 and sd 1 over all matches given, or by ``fitted``, which came
    from the training matches. "match": each match by its own mean and sd, which takes no label and so may be done to
    a test match too; it removes what differs between matches and not within one (kits, grass, light).
    """
    if scaling == "none":
        return None
    if scaling == "match":
        for index in range(len(features.matches)):
            rows = features.match_rows(index)
            fit_scaling(rows).apply(rows)
        return None
    fitted = fitted or fit_scaling(features.rows)
    fitted.apply(features.rows)
    return fitted


def _spacing(store: FeatureStore) -> int:
    index = store.frame_index
    spacing = int(index[1] - index[0]) if len(index) > 1 else 1
    if not len(index) or not np.array_equal(index, np.arange(len(index)) * spacing):
        raise BallspotError(
            f"{store.path}: its rows are not evenly spaced frames from frame 0; extract the match again without gaps"
        )
    return spacing
