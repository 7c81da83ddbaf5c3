"""Files that are either whole or absent: written beside their place, synced, then renamed."""

import glob
import json
import os
import re
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..errors import BallspotError
from .faults import reason_of
from .text import decode_text, read_content, read_text, without_mark

MOST_DEPTH = 50  # of tables and lists in TOML
PYTHON_VALUE = re.compile(r"^[^#\"'\n]*[=,\[]\s*(?:True|False)\b", re.MULTILINE)  # as Python writes it


@contextmanager
def whole_file(path: Path, *, mode: int | None = None) -> Iterator[Path]:
    """A temporary path beside ``path`` that takes its place when the block ends without an error.

    The file is synced before the rename and its folder after it, so that a crash leaves the old content or the new.
    When the block raises, the temporary file is removed and ``path`` is as it was. ``mode`` is what its rights are
    then, None those of a new file.
    Raises BallspotError when the folder cannot be written or the disk is full.
    """
    make_folder(path.parent)
    try:
        handle, name = tempfile.mkstemp(prefix=f".{_short(path)}.", suffix=".tmp", dir=path.parent)
        os.close(handle)
    except OSError as error:
        raise BallspotError(f"{path.parent}: cannot write here ({error.strerror}); choose another folder") from error
    temporary = Path(name)
    try:
        yield temporary
        # Only now, as some writers put a file of their own in its place.
        temporary.chmod(0o666 & ~_umask() if mode is None else mode)
        sync(temporary)
        temporary.replace(path)
        sync(path.parent)
    except OSError as error:
        raise BallspotError(f"{path}: cannot be written ({reason_of(error)}); free space or check rights") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_texts(texts: Mapping[Path, str]) -> None:
    """Writes each text to its path as it is, in UTF-8, each whole or not at all."""
    for path, text in texts.items():
        with whole_file(path) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")


def is_begun(texts: Mapping[Path, str]) -> bool:
    """Whether some of the files, but not all, are there as `write_texts` writes them: a kill has left them so."""
    there = [path for path in texts if path.exists()]
    if not there or len(there) == len(texts):
        return False
    return all(path.is_file() and path.read_bytes() == texts[path].encode() for path in there)


def is_temporary(path: Path) -> bool:
    """Whether a file is one that `whole_file` would have renamed: in use, or left by a kill."""
    return path.name.startswith(".") and path.name.endswith(".tmp")


def find_temporary(path: Path) -> list[Path]:
    """The temporary files beside ``path`` that `whole_file` would have renamed to it: in use, or left by a kill."""
    return sorted(path.parent.glob(f".{glob.escape(_short(path))}.????????.tmp"))


def write_json(path: Path, value: Any) -> None:
    """Writes ``value`` as indented JSON, whole or not at all. Errors as `json_text`."""
    text = json_text(value)
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def json_text(value: Any) -> str:
    """``value`` as indented JSON with a line end. NaN is refused (ValueError): JSON cannot hold it."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_json(path: Path) -> Any:
    """The JSON value in ``path``. Raises BallspotError naming the file, and the line where it stops being JSON."""
    return parse_json(read_text(path), str(path))


def parse_json(text: str | bytes, source: str) -> Any:
    """The JSON value that ``text`` holds. Raises BallspotError naming ``source``, and where it stops being JSON."""
    text = decode_text(text, source) if isinstance(text, bytes) else without_mark(text)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise BallspotError(f"{source}: not valid JSON ({where}); restore or rewrite the file") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise BallspotError(f"{source}: JSON that cannot be held ({error}); restore or rewrite the file") from error


def read_toml(path: Path, *, what: str = "file", remedy: str) -> dict[str, Any]:
    """The table in ``path``, a ``what``. Raises BallspotError, ending in ``remedy``, when it is no TOML or too much."""
    text = decode_text(read_content(path, what=what), str(path))
    try:
        return parse_toml(text)
    except ValueError as error:
        hint = "; write true and false in small letters" if PYTHON_VALUE.search(text) else ""
        raise BallspotError(f"{path}: is not readable TOML ({error}){hint}; {remedy}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """The table that a TOML text holds. Raises ValueError for what is none, is nested too deeply or has odd numbers.

    TOML wants 64 bits of an integer and leaves open what becomes of larger ones. Python holds them in hexadecimal
    and cannot show them in decimal; dotted keys nest as deep as they are long.
    """
    try:
        table = tomllib.loads(without_mark(text))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    waiting: list[tuple[Any, int]] = [(table, 0)]
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            raise ValueError("an integer of more than 64 bits")
        if depth > MOST_DEPTH:
            raise ValueError(f"nested more than {MOST_DEPTH} deep")
        if isinstance(value, (dict, list)):
            waiting += ((one, depth + 1) for one in (value.values() if isinstance(value, dict) else value))
    return table


def is_file(path: str | Path) -> bool:
    """Whether a file is there; False, too, for a name that no file can have, over which pathlib raises OSError."""
    return os.path.isfile(path)  # noqa: PTH113  pathlib raises over a name too long


def make_folder(path: Path) -> Path:
    """``path`` as an existing folder. Raises BallspotError when it cannot be made, naming what stands in the way."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BallspotError(f"{path}: cannot make this folder ({error.strerror}); choose another place") from error
    return path


def sync(path: Path) -> None:
    """Forces a file's or folder's content to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _short(path: Path) -> str:
    """As much of a file's name as leaves room for more beside it: a system takes 255 bytes."""
    return os.fsencode(path.name)[:200].decode(errors="ignore")[:80]


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
