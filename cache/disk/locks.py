"""Locks on files and folders, which end with the process that holds them; there are none where the system has none."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from ..errors import BallspotError

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def take_lock(descriptor: int, *, waits: bool = False, shared: bool = False) -> bool:
    """Takes the lock of an open file or folder; False where another holds it and this one does not wait.

    True, too, where there are no locks: on Windows, and on file systems without (some of a network say ENOLCK or
    EOPNOTSUPP).
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def is_locked(path: Path) -> bool:
    """Whether another process has locked a file (never where there are no locks)."""
    if fcntl is None:
        return False
    with path.open("rb") as stream:
        return not take_lock(stream.fileno())


@contextmanager
def locked_file(path: Path) -> Iterator[None]:
    """Holds the lock of a file that is there, for `is_locked` to see."""
    if fcntl is None:  # an open file could not be renamed either
        yield
        return
    descriptor = os.open(path, os.O_RDONLY)
    try:
        take_lock(descriptor)
        yield
    finally:
        _give_back(descriptor)


@contextmanager
def locked_folder(path: Path, *, waits: bool = True, shared: bool = False) -> Iterator[None]:
    """Holds a lock on an existing folder, which leaves no file behind and ends with the process that holds it.

    Processes that want it ``shared`` hold it together. Another that asks for it meanwhile waits, or gets a
    BallspotError where it does not want to. Where the system has no such locks there is none.
    """
    descriptor = -1
    if fcntl is not None:
        try:
            descriptor = os.open(path, os.O_RDONLY)
        except OSError:  # a folder that may be entered but not listed
            descriptor = -1
        if descriptor >= 0 and not take_lock(descriptor, waits=waits, shared=shared):
            os.close(descriptor)
            raise BallspotError(f"{path}: another process is at work here; wait for it or stop it")
    try:
        yield
    finally:
        if descriptor >= 0:
            _give_back(descriptor)


def _give_back(descriptor: int) -> None:
    """Ends the lock and closes its file: closed alone it would last in a process that was forked meanwhile."""
    if fcntl is not None:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(descriptor, fcntl.LOCK_UN)
    os.close(descriptor)
