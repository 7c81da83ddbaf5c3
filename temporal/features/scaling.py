"""Scaling of features: fitted on the training matches, or by the match, whole or while rows arrive."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

READ_ROWS = 16384


SMALLEST_SD = 1e-6


OF_MATCH = ("match", "match-common")  # scalings that only a whole match can tell


@dataclass(frozen=True)
class Scaling:
    """Per feature, what is subtracted and what it is then divided by: mean (D,), sd (D,), float32."""

    mean: Tensor
    sd: Tensor

    def apply(self, rows: Tensor) -> None:
        """Scales ``rows`` (n, D) in place, in float32 pieces."""
        for piece in rows.split(READ_ROWS):
            piece.copy_((piece.float() - self.mean.to(piece.device)) / self.sd.to(piece.device))


def fit_scaling(rows: Tensor, *, common_dims: Sequence[int] = ()) -> Scaling:
    """The mean and standard deviation of each feature over ``rows`` (n, D); a constant feature gets sd 1.

    With ``common_dims``, the widths of the feature sets in D, all features of a set get one deviation, the root of
    their mean variance: they keep their ratios.
    """
    return fit_scaling_to(lambda: rows.split(READ_ROWS), common_dims=common_dims)


def fit_scaling_to(pieces: Callable[[], Iterable[Tensor]], *, common_dims: Sequence[int] = ()) -> Scaling:
    """The same of rows that come in pieces of READ_ROWS; ``pieces`` is called twice.

    Summed in float64, so that neither the number of rows nor their size costs precision or memory.
    """
    n_rows, total = 0, torch.zeros(())
    for piece in pieces():
        n_rows, total = n_rows + len(piece), total + piece.double().sum(0)
    mean = total / n_rows
    squares = torch.zeros_like(total)
    for piece in pieces():
        squares += (piece.double() - mean).square().sum(0)
    sd = (means_of_sets(squares, common_dims) / n_rows).sqrt()
    sd[sd < SMALLEST_SD] = 1.0
    return Scaling(mean.float().cpu(), sd.float().cpu())


def means_of_sets(values: Tensor, dims: Sequence[int]) -> Tensor:
    """Of values (D,), in the place of each the mean over its set of ``dims``; the values themselves without sets."""
    return torch.cat([part.mean().expand_as(part) for part in values.split(list(dims))]) if dims else values


def common_dims(scaling: str, dims: Sequence[int]) -> Sequence[int]:
    """The sets of ``dims`` whose features share one deviation when scaled so; none where each has its own."""
    return dims if scaling == "match-common" else ()


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
