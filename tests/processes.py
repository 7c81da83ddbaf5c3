"""Commands in forked processes, which load nothing anew; killed or held, where that is asked for, before a change that
they make on disk (tests/changes.py).
"""

import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm  # noqa: F401  # here, once: every fork would import it

from ballspot.cache.workers import pool, process_context
from ballspot.cli import main

from .changes import OnChange, watch
from .servers import forget_server, fork_servers

PLACE = "place"  # the folder that changes are told of lies below one of this name
LIMIT_S = 400.0  # of a machine that has other things to do; below the limit of a test


@dataclass(frozen=True)
class Ended:
    """How a command ended: exit code, what it said, and the traceback of what it did not catch."""

    code: int
    stdout: str
    stderr: str
    trace: str = ""

    @property
    def error(self) -> str:
        """The one line that a refusal ends with."""
        return self.stderr.rstrip("\n").rpartition("\n")[2]


@dataclass
class Child:
    """A command in a process of its own; what it says goes to the file ``log``, its changes come through ``pipe``."""

    pid: int
    log: Path
    pipe: int
    status: int | None = None
    changes: tuple[str, ...] = ()  # known once it has ended by itself

    def is_over(self) -> bool:
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._end(status)
        return self.status is not None

    def wait(self, limit_s: float = LIMIT_S) -> Ended:
        """How it ended. Kills it, with what it started, when that takes longer than the limit or the test is over."""
        give_up = time.monotonic() + limit_s
        try:
            while not self.is_over():
                if time.monotonic() > give_up:
                    raise TimeoutError(f"no end after {limit_s} s: {self.log.read_text(encoding='utf-8')}")
                time.sleep(0.002)
        except BaseException:
            self.kill()
            raise
        text = self.log.read_text(encoding="utf-8", errors="replace")
        code = os.waitstatus_to_exitcode(self.status or 0)
        return Ended(code, "", text, text if "Traceback" in text else "")

    def kill(self) -> None:
        """SIGKILL to it and all that it started, where it has not ended yet."""
        if self.status is None:
            with suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._end(os.waitpid(self.pid, 0)[1])

    def kill_alone(self) -> None:
        """SIGKILL to it, where it has not ended yet; what it started must end by itself."""
        if not self.is_over():
            os.kill(self.pid, signal.SIGKILL)
            self._end(os.waitpid(self.pid, 0)[1])

    def _end(self, status: int) -> None:
        self.status = status
        os.set_blocking(self.pipe, False)
        with suppress(BlockingIOError):
            self.changes = tuple(os.read(self.pipe, 2**20).decode().splitlines())
        os.close(self.pipe)


def started(
    words: Sequence[object],
    log: Path,
    on_change: OnChange | None = None,
    *,
    then: Sequence[Sequence[object]] = (),
    environment: Mapping[str, str] | None = None,
) -> Child:
    """The command in a forked process, in a process group of its own, with more variables in its environment.

    Where it ends well, the commands of ``then`` follow in the same process.
    """
    read, write = os.pipe()
    os.set_inheritable(write, True)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        os.setpgid(0, 0)
        os.close(read)
        os.environ.update(environment or {})
        _run([words, *then], log, on_change, write)
    os.close(write)
    with suppress(PermissionError, ProcessLookupError):
        os.setpgid(pid, pid)
    return Child(pid, log, read)


def run_forked(*words: object, then: Sequence[Sequence[object]] = ()) -> Ended:
    """How the command, or all of them, ends in a forked process; what is said on both streams is in ``stderr``."""
    with tempfile.TemporaryDirectory() as folder:
        return started(words, Path(folder) / "log", then=then).wait()


def run_apart(function: Callable[[], object]) -> None:
    """Calls the function in a forked process; raises AssertionError, with its traceback, where it fails there."""
    with tempfile.TemporaryFile("w+", encoding="utf-8") as said:
        pid = os.fork()
        if pid == 0:
            try:
                as_a_process_of_its_own("")
                function()
                os._exit(0)
            except BaseException:  # noqa: BLE001  # whatever it is, the test is to read of it, and this process to end
                traceback.print_exc(file=said)
                said.flush()
            finally:
                os._exit(1)
        status = os.waitpid(pid, 0)[1]
        said.seek(0)
        assert status == 0, f"wait status {status}: {said.read()}"


def as_a_process_of_its_own(command: str) -> None:
    """Makes a fork start its own processes: the server that they are forked from elsewhere is another one's child.

    Decoders and workers of an extraction are forked from a server of this process; the workers of a sweep, which has no
    threads, are forks of this process.
    """
    forget_server()
    fork_servers()
    pool.process_context = process_context
    if command == "sweep":
        pool.process_context = lambda preload: multiprocessing.get_context("fork")


def _run(commands: Sequence[Sequence[object]], log: Path, on_change: OnChange | None, pipe: int) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115  # of a process that ends
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115  # the same
    sys.dont_write_bytecode = True
    as_a_process_of_its_own(str(commands[0][0]))
    code: Any = 70
    try:
        changes = watch(on_change or (lambda number, text: None), below=PLACE)
        for words in commands:
            try:
                main([str(word) for word in words])
            except SystemExit as end:
                code = end.code or 0
            if code:
                break
        sys.stdout.flush()
        os.write(pipe, "\n".join(changes).encode())
    except BaseException:  # noqa: BLE001  # whatever it is, the test is to read of it, and this process to end
        traceback.print_exc()
        sys.stderr.flush()
    finally:
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()
        os._exit(code if isinstance(code, int) else 1)


def killed_when(happens: Callable[[str], bool], times: int = 1) -> OnChange:
    """Ends the process by SIGKILL before the n-th change of which ``happens`` is true."""
    seen = 0

    def kill(at: int, text: str) -> None:
        nonlocal seen
        seen += happens(text)
        if seen == times:
            os.kill(os.getpid(), signal.SIGKILL)

    return kill


@dataclass(frozen=True)
class Gate:
    """Where a process waits: it says that it has come, and goes on when it may."""

    came: tuple[int, int]
    may_go: tuple[int, int]

    @classmethod
    def new(cls) -> "Gate":
        return cls(os.pipe(), os.pipe())

    def hold_at(self, number: int) -> OnChange:
        """Holds the process before its change of that number."""

        def hold(at: int, text: str) -> None:
            if at == number:
                os.write(self.came[1], b"x")
                os.read(self.may_go[0], 1)

        return hold

    def wait(self, child: Child, limit_s: float = LIMIT_S) -> bool:
        """True when the process has come; False when it ended before."""
        os.set_blocking(self.came[0], False)
        give_up = time.monotonic() + limit_s
        while time.monotonic() < give_up:
            with suppress(BlockingIOError):
                return os.read(self.came[0], 1) == b"x"
            if child.is_over():
                return False
            time.sleep(0.001)
        raise TimeoutError("the process neither came to the gate nor ended")

    def open(self) -> None:
        """Lets it go on."""
        os.write(self.may_go[1], b"x")

    def close(self) -> None:
        for descriptor in (*self.came, *self.may_go):
            os.close(descriptor)


def children_of(pid: int) -> list[int]:
    """The processes that come from this one, at any depth; none where the system does not tell."""
    found: list[int] = []
    parents, stats = {pid}, {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it may just have ended
            stats[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    while parents:
        parents = {child for child, parent in stats.items() if parent in parents}
        found += parents
    return found


def chosen(rng: random.Random, n_all: int, n_wanted: int) -> list[int]:
    """So many different numbers below ``n_all``, all of them where that is no more."""
    return sorted(rng.sample(range(n_all), n_wanted)) if n_wanted < n_all else list(range(n_all))
