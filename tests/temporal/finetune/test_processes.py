"""Processes of one fine-tuning: what they share, and that none waits for one that has failed or is gone."""

import multiprocessing
import os
import signal
import socket
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import SpotArrays
from ballspot.temporal.finetune import processes, run, videos, watch
from ballspot.temporal.finetune.task import dealt

STARTS = multiprocessing.get_context("forkserver" if os.name == "posix" else "spawn")
AT_MOST_S = 60.0  # of a busy machine; each of these ends in a few seconds


def member(rank: int, port: int, what: str, out: Path) -> None:
    """One of two processes; writes what it came to."""
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "RANK": str(rank)}
    watch.BEAT_S, watch.SILENCE_S, watch.GRACE_S = 0.2, 15.0 if what == "well" else 1.5, 0.5
    said = out / f"{what}-{rank}"
    try:
        with processes.joined_group(torch.device("cpu")) as group:
            if what == "well":
                time.sleep(0.3 * rank)  # so that one waits for the other
                parts = group.gathered({rank: "x" * (rank + 1)})
                first = group.first_ones({"norm": torch.full((2,), float(rank + 1))})["norm"].tolist()
                said.write_text(f"{parts} {first} {group.agreed(5.0 - rank)} {float(group.total(torch.ones(())))}")
            elif rank == 0 and what in ("refused", "refused in a collective"):
                raise BallspotError("no room for it")
            elif rank == 1 and what == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            elif what == "refused in a collective":
                torch.distributed.barrier()
            else:
                group.wait()
    except BallspotError as error:
        said.write_text(str(error))
        raise SystemExit(1) from error


@pytest.mark.parametrize(
    ("what", "codes", "told"),
    [
        ("well", [0, 0], ["[{0: 'x'}, {1: 'xx'}] [1.0, 1.0] 5.0 2.0"] * 2),
        ("refused", [1, 1], ["no room for it", "process 1 of 2 failed: no room for it"]),
        ("refused in a collective", [1, 1], ["no room for it", None]),
        ("killed", [1, -9], ["process 2 of 2 is gone; all end: start them again, the run goes on", None]),
    ],
)
def test_none_waits_for_one_that_failed(what: str, codes: list[int], told: list[str | None], tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    both = [STARTS.Process(target=member, args=(rank, port, what, tmp_path)) for rank in (0, 1)]
    for process in both:
        process.start()
    end = time.monotonic() + AT_MOST_S
    for process in both:
        process.join(max(end - time.monotonic(), 0.1))
    found = [process.exitcode for process in both]
    for process in both:
        process.kill()
    assert found == codes
    for rank, text in enumerate(told):
        assert text is None or (tmp_path / f"{what}-{rank}").read_text() == text


def test_a_watch_knows_nothing_of_an_earlier_one_of_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The store of torchrun's agent outlives a training, and with it what its watch left there."""
    monkeypatch.setattr(watch, "BEAT_S", 0.1)
    stores: Any = torch.distributed
    store = stores.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    first, second = (watch.Watch("127.0.0.1", store.port, rank=0, n_processes=1, attempt="0") for _ in range(2))
    first.fail("no room for it")
    assert second.problem(patience_s=0.6) == ""
    second.meet()
    second.close()


@dataclass
class Together:
    """What several groups in threads of one process share: each waits for all where values are gathered."""

    n: int
    values: dict[int, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.barrier = threading.Barrier(self.n, timeout=AT_MOST_S)  # none waits for one that failed

    def group(self, rank: int) -> Any:
        def gathered(value: Any) -> list[Any]:
            self.values[rank] = value
            self.barrier.wait()
            found = [self.values[k] for k in range(self.n)]
            self.barrier.wait()
            return found

        return SimpleNamespace(rank=rank, n_processes=self.n, is_first=rank == 0, gathered=gathered)

    def each(self, function: Any) -> list[Any]:
        """What the function gives for the group of every rank, all at one time."""
        found: dict[int, Any] = {}
        threads = [
            threading.Thread(target=lambda k=rank: found.update({k: function(self.group(k))})) for rank in range(self.n)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(AT_MOST_S)
        return [found[rank] for rank in range(self.n)]


@pytest.mark.parametrize("n_processes", [1, 3, 8])
def test_every_video_is_read_once_whatever_the_number_of_processes(
    n_processes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"m{k}" for k in range(7)]
    calls: list[tuple[str, Path]] = []
    monkeypatch.setattr(videos, "probe_video", lambda path: calls.append(("probe", path)) or f"probe of {path}")
    monkeypatch.setattr(videos, "video_digest", lambda path: calls.append(("digest", path)) or f"digest of {path}")
    parts = {"train": names[:5], "valid": names[4:]}  # one match in both
    task: Any = SimpleNamespace(
        splits=SimpleNamespace(part=parts.__getitem__),
        matches={name: SimpleNamespace(name=name, video=Path(name), folder=Path(name)) for name in names},
    )
    everybody = Together(n_processes).each(lambda group: videos.read_videos(task, group))
    assert sorted(calls) == sorted((what, Path(name)) for what in ("probe", "digest") for name in names)
    for found in everybody:
        assert found.probes == {name: f"probe of {name}" for name in names} and list(found.digests) == names
    task.matches["m6"].video = None
    with pytest.raises(BallspotError, match="match 'm6' has no video"):
        videos.read_videos(task, Together(1).group(0))


@given(st.lists(st.integers(1, 200_000), max_size=30), st.integers(1, 9))
def test_matches_are_dealt_once_and_evenly(lengths: list[int], n_processes: int) -> None:
    probes: Any = {f"m{k}": SimpleNamespace(n_frames=length) for k, length in enumerate(lengths)}
    hands = dealt(probes, n_processes=n_processes)
    assert len(hands) == n_processes and sorted(name for hand in hands for name in hand) == sorted(probes)
    loads = [sum(probes[name].n_frames for name in hand) for hand in hands]
    assert max(loads) - min(loads) <= max(lengths, default=0)  # as greedy dealing promises


def test_validation_is_spread_over_processes_and_holds_one_match_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    names = [f"m{k}" for k in range(5)]
    extracted: list[str] = []

    def spots_of(name: str, n: int) -> SpotArrays:
        draw = np.random.default_rng(names.index(name) * 10 + n)
        return SpotArrays(np.sort(draw.integers(0, 500, n)), draw.integers(0, 2, n), draw.random(n))

    def extract(backbone: Any, probes: dict[str, Any]) -> Any:
        for name in probes:
            extracted.append(name)
            yield name

    monkeypatch.setattr(
        run, "validation_material", lambda name, spots, labels: SimpleNamespace(name=name, truths=(spots_of(name, 9),))
    )
    monkeypatch.setattr(run, "found_spots", lambda head, material, config: [spots_of(material.name, 30)])
    task = SimpleNamespace(config=None, spots=lambda split: dict.fromkeys(names, ()), label_set=("a", "b"))
    finetuning: Any = SimpleNamespace(task=task, extracted=extract)
    trained: Any = SimpleNamespace(backbone=None, head=None)
    probes: Any = {name: SimpleNamespace(n_frames=int(random.integers(100, 900))) for name in names}
    alone, *everybody = (
        Together(n).each(lambda group: run._validated(finetuning, trained, probes, group)) for n in (1, 3)
    )
    assert sorted(extracted) == sorted(2 * names)
    for result in everybody[0]:
        assert result.mean_ap == alone[0].mean_ap > 0
        assert np.array_equal(result.ap, alone[0].ap)
