"""The part file of a store that is being made: appended batch by batch, resumed at its last whole one.

`<match>.h5.part` is a JSON line (the store's header) and then records, each with the rows it holds, a CRC-32 and the
rows themselves; see docs/reference/store-format.md. A journal may cover a segment of the rows only, so that several
workers can each fill one of their own; `read_journals` puts them together.
"""

import glob
import json
import os
import re
import struct
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np

from ..disk import make_folder, plain_name, reason_of, sync, take_lock, unreadable
from ..errors import BallspotError
from .layout import Block, StoreHeader, header_from_json

PART_FORMAT = "ballspot-part"
PART_VERSION = 2
RECORD = struct.Struct("<4sIQI")  # magic, n_rows, first row, CRC-32 of the first three fields and the payload
MAGIC = b"ROWS"


@dataclass(frozen=True)
class Segment:
    """The rows `start` to `stop` of a store."""

    start: int
    stop: int


def part_path(store_path: Path, segment: Segment | None = None) -> Path:
    """The part file beside a store; that of a segment names its rows."""
    rows = f".{segment.start}-{segment.stop}" if segment else ""
    return store_path.with_name(f"{store_path.name}{rows}.part")


class Journal:
    """A part file open for appending; a context manager. `next_row` is where to go on.

    It is locked while open: a second writer of the same file gets a BallspotError (where the system has file locks).
    """

    def __init__(self, path: Path, header: StoreHeader, segment: Segment, stream: BinaryIO, next_row: int) -> None:
        self.path, self.header, self.segment, self.next_row = path, header, segment, next_row
        self._stream = stream

    @classmethod
    def open(
        cls,
        path: Path,
        header: StoreHeader,
        *,
        segment: Segment | None = None,
        patience_s: float = 0.0,
        may_substitute: bool = True,
    ) -> "Journal":
        """The journal at `path`, new or taken up after its last whole record; what follows that is cut off.

        A journal that is taken up keeps the decoder it was begun with in its header: all give the same pixels.
        Raises BallspotError when the file belongs to other settings, another video or other rows, is still in use after
        `patience_s`, or holds a substituted frame though there may be none.
        """
        segment = segment or Segment(0, header.n_rows)
        make_folder(path.parent)
        stream = _open_locked(path, patience_s)
        try:
            found = _read_head(stream)
            if found is None:
                next_row = segment.start
                _write_head(stream, header, segment)
                sync(path.parent)
            else:
                _require_same(path, found, (header, segment))
                header, next_row = found[0], segment.start
                whole = stream.tell()
                for block in _blocks(stream, header, segment):
                    if len(block.substituted) and not may_substitute:
                        raise BallspotError(
                            f"{path}: shows another frame in place of damaged frame {block.substituted[0]}; give "
                            "--on-bad-frame substitute again, or another --set"
                        )
                    next_row += len(block)
                    whole = stream.tell()
                stream.truncate(whole)
                stream.seek(whole)
        except OSError as error:
            with suppress(OSError):  # what could not be written is tried once more by closing
                stream.close()
            raise _cannot_write(path, error) from error
        except BallspotError:
            stream.close()
            raise
        return cls(path, header, segment, stream, next_row)

    def append(self, block: Block) -> None:
        """Adds the next rows and syncs them to the disk: they survive whatever happens afterwards.

        Raises ValueError for rows that do not fit, BallspotError when the disk refuses them.
        """
        self.require_fit(block)
        # A substituted frame's index is written as its complement: negative, and every bit of it known.
        index = np.where(np.isin(block.frame_index, block.substituted), ~block.frame_index, block.frame_index)
        kind = self.header.row_dtype.newbyteorder("<")
        payload = index.astype("<i8").tobytes()
        payload += b"".join(block.features[view].astype(kind).tobytes() for view in self.header.views)
        head = RECORD.pack(MAGIC, len(block), self.next_row, 0)
        crc = zlib.crc32(payload, zlib.crc32(head))
        try:
            self._stream.write(RECORD.pack(MAGIC, len(block), self.next_row, crc) + payload)
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise _cannot_write(self.path, error) from error
        self.next_row += len(block)

    def require_fit(self, block: Block) -> None:
        """Raises ValueError unless the block is the next rows of this journal, of the header's width, all finite."""
        if not 0 < len(block) <= self.segment.stop - self.next_row:
            raise ValueError(f"{self.path}: {len(block)} rows do not fit at row {self.next_row} of {self.segment}")
        for view in self.header.views:
            rows = block.features[view]
            if rows.shape != (len(block), self.header.dim) or rows.dtype != self.header.row_dtype:
                raise ValueError(f"{self.path}: view {view!r} has {rows.dtype} {rows.shape}")
            if not np.isfinite(rows).all():
                raise ValueError(f"{self.path}: view {view!r} has a feature that is not finite at row {self.next_row}")

    def remove(self) -> None:
        """Deletes the part file: its rows are in the store now."""
        self.path.unlink(missing_ok=True)

    def close(self) -> None:
        """Closes the file and gives up its lock; it can be taken up again."""
        try:
            self._stream.close()
        except OSError as error:
            raise _cannot_write(self.path, error) from error

    def __enter__(self) -> "Journal":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close()
        except BallspotError:
            if error is None:
                raise


def read_header(path: Path) -> StoreHeader | None:
    """The header of a part file, None when there is none yet: no file, or stopped before its first line was whole."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as stream:
            found = _read_head(stream)
    except OSError as error:
        raise unreadable(path, error) from error
    return found[0] if found else None


@dataclass(frozen=True)
class JournalRows:
    """The blocks of part files, in row order, as often as they are asked for; see `read_journals`."""

    paths: tuple[Path, ...]

    def __iter__(self) -> Iterator[Block]:
        return read_journals(self.paths)


def find_parts(store_path: Path) -> list[Path]:
    """The part files of a store, of all segments, sorted."""
    name = glob.escape(store_path.name)
    return sorted({*store_path.parent.glob(f"{name}.part"), *store_path.parent.glob(f"{name}.*-*.part")})


def store_of(part: Path) -> Path:
    """The store that a part file is of, whether it is there yet or not."""
    return part.with_name(re.sub(r"\.h5(\.\d+-\d+)?\.part$", ".h5", part.name))


def remove_parts(store_path: Path) -> None:
    """Deletes all part files of a store. Raises BallspotError where that is not allowed."""
    for part in find_parts(store_path):
        try:
            part.unlink(missing_ok=True)
        except OSError as error:
            raise BallspotError(f"{part}: cannot be removed ({error.strerror or error}); check rights") from error


def read_journals(paths: Sequence[Path]) -> Iterator[Block]:
    """The blocks of one or several part files, in row order. Raises BallspotError when rows or files are missing."""
    heads = []
    for path in paths:
        try:
            with path.open("rb") as stream:
                found = _read_head(stream)
        except FileNotFoundError as error:
            raise BallspotError(f"{path}: no such part file; give the same extract command again") from error
        except OSError as error:
            raise unreadable(path, error) from error
        if found is None:
            raise BallspotError(f"{path}: an empty part file; give the same extract command again")
        heads.append((found[1].start, path, found))
    row = 0
    for _, path, (header, segment) in sorted(heads, key=lambda head: head[0]):
        if row == segment.start:
            for block in _blocks_of(path, header, segment):
                row += len(block)
                yield block
        if row != segment.stop:
            raise BallspotError(f"{path}: rows from {row} on are missing; give the same extract command again")


def _blocks_of(path: Path, header: StoreHeader, segment: Segment) -> Iterator[Block]:
    try:
        with path.open("rb") as stream:
            stream.readline()
            yield from _blocks(stream, header, segment)
    except OSError as error:
        raise unreadable(path, error) from error


def _open_locked(path: Path, patience_s: float) -> BinaryIO:
    give_up = time.monotonic() + patience_s
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
        except OSError as error:
            raise _cannot_write(path, error) from error
        stream = os.fdopen(descriptor, "r+b")
        if not take_lock(descriptor):
            stream.close()
            if time.monotonic() < give_up:
                time.sleep(0.05)
                continue
            raise BallspotError(f"{path}: another process is extracting this match; wait for it or stop it")
        # The file may have been finished and removed between opening and locking; then the lock guards nothing.
        if path.exists() and os.fstat(descriptor).st_ino == path.stat().st_ino:
            return stream
        stream.close()


def _write_head(stream: BinaryIO, header: StoreHeader, segment: Segment) -> None:
    head = {"format": PART_FORMAT, "version": PART_VERSION, "rows": [segment.start, segment.stop]}
    stream.seek(0)
    stream.truncate()
    stream.write(json.dumps({**head, "header": header.as_json()}, sort_keys=True).encode() + b"\n")
    stream.flush()
    os.fsync(stream.fileno())


def _read_head(stream: BinaryIO) -> tuple[StoreHeader, Segment] | None:
    stream.seek(0)
    line = stream.readline()
    if not line.endswith(b"\n"):
        return None
    try:
        head = json.loads(line)
        if head["format"] != PART_FORMAT or head["version"] != PART_VERSION:
            return None
        header, segment = header_from_json(head["header"]), Segment(*head["rows"])
        return (header, segment) if 0 <= segment.start <= segment.stop <= header.n_rows else None
    except (ValueError, LookupError, TypeError, ArithmeticError, RecursionError):
        return None


def _blocks(stream: BinaryIO, header: StoreHeader, segment: Segment) -> Iterator[Block]:
    """The whole records from the stream's position on; ends at the first that is torn, damaged or out of order."""
    row = segment.start
    kind = header.row_dtype.newbyteorder("<")
    row_bytes = 8 + kind.itemsize * header.dim * len(header.views)
    n_bytes = os.fstat(stream.fileno()).st_size
    while row < segment.stop:
        head = stream.read(RECORD.size)
        if len(head) < RECORD.size:
            return
        magic, n_rows, first, crc = RECORD.unpack(head)
        if magic != MAGIC or first != row or not 0 < n_rows <= segment.stop - row:
            return
        if n_rows * row_bytes > n_bytes - stream.tell():  # before memory is taken for it
            return
        payload = stream.read(n_rows * row_bytes)
        if zlib.crc32(payload, zlib.crc32(RECORD.pack(MAGIC, n_rows, first, 0))) != crc:
            return
        written = np.frombuffer(payload, "<i8", n_rows).astype(np.int64)
        frame_index = np.where(written < 0, ~written, written)
        values = np.frombuffer(payload, kind, offset=8 * n_rows).reshape(len(header.views), n_rows, header.dim)
        features = {view: values[k].astype(header.row_dtype) for k, view in enumerate(header.views)}
        yield Block(frame_index, features, frame_index[written < 0])
        row += n_rows


def _require_same(path: Path, found: tuple[StoreHeader, Segment], wanted: tuple[StoreHeader, Segment]) -> None:
    if (_without_decoder(found[0]), found[1]) == (_without_decoder(wanted[0]), wanted[1]):
        return
    if found[0].fingerprint != wanted[0].fingerprint:
        what = "other extraction settings"
    elif found[0].video_sha256 != wanted[0].video_sha256:
        what = "another video"
    elif found[0].engine != wanted[0].engine:
        what = f"the engine {found[0].engine!r}, whose last bits differ from {wanted[0].engine!r}"
    else:
        what = "another match or other rows"
    raise BallspotError(f"{path}: a part file of {what}; give the options it was begun with, or another --set")


def _without_decoder(header: StoreHeader) -> StoreHeader:
    return replace(header, match=plain_name(header.match), decoder="", decoder_version="", weights="")


def _cannot_write(path: Path, error: OSError) -> BallspotError:
    return BallspotError(f"{path}: cannot be written ({reason_of(error)}); free space or check rights")
