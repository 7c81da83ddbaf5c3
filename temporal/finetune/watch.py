"""Processes of one training that keep an eye on one another, so that none waits for one that has ended.

Each has a line to the store by which they found one another. There it counts up every few seconds, and says when it
fails. The first process watches the counts of the others, the others watch its own; whoever finds that one has failed,
or is silent for too long, ends. So a process may take as long as it likes over its work, and the others wait for it,
but for no more than a minute once it is gone.
"""

import os
import sys
import threading
import time
from datetime import timedelta
from itertools import count
from typing import Any

import torch.distributed as dist

from ...cache.errors import BallspotError

BEAT_S = 2.0
SILENCE_S = 40.0  # after which a process is gone: far more than any call into native code takes
GRACE_S = 5.0  # for the main thread to end by itself, with its own words
POLL_S = 0.2
_numbers = count()  # of the watches of this process: the store may outlive one training, and its keys stay


class Watch:
    """This process's line to the others; `close` it where all goes well, `fail` where it does not."""

    def __init__(self, host: str, port: int, *, rank: int, n_processes: int, attempt: str) -> None:
        self.rank, self.n_processes = rank, n_processes
        # A line of its own: what another thread asks of the shared one would wait behind a collective's requests.
        stores: Any = dist  # whose stubs do not export them
        line = stores.TCPStore(
            host, port, is_master=False, wait_for_workers=False, timeout=timedelta(seconds=SILENCE_S)
        )
        self._store = stores.PrefixStore(f"ballspot/{attempt}/{next(_numbers)}", line)
        self._counts = dict.fromkeys(range(n_processes) if rank == 0 else (0,), 0)
        self._heard = dict.fromkeys(self._counts, time.monotonic())
        self._counts.pop(rank, None)
        self._n_meetings = 0
        self._problem = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="watch", daemon=True)
        self._thread.start()

    def meet(self) -> None:
        """Waits until everybody is here, however long that takes. Raises BallspotError when one of them is gone."""
        self._n_meetings += 1
        key = f"met/{self._n_meetings}"
        try:
            self._store.add(key, 1)
            while self._store.add(key, 0) < self.n_processes:
                if self._problem:
                    raise BallspotError(self._problem)
                time.sleep(POLL_S)
        except (RuntimeError, OSError) as error:
            raise BallspotError(self.problem(patience_s=GRACE_S) or self._gone(0)) from error

    def problem(self, *, patience_s: float) -> str:
        """Which process failed, "" where none does for so long."""
        end = time.monotonic() + patience_s
        while not self._problem and time.monotonic() < end:
            time.sleep(POLL_S)
        return self._problem

    def close(self) -> None:
        """Leaves the others. The first process, which may hold the store, stays until all of them have left."""
        self._over.set()
        self._thread.join()
        self._leave(patience_s=SILENCE_S)

    def fail(self, reason: str) -> None:
        """Tells the others, unless one of them was first, and leaves."""
        self._over.set()
        self._thread.join()
        try:
            if not self._store.check(["failed"]):
                self._store.set("failed", f"process {self.rank + 1} of {self.n_processes} failed: {reason}")
        except (RuntimeError, OSError):
            return
        self._leave(patience_s=2 * GRACE_S)

    def _leave(self, *, patience_s: float) -> None:
        end = time.monotonic() + patience_s
        try:
            self._store.set(f"left/{self.rank}", "")
            self._store.add("left", 1)
            while self.rank == 0 and self._store.add("left", 0) < self.n_processes and time.monotonic() < end:
                time.sleep(POLL_S)
        except (RuntimeError, OSError):
            return

    def _listen(self) -> None:
        while not self._over.wait(BEAT_S):
            try:
                self._problem = self._found()
            except (RuntimeError, OSError):
                self._problem = self._gone(0)
            if self._problem and not self._over.wait(GRACE_S):
                # The main thread waits where nothing wakes it: in a collective of a GPU, say.
                self._leave(patience_s=0)
                sys.stderr.write(f"Error: {self._problem}\n")
                sys.stderr.flush()
                os._exit(1)

    def _found(self) -> str:
        """Beats once; what has become of the others, "" where all are well."""
        self._store.add(f"beat/{self.rank}", 1)
        if self._store.check(["failed"]):
            return self._store.get("failed").decode(errors="replace")
        now = time.monotonic()
        for rank, before in self._counts.items():
            count = self._store.add(f"beat/{rank}", 0)
            if count != before:
                self._counts[rank], self._heard[rank] = count, now
            elif now - self._heard[rank] > SILENCE_S and not self._store.check([f"left/{rank}"]):
                self._store.set("failed", self._gone(rank))
                return self._gone(rank)
        return ""

    def _gone(self, rank: int) -> str:
        return f"process {rank + 1} of {self.n_processes} is gone; all end: start them again, the run goes on"


def joined_watch(rank: int, n_processes: int) -> Watch:
    """The watch over the processes that torchrun's environment variables name; once torch has joined them."""
    environment: Any = os.environ
    return Watch(
        environment["MASTER_ADDR"],
        int(environment["MASTER_PORT"]),
        rank=rank,
        n_processes=n_processes,
        attempt=environment.get("TORCHELASTIC_RESTART_COUNT", "0"),
    )
