"""The server that worker processes are forked from, itself a fork of a process that has imported what they need.

One that is started anew imports torch and timm for some five seconds: each forked command that has workers would.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import forkserver, util
from pathlib import Path
from typing import Any

from ballspot.extract.video import process as decoding

from . import changes

NAME = "forkserver"  # of the process, and of those forked from it, in /proc/PID/comm
SERVES = "multiprocessing.forkserver"  # in the code that a server is started with
start_anew = util.spawnv_passfds


def fork_servers() -> None:
    """Has this process, and those that are forked from it, fork a server where multiprocessing would start one."""
    if sys.platform == "linux":  # elsewhere libraries of the system do not bear forks
        util.spawnv_passfds = _start


def forget_server() -> None:
    """The next worker gets a server of its own: the one there is belongs to the process that this one came from."""
    forkserver._forkserver.__init__()


@contextmanager
def started_anew() -> Iterator[None]:
    """Servers are started as they are for a user meanwhile; the one that there was comes back afterwards."""
    server: Any = forkserver._forkserver
    before, spawn = dict(vars(server)), util.spawnv_passfds
    forget_server()
    util.spawnv_passfds = start_anew
    try:
        yield
    finally:
        if server._forkserver_pid is not None:
            os.kill(server._forkserver_pid, signal.SIGKILL)  # closing its pipe is not enough: forks may hold it too
            server._stop()
        vars(server).update(before)
        util.spawnv_passfds = spawn


def _start(path: Any, words: Sequence[Any], descriptors: Sequence[int]) -> int:
    if SERVES not in str(words[-1]):  # a process of another kind
        return start_anew(path, words, descriptors)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _serve(str(words[-1]), descriptors)
    return pid


def _serve(code: str, descriptors: Sequence[int]) -> None:
    """What a new process would be handed: these descriptors alone, streams of its own, no lock that is held."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        for one in [int(path.name) for path in Path("/proc/self/fd").iterdir()]:
            # Not closed: an object that is given up later would close whatever has got its number by then.
            if one not in {0, 1, 2, nothing, *descriptors}:
                with suppress(OSError):  # that of the list itself
                    os.fstat(one)
                    os.dup2(nothing, one, inheritable=False)
        sys.stdout, sys.stderr = (os.fdopen(number, "w", 1, "utf-8", closefd=False) for number in (1, 2))
        Path("/proc/self/comm").write_text(NAME)
        changes.tell_no_more()
        forget_server()
        decoding.START = "forkserver"  # from this server too: a new process takes most of a second
        exec(code, {})
    finally:
        os._exit(0)
