"""How rows get into a part file: at once, or by a thread of their own while a GPU computes the next ones."""

from collections.abc import Callable
from queue import Queue
from threading import Thread

from ...cache.stores import Block, Journal

OnRows = Callable[[int, bool], None]  # number of rows, and whether they were computed now
WAITING_BLOCKS = 4


class DirectWriter:
    """Appends blocks to a journal and tells how many rows are there; a context manager."""

    def __init__(self, journal: Journal, on_rows: OnRows) -> None:
        self.journal, self.on_rows = journal, on_rows

    def append(self, block: Block) -> None:
        """Writes the next rows; they are on the disk when this ends. Raises as `Journal.append` does."""
        self.journal.append(block)
        self.on_rows(len(block), True)

    def __enter__(self) -> "DirectWriter":
        return self

    def __exit__(self, *exception: object) -> None:
        pass


class Writer(DirectWriter):
    """The same in a thread of its own: the disk is waited for while the next rows are made.

    What the disk refuses is raised by the next call, or where the writer ends; all that was appended before an error of
    another kind is written.
    """

    def __init__(self, journal: Journal, on_rows: OnRows) -> None:
        super().__init__(journal, on_rows)
        self._waiting: Queue[Block | None] = Queue(WAITING_BLOCKS)
        self._error: BaseException | None = None
        self._thread = Thread(target=self._write, name="writer", daemon=True)

    def append(self, block: Block) -> None:
        """Hands the next rows over; waits while some are handed over already. Raises what went wrong before."""
        self._raise()
        self._waiting.put(block)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if exception[1] is None:
            self._raise()

    def _write(self) -> None:
        while (block := self._waiting.get()) is not None:
            if self._error is None:  # after an error blocks are taken and dropped, so that nobody waits for room
                try:
                    super().append(block)
                except BaseException as error:  # noqa: BLE001 - raised where the rows are made
                    self._error = error

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error
