"""Tasks beside one another on this machine: dealt out, told of, stopped, and tried again where their process dies."""

import importlib.util
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.workers import Executor

from ...preloaded import SERVER  # not of a module that imports torch: every worker imports this one

NEEDS_SUBMITIT = pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")


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


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return [Task(name, tmp_path) for name in ("a", "b", "c", "d")]


@pytest.mark.parametrize("preload", [(), SERVER])
def test_every_task_is_done_once_and_told_of(tasks: list[Task], preload: tuple[str, ...]) -> None:
    told: list[tuple[str, int]] = []
    executor = Executor(2, devices=["left", "right"], preload=preload)
    ended = list(executor.run(do, tasks, on_told=told.append))
    assert sorted(one.task.name for one in ended) == ["a", "b", "c", "d"]
    assert all(one.error is None and one.result[0] == one.task.name for one in ended)
    assert sorted(told) == [(name, 0) for name in "abcd"]
    assert 1 <= len({one.result[2] for one in ended}) <= 2
    assert {one.result[1] for one in ended} <= {"left", "right"}


def test_a_task_gets_a_process_of_its_own_where_that_is_asked_for(tasks: list[Task]) -> None:
    ended = list(Executor(2, renews=True, devices=["left", "right"]).run(do, tasks))
    assert len({one.result[2] for one in ended}) == 4
    assert set(Counter(one.result[1] for one in ended)) == {"left", "right"}


def test_no_task_is_taken_before_there_is_room_for_it(tasks: list[Task]) -> None:
    taken: list[str] = []

    def given() -> Iterator[Task]:
        for task in tasks:
            taken.append(task.name)
            yield task

    run = Executor(1).run(do, given())
    assert next(run).task.name == "a"
    assert taken == ["a"]
    run.close()


@pytest.mark.parametrize("renews", [False, True])
def test_a_task_whose_process_dies_is_tried_three_times(tmp_path: Path, renews: bool) -> None:
    unlucky, doomed, other = Task("unlucky", tmp_path, 2), Task("doomed", tmp_path, 99), Task("other", tmp_path)
    ended = {one.task.name: one for one in Executor(2, renews=renews).run(do, [unlucky, doomed, other])}
    assert ended["unlucky"].result[0] == "unlucky" and len(unlucky.tries) == 3
    assert len(doomed.tries) == 3
    problem = "its process ended by itself 3 times (exit code -9); is there memory for so many --workers?"
    assert ended["doomed"].error == problem
    assert ended["other"].error is None


@pytest.mark.parametrize("renews", [False, True])
def test_a_task_that_is_stopped_ends_at_once_and_leaves_the_others(tasks: list[Task], renews: bool) -> None:
    endless = Task("endless", tasks[0].folder)
    began = time.monotonic()

    def stops(running) -> list[Task]:
        return [task for task in running if task.tries and task.name == "endless"]

    ended = list(Executor(1, renews=renews).run(do, [endless, *tasks], on_poll=stops))
    assert time.monotonic() - began < 300
    assert [one.task.name for one in ended] == ["endless", "a", "b", "c", "d"]
    assert ended[0].result is None and ended[0].error is None and len(endless.tries) == 1


def test_an_error_of_the_user_ends_all(tasks: list[Task]) -> None:
    refused = Task("refused", tasks[0].folder)
    with pytest.raises(BallspotError, match=r"^refused: for good reason$"):
        list(Executor(1).run(do, [refused, *tasks]))
    assert not tasks[0].tries


@NEEDS_SUBMITIT
def test_a_cluster_tells_of_a_task_when_it_has_ended(tasks: list[Task], tmp_path: Path) -> None:
    told: list[tuple[str, int]] = []
    executor = Executor(2, "slurm:local", logs=tmp_path / "logs")
    ended = list(executor.run(do, tasks[:2], on_told=told.append))
    assert sorted(one.result[:2] for one in ended) == [("a", "cpu"), ("b", "cpu")]
    assert sorted(told) == [("a", 0), ("b", 0)]
    assert list((tmp_path / "logs").glob("*_log.out"))


def test_another_word_is_refused() -> None:
    with pytest.raises(BallspotError, match=r"^--on moon: no such place; give ray, ray:ADDRESS, slurm or slurm:local$"):
        Executor(1, "moon")
