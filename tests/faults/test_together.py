"""Two commands at once on the same things: one is held before a change on disk while the other runs to its end.

Two extractions: tests/extract/rows/test_robustness.py; a sweep beside a run at work: tests/temporal/sweep/test_plan.py.
"""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ..processes import Gate, chosen, started
from .harness import (
    REFUSED,
    SAME,
    SEED,
    Ended,
    ballspot,
    contents,
    note_outcome,
    require_refusal,
    restored,
    sized,
    spread,
)
from .season import SETTINGS, Season, write_season

PATIENCE_S = 1.5
Words = Callable[[Season], Sequence[object]]


@dataclass(frozen=True)
class Pair:
    """What is held, what runs meanwhile, the folder that both write to, and how many of the two may be refused."""

    held: Words
    meanwhile: Words
    out: str
    may_refuse: bool = True


def train(*more: object) -> Words:
    return lambda season: season.train(season.root / "out", *more)


def predict(*more: object) -> Words:
    return lambda season: season.predict("--out", season.root / "out", *more)


def tune(season: Season) -> list[object]:
    return ["tune", season.run, "--data", season.data, "--out", season.root / "out" / "tuned.json"]


def pca(season: Season) -> list[object]:
    return ["cache", "pca", season.features, "--dim", 3, "--data", season.data, "--set", "out"]


def export(season: Season) -> list[object]:
    return ["export", season.run / "predictions" / "valid", "--out", season.root / "out" / "a.zip"]


def csv(season: Season) -> list[object]:
    words = ["export", season.run / "predictions" / "valid", "--format", "csv", "--threshold", 0.01]
    return [*words, "--out", season.root / "out"]


def report(season: Season) -> list[object]:
    return ["compare", season.run, "--resamples", 20, "--report", season.root / "out" / "a.html"]


PAIRS: dict[str, Pair] = {
    "two trains of one run": Pair(train(), train(), "out"),
    "two trains of one folder with other seeds": Pair(train(), train("--seed", 1), "out"),
    "two predicts": Pair(predict(), predict(), "out", may_refuse=False),
    "two predicts of one folder by other checkpoints": Pair(predict(), predict("--checkpoint", "last"), "out"),
    "two tunes": Pair(tune, tune, "out", may_refuse=False),
    "two cache pca": Pair(pca, pca, "features/out", may_refuse=False),
    "two exports of a zip": Pair(export, export, "out"),
    "two exports of a folder": Pair(csv, csv, "out"),
    "two reports": Pair(report, report, "out", may_refuse=False),
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    season = write_season(tmp_path_factory.mktemp("together") / "place")
    done = ballspot(*season.train())
    assert done.code == 0, done.stderr + done.trace
    return Path(shutil.copytree(season.root, season.root.with_name("base")))


def alone(base: Path, words: Words, out: str, log: Path) -> tuple[Sequence[str], dict[str, Any]]:
    """The changes of a command that nobody disturbs, and what it leaves."""
    season = Season(restored(base, base.with_name("place")))
    child = started(words(season), log)
    assert child.wait().code == 0, log.read_text(encoding="utf-8")
    return child.changes, contents(season.root / out)


def beside(season: Season, held: Words, meanwhile: Words, number: int, logs: Path) -> tuple[Ended, Ended]:
    """How both ended: the second ran while the first was held before its change of that number."""
    gate = Gate.new()
    first = started(held(season), logs / "first", gate.hold_at(number))
    try:
        assert gate.wait(first)
        second = started(meanwhile(season), logs / "second")
        give_up = time.monotonic() + PATIENCE_S
        while not second.is_over() and time.monotonic() < give_up:  # later it waits for the first
            time.sleep(0.002)
        gate.open()
        return first.wait(), second.wait()
    finally:
        first.kill()
        gate.close()


@pytest.mark.parametrize("name", spread(PAIRS, "two trains of one folder with other seeds", "two predicts"))
@sized(1)
def test_two_commands_at_once_leave_what_one_leaves(name: str, n_rounds: int, base: Path, tmp_path: Path) -> None:
    pair = PAIRS[name]
    changes, first_alone = alone(base, pair.held, pair.out, tmp_path / "log")
    _, second_alone = alone(base, pair.meanwhile, pair.out, tmp_path / "log")
    for number in chosen(random.Random(SEED), len(changes), n_rounds):
        season = Season(restored(base, base.with_name("place")))
        where = f"{name}, one held before change {number}: {changes[number]}"
        both = beside(season, pair.held, pair.meanwhile, number, tmp_path)
        outcome = SAME
        for ended in both:
            if ended.code != 0:
                require_refusal(where, ended)
                outcome = REFUSED
        codes = [ended.code for ended in both]
        assert 0 in codes, f"{where}: none of the two\n{both}"
        assert pair.may_refuse or codes == [0, 0], f"{where}\n{both}"
        left = contents(season.root / pair.out)
        assert left in [one for one, code in zip((first_alone, second_alone), codes, strict=True) if code == 0], where
        for words, ended in zip((pair.held, pair.meanwhile), both, strict=True):
            if ended.code == 0:  # what it made is still what it makes
                assert started(words(season), tmp_path / "log").wait().code in (0, 1), where
        note_outcome(f"two commands at once: {name}", outcome)


@sized(1)
def test_a_train_command_that_finds_its_run_done_takes_nothing_from_a_predict(
    n_rounds: int, base: Path, tmp_path: Path
) -> None:
    """What a predict is writing into the run's folder looks like what a killed one has left."""
    changes, whole = alone(base, lambda season: season.predict(), "run", tmp_path / "log")
    for number in chosen(random.Random(SEED), len(changes), n_rounds):
        season = Season(restored(base, base.with_name("place")))
        both = beside(season, lambda one: one.predict(), lambda one: one.train(), number, tmp_path)
        where = f"predict held before change {number}: {changes[number]}\n{both}"
        assert [ended.code for ended in both] == [0, 0], where
        assert contents(season.run) == whole, where
        note_outcome("two commands at once: predict into a run, train given again", SAME)


@sized(1)
def test_stores_that_are_removed_while_a_training_runs_stop_it_clearly_and_it_goes_on_when_they_are_back(
    n_rounds: int, base: Path, tmp_path: Path
) -> None:
    changes, whole = alone(base, train(), "out", tmp_path / "log")
    for number in chosen(random.Random(SEED), len(changes), n_rounds):
        season = Season(restored(base, base.with_name("place")))
        both = beside(season, train(), lambda one: ["cache", "remove", one.features, "--yes"], number, tmp_path)
        where = f"train held before change {number}: {changes[number]}"
        assert both[1].code == 0 and not season.features.exists(), where
        if both[0].code != 0:
            require_refusal(where, both[0])
            shutil.copytree(base / "features" / "set", season.features)
            again = ballspot(*season.train(season.root / "out"))
            assert again.code == 0, f"{where}\n{again.stderr}{again.trace}"
        assert contents(season.root / "out") == whole, where
        note_outcome("two commands at once: cache remove while a training runs", REFUSED if both[0].code else SAME)


def test_a_removal_of_a_store_that_is_gone_by_then_is_no_fault(base: Path, tmp_path: Path) -> None:
    def remove(season: Season) -> list[object]:
        return ["cache", "remove", season.features, "--yes"]

    for number in range(4):
        season = Season(restored(base, base.with_name("place")))
        for ended in beside(season, remove, remove, number, tmp_path):
            if ended.code != 0:
                require_refusal("two removals", ended)
        assert not season.features.exists()
        note_outcome("two commands at once: two cache remove", SAME)


@pytest.mark.faults
def test_two_sweeps_at_once_are_one(base: Path, tmp_path: Path) -> None:
    season = Season(restored(base, base.with_name("place")))
    file = season.root / "two.toml"
    settings = "\n".join(SETTINGS).replace("kind=gru", 'kind="gru"')
    file.write_text(f'preset = "fast"\nseeds = 2\n[set]\n{settings}\n[axes]\ntemporal_stride = [1, 2]\n')
    for number in range(3):
        outs = [season.root / f"alone-{number}", season.root / f"both-{number}"]
        running = []
        for out in (outs[0], outs[1], outs[1]):
            words = ["sweep", file, season.features, "--data", season.data, "--out", out, "--device", "cpu"]
            command = [sys.executable, "-m", "ballspot.cli", *map(str, words), "--jobs", "2"]
            running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        said = [process.communicate(timeout=600) for process in running]
        ended = [Ended(process.returncode, *texts) for process, texts in zip(running, said, strict=True)]
        assert ended[0].code == 0 and 0 in (ended[1].code, ended[2].code), ended
        for one in ended[1:]:
            if one.code != 0:
                require_refusal("two sweeps", one)
        numbers = [
            {
                str(path.relative_to(out)): contents(path.parent)["metrics.json"]
                for path in out.glob("*/seed-*/metrics.json")
            }
            for out in outs
        ]
        assert len(numbers[0]) == 4 and numbers[0] == numbers[1]
        assert not (outs[1] / "resident").exists()
        note_outcome("two commands at once: two sweeps", SAME)
