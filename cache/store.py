"""One match's features on disk: an HDF5 file written whole, read in pieces. The format is docs/store-format.md."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any

import h5py
import numpy as np

from .errors import BallspotError
from .files import whole_file
from .fingerprint import canonical_json, fingerprint

STORE_FORMAT = "ballspot-store"
STORE_VERSION = (1, 0)
CHUNK_ROWS = 256
ORIGINAL = "original"


@dataclass(frozen=True)
class StoreHeader:
    """What a store says of itself beside its rows; a part file carries the same, so that it can be resumed.

    `extraction` is all that decides a feature (backbone, weights, size, ...) and nothing else; its digest is the
    fingerprint. The video and the decoder stand beside it: all decoders give the same pixels.
    """

    match: str
    fps: Fraction
    n_video_frames: int
    n_rows: int
    dim: int
    extraction: Mapping[str, Any]
    views: tuple[str, ...] = (ORIGINAL,)
    video_name: str = ""
    video_bytes: int = 0
    video_sha256: str = ""
    decoder: str = ""
    decoder_version: str = ""

    @property
    def fingerprint(self) -> str:
        """The sha256 of `extraction`: equal for all stores of one feature set."""
        return fingerprint(self.extraction)

    def as_json(self) -> dict[str, Any]:
        """The header as plain JSON values; `header_from_json` reads it back."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "fps"}
        fps = [self.fps.numerator, self.fps.denominator]
        return {**values, "fps": fps, "extraction": dict(self.extraction), "views": list(self.views)}


def header_from_json(value: Mapping[str, Any]) -> StoreHeader:
    """The header that `StoreHeader.as_json` wrote. Raises KeyError, TypeError or ValueError when it is not one."""
    fps, views = Fraction(*value["fps"]), tuple(value["views"])
    return StoreHeader(**{**value, "fps": fps, "views": views})


@dataclass(frozen=True)
class Block:
    """Consecutive rows: `frame_index` int64 (n,) and, of every view, `features[view]` float16 (n, dim)."""

    frame_index: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.frame_index)


class FeatureStore:
    """A complete store, open for reading; a context manager. Rows are read on demand, never more than asked for."""

    def __init__(self, path: Path, file: h5py.File, header: StoreHeader, frame_index: np.ndarray) -> None:
        self.path, self.header, self.frame_index = path, header, frame_index
        self.match, self.fps, self.n_video_frames = header.match, header.fps, header.n_video_frames
        self.n_rows, self.dim, self.views = header.n_rows, header.dim, header.views
        self.extraction: dict[str, Any] = dict(header.extraction)
        self.fingerprint = header.fingerprint
        self._file = file

    @classmethod
    def open(cls, path: Path) -> "FeatureStore":
        """The store at `path`. Raises BallspotError when it is missing, unfinished, newer, or no store at all."""
        _require_hdf5(path)
        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise BallspotError(f"{path}: damaged store ({_reason(error)}); remove it and extract again") from error
        try:
            _require_readable(path, file)
            header = _read_header(path, file)
            frame_index = _data_set(file, "frame_index")[...]
        except OSError as error:
            file.close()
            raise BallspotError(f"{path}: damaged store ({_reason(error)}); remove it and extract again") from error
        except BallspotError:
            file.close()
            raise
        return cls(path, file, header, np.asarray(frame_index, dtype=np.int64))

    def read(self, start: int = 0, stop: int | None = None, *, view: str = ORIGINAL) -> np.ndarray:
        """Rows `start` to `stop` (all the rest when None) of a view: float16 (n, dim), contiguous.

        Bounds are those of a slice: past the end gives fewer rows. Raises BallspotError for a view that is not
        there, and for rows whose checksum disagrees.
        """
        if view not in self.views:
            raise BallspotError(f"{self.path}: has no view {view!r}, only {', '.join(self.views)}; extract it first")
        first, last, _ = slice(start, stop).indices(self.n_rows)
        try:
            rows = _data_set(self._file, view_path(view))[first:last]
        except OSError as error:
            raise BallspotError(
                f"{self.path}: rows {first} to {last} of view {view!r} are damaged ({_reason(error)}); remove the "
                "store and extract again"
            ) from error
        return np.ascontiguousarray(rows, dtype=np.float16)

    def close(self) -> None:
        """Closes the file; reading ends."""
        self._file.close()

    def __enter__(self) -> "FeatureStore":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def write_store(path: Path, *, header: StoreHeader, blocks: Iterable[Block]) -> None:
    """Writes a complete store from rows in order, whole or not at all; an older file at `path` is replaced.

    How the rows are cut into blocks leaves no trace: equal rows give an equal file, byte for byte.
    Raises ValueError when the rows are not those that the header promises (count, width, order, finite values).
    """
    with whole_file(path) as temporary, h5py.File(temporary, "w", libver="earliest") as file:
        for name, value in _attributes(header).items():
            file.attrs.create(name, value)
        chunk_rows = min(CHUNK_ROWS, max(header.n_rows, 1))
        index = file.create_dataset(
            "frame_index", (header.n_rows,), np.int64, chunks=(chunk_rows,), fletcher32=True, track_times=False
        )
        views = {
            view: file.create_dataset(
                view_path(view),
                (header.n_rows, header.dim),
                np.float16,
                chunks=(chunk_rows, header.dim),
                fletcher32=True,
                track_times=False,
            )
            for view in header.views
        }
        row = 0
        for block in rows_of_chunks(blocks, CHUNK_ROWS):
            stop = row + len(block)
            if stop > header.n_rows:
                raise ValueError(f"{path}: more than the {header.n_rows} rows of its header")
            index[row:stop] = block.frame_index
            for view, data in views.items():
                _require_rows(path, block.features[view], len(block), header.dim)
                data[row:stop] = block.features[view]
            row = stop
        if row != header.n_rows or np.any(np.diff(index[...]) <= 0):
            raise ValueError(f"{path}: {row} rows of {header.n_rows}, or frame indices that do not increase")
        file.flush()
        file.attrs.create("complete", np.uint8(1))


def rows_of_chunks(blocks: Iterable[Block], n_rows: int) -> Iterator[Block]:
    """The same rows in blocks of exactly `n_rows`, the last one shorter."""
    waiting: list[Block] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        while n_waiting >= n_rows:
            whole = _join(waiting)
            yield _cut(whole, 0, n_rows)
            rest = _cut(whole, n_rows, len(whole))
            waiting, n_waiting = [rest], len(rest)
    if n_waiting:
        yield _join(waiting)


def view_path(view: str) -> str:
    """The place of a view's data set inside the file."""
    return "features" if view == ORIGINAL else f"views/{view}"


def _join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    views = {view: np.concatenate([block.features[view] for block in blocks]) for view in blocks[0].features}
    return Block(np.concatenate([block.frame_index for block in blocks]), views)


def _cut(block: Block, start: int, stop: int) -> Block:
    return Block(block.frame_index[start:stop], {view: rows[start:stop] for view, rows in block.features.items()})


def _require_rows(path: Path, rows: np.ndarray, n_rows: int, dim: int) -> None:
    if rows.dtype != np.float16 or rows.shape != (n_rows, dim):
        raise ValueError(f"{path}: rows of {rows.dtype} {rows.shape}, expected float16 {(n_rows, dim)}")
    if not np.isfinite(rows).all():
        raise ValueError(f"{path}: a feature is not finite")


def _attributes(header: StoreHeader) -> dict[str, Any]:
    texts = {
        "format": STORE_FORMAT,
        "format_version": ".".join(map(str, STORE_VERSION)),
        "match": header.match,
        "video_name": header.video_name,
        "video_sha256": header.video_sha256,
        "decoder": header.decoder,
        "decoder_version": header.decoder_version,
        "extraction": canonical_json(header.extraction),
        "fingerprint": header.fingerprint,
        "views": json.dumps(list(header.views)),
    }
    numbers = {
        "fps_numerator": header.fps.numerator,
        "fps_denominator": header.fps.denominator,
        "n_video_frames": header.n_video_frames,
        "n_rows": header.n_rows,
        "video_bytes": header.video_bytes,
    }
    # Fixed-length text: variable-length text lies in a heap whose layout the format does not fix.
    fixed = {
        name: np.array(text.encode(), dtype=h5py.string_dtype("utf-8", max(1, len(text.encode()))))
        for name, text in texts.items()
    }
    return fixed | {name: np.int64(number) for name, number in numbers.items()}


def _require_hdf5(path: Path) -> None:
    if path.name.endswith(".part"):
        raise BallspotError(f"{path}: extraction unfinished; give the same extract command again to finish it")
    if not path.is_file():
        what = "is a folder, not one store" if path.is_dir() else "no such store"
        raise BallspotError(f"{path}: {what}; give the .h5 file of one match, as `ballspot extract` writes it")
    if not h5py.is_hdf5(path):
        raise BallspotError(
            f"{path}: not an HDF5 file ({path.stat().st_size} bytes), perhaps damaged or half copied; remove it and "
            "extract again"
        )


def _require_readable(path: Path, file: h5py.File) -> None:
    if _text(file, "format") != STORE_FORMAT:
        raise BallspotError(f"{path}: HDF5, but not a ballspot store; give a file that `ballspot extract` wrote")
    version = _text(file, "format_version") or ""
    major = version.split(".")[0]
    if not major.isdigit() or int(major) < 1:
        raise BallspotError(f"{path}: store version {version!r} is not a version; extract again")
    if int(major) > STORE_VERSION[0]:
        raise BallspotError(
            f"{path}: store version {version} is newer than the {STORE_VERSION[0]}.x that can be read; upgrade ballspot"
        )
    if not file.attrs.get("complete"):
        raise BallspotError(f"{path}: half-written store (no `complete` mark); remove it and extract again")


def _read_header(path: Path, file: h5py.File) -> StoreHeader:
    try:
        views = tuple(json.loads(_text(file, "views") or ""))
        header = StoreHeader(
            match=_text(file, "match") or "",
            fps=Fraction(_number(file, "fps_numerator"), _number(file, "fps_denominator")),
            n_video_frames=_number(file, "n_video_frames"),
            n_rows=_number(file, "n_rows"),
            dim=_data_set(file, "features").shape[1],
            extraction=json.loads(_text(file, "extraction") or ""),
            views=views,
            video_name=_text(file, "video_name") or "",
            video_bytes=_number(file, "video_bytes"),
            video_sha256=_text(file, "video_sha256") or "",
            decoder=_text(file, "decoder") or "",
            decoder_version=_text(file, "decoder_version") or "",
        )
        lengths = {name: len(_data_set(file, name)) for name in ("frame_index", *map(view_path, views))}
    except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError) as error:
        raise BallspotError(f"{path}: a store without its header ({error}); extract again") from error
    if set(lengths.values()) != {header.n_rows} or header.fps <= 0:
        raise BallspotError(f"{path}: holds {lengths} rows, its header says {header.n_rows}; extract again")
    if header.fingerprint != _text(file, "fingerprint"):
        raise BallspotError(f"{path}: its fingerprint is not the one of its extraction settings; extract again")
    return header


def _data_set(file: h5py.File, name: str) -> h5py.Dataset:
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{name} is no data set")
    return found


def _number(file: h5py.File, name: str) -> int:
    return int(np.asarray(file.attrs[name]).item())


def _text(file: h5py.File, name: str) -> str | None:
    value = file.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else None


def _reason(error: OSError) -> str:
    return str(error).splitlines()[0] if str(error) else "read error"
