"""Tasks beside one another on this machine: dealt out, told of, stopped, and tried again where their process dies."""

import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.workers import Executor

from .deeds import Task, do

NEEDS_SUBMITIT = pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="submitit is not installed")


@pytest.fixture
def tasks(tmp_path: Path) -> list[Task]:
    return [Task(name, tmp_path) for name in ("a", "b", "c", "d")]


@pytest.mark.parametrize("preload", [(), ("ballspot.cache.stores",)])
def test_every_task_is_done_once_and_told_of(tasks: list[Task], preload: tuple[str, ...]) -> None:
    told: list[tuple[str, int]] = []
    executor = Executor(2, devices=["left", "right"], preload=preload)
    ended = list(executor.run(do, tasks, on_told=told.append))
    assert sorted(one.task.name for one in ended) == ["a", "b", "c", "d"]
    assert all(one.error is None and one.result[0] == one.task.name for one in ended)
    assert sorted(told) == [(name, 0) for name in "abcd"]
    assert 1 <= len({one.result[2] for one in ended}) <= 2
    assert {one.result[1] for one in ended} <= {"left", "right"}


EARLY = """
from ballspot.cache.workers import process_context
process = process_context(("slow_import",)).Process(target=int)
try:
    process.start()
    process.join()
except KeyboardInterrupt:
    print("stopped")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no fork server")
def test_ctrl_c_while_the_first_modules_are_imported_prints_no_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", EARLY], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    while not (tmp_path / "importing").exists():
        assert process.poll() is None
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, errors = process.communicate(timeout=30)
    assert out == "stopped\n"
    assert "Traceback" not in errors and "KeyboardInterrupt" not in errors, errors


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
    with pytest.raises(
        BallspotError, match=r"^--on moon: no such place; give local, ray, ray:ADDRESS, slurm or slurm:local$"
    ):
        Executor(1, "moon")


class FakeScheduler:
    """A SLURM with nodes of 16 processors and one GPU, and arrays of 1,000 elements, as submitit submits to it.

    The elements whose submission has a number in ``lost`` end with their node, those in ``cancelled`` by a user's wish.
    """

    lost: frozenset[int] = frozenset()
    cancelled: frozenset[int] = frozenset()

    def __init__(self, **kwargs: object) -> None:
        self.asked = dict(kwargs)
        self.arrays: list[int] = []
        self.groups: list[tuple] = []

    def update_parameters(self, **parameters: object) -> None:
        self.asked |= parameters

    def map_array(self, function, groups: list) -> list["FakeJob"]:
        refused = "sbatch: error: Batch job submission failed: "
        assert len(groups) <= 1000, refused + "Invalid job array specification"
        assert 1 <= self.asked["cpus_per_task"] <= 16, refused + "Requested node configuration is not available"
        assert self.asked.get("gpus_per_node", 0) <= 1, refused + "Requested node configuration is not available"
        self.arrays.append(len(groups))
        jobs = []
        for group in groups:
            number = len(self.groups)
            self.groups.append(tuple(group))
            state = "CANCELLED by 1000" if number in self.cancelled else "NODE_FAIL"
            gone = number in self.cancelled | self.lost
            jobs.append(FakeJob(number, None if gone else function(group), state if gone else "COMPLETED"))
        return jobs


@dataclass(frozen=True, eq=False)
class FakeJob:
    """A job that has ended."""

    job_id: int
    value: object
    state: str = "COMPLETED"

    def done(self) -> bool:
        return True

    def exception(self) -> Exception | None:
        return None if self.state == "COMPLETED" else RuntimeError(f"Job not finished\nstate: {self.state}")

    def result(self) -> object:
        return self.value


@pytest.fixture
def schedulers(monkeypatch: pytest.MonkeyPatch) -> list[FakeScheduler]:
    """The schedulers that were asked for, in the place of SLURM's."""
    submitit = pytest.importorskip("submitit")
    made: list[FakeScheduler] = []

    def executor(**kwargs: object) -> FakeScheduler:
        made.append(FakeScheduler(**kwargs))
        return made[-1]

    monkeypatch.setattr(submitit, "AutoExecutor", executor)
    monkeypatch.setattr("ballspot.cache.workers.clusters.POLL_S", 0.0)
    return made


def test_a_lost_node_loses_nothing_and_a_cancelled_job_is_left_alone(
    schedulers: list[FakeScheduler], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(FakeScheduler, "lost", frozenset({0, 3, 4, 5, 6, 7}))  # tasks 0 and 3 each time
    monkeypatch.setattr(FakeScheduler, "cancelled", frozenset({1}))
    executor = Executor(4, "slurm", logs=tmp_path)
    ended = {one.task: one for one in executor.run(lambda task, device, tell: task + 10, range(4))}
    (scheduler,) = schedulers
    assert scheduler.groups.count((1,)) == 1 and ended[1].error == "--on slurm: job 1 failed (state: CANCELLED by 1000)"
    assert ended[2].result == 12 and scheduler.groups.count((2,)) == 1
    assert scheduler.groups.count((0,)) == 3 == scheduler.groups.count((3,))
    assert {one.error for one in (ended[0], ended[3])} == {
        f"--on slurm: job {number} failed (state: NODE_FAIL)" for number in (6, 7)
    }
    monkeypatch.setattr(FakeScheduler, "lost", frozenset({0, 3}))  # the first time only
    monkeypatch.setattr(FakeScheduler, "cancelled", frozenset())
    ended = {one.task: one for one in executor.run(lambda task, device, tell: task + 10, [0, 2, 3, 4])}
    assert {task: one.result for task, one in ended.items()} == {0: 10, 2: 12, 3: 13, 4: 14}


def test_ray_is_asked_for_a_gpu_and_keeps_its_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    @dataclass(frozen=True, eq=False)
    class Reference:
        value: object

    class FakeRay:
        class exceptions:  # noqa: N801 - Ray's name
            RayError = KeyError

        @staticmethod
        def is_initialized() -> bool:
            return True

        @staticmethod
        def nodes() -> list:
            return []

        @staticmethod
        def remote(**options: object):
            asked.update(options)
            return lambda function: SimpleNamespace(remote=lambda task: Reference(function(task)))

        @staticmethod
        def wait(references: list, **how: object) -> tuple[list, list]:
            return references[:1], references[1:]

        @staticmethod
        def get(reference: Reference) -> object:
            return reference.value

    monkeypatch.setattr("ballspot.cache.workers.clusters._extra", lambda module, extra: FakeRay)
    executor = Executor(1, "ray", devices=["cuda:1"], n_threads=3)
    ended = list(executor.run(lambda task, device, tell: (task, device), range(5)))
    assert [one.result for one in ended] == [(task, "cuda") for task in range(5)]
    assert asked == {"max_retries": 2, "num_cpus": 3, "num_gpus": 1, "max_calls": 0}


@NEEDS_SUBMITIT
@pytest.mark.parametrize("n_tasks", [1, 299, 66_000])
def test_an_array_stays_within_what_a_scheduler_allows(
    n_tasks: int, schedulers: list[FakeScheduler], tmp_path: Path
) -> None:
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
