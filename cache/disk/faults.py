"""Errors of the system told from damage: a read that failed says nothing of what the file holds."""

import errno
import os
import re
from pathlib import Path

from ..errors import BallspotError

OF_FORMAT = frozenset({errno.EINVAL})  # reading ahead of a file's beginning, which a damaged one asks for
OF_PATH = (FileNotFoundError, IsADirectoryError, NotADirectoryError)
NUMBER = re.compile(r"\b(?:errno = |os error |\[Errno )(\d+)")
MESSAGE = re.compile(r"error message = '([^']+)'")


def reason_of(error: BaseException) -> str:
    """Why reading or writing failed, in one line: what the system says, also where HDF5 wraps it in its own words."""
    wrapped = MESSAGE.search(str(error))
    text = getattr(error, "strerror", None) or (wrapped[1] if wrapped else str(error).strip().partition("\n")[0])
    return text or type(error).__name__


def system_reason(error: BaseException) -> str | None:
    """What the system says was wrong, such as "Input/output error"; None for an error that is about the content.

    The number of the system's error is the only sign: Python has it as `errno`, HDF5 and safetensors in their text.
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None:
        found = NUMBER.search(str(error))
        number = int(found[1]) if found else None
    return None if number is None or number in OF_FORMAT else os.strerror(number)


def unreadable(path: Path, error: BaseException) -> BallspotError:
    """The error for a file that the system did not let be read, which may be sound."""
    reason = system_reason(error) or reason_of(error)
    if isinstance(error, OF_PATH):
        return BallspotError(f"{path}: cannot be read ({reason}); check the path")
    return BallspotError(
        f"{path}: cannot be read ({reason}): the system's error, which says nothing of the file's content; check its "
        "rights and the disk or network that it lies on, then give the command again"
    )


def raise_if_system(path: Path, error: BaseException) -> None:
    """Raises `unreadable` where it was the system that failed: for whoever is about to call a file damaged."""
    if system_reason(error) is not None:
        raise unreadable(path, error) from error
