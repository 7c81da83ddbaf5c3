"""Rows in a file of their own, where memory does not hold them."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ...cache.disk import make_folder
from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL
from .scaling import READ_ROWS


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
