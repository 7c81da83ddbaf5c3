"""Tasks done beside one another: by processes on this machine, by Ray, or by SLURM."""

from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Generic, TypeVar

from ..code import named_code, take_over
from ..errors import BallspotError
from .clusters import MAX_TRIES, Ended, Request, ray_tasks, slurm_tasks
from .processes import deaf_start, end_with_parent, process_context

POLL_S = 0.5
PATIENCE_S = 10.0
Task = TypeVar("Task")
Tell = Callable[[Any], None]
Function = Callable[[Task, str, Tell], Any]
"""Does a task on a device and may tell of it on the way; importable by its name, so that any process can call it."""


@dataclass(frozen=True)
class Executor:
    """Where tasks are done and how many at a time: `on` is local, ray, ray:ADDRESS, slurm, or slurm:local.

    On this machine every worker is a process that is dealt one of the devices; with `renews` each task gets a process
    of its own, and with `preload` these are forked from one that has imported those modules. On a cluster every task
    gets `n_threads` processors and, on a GPU, one of its own. Functions and tasks are paths and plain values there,
    which must mean the same everywhere. SLURM writes its logs to `logs` and is told `name` and `minutes`, what a task
    takes at most. A task whose process ends by itself (killed for want of memory, say) or whose node is lost is tried
    three times; `option` is what the command calls `n_workers`. Raises BallspotError when `on` is another word.
    """

    n_workers: int
    on: str = "local"
    devices: Sequence[str] = ("cpu",)
    n_threads: int = 1
    renews: bool = False
    preload: Sequence[str] = ()
    option: str = "--workers"
    name: str = "ballspot"
    logs: Path = Path()
    minutes: int = 60

    def __post_init__(self) -> None:
        require_place(self.on)

    @staticmethod
    def is_elsewhere(on: str | None) -> bool:
        """Whether `on` names other machines, whose cores and GPUs are not this one's."""
        return on not in (None, "local", "ray", "slurm:local")

    def run(
        self,
        function: Function[Task],
        tasks: Iterable[Task],
        *,
        on_told: Tell = lambda value: None,
        on_poll: Callable[[Sequence[Task]], Collection[Task]] | None = None,
    ) -> Iterator[Ended[Task]]:
        """Calls the function on every task and yields each one that ended; a task is taken when there is room for it.

        A BallspotError of the function ends all on this machine, and only its task on a cluster. `on_told` receives
        what the function tells, on a cluster when its task has ended. `on_poll` hears now and then which tasks are
        running, and says which of them to stop; only processes on this machine can be stopped.
        """
        polled = on_poll or (lambda running: ())
        if self.on == "local":
            yield from LocalWorkers(self, function, on_told).run(tasks, polled)
            return
        kind, _, address = self.on.partition(":")
        device = self.devices[0].partition(":")[0]  # which GPU is the cluster's to say
        on_gpu = device == "cuda"
        request = Request(self.n_workers, self.n_threads, on_gpu, self.name, self.logs, self.minutes)
        tasks_of_cluster = ray_tasks if kind == "ray" else slurm_tasks
        for ended in tasks_of_cluster(
            partial(_with_told, function, device, named_code()), tasks, request, address, polled
        ):
            if ended.error is not None:
                yield ended
                continue
            result, told = ended.result
            for value in told:
                on_told(value)
            yield Ended(ended.task, result)


@dataclass
class Attempt(Generic[Task]):
    """A task, and how often it was given out."""

    task: Task
    n_tries: int = 0


@dataclass
class Worker(Generic[Task]):
    """A process, the pipe to it, and what it is doing."""

    process: Any
    connection: Any
    device: str
    attempt: Attempt[Task] | None = None
    is_stopped: bool = False

    def give(self, attempt: Attempt[Task]) -> None:
        attempt.n_tries += 1
        self.attempt = attempt
        with suppress(OSError):  # of a process that has just ended, which is seen when its answer is read
            self.connection.send(attempt.task)

    def send_home(self) -> None:
        with suppress(OSError):
            self.connection.send(None)
        self.process.join(PATIENCE_S)
        self.end()

    def end(self) -> None:
        self.process.kill()  # what tasks write is whole at any moment
        self.process.join()
        self.connection.close()


class LocalWorkers(Generic[Task]):
    """Processes on this machine: started when there is a task for them, replaced when they end by themselves."""

    def __init__(self, executor: Executor, function: Function[Task], on_told: Tell) -> None:
        self.executor, self.function, self.on_told = executor, function, on_told
        self.context = process_context(executor.preload)
        devices = executor.devices
        self.slots = deque(devices[k % len(devices)] for k in range(executor.n_workers))
        self.workers: list[Worker[Task]] = []
        self.again: deque[Attempt[Task]] = deque()

    def run(
        self, tasks: Iterable[Task], on_poll: Callable[[Sequence[Task]], Collection[Task]]
    ) -> Iterator[Ended[Task]]:
        given = iter(tasks)
        try:
            while busy := self.give_out(given):
                stops = on_poll([attempt.task for _, attempt in busy])
                for worker, attempt in busy:
                    if any(attempt.task is task for task in stops):
                        worker.is_stopped = True
                        worker.process.kill()
                ready = wait([worker.connection for worker, _ in busy], timeout=POLL_S)
                for worker, attempt in busy:
                    if worker.connection in ready and (ended := self.answer(worker, attempt)) is not None:
                        yield ended
        finally:
            for worker in self.workers:
                worker.process.kill()
            for worker in self.workers:
                worker.end()

    def give_out(self, given: Iterator[Task]) -> list[tuple[Worker[Task], Attempt[Task]]]:
        """Gives every free worker a task, sends those home that no task is left for, and returns the others."""
        idle = [worker for worker in self.workers if worker.attempt is None]
        while idle or self.slots:
            attempt = self.again.popleft() if self.again else next(map(Attempt, given), None)
            if attempt is None:
                break
            (idle.pop(0) if idle else self.start()).give(attempt)
        for worker in idle:
            self.retire(worker)
        return [(worker, worker.attempt) for worker in self.workers if worker.attempt is not None]

    def start(self) -> Worker[Task]:
        ours, theirs = self.context.Pipe()
        device = self.slots.popleft()
        given = (theirs, self.function, device, named_code())
        process = self.context.Process(target=_serve, args=given, name="worker")
        with deaf_start():
            process.start()
        theirs.close()
        self.workers.append(Worker(process, ours, device))
        return self.workers[-1]

    def retire(self, worker: Worker[Task]) -> None:
        worker.send_home()
        self.workers.remove(worker)
        self.slots.append(worker.device)

    def answer(self, worker: Worker[Task], attempt: Attempt[Task]) -> Ended[Task] | None:
        """What a worker has to say: how its task ended, if it did. Raises BallspotError where the function did."""
        try:
            kind, value = worker.connection.recv()
        except (EOFError, OSError):
            return self.lost(worker, attempt)
        if kind == "told":
            self.on_told(value)
            return None
        if kind == "stopped":
            raise BallspotError(value)
        worker.attempt = None
        if self.executor.renews or worker.is_stopped:
            self.retire(worker)
        return Ended(attempt.task, value)

    def lost(self, worker: Worker[Task], attempt: Attempt[Task]) -> Ended[Task] | None:
        worker.end()
        self.workers.remove(worker)
        self.slots.append(worker.device)
        if worker.is_stopped:
            return Ended(attempt.task)
        if attempt.n_tries < MAX_TRIES:
            self.again.append(attempt)
            return None
        code, option = worker.process.exitcode, self.executor.option
        problem = f"its process ended by itself {MAX_TRIES} times (exit code {code})"
        return Ended(attempt.task, error=f"{problem}; is there memory for so many {option}?")


def _serve(connection: Connection, function: Function[Any], device: str, named: frozenset[str]) -> None:
    """What a worker does: the tasks that it is sent, until its parent ends or sends it home.

    Own code that was ``named`` there may run here, too, also where the home folder keeps no memory of it.
    """
    end_with_parent()
    take_over(named)
    with suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while (task := connection.recv()) is not None:
            try:
                result = function(task, device, lambda value: connection.send(("told", value)))
            except BallspotError as error:
                connection.send(("stopped", str(error)))
                return
            connection.send(("ended", result))


def _with_told(function: Function[Task], device: str, named: frozenset[str], task: Task) -> tuple[Any, list[Any]]:
    """The function's result, and what it told on the way; own code of the digests ``named`` may run."""
    take_over(named)
    told: list[Any] = []
    return function(task, device, told.append), told


def require_place(on: str) -> None:
    """Raises BallspotError for a word that is none of the places where tasks are done."""
    kind, _, address = on.partition(":")
    if on != "local" and kind != "ray" and (kind != "slurm" or address not in ("", "local")):
        raise BallspotError(f"--on {on}: no such place; give local, ray, ray:ADDRESS, slurm or slurm:local")
