"""Clocks that jump and files from the future: no result, and no decision what is done already, hangs on the time."""

import os
import time
from pathlib import Path

import pytest

from ..processes import killed_when, started
from .harness import SAME, ballspot, contents, note_outcome, restored, spread
from .season import Season, write_predicted

DAY_S = 86_400.0


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_predicted(tmp_path_factory.mktemp("clock") / "place")


def dated(folder: Path, seconds: float) -> None:
    """Every file and folder below as if it had been written at that time."""
    for path in folder.rglob("*"):
        os.utime(path, (seconds, seconds))


@pytest.mark.parametrize("shift_s", spread((-3650 * DAY_S, -DAY_S, DAY_S, 3650 * DAY_S), 3650 * DAY_S))
def test_a_clock_that_jumps_between_two_commands_changes_nothing(
    shift_s: float, base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    season = Season(restored(base, base.with_name("place")))
    out = season.root / "out"
    killed = killed_when(lambda text: text.startswith("os.rename") and text.endswith("last.safetensors"), times=2)
    assert started(season.train(out), tmp_path / "log", killed).wait().code == -9
    dated(season.root, time.time() + shift_s)
    now, local = time.time, time.localtime
    monkeypatch.setattr(time, "time", lambda: now() - shift_s)
    monkeypatch.setattr(
        time, "localtime", lambda seconds=None: local((now() if seconds is None else seconds) - shift_s)
    )
    resumed = ballspot(*season.train(out))
    assert resumed.code == 0 and "resuming after epoch 1" in resumed.stderr, resumed.stderr + resumed.trace
    again = ballspot(*season.train(out))
    assert again.code == 0 and "already done" in again.stderr
    predicted = ballspot(*season.predict(run=out))
    assert predicted.code == 0, predicted.stderr
    verified = ballspot("cache", "verify", season.features)
    assert verified.code == 0, verified.stdout
    assert contents(out)["best.safetensors"] == contents(season.run)["best.safetensors"]
    ours, theirs = (contents(run / "predictions" / "test") for run in (out, season.run))
    assert {name: one for name, one in ours.items() if "/" in name} == {
        name: one for name, one in theirs.items() if "/" in name
    }
    note_outcome("clock jumps: while a run is unfinished", SAME)


def test_the_clock_jumping_at_every_look_changes_nothing(base: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forwards and backwards by a day in turn, within one command."""
    season = Season(restored(base, base.with_name("place")))
    now, n_looks = time.time, 0

    def jumping() -> float:
        nonlocal n_looks
        n_looks += 1
        return now() + (DAY_S if n_looks % 2 else -DAY_S)

    monkeypatch.setattr(time, "time", jumping)
    done = ballspot(*season.train(season.root / "out"))
    assert done.code == 0, done.stderr + done.trace
    assert contents(season.root / "out")["best.safetensors"] == contents(season.run)["best.safetensors"]
    note_outcome("clock jumps: at every look, within a training", SAME)
