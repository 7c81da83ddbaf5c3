"""Rows in files that have no name and end with this process, where memory does not hold them."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from ...cache.disk import make_folder
from ...cache.errors import BallspotError
from .scaling import READ_ROWS


class SpillFile:
    """Rows (n, D) of one type in a file of its own, first appended, then mapped into memory."""

    def __init__(self, folder: Path | None, *, content: str, remedy: str, n_bytes: int = 0) -> None:
        """In ``folder``, or that of the system; ``content`` and ``remedy`` are for the error when the disk is full.

        With ``n_bytes`` the disk keeps so much room for it from the beginning.
        """
        self._place = tempfile.gettempdir() if folder is None else make_folder(folder)
        self._content, self._remedy = content, remedy
        self._n_rows, self._dim, self._type = 0, 0, np.dtype(np.float16)
        try:
            self._file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed below
            take_room(self._file.fileno(), n_bytes)
        except OSError as error:
            raise self._full(error) from error

    def append(self, rows: np.ndarray) -> None:
        """Takes the next rows. Raises BallspotError when the disk takes no more."""
        self._type, self._dim = rows.dtype, rows.shape[1]
        try:
            self._file.write(np.ascontiguousarray(rows).data)
            self._file.flush()
        except OSError as error:
            raise self._full(error) from error
        self._n_rows += len(rows)

    def rows(self) -> np.ndarray:
        """All rows; the file stays for as long as they are used."""
        shape = (self._n_rows, self._dim)
        return np.memmap(self._file, self._type, "r+", shape=shape) if self._n_rows else np.empty(shape, self._type)

    def close(self) -> None:
        """Gives the room back once its rows are not used any more."""
        with suppress(OSError):  # what did not fit was told when it was written
            self._file.close()

    def _full(self, error: OSError) -> BallspotError:
        return BallspotError(
            f"{self._place}: no room for {self._content} ({error.strerror}); free space, or {self._remedy}"
        )


class RowFile:
    """The rows of a match's views, float16 or float32, in a file for each."""

    def __init__(self, folder: Path, views: Sequence[str]) -> None:
        content, remedy = "a match's features", "choose another --out"
        self._files = {view: SpillFile(folder, content=content, remedy=remedy) for view in views}

    def append(self, rows: Mapping[str, np.ndarray]) -> None:
        """Takes the next rows (n, D) of every view. Raises BallspotError when the disk takes no more."""
        for view, file in self._files.items():
            file.append(rows[view])

    def pieces(self) -> Iterator[dict[str, np.ndarray]]:
        """The rows again, from the first on, READ_ROWS at a time."""
        views = {view: file.rows() for view, file in self._files.items()}
        for start in range(0, len(next(iter(views.values()))), READ_ROWS):
            yield {view: rows[start : start + READ_ROWS] for view, rows in views.items()}

    def __enter__(self) -> "RowFile":
        return self

    def __exit__(self, *exception: object) -> None:
        for file in self._files.values():
            file.close()


def take_room(descriptor: int, n_bytes: int) -> None:
    """Has the disk keep room for a file that is to be mapped: one that fills up later ends the process without a word.

    Raises OSError where there is none.
    """
    if hasattr(os, "posix_fallocate") and n_bytes:
        os.posix_fallocate(descriptor, 0, n_bytes)
