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


class FakeScheduler:
    """A SLURM that allows arrays of 1,000 elements and asks for the processors of a task, as submitit submits to it."""

    def __init__(self, **kwargs: object) -> None:
        self.asked = dict(kwargs)
        self.arrays: list[int] = []

    def update_parameters(self, **parameters: object) -> None:
        self.asked |= parameters

    def map_array(self, function, groups: list) -> list["FakeJob"]:
        assert len(groups) <= 1000, "sbatch: error: Batch job submission failed: Invalid job array specification"
        assert self.asked["cpus_per_task"]
        self.arrays.append(len(groups))
        return [FakeJob(number, function(group)) for number, group in enumerate(groups)]


@dataclass(frozen=True, eq=False)
class FakeJob:
    """A job that has ended."""

    job_id: int
    value: object

    def done(self) -> bool:
        return True

    def exception(self) -> None:
        return None

    def result(self) -> object:
        return self.value


@NEEDS_SUBMITIT
@pytest.mark.parametrize("n_tasks", [1, 299, 66_000])
def test_an_array_stays_within_what_a_scheduler_allows(n_tasks: int, monkeypatch, tmp_path: Path) -> None:
    import submitit

    schedulers: list[FakeScheduler] = []

    def made(**kwargs: object) -> FakeScheduler:
        schedulers.append(FakeScheduler(**kwargs))
        return schedulers[-1]

    monkeypatch.setattr(submitit, "AutoExecutor", made)
    executor = Executor(4, "slurm", devices=["cuda"], n_threads=2, logs=tmp_path, minutes=10)

    def doubled(task: int, device: str, tell) -> int:
        assert device == "cuda"
        tell(task)
        if task == 7:
            raise RuntimeError("a node was lost")
        return 2 * task

    told: list[int] = []
    ended = list(executor.run(doubled, range(n_tasks), on_told=told.append))

    (scheduler,) = schedulers
    assert sum(scheduler.arrays) == min(n_tasks, 300)
    assert (scheduler.asked["cpus_per_task"], scheduler.asked["gpus_per_node"]) == (2, 1)
    assert scheduler.asked["slurm_array_parallelism"] == 4
    assert scheduler.asked["timeout_min"] == max(60, 10 * -(-n_tasks // 300))
    assert [one.task for one in ended] == list(range(n_tasks))
    failed = [one for one in ended if one.error is not None]
    assert [one.result for one in ended if one.error is None] == [2 * task for task in told]
    if n_tasks > 7:  # one task of an element fails, the others of it are done
        job = 7 if n_tasks <= 300 else 0
        assert [(one.task, one.error) for one in failed] == [(7, f"--on slurm: job {job} failed (a node was lost)")]
