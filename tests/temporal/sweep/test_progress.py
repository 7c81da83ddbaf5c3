"""What a sweep shows while it goes on: a table at a terminal, lines elsewhere."""

import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ballspot.temporal.sweep import progress as shown
from ballspot.temporal.sweep.progress import SweepProgress

N_EPOCHS = 4


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Planned:
    """A run as a plan has it, whose state is told by its files."""

    job: Any
    name: str
    states: dict[str, str]

    @property
    def state(self) -> str:
        return self.states.get(self.name, "waiting")

    @property
    def n_epochs_done(self) -> int:
        path = self.job.run / "log.jsonl"
        return len(path.read_text().splitlines()) if path.is_file() else 0

    def do(self, n_epochs: int) -> None:
        self.job.run.mkdir(exist_ok=True)
        (self.job.run / "log.jsonl").write_text("{}\n" * n_epochs)
        self.states[self.name] = "started"

    def end(self, problem: str = "") -> None:
        self.states[self.name] = "failed" if problem else "done"
        if problem:
            (self.job.run.parent / f"{self.name}.failure.json").write_text(json.dumps({"error": problem}))
        else:
            (self.job.run / "metrics.json").write_text(json.dumps({"mean_ap": 0.5, "train_s": 7.2}))


@pytest.fixture
def planned(tmp_path: Path) -> list[Planned]:
    config = SimpleNamespace(training=SimpleNamespace(n_epochs=N_EPOCHS))
    states: dict[str, str] = {}
    return [Planned(SimpleNamespace(run=tmp_path / name, config=config), name, states) for name in "abc"]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time that has passed, in seconds."""
    now = SimpleNamespace(s=100.0)
    monkeypatch.setattr(shown, "time", SimpleNamespace(monotonic=lambda: now.s))
    return lambda passed_s: setattr(now, "s", 100.0 + passed_s)


def test_a_terminal_has_a_row_for_each_run_under_way_and_a_line_for_each_that_ended(
    planned: list[Planned], clock: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    with SweepProgress(planned) as progress:  # pyright: ignore[reportArgumentType]
        first, second, _ = planned
        first.do(3)
        second.do(1)
        clock(40)
        progress.show([first, second])  # pyright: ignore[reportArgumentType]
        progress.live.refresh()
        at_work = terminal.getvalue()
        first.do(4)
        first.end()
        progress.ended(first)  # pyright: ignore[reportArgumentType]
        second.end("features/set: is gone; extract again")
        progress.ended(second)  # pyright: ignore[reportArgumentType]
    # 4 epochs in 40 s; of the 12 there are 8 left.
    assert "0/3 runs done, 2 running  0:01:20 left" in at_work
    assert "a  epoch 3 of 4" in at_work and "b  epoch 1 of 4" in at_work
    after = terminal.getvalue()
    assert "a: valid mAP@1 50.00 (7 s)" in after and "b: failed: features/set: is gone; extract again" in after
    last = after[after.rindex("1/3 runs done") :]
    assert "1 failed" in last and "epoch" not in last  # nobody is at work any more


def test_elsewhere_a_line_comes_now_and_then(
    planned: list[Planned], clock: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with SweepProgress(planned, n_runs=5) as progress:  # pyright: ignore[reportArgumentType]
        planned[0].do(2)
        for passed_s in (1, 9, 10, 11, 19, 21):
            clock(passed_s)
            progress.show(planned[:1])  # pyright: ignore[reportArgumentType]
        lines = capsys.readouterr().err.splitlines()
    # 2 epochs took 10 s; 2 + 4 + 4 of the runs that are planned are left, and 8 of those that are not yet.
    assert lines == ["0/5 runs done, 1 running  0:01:30 left", "0/5 runs done, 1 running  0:03:09 left"]
    assert capsys.readouterr().err.startswith("0/5 runs done  0:03:09 left")
