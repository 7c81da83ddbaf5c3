"""Locks end where they are given back, whoever else was made meanwhile."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from ballspot.cache.disk.locks import is_locked, locked_file, locked_folder
from ballspot.cache.errors import BallspotError


def is_taken(path: Path) -> bool:
    """Whether somebody who does not wait is refused."""
    if path.is_file():
        return is_locked(path)
    try:
        with locked_folder(path, waits=False):
            return False
    except BallspotError:
        return True


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
@pytest.mark.parametrize("lock", [locked_file, locked_folder])
def test_a_lock_that_is_given_back_is_free_though_a_fork_has_its_file_open(
    lock: Callable[[Path], AbstractContextManager[None]], tmp_path: Path
) -> None:
    path = tmp_path
    if lock is locked_file:
        path = tmp_path / "file"
        path.touch()
    read, write = os.pipe()
    try:
        with lock(path):
            child = os.fork()
            if child == 0:
                try:
                    os.close(write)
                    os.read(read, 1)  # until the other end is closed
                finally:
                    os._exit(0)
            assert is_taken(path)
        assert not is_taken(path)
    finally:
        os.close(write)
        os.close(read)
    assert os.waitpid(child, 0)[1] == 0
