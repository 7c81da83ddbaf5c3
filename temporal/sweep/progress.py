"""A sweep as it goes on: a live table at a terminal, else a plain line now and then; on standard error."""

import sys
import time
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ...cache.runs import RunFolder
from ...cache.terminal import clock, note
from .job import failure_of
from .plan import PlannedRun

PLAIN_EVERY_S = 10.0


class SweepProgress:
    """Counts, time left and the runs under way. Time left is by the epochs done since this began; a context manager.

    ``planned`` may grow while it is shown; ``n_runs`` says how many there will be at most, where that is known.
    """

    def __init__(self, planned: Sequence[PlannedRun], *, n_runs: int | None = None) -> None:
        self.planned = planned
        self.n_runs = n_runs
        self.running: Sequence[PlannedRun] = ()
        self.states = Counter(run.state for run in planned)
        self.epochs = {run.job.run: run.n_epochs_done for run in planned}
        self.first = sum(self.epochs.values())
        self.started = self.last_line = time.monotonic()
        self.live: Live | None = None

    def __enter__(self) -> "SweepProgress":
        if sys.stderr is not None and sys.stderr.isatty():
            self.live = Live(self.table(), console=Console(file=sys.stderr), refresh_per_second=2)
            self.live.start()
        return self

    def show(self, running: Sequence[PlannedRun]) -> None:
        """Shows which runs are under way, and how far they have come."""
        self.running = running
        for run in running:
            self.epochs[run.job.run] = run.n_epochs_done
        if self.live is not None:
            self.live.update(self.table())
        elif time.monotonic() - self.last_line >= PLAIN_EVERY_S:
            self.last_line = time.monotonic()
            note(self.line())

    def ended(self, run: PlannedRun) -> None:
        """Tells how a run ended."""
        self.states = Counter(one.state for one in self.planned)
        self.epochs[run.job.run] = run.n_epochs_done
        problem = failure_of(run.job.run)
        if problem is not None:
            self._tell(f"{run.name}: failed: {problem}")
        elif run.state == "done":
            folder = RunFolder(run.job.run)
            self._tell(
                f"{run.name}: valid mAP@1 {100 * folder.metric('mean_ap'):.2f} ({folder.metric('train_s'):.0f} s)"
            )

    def line(self) -> str:
        """The counts and the time left, e.g. ``12/24 runs done, 1 failed, 2 running  0:03:10 left``."""
        text = f"{self.states['done']}/{max(self.n_runs or 0, len(self.planned))} runs done"
        if self.states["failed"]:
            text += f", {self.states['failed']} failed"
        if self.running:
            text += f", {len(self.running)} running"
        new = sum(self.epochs.values()) - self.first
        if new:
            left = sum(
                run.job.config.training.n_epochs - self.epochs.get(run.job.run, 0)
                for run in self.planned
                if run.state in ("waiting", "started")
            )
            longest = max(run.job.config.training.n_epochs for run in self.planned)
            left += longest * max(0, (self.n_runs or 0) - len(self.planned))
            text += f"  {clock(left * (time.monotonic() - self.started) / new)} left"
        return text

    def table(self) -> Group:
        """The line over a row for every run under way."""
        table = Table.grid(padding=(0, 2))
        for run in self.running:
            n_epochs = run.job.config.training.n_epochs
            table.add_row(run.name, f"epoch {self.epochs[run.job.run]} of {n_epochs}")
        return Group(Text(self.line()), table)

    def _tell(self, line: str) -> None:
        if self.live is not None:
            self.live.console.print(line, highlight=False)
        else:
            note(line)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.running = ()
        if self.live is not None:
            self.live.update(self.table())
            self.live.stop()
        else:
            note(self.line())
