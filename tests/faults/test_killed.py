"""Commands that are killed before any change on disk, and given again, leave what an undisturbed one leaves.

Extraction: tests/extract/rows/test_kills.py. Sweeps: tests/temporal/sweep/test_plan.py, searches:
test_optuna_search.py beside it.
"""

import random
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from ..changes import killed_at
from ..processes import chosen, killed_when, started
from .harness import ROUNDS, SAME, SEED, ballspot, contents, is_temporary, note_outcome, restored, sized, spread
from .season import Season, write_season

Words = Callable[[Season], Sequence[object]]


@dataclass(frozen=True)
class Killed:
    """A command and the folder that it writes to; ``clears`` where it leaves no temporary file of a killed one."""

    words: Words
    out: str
    clears: bool = False


COMMANDS: dict[str, Killed] = {
    "train": Killed(lambda season: season.train(season.root / "out"), "out", clears=True),
    "train, features in a file": Killed(
        lambda season: season.train(season.root / "out", "--set", "resident_limit_gb=0.000001"), "out", clears=True
    ),
    "train --seeds": Killed(lambda season: season.train(season.root / "out", "--seeds", 2), "out", clears=True),
    "predict": Killed(lambda season: season.predict("--out", season.root / "out"), "out"),
    "tune": Killed(
        lambda season: ["tune", season.run, "--data", season.data, "--out", season.root / "out" / "a"], "out"
    ),
    "tune --apply": Killed(
        lambda season: [
            *("tune", season.run, "--data", season.data, "--out", season.root / "out" / "a.json"),
            *("--apply", season.run / "predictions" / "valid", "--to", season.root / "out" / "to"),
        ],
        "out",
    ),
    "cache pca": Killed(
        lambda season: ["cache", "pca", season.features, "--dim", 3, "--data", season.data, "--set", "out"],
        "features/out",
    ),
    "export soccernet-zip": Killed(lambda season: [*exported(season), "--out", season.root / "out" / "a.zip"], "out"),
    "export csv": Killed(
        lambda season: [*exported(season), "--format", "csv", "--threshold", 0.01, "--out", season.root / "out"], "out"
    ),
    "export card": Killed(
        lambda season: ["export", season.run, "--format", "card", "--out", season.root / "out" / "card.md"], "out"
    ),
    "export bundle": Killed(
        lambda season: ["export", season.run, "--format", "bundle", "--out", season.root / "out" / "a.ballspot"], "out"
    ),
    "data convert": Killed(
        lambda season: [
            *("data", "convert", season.data, season.root / "out"),
            *("--from", "labels-ball", "--to", "labels-v2"),
        ],
        "out",
    ),
    "compare --report": Killed(
        lambda season: ["compare", season.run, "--resamples", 20, "--report", season.root / "out" / "a.html"], "out"
    ),
}


def exported(season: Season) -> list[object]:
    return ["export", season.run / "predictions" / "valid"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A season with a trained run, of which every try gets a copy."""
    season = write_season(tmp_path_factory.mktemp("killed") / "place")
    done = ballspot(*season.train())
    assert done.code == 0, done.stderr + done.trace
    return Path(shutil.copytree(season.root, season.root.with_name("base")))


def changes_of(name: str, base: Path, log: Path) -> tuple[Sequence[str], dict[str, object]]:
    """All changes of an undisturbed command, and what it leaves."""
    season = Season(restored(base, base.with_name("place")))
    child = started(COMMANDS[name].words(season), log)
    ended = child.wait()
    assert ended.code == 0, f"{name}\n{ended.stderr}"
    return child.changes, contents(season.root / COMMANDS[name].out)


@pytest.mark.parametrize("name", spread(COMMANDS, "train", "predict", "tune --apply", "cache pca", "export csv"))
@sized(1)
def test_a_command_that_is_killed_before_a_change_on_disk_ends_as_if_it_had_not_been(
    name: str, n_rounds: int, base: Path, tmp_path: Path
) -> None:
    command = COMMANDS[name]
    changes, whole = changes_of(name, base, tmp_path / "log")
    assert whole
    for number in chosen(random.Random(SEED), len(changes), n_rounds):
        season = Season(restored(base, base.with_name("place")))
        where = f"{name}, killed before change {number}: {changes[number]}"
        killed = started(command.words(season), tmp_path / "log", killed_at(number)).wait()
        assert killed.code == -9, f"{where}\n{killed.stderr}"
        require_whole_or_absent(season.root / command.out, whole, where)
        require_same_again(command, season, whole, where, tmp_path / "log")
        note_outcome(f"killed before a change on disk: {name}", SAME)


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.faults
def test_a_command_that_is_killed_at_random_moments_ends_as_if_it_had_not_been(
    name: str, base: Path, tmp_path: Path
) -> None:
    began = time.monotonic()
    _, whole = changes_of(name, base, tmp_path / "log")
    longest_s, rng = 1.2 * (time.monotonic() - began), random.Random(SEED)
    season = Season(restored(base, base.with_name("place")))
    command, n_killed = COMMANDS[name], 0
    while n_killed < max(ROUNDS // 4, 3):
        child = started(command.words(season), tmp_path / "log")
        time.sleep(rng.uniform(0, longest_s))
        if not child.is_over():
            child.kill()
            n_killed += 1
            require_whole_or_absent(season.root / command.out, whole, name)
            note_outcome(f"killed at a random moment: {name}", SAME)
            if rng.random() < 0.5:  # else it is killed again where it goes on
                continue
        require_same_again(command, season, whole, name, tmp_path / "log")
        restored(base, season.root)


def require_same_again(command: Killed, season: Season, whole: dict[str, object], where: str, log: Path) -> None:
    """The command given again ends as if it had not been killed; what was done already may be refused as done."""
    out = season.root / command.out
    was_done = (contents(out) if out.is_dir() else {}) == whole
    again = started(command.words(season), log).wait()
    is_told = was_done and again.code == 1 and ("already exists" in again.error or "is not empty" in again.error)
    assert again.code == 0 or is_told, f"{where}\n{again.stderr}"
    assert contents(out) == whole, where
    if command.clears:
        assert not any(map(is_temporary, out.rglob("*"))), where


def require_whole_or_absent(out: Path, whole: dict[str, object], where: str) -> None:
    """Every file that bears its final name is whole; of a run those that are written last are not there too early."""
    there = contents(out) if out.is_dir() else {}
    for name, content in there.items():
        last = name.rpartition("/")[2]
        if last in ("run.json", "log.jsonl", "last.safetensors", "best.safetensors"):  # these change as a run goes on
            continue
        assert content == whole[name], f"{where}: {name} is not whole"
    for folder in {name.rpartition("/")[0] for name in there if name.endswith("metrics.json")}:
        assert {name for name in whole if name.startswith(folder)} <= there.keys(), f"{where}: done too early"


def test_a_training_that_is_killed_between_epochs_takes_up_the_epochs_it_has(base: Path, tmp_path: Path) -> None:
    season = Season(restored(base, base.with_name("place")))
    out = season.root / "out"
    second = killed_when(lambda text: text.startswith("os.rename") and text.endswith("last.safetensors"), times=2)
    assert started(season.train(out), tmp_path / "log", second).wait().code == -9
    assert not (out / "metrics.json").exists()
    again = ballspot(*season.train(out))
    assert again.code == 0 and "resuming after epoch 1 of 2" in again.stderr
    assert {name for name in contents(out) if name.startswith("best")} == {"best.safetensors"}
    assert contents(out)["best.safetensors"] == contents(season.run)["best.safetensors"]
