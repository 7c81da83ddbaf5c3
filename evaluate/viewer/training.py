"""Learning from the page: one `ballspot learn` at a time, in a process of its own, and what it says meanwhile."""

import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

from ...cache.disk import read_json
from ...cache.errors import BallspotError

LINES = 12  # of what the command says, which are kept
RECORD = "learned.json"


class Trainer:
    """Runs ``command`` (which `ballspot learn RUN` begins) for the run at hand; ``on_done`` is given the new run.

    The next turn begins with that one. A turn goes on where its page is closed, and ends with the server.
    """

    def __init__(
        self,
        run: Path,
        *,
        place_of: Callable[[Path], Path],
        options: Sequence[str],
        on_done: Callable[[Path], None],
        command: Sequence[str] = (sys.executable, "-m", "ballspot.cli", "learn"),
    ) -> None:
        self.run, self.place_of, self.options, self.on_done = run, place_of, tuple(options), on_done
        self.command = tuple(command)
        self.mutex = threading.Lock()
        self.lines: deque[str] = deque(maxlen=LINES)
        self.state, self.started, self.took = "idle", 0.0, 0.0
        self.process: subprocess.Popen[str] | None = None

    def answer(self, sent: Any) -> tuple[HTTPStatus, Any]:
        """Starts a turn (``{"do": "start"}``), or says how it stands (``{"do": "look"}``)."""
        if sent not in ({"do": "start"}, {"do": "look"}):
            raise BallspotError('learn: expected {"do": "start"} or {"do": "look"}')
        with self.mutex:
            if sent["do"] == "start" and self.state != "running":
                self._start()
            took = time.monotonic() - self.started if self.state == "running" else self.took
            return HTTPStatus.OK, {"state": self.state, "lines": list(self.lines), "seconds": round(took, 1)}

    def stop(self) -> None:
        """Ends a turn that is at work."""
        process = self.process
        if process is not None and process.poll() is None:
            process.terminate()

    def _start(self) -> None:
        out = self.place_of(self.run)
        line = [*self.command, str(self.run), "--run", str(out), *self.options]
        self.lines.clear()
        try:
            self.process = subprocess.Popen(
                line,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:
            raise BallspotError(f"learn: cannot be started ({error.strerror})") from error
        self.state, self.started = "running", time.monotonic()
        threading.Thread(target=self._follow, args=(self.process, out), daemon=True).start()

    def _follow(self, process: "subprocess.Popen[str]", out: Path) -> None:
        assert process.stdout is not None  # noqa: S101  a pipe was asked for
        for line in process.stdout:
            self.lines.append(line.rstrip("\n"))
        code = process.wait()
        state = "failed"
        if code == 0:
            try:
                self.on_done(out)
            except Exception as error:  # noqa: BLE001  else the page would be told for ever that it runs
                said = str(error) if isinstance(error, BallspotError) else f"{type(error).__name__}: {error}"
                self.lines.append(f"{out}: was learned, but cannot be shown ({said})")
            else:
                state = "done"
        with self.mutex:
            self.took = time.monotonic() - self.started
            if state == "done":
                self.run = out
            self.state = state


def learned_lines(run: Path) -> list[str]:
    """What a turn came to, for the page: the validation score before and after, and what changed in each match."""
    record = read_json(run / RECORD)
    try:
        lines = [
            f"learned {Path(record['run']).name}: validation mAP@1 {100 * record['valid_before']:.2f} before, "
            f"{100 * record['valid_after']:.2f} after; A is before, B after"
        ]
        for name, change in record["changes"].items():
            lines.append(f"{name}: {change['gained']} spots new, {change['lost']} gone")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BallspotError(f"{run / RECORD}: does not say what was learned; learn again") from error
    return lines
