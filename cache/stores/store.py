"""One match's features on disk: an HDF5 file written whole, read in pieces. See docs/reference/store-format.md."""

import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..disk import (
    Closable,
    little_endian,
    locked_file,
    path_hint,
    plain_name,
    raise_if_system,
    reason_of,
    unreadable,
    whole_file,
)
from ..errors import BallspotError
from ..times import TimeAxis, axis_of_rows
from .attributes import (
    STORE_FORMAT,
    STORE_VERSION,
    data_set,
    fixed,
    header_attributes,
    header_digest,
    header_of,
    numbers_of,
    text_of,
)
from .layout import CHUNK_ROWS, ORIGINAL, Block, StoreHeader, rows_of_chunks, scale_path, view_path

SUPERBLOCK_END = 40  # where the superblock says how long the file is
SIGNATURE = b"\x89HDF\r\n\x1a\n"  # what an HDF5 file begins with

DAMAGE = (  # what h5py raises over it
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class FeatureStore(Closable):
    """A complete store, open for reading; a context manager. Rows are read on demand, never more than asked for.

    `frame_time_us` int64 (n_rows,) is when each row's frame is shown, microseconds after the video's first one, where
    the frame rate is variable, else None. `substituted` int64 are the frame indices whose row is of another frame.
    `rows_sha256` is the digest of all rows, empty in a store from before it was written.
    """

    def __init__(self, path: Path, file: h5py.File, header: StoreHeader, frame_index: np.ndarray) -> None:
        self.path, self.header, self.frame_index = path, header, frame_index
        self.match, self.fps, self.n_video_frames = plain_name(header.match), header.fps, header.n_video_frames
        self.n_rows, self.dim, self.views = header.n_rows, header.dim, header.views
        self.spec, self.fingerprint = header.spec, header.fingerprint
        self.frame_time_us = numbers_of(path, file, "frame_time_us")
        substituted = numbers_of(path, file, "substituted")
        self.substituted = np.empty(0, np.int64) if substituted is None else substituted
        self.rows_sha256 = text_of(file, "rows_sha256") or ""
        self._file = file
        self._digests: dict[str, tuple[Any, int]] = {}  # by view: of the rows read so far in order, and how many

    @classmethod
    def open(cls, path: Path) -> "FeatureStore":
        """The store at `path`. Raises BallspotError when it is missing, unfinished, newer, or no store at all."""
        _require_hdf5(path)
        try:
            file = h5py.File(path, "r", locking=False)  # a store is renamed into place whole: nobody writes into it
        except OSError as error:
            raise _damaged(path, error) from error
        try:
            _require_readable(path, file)
            header = header_of(path, file)
            frame_index = np.asarray(data_set(file, "frame_index")[...], np.int64)
            store = cls(path, file, header, frame_index)
            _require_digest(path, file, store)
            return store
        except DAMAGE as error:
            file.close()
            raise _damaged(path, error) from error
        except BallspotError:
            file.close()
            raise

    @property
    def axis(self) -> TimeAxis:
        """The time axis of the video. Raises BallspotError for times that are not those of the rows."""
        times_us = self.frame_time_us
        if times_us is not None and (len(times_us) != self.n_rows or np.any(np.diff(times_us) < 0)):
            raise BallspotError(
                f"{self.path}: its frame_time_us are not the times of its rows; extract the match again"
            )
        return axis_of_rows(self.fps, self.n_video_frames, self.frame_index, times_us)

    def read(self, start: int = 0, stop: int | None = None, *, view: str = ORIGINAL) -> np.ndarray:
        """Rows `start` to `stop` (all the rest when None) of a view: (n, dim), contiguous.

        They are float16, float32 where stored as float32 or int8. Bounds are those of a slice: past the end gives
        fewer rows. Raises BallspotError for a view that is not there, and for rows whose checksum disagrees; with the
        last row for rows that are not those that were written, where all of all views were read in order.
        """
        if view not in self.views:
            raise BallspotError(f"{self.path}: has no view {view!r}, only {', '.join(self.views)}; extract it first")
        first, last, _ = slice(start, stop).indices(self.n_rows)
        try:
            rows = data_set(self._file, view_path(view, self.header.dtype))[first:last]
            self._follow(view, first, rows)
            if self.header.dtype == "int8":
                scale, offset = data_set(self._file, scale_path(view))[...]
                rows = rows.astype(np.float32) * scale + offset
        except DAMAGE as error:
            raise_if_system(self.path, error)
            raise BallspotError(
                f"{self.path}: rows {first} to {last} of view {view!r} are damaged ({reason_of(error)}); remove the "
                "store and extract again"
            ) from error
        return np.ascontiguousarray(rows, dtype=self.header.row_dtype)

    def _follow(self, view: str, first: int, rows: np.ndarray) -> None:
        """Counts rows that are read in order into their digest, which finds what HDF5's checksums do not see."""
        digest, n_read = self._digests.get(view, (None, 0)) if first else (hashlib.sha256(), 0)
        if digest is None or first != n_read or not self.rows_sha256:
            return
        digest.update(little_endian(rows))
        self._digests[view] = digest, first + len(rows)
        if all(self._digests.get(one, (None, 0))[1] == self.n_rows for one in self.views):
            digests = [self._digests[one][0].digest() for one in self.views]
            index = hashlib.sha256(little_endian(self.frame_index)).digest()
            if hashlib.sha256(b"".join([index, *digests])).hexdigest() != self.rows_sha256:
                raise ValueError("not those that were written")

    def row_data(self) -> dict[str, h5py.Dataset]:
        """The data sets of rows as they lie in the file, by their place in it: the frame indices, then every view."""
        places = ["frame_index", *(view_path(view, self.header.dtype) for view in self.views)]
        return {place: data_set(self._file, place) for place in places}

    def close(self) -> None:
        """Closes the file; reading ends."""
        self._file.close()


def write_store(
    path: Path, *, header: StoreHeader, blocks: Iterable[Block], frame_time_us: np.ndarray | None = None
) -> None:
    """Writes a complete store from rows in order, whole or not at all; an older file at `path` is replaced.

    How rows are cut into blocks leaves no trace: equal rows give an equal file, byte for byte. Of an int8 store the
    blocks are read twice, first for the scales.
    Raises ValueError when the rows are not those that the header promises (count, width, order, finite values),
    BallspotError when the disk does not take them.
    """
    with (
        whole_file(path) as temporary,
        _room(temporary, header) as take_room,
        _closed_or_failed(),
        _locked(temporary),
        h5py.File(temporary, "w", libver="earliest", locking=False) as file,
    ):
        take_room()
        for name, value in header_attributes(header).items():
            file.attrs.create(name, fixed(value))
        index = _data_set(file, "frame_index", header, np.dtype(np.int64))
        scales = _scales(path, header, blocks) if header.dtype == "int8" else {}
        for view, scale in scales.items():
            file.create_dataset(scale_path(view), data=scale, track_times=False)
        views = {
            view: _data_set(file, view_path(view, header.dtype), header, np.dtype(header.dtype), header.dim)
            for view in header.views
        }
        row, substituted = 0, []
        digests = {name: hashlib.sha256() for name in ("frame_index", *views)}
        for block in rows_of_chunks(blocks, CHUNK_ROWS):
            stop = row + len(block)
            if stop > header.n_rows:
                raise ValueError(f"{path}: more than the {header.n_rows} rows of its header")
            index[row:stop] = block.frame_index
            digests["frame_index"].update(little_endian(block.frame_index.astype(np.int64)))
            for view, data in views.items():
                _require_rows(path, block.features[view], header, len(block))
                rows = _quantised(block.features[view], scales[view]) if view in scales else block.features[view]
                data[row:stop] = rows
                digests[view].update(little_endian(rows))
            substituted.extend(block.substituted.tolist())
            row = stop
        if row != header.n_rows or np.any(np.diff(index[...]) <= 0):
            raise ValueError(f"{path}: {row} rows of {header.n_rows}, or frame indices that do not increase")
        for name, values in {"frame_time_us": frame_time_us, "substituted": substituted}.items():
            if values is not None and len(values):
                file.create_dataset(name, data=np.asarray(values, np.int64), track_times=False)
        rows_sha256 = hashlib.sha256(b"".join(one.digest() for one in digests.values())).hexdigest()
        file.attrs.create("rows_sha256", fixed(rows_sha256))
        file.attrs.create("header_sha256", fixed(header_digest(header, rows_sha256, file)))
        file.flush()
        file.attrs.create("complete", np.uint8(1))


def _data_set(file: h5py.File, name: str, header: StoreHeader, dtype: np.dtype, *width: int) -> h5py.Dataset:
    """An empty data set with the rows of the header, in chunks with checksums."""
    chunk_rows = min(CHUNK_ROWS, max(header.n_rows, 1))
    shape, chunks = (header.n_rows, *width), (chunk_rows, *width)
    return file.create_dataset(name, shape, dtype, chunks=chunks, fletcher32=True, track_times=False)


@contextmanager
def _room(temporary: Path, header: StoreHeader) -> Iterator[Callable[[], None]]:
    """Raises OSError before a byte is written when the disk has no room: HDF5 cannot close a file that does not fit.

    What comes back takes the room for the open file, so that no other writer does; what is left of it is given back
    after the file is closed.
    """
    row_bytes = 16 + len(header.views) * header.dim * np.dtype(header.dtype).itemsize
    n_bytes = header.n_rows * row_bytes * 51 // 50 + 2**16
    has_fallocate = hasattr(os, "posix_fallocate")
    if has_fallocate:
        with tempfile.TemporaryFile(dir=temporary.parent) as room:
            os.posix_fallocate(room.fileno(), 0, n_bytes)
    elif shutil.disk_usage(temporary.parent).free < n_bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def take() -> None:
        if has_fallocate:
            with temporary.open("r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, n_bytes)

    yield take
    with temporary.open("r+b") as stream:
        # Where the file ends by its superblock of version 0, which `libver="earliest"` writes.
        stream.seek(SUPERBLOCK_END)
        stream.truncate(int.from_bytes(stream.read(8), "little"))


@contextmanager
def _closed_or_failed() -> Iterator[None]:
    """Raises OSError for h5py's RuntimeError, which it gives when a file cannot be closed for want of room."""
    try:
        yield
    except RuntimeError as error:
        raise OSError(errno.ENOSPC, reason_of(error)) from error


def _scales(path: Path, header: StoreHeader, blocks: Iterable[Block]) -> dict[str, np.ndarray]:
    """Per view, float32 (2, d): the step and the middle that spread 255 steps from each feature's least to its most."""
    least: dict[str, np.ndarray] = {}
    most: dict[str, np.ndarray] = {}
    for block in blocks:
        for view in header.views:
            rows = block.features[view]
            _require_rows(path, rows, header, len(block))
            low, high = rows.min(axis=0), rows.max(axis=0)
            least[view] = np.minimum(least[view], low) if view in least else low
            most[view] = np.maximum(most[view], high) if view in most else high
    return {
        view: np.stack([(most[view] - least[view]) / 254, (most[view] + least[view]) / 2]).astype(np.float32)
        for view in least
    }


def _quantised(rows: np.ndarray, scale: np.ndarray) -> np.ndarray:
    step = np.where(scale[0] > 0, scale[0], 1)
    return np.clip(np.rint((rows - scale[1]) / step), -127, 127).astype(np.int8)


def _require_rows(path: Path, rows: np.ndarray, header: StoreHeader, n_rows: int) -> None:
    if rows.dtype != header.row_dtype or rows.shape != (n_rows, header.dim):
        raise ValueError(f"{path}: rows of {rows.dtype} {rows.shape}, not {header.row_dtype} {(n_rows, header.dim)}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{path}: a feature is not finite")


def _require_digest(path: Path, file: h5py.File, store: FeatureStore) -> None:
    written = text_of(file, "header_sha256")
    if written is None and not store.rows_sha256:
        return
    if written != header_digest(store.header, store.rows_sha256, file):
        raise BallspotError(f"{path}: damaged store (its header is not what was written); remove it and extract again")


def _damaged(path: Path, error: Exception) -> BallspotError:
    """The error for a store that could not be opened: damaged, unless it is the system that could not read it."""
    raise_if_system(path, error)
    return BallspotError(f"{path}: damaged store ({reason_of(error)}); remove it and extract again")


def _locked(temporary: Path) -> AbstractContextManager[None]:
    """Holds the lock of a store that is being written, which keeps `cache remove` from it.

    HDF5's own lock would do, but it fails where the file system has none. Where HDF5 is told to lock by its environment
    variable all the same, the file is left to it: both locks would be in each other's way.
    """
    told = os.environ.get("HDF5_USE_FILE_LOCKING", "").upper()
    return nullcontext() if told in ("1", "TRUE", "BEST_EFFORT") else locked_file(temporary)


def _require_hdf5(path: Path) -> None:
    if path.name.endswith(".part"):
        raise BallspotError(f"{path}: extraction unfinished; give the same extract command again to finish it")
    if not path.is_file():
        what = "is a folder, not one store" if path.is_dir() else "no such store"
        hint = path_hint(path)
        raise BallspotError(f"{path}: {what}{hint}; give the .h5 file of one match, as `ballspot extract` writes it")
    try:
        with path.open("rb") as stream:
            beginning = stream.read(len(SIGNATURE))
    except OSError as error:
        raise unreadable(path, error) from error
    if beginning != SIGNATURE and not h5py.is_hdf5(path):
        raise BallspotError(
            f"{path}: not an HDF5 file ({path.stat().st_size} bytes), perhaps damaged or half copied; remove it and "
            "extract again"
        )


def _require_readable(path: Path, file: h5py.File) -> None:
    if text_of(file, "format") != STORE_FORMAT:
        raise BallspotError(f"{path}: HDF5, but not a ballspot store; give a file that `ballspot extract` wrote")
    version = text_of(file, "format_version") or ""
    major = version.split(".")[0]
    if not major.isdigit() or int(major) < 1:
        raise BallspotError(f"{path}: store version {version!r} is not a version; extract again")
    if int(major) > STORE_VERSION[0]:
        raise BallspotError(
            f"{path}: store version {version} is newer than the {STORE_VERSION[0]}.x that can be read; upgrade ballspot"
        )
    if not file.attrs.get("complete"):
        raise BallspotError(f"{path}: half-written store (no `complete` mark); remove it and extract again")
