"""What the processes of test_pool.py do; each of them imports this module, so it imports little."""

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

from ballspot.cache.errors import BallspotError


@dataclass(frozen=True)
class Task:
    """What to do in which folder."""

    name: str
    folder: Path
    n_deaths: int = 0

    @property
    def tries(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self.name}-try-*"))


def do(task: Task, device: str, tell) -> tuple[str, str, int]:
    number = len(task.tries)
    (task.folder / f"{task.name}-try-{number}").touch()
    tell((task.name, number))
    if number < task.n_deaths:
        os.kill(os.getpid(), signal.SIGKILL)
    if task.name == "refused":
        raise BallspotError("refused: for good reason")
    if task.name == "endless":
        time.sleep(600)
    return task.name, device, os.getpid()
