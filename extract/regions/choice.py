"""Where boxes lie in a picture, without training: where a coarse map of it is strongest, anywhere, or in the middle.

The map is smoothed over the picture and over time and summed over each box as AdaSpot does it (`boxes.py`), in one
step: all of that is linear and separable. Each row is computed by itself in an order of its own, so that the same row
gives the same boxes to the bit, whatever else is read with it.
"""

from collections.abc import Mapping
from functools import lru_cache

import numpy as np

from ...cache.stores import RegionSpec
from .boxes import CELL, KERNEL, N_SMOOTHINGS

TIME_REACH = N_SMOOTHINGS * (KERNEL[0] // 2)  # rows either side whose maps decide a box
EDGE_CELL = 8  # pixels either way of the whole picture in which moving edges are summed


class Chooser:
    """Boxes by maps of strength float (h, w), each place of which is `finer` places either way for the box."""

    def __init__(self, region: RegionSpec, shape: tuple[int, int], *, finer: int = CELL) -> None:
        self.count = region.count
        sides = zip(shape, region.size, region.picture, strict=True)
        self.rows, self.columns = (_Axis(n, finer, box / whole) for n, box, whole in sides)
        self.kernel = _time_kernel()

    def centres(self, maps: Mapping[int, np.ndarray], row: int, n_rows: int) -> np.ndarray:
        """Where the boxes of a row have their centres, as shares of the picture: float (count, 2), row and column.

        ``maps`` are those of the rows up to `TIME_REACH` away, by row, of a video of ``n_rows``; past its ends they are
        mirrored. The second box is the one that holds most of what the first leaves. Where nothing is stronger than
        anything else, a box lies in the middle.
        """
        smooth = np.zeros_like(maps[row], dtype=np.float64)
        for away, weight in enumerate(self.kernel, start=-TIME_REACH):
            smooth += weight * maps[_mirrored(row + away, n_rows)]
        held = self.rows.held @ smooth @ self.columns.held.T
        fine = self.rows.spread @ smooth @ self.columns.spread.T
        found = []
        for number in range(self.count):
            if number:
                held = self.rows.box @ fine @ self.columns.box.T
            at = int(held.argmax())
            if held.flat[at] <= 0:
                found.append((0.5, 0.5))
                continue
            places = np.unravel_index(at, held.shape)
            found.append(tuple(int(place) / n for place, n in zip(places, held.shape, strict=True)))
            fine[self.rows.covered(places[0]), self.columns.covered(places[1])] = 0.0
        return np.array(found)


class _Axis:
    """One side of the picture: what spreads a map's places over finer ones and smooths them, and what sums a box."""

    def __init__(self, n_places: int, finer: int, box_share: float) -> None:
        n_fine = n_places * finer
        side = int(box_share * n_fine)
        self.half = (side + 1 - side % 2) // 2  # odd, so that a place is a centre
        repeated = np.repeat(np.eye(n_places), finer, axis=0)  # (fine, places)
        for _ in range(N_SMOOTHINGS):
            repeated = _gaussian_matrix(n_fine, KERNEL[1]) @ repeated
        self.spread = repeated
        away = np.abs(np.arange(n_fine)[:, None] - np.arange(n_fine))
        self.box = (away <= self.half).astype(np.float64)
        self.held = self.box @ self.spread  # small enough that no BLAS wakes its other threads for it

    def covered(self, place: np.integer) -> slice:
        """The fine places of the box around one."""
        return slice(max(int(place) - self.half, 0), int(place) + self.half + 1)


def strength_of(means: np.ndarray) -> np.ndarray:
    """A map (h, w) of means over channels from 0 to 1, zeros where it has no differences: as AdaSpot scales it."""
    lowest, span = float(means.min()), float(means.max() - means.min())
    return (means.astype(np.float64) - lowest) / span if span > 0 else np.zeros(means.shape)


def edge_strength(edges: np.ndarray) -> np.ndarray:
    """How strong edges are, float32 (H, W) of 0..510, of one channel uint8 or float32 (H, W) of 0..255.

    The differences to the next place below and to the right, in absolute numbers; the last row and column are zeros.
    """
    values = edges.astype(np.float32)
    found = np.zeros_like(values)
    found[:-1] += np.abs(values[1:] - values[:-1])
    found[:, :-1] += np.abs(values[:, 1:] - values[:, :-1])
    return found


def moving_edges(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """How much edges (H, W) have changed since the row before, summed over cells of 8 pixels either way: (h, w)."""
    changed = np.abs(now - before)
    height, width = (side // EDGE_CELL for side in changed.shape)
    cells = changed[: height * EDGE_CELL, : width * EDGE_CELL].reshape(height, EDGE_CELL, width, EDGE_CELL)
    return cells.sum(axis=(1, 3))


def random_centres(region: RegionSpec, frame: int) -> np.ndarray:
    """Anywhere that a box has place, each place alike; the frame's index is the seed: float (count, 2)."""
    room = 1 - np.array(region.size) / np.array(region.picture)
    drawn = np.random.default_rng(frame).uniform(size=(region.count, 2))
    return np.array(region.size) / np.array(region.picture) / 2 + drawn * room


def middle_centres(region: RegionSpec) -> np.ndarray:
    """The middle of the picture, of two boxes side by side: float (count, 2)."""
    aside = region.size[1] / region.picture[1] / 2
    return np.array([(0.5, 0.5)] if region.count == 1 else [(0.5, 0.5 - aside), (0.5, 0.5 + aside)])


def _mirrored(row: int, n_rows: int) -> int:
    """The row that stands for one past the ends of so many, as in a mirror at the first and at the last row."""
    if n_rows == 1:
        return 0
    row = abs(row) % (2 * (n_rows - 1))
    return min(row, 2 * (n_rows - 1) - row)


@lru_cache(maxsize=1)
def _time_kernel() -> tuple[float, ...]:
    once = _gaussian(KERNEL[0])
    kernel = np.ones(1)
    for _ in range(N_SMOOTHINGS):
        kernel = np.convolve(kernel, once)
    return tuple(kernel.tolist())


def _gaussian(length: int) -> np.ndarray:
    away = np.arange(length) - length // 2
    weights = np.exp(-0.5 * (away / (length / 4)) ** 2)
    return weights / weights.sum()


def _gaussian_matrix(n: int, length: int) -> np.ndarray:
    """What smooths n places, mirrored at both ends: (n, n)."""
    matrix = np.zeros((n, n))
    for place in range(n):
        for away, weight in enumerate(_gaussian(length), start=-(length // 2)):
            matrix[place, _mirrored(place + away, n)] += weight
    return matrix
