"""What a command shows: tables on standard output, progress on standard error, plain lines when nobody watches."""

import sys
import time
from collections.abc import Sequence
from textwrap import fill
from types import TracebackType
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:  # rich is imported where something is shown, so that help comes without it
    from rich.progress import Progress, TaskID

PLAIN_WIDTH = 200
SHORT_HEADING = 12  # letters of a word that stays in a heading as long as it can
GAP = 3  # columns of the terminal between two columns of a table


def print_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints a table to standard output: first column left, others right.

    Nothing is cut: where it is too wide, headings stand as numbers with a key below, and long cells go on a line below.
    """
    if sys.stdout is None:  # closed by whoever started this process
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table

    console = Console(file=sys.stdout, width=None if sys.stdout.isatty() else PLAIN_WIDTH, highlight=False)
    shown, key = fitted_headings(headers, rows, console.width)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    fits = narrowest(shown, rows) <= console.width
    for index, header in enumerate(shown):
        if fits and natural_width(shown, rows) > console.width:
            header = wrapped(header, max((len(row[index]) for row in rows), default=0))
        table.add_column(header, justify="right" if index else "left", no_wrap=fits, overflow="fold")
    for row in rows:
        table.add_row(*row)
    console.print(table)
    for number, header in key:
        console.print(f"{number:>4}  {header}", markup=False)


def fitted_headings(
    headers: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> tuple[list[str], list[tuple[int, str]]]:
    """The headings of a table of that width in columns, and the key of those that stand as numbers, from 1 on.

    Headings break between words. Where they do not fit even so, those with long words become
    numbers, and where that is not enough all that are wider than what stands below them.
    """
    if narrowest(headers, rows) <= width:
        return list(headers), []
    cells = [max((len(row[index]) for row in rows), default=0) for index in range(len(headers))]
    for short in (SHORT_HEADING, 1):
        numbered = [at for at, header in enumerate(headers) if at and longest_word(header) > max(cells[at], short)]
        shown = [str(numbered.index(at) + 1) if at in numbered else header for at, header in enumerate(headers)]
        if narrowest(shown, rows) <= width:
            break
    return shown, [(number, headers[at]) for number, at in enumerate(numbered, start=1)]


def narrowest(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that a table takes at least, its headings broken between words, its cells not at all."""
    cells = (max((len(row[index]) for row in rows), default=0) for index in range(len(headers)))
    return sum(max(longest_word(header), cell) for header, cell in zip(headers, cells, strict=True)) + GAP * (
        len(headers) - 1
    )


def natural_width(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> int:
    """Columns of the terminal that a table takes with every heading on one line."""
    cells = (max((len(row[index]) for row in rows), default=0) for index in range(len(headers)))
    return sum(max(len(header), cell) for header, cell in zip(headers, cells, strict=True)) + GAP * (len(headers) - 1)


def wrapped(header: str, width: int) -> str:
    """A heading broken between words to lines of that width, or of its longest word."""
    return fill(header, max(longest_word(header), width, 1), break_long_words=False, break_on_hyphens=False)


def longest_word(text: str) -> int:
    """Letters of the longest word."""
    return max(map(len, text.split()), default=0)


def say(line: str) -> None:
    """Prints one line of a result to standard output."""
    click.echo(line)


def note(message: str) -> None:
    """Prints one line to standard error: what is going on, or a warning; never a result."""
    if sys.stderr is None:  # closed by whoever started this process
        return
    sys.stderr.write(message + "\n")
    sys.stderr.flush()


def clock(seconds: float) -> str:
    """h:mm:ss, to the nearest second."""
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02d}:{whole % 60:02d}"


class ProgressLine:
    """One task's progress on standard error: a bar at a terminal, else a plain line at most every ``plain_every_s``.

    Rate and time left are counted from the work done since the start of this process, so a resumed task does not
    claim the speed of rows that were there before. A line that does not ``stay`` leaves nothing behind at its end.
    """

    def __init__(
        self, title: str, total: int, *, unit: str, done: int = 0, plain_every_s: float = 10.0, stays: bool = True
    ) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = self.first = done
        self.plain_every_s, self.stays = plain_every_s, stays
        self.started = self.last_line = time.monotonic()
        self.progress: Progress | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> "ProgressLine":
        if sys.stderr is not None and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn

            columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[line]}"))
            self.progress = Progress(*columns, console=Console(file=sys.stderr), transient=not self.stays)
            self.progress.start()
            self.task = self.progress.add_task(self.title, total=self.total, completed=self.done, line=self.line())
        return self

    def advance(self, amount: int = 1) -> None:
        """Counts ``amount`` more units as done and shows it when it is time to."""
        self.done += amount
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, completed=self.done, line=self.line())
        elif time.monotonic() - self.last_line >= self.plain_every_s:
            self.last_line = time.monotonic()
            note(f"{self.title}: {self.line()}")

    def expect(self, n_left: int) -> None:
        """Says how many units are still to come, where that has changed since the start."""
        self.total = self.done + n_left
        if self.progress is not None and self.task is not None:
            self.progress.update(self.task, total=self.total, line=self.line())

    def line(self) -> str:
        """The counts, the rate and the time left, e.g. ``1200/4500 frames  68.1/s  0:48 left``."""
        elapsed = time.monotonic() - self.started
        new = self.done - self.first
        text = f"{self.done}/{self.total} {self.unit}"
        if new and elapsed > 0:
            left_s = max(0, self.total - self.done) * elapsed / new
            text += f"  {new / elapsed:.1f}/s  {clock(left_s)} left"
        return text

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.stop()
        elif kind is None and self.stays:
            note(f"{self.title}: {self.line()}")
