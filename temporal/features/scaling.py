"""Scaling of features: fitted on the training matches, or by the match, whole or while rows arrive."""

from collections.abc import Sequence
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
            piece.copy_(piece.float().sub_(self.mean.to(piece.device)).div_(self.sd.to(piece.device)))


class ScalingFit:
    """The mean and standard deviation of each feature over rows that come in pieces; a constant feature gets sd 1.

    With ``common_dims``, the widths of the feature sets in D, all features of a set get one deviation, the root of
    their mean variance: they keep their ratios. Summed in float64, so that neither the number of rows nor their size
    costs precision or memory; the squares about each piece's mean are joined as Chan, Golub and LeVeque (1983) do.
    """

    def __init__(self, *, common_dims: Sequence[int] = ()) -> None:
        self.common_dims, self.n_rows = common_dims, 0
        self._sum = self._squares = torch.zeros(())

    def add(self, rows: Tensor) -> None:
        """Takes the next rows (n, D)."""
        for piece in rows.split(READ_ROWS) if len(rows) else ():
            piece = piece.cpu() if piece.device.type == "mps" else piece  # Apple's GPU has no float64
            numbers, n_new = piece.to(torch.float64, copy=True), len(piece)
            total = numbers.sum(0)
            mean = total / n_new
            squares = numbers.sub_(mean).square_().sum(0)  # in place: new memory takes longer than the sums
            if self.n_rows:
                apart = (self._sum / self.n_rows - mean).square()
                squares += self._squares + apart * (self.n_rows * n_new / (self.n_rows + n_new))
            self._sum, self._squares, self.n_rows = self._sum + total, squares, self.n_rows + n_new

    @property
    def scaling(self) -> Scaling:
        """The scaling by all rows so far."""
        sd = (means_of_sets(self._squares, self.common_dims) / self.n_rows).sqrt()
        sd = torch.where(sd < SMALLEST_SD, 1.0, sd)
        return Scaling((self._sum / self.n_rows).float().cpu(), sd.float().cpu())


def fit_scaling(rows: Tensor, *, common_dims: Sequence[int] = ()) -> Scaling:
    """The scaling by ``rows`` (n, D)."""
    fit = ScalingFit(common_dims=common_dims)
    fit.add(rows)
    return fit.scaling


def means_of_sets(values: Tensor, dims: Sequence[int]) -> Tensor:
    """Of values (D,), in the place of each the mean over its set of ``dims``; the values themselves without sets."""
    return torch.cat([part.mean().expand_as(part) for part in values.split(list(dims))]) if dims else values


def common_dims(scaling: str, dims: Sequence[int]) -> Sequence[int]:
    """The sets of ``dims`` whose features share one deviation when scaled so; none where each has its own."""
    return dims if scaling == "match-common" else ()
