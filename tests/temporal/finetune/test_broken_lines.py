"""What a process of a fine-tuning does when it fails, is stopped, or loses its line to the others."""

import time
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.temporal.finetune import processes, watch

CPU = torch.device("cpu")
GONE = "process 1 of 2 is gone; all end: start them again, the run goes on"


class Told:
    """A watch that keeps what it is told; ``cause`` is what it knows of the others."""

    def __init__(self, cause: str = "") -> None:
        self.cause, self.said = cause, list[str]()

    def problem(self, *, patience_s: float) -> str:
        return self.cause

    def fail(self, reason: str) -> None:
        self.said.append(reason)

    def close(self) -> None:
        self.said.append("closed")


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The second of two processes, whose group and watch are stood in for."""
    here: dict[str, Any] = {"watch": Told(), "ended": False}
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    stand_ins = {
        "init_process_group": lambda backend, *, timeout, device_id: here.update(backend=backend, device_id=device_id),
        "get_rank": lambda: 1,
        "destroy_process_group": lambda: here.update(ended=True),
    }
    for name, stand_in in stand_ins.items():
        monkeypatch.setattr(processes.dist, name, stand_in)
    monkeypatch.setattr(processes, "joined_watch", lambda rank, n_processes: here["watch"])
    return here


def test_a_collective_that_fails_since_another_is_gone_is_told_by_that(joined: dict[str, Any]) -> None:
    joined["watch"] = Told(cause=GONE)
    with pytest.raises(BallspotError) as caught, processes.joined_group(CPU):
        raise RuntimeError("Connection closed by peer\n[gloo/pair.cc:525]")
    assert str(caught.value) == GONE and joined["watch"].said == ["RuntimeError: Connection closed by peer"]
    assert not joined["ended"]  # taking the group apart would wait for those who are gone


def test_an_error_of_ours_stays_what_it_is_and_the_others_are_told(joined: dict[str, Any]) -> None:
    with pytest.raises(KeyError), processes.joined_group(CPU):
        raise KeyError("a key")
    assert joined["watch"].said == ["KeyError: 'a key'"]


def test_who_is_stopped_says_so(joined: dict[str, Any]) -> None:
    with pytest.raises(KeyboardInterrupt), processes.joined_group(CPU):
        raise KeyboardInterrupt
    assert joined["watch"].said == ["it was stopped"]


def test_each_process_has_the_gpu_of_its_place_on_the_machine(
    joined: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    with processes.joined_group(torch.device("cuda")) as group:
        assert (group.device, group.rank) == (torch.device("cuda:1"), 1)
    assert chosen == [torch.device("cuda:1")]
    assert (joined["backend"], joined["device_id"]) == ("cpu:gloo,cuda:nccl", torch.device("cuda:1"))
    assert joined["watch"].said == ["closed"] and joined["ended"]


class Broken:
    """A store whose server is gone."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("Connection reset by peer")


@pytest.fixture
def second(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The watch of the second process, which does not listen by itself."""
    monkeypatch.setattr(watch, "BEAT_S", 1000.0)
    monkeypatch.setattr(watch, "GRACE_S", 0.2)
    stores: Any = torch.distributed
    server = stores.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))
    made = watch.Watch("127.0.0.1", server.port, rank=1, n_processes=2, attempt="0")
    return SimpleNamespace(server=server, watch=made)


def test_who_loses_the_line_ends_and_says_who_is_gone(second: Any) -> None:
    """The first process has the store: it is gone where the line is."""
    second.watch._store = Broken()
    with pytest.raises(BallspotError, match=f"^{GONE}$"):
        second.watch.meet()
    started = time.monotonic()
    second.watch.fail("no room for it")  # there is nobody to tell, and nothing to wait for
    assert time.monotonic() - started < 20


def test_who_leaves_a_store_that_is_gone_just_leaves(second: Any) -> None:
    second.watch._store = Broken()
    second.watch.close()
    assert not second.watch._thread.is_alive()


def test_a_thread_that_hears_nothing_ends_a_process_that_waits_where_nothing_wakes_it(
    second: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    codes: list[int] = []

    def ended(code: int) -> None:
        codes.append(code)
        second.watch._over.set()

    monkeypatch.setattr(watch.os, "_exit", ended)
    monkeypatch.setattr(watch, "BEAT_S", 0.01)
    second.watch._store = Broken()
    second.watch._listen()
    assert codes == [1] and capsys.readouterr().err == f"Error: {GONE}\n"
    second.watch._thread.join(0)
