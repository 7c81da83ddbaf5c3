"""What a process changes on disk, told before it happens.

A change is opening a file to write, a rename, removal, new folder, truncation, other rights, or a sync to the disk:
between two of them nothing on disk changes in a way that another process, or the next one, could be misled by.
"""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate", "os.chmod")
is_told = True
OnChange = Callable[[int, str], None]  # hears the number of the change that is about to be made, and what it is


def watch(on_change: OnChange, *, below: str) -> list[str]:
    """Has ``on_change`` hear of every change of this process from now on; the list grows by what it was.

    Only changes below a folder of the name ``below`` are told, and syncs.
    """
    changes: list[str] = []

    def about_to(text: str) -> None:
        if not is_told:
            return
        on_change(len(changes), text)
        changes.append(text)

    def hook(event: str, args: tuple[Any, ...]) -> None:
        is_written = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        if not (is_written or event in EVENTS) or not isinstance(args[0], (str, bytes, os.PathLike)):
            return
        path = os.fsdecode(args[0])
        if below in Path(path).parts:
            about_to(f"{event} {path}" + (f" -> {os.fsdecode(args[1])}" if event == "os.rename" else ""))

    sync = os.fsync

    def told_sync(descriptor: int) -> None:
        about_to("before fsync")
        sync(descriptor)
        about_to("after fsync")

    os.fsync = told_sync
    sys.addaudithook(hook)
    return changes


def tell_no_more() -> None:
    """What this process changes from now on, and what those that are forked from it do, is not told."""
    global is_told
    is_told = False


def killed_at(number: int) -> OnChange:
    """Ends the process by SIGKILL before its change of that number."""

    def kill(at: int, text: str) -> None:
        if at == number:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill
