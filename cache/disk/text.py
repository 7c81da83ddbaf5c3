"""Text as people and programs save it: where a file's bytes become text, and when two names are the same name."""

import codecs
import unicodedata
from pathlib import Path

from ..errors import BallspotError
from .faults import unreadable

MARKS = (  # byte order marks, the longer ones first: that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(content: bytes, source: str, *, fallback: str | None = None) -> str:
    """The text of a file's bytes: UTF-8, or what a byte order mark says, which is left out, as Windows editors save it.

    ``fallback`` names the encoding of what is no UTF-8. Raises BallspotError naming ``source`` for other bytes.
    """
    marks = (one for one in MARKS if content.startswith(one[0]) and (content != one[0] or one[1] == "utf-8"))
    mark, encoding = next(marks, (b"", "utf-8"))
    for name in (encoding, fallback):
        if name is None:
            continue
        try:
            return content[len(mark) :].decode(name)
        except UnicodeDecodeError as error:
            place = error.start + len(mark)
    raise BallspotError(f"{source}: not UTF-8 text (byte {place}); save it as UTF-8")


def is_utf8(content: bytes) -> bool:
    """Whether bytes are UTF-8, or have the mark of another encoding of Unicode."""
    try:
        decode_text(content, "")
    except BallspotError:
        return False
    return True


def without_mark(text: str) -> str:
    """The text without a byte order mark that was read as its first letter."""
    return text.removeprefix("\ufeff")


def read_text(path: Path) -> str:
    """The text of a file as `decode_text` gives it. Raises BallspotError naming the file."""
    return decode_text(read_content(path), str(path))


def read_content(path: Path, *, what: str = "file") -> bytes:
    """The bytes of a file, a ``what``. Raises BallspotError when it is missing or the system cannot read it."""
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise BallspotError(f"{path}: no such {what}; check the path") from error
    except OSError as error:
        raise unreadable(path, error) from error


def plain_name(name: str) -> str:
    """A name in the one form of Unicode that names are compared in (NFC).

    Letters with accents have two forms that look alike: one code, as Linux and Windows write it, or a letter and a
    mark, as macOS has written it in file names.
    """
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def existing_path(folder: Path, name: str) -> Path:
    """The path of ``name`` below ``folder``: of what is there in either form of Unicode, else as it is written."""
    path = folder / name
    if name.isascii() or path.exists():
        return path
    found = folder
    for part in Path(name).parts:
        found = next((one for one in _entries(found) if plain_name(one.name) == plain_name(part)), found / part)
    return found


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:  # not there
        return []
