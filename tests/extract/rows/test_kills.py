"""Extractions that are killed, at random moments and before every single change on disk, end in the same bytes.

Three kills of drawn matches in the default run. BALLSPOT_KILLS=50 makes it fifty, BALLSPOT_KILL_DATA=FOLDER takes the
first two matches of a data root instead, BALLSPOT_KILL_SEED another order; `pytest -s` shows where each kill hit.
"""

import hashlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from multiprocessing.context import ForkProcess
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from ballspot.cache.stores.journal import Journal
from ballspot.cache.stores.layout import Block
from ballspot.cli import main
from ballspot.evaluate.dataset.matches import Match, find_matches
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows.extraction import extract_matches
from ballspot.extract.rows.job import ExtractionJob
from ballspot.extract.rows.segments import OnRows, Outcome, SegmentTask

from ...changes import killed_at, watch
from ...processes import as_a_process_of_its_own

N_KILLS = int(os.environ.get("BALLSPOT_KILLS", "3"))
SEED = int(os.environ.get("BALLSPOT_KILL_SEED", "1"))
MOMENTS = ("rows", "assembly", "start", "rows", "stored")
FORK = multiprocessing.get_context("fork")
pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no SIGKILL, nor fork")


@pytest.fixture(scope="module")
def data(brief: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    chosen = os.environ.get("BALLSPOT_KILL_DATA")
    if not chosen:
        return brief
    root = tmp_path_factory.mktemp("data")
    for match in find_matches(Path(chosen))[:2]:
        shutil.copytree(match.folder, root / match.name)
    return root


def words_for(data: Path, out: Path, n_workers: int) -> list[str]:
    words = ["extract", data, "--out", out, "--set", "s", "--weights", "random", "--size", "64x96"]
    return [*map(str, words), "--workers", str(n_workers)]


def extract(data: Path, out: Path, n_workers: int) -> None:
    """The command, in a process group of its own, silent; forked from here, so that nothing is loaded anew."""
    os.setsid()
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    as_a_process_of_its_own("extract")
    main(words_for(data, out, n_workers))


def started(data: Path, out: Path, n_workers: int) -> ForkProcess:
    process = FORK.Process(target=extract, args=(data, out, n_workers))
    process.start()
    return process


def contents(folder: Path) -> dict[str, str]:
    """The digest of every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def state(out: Path) -> tuple[int, int, int]:
    """Bytes in part files, temporary files, stores."""
    n_bytes = n_temporary = n_stores = 0
    for folder, _, names in os.walk(out):
        for name in names:
            n_temporary += name.endswith(".tmp")
            n_stores += name.endswith(".h5")
            if name.endswith(".part"):
                with suppress(FileNotFoundError):
                    n_bytes += (Path(folder) / name).stat().st_size
    return n_bytes, n_temporary, n_stores


def wait_for_end_of_group(group: int) -> None:
    """Until all that a killed command had started has ended by itself, where the system tells."""
    give_up = time.monotonic() + 120
    while True:
        states = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                state, _, of_group = path.read_text().rpartition(")")[2].split()[:3]
                states += state if int(of_group) == group else ""
        if all(state in "ZX" for state in states):
            return
        assert time.monotonic() < give_up, "what the command had started works on without it"
        time.sleep(0.01)


def say(began: float, text: str) -> None:
    sys.stdout.write(f"{time.monotonic() - began:6.1f} s, {text}\n")
    sys.stdout.flush()


def kill_at(process: ForkProcess, out: Path, moment: str, *, row_bytes: int, rng: random.Random) -> bool:
    """Kills the process, and every second time all that it started, at the moment; False when it ended before."""
    before, _, stores_before = state(out)
    wanted = before + rng.uniform(0, 0.15 * row_bytes)
    delay_s = {"start": 2.0, "rows": 0.05, "assembly": 0.03, "stored": 0.003}[moment] * rng.random()
    while process.is_alive():
        n_bytes, n_temporary, n_stores = state(out)
        if (
            moment == "start"
            or (moment == "rows" and (n_bytes >= wanted or n_stores > stores_before))
            or (moment == "assembly" and n_temporary)
            or (moment == "stored" and n_stores > stores_before)
        ):
            break
        time.sleep(0.0005)
    process.join(delay_s)
    if not process.is_alive() or process.pid is None:
        return False
    if rng.random() < 0.5:
        os.killpg(process.pid, signal.SIGKILL)
    else:  # the command alone: what it started must end by itself
        process.kill()
    process.join()
    wait_for_end_of_group(process.pid)
    return True


def test_killed_at_random_moments_and_resumed_it_ends_in_the_same_bytes(data: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    done = CliRunner().invoke(main, words_for(data, tmp_path / "whole", 1))
    assert done.exit_code == 0, done.stderr
    whole = contents(tmp_path / "whole")
    row_bytes = sum(path.stat().st_size for path in (tmp_path / "whole").rglob("*.h5"))
    assert whole and all(name.endswith(".h5") for name in whole)
    say(began, f"seed {SEED}: {len(whole)} matches, {row_bytes} bytes, without a kill")
    rng, out = random.Random(SEED), tmp_path / "killed"
    n_killed = n_rounds = 0
    while n_killed < N_KILLS or out.exists():
        n_workers, moment = rng.choice((1, 1, 1, 2)), MOMENTS[n_killed % len(MOMENTS)]
        process = started(data, out, n_workers)
        if n_killed < N_KILLS and kill_at(process, out, moment, row_bytes=row_bytes, rng=rng):
            n_killed += 1
            n_bytes, n_temporary, n_stores = state(out)
            where = f"{n_bytes} bytes of parts, {n_temporary} temporary files, {n_stores} stores"
            say(began, f"kill {n_killed} ({moment}, {n_workers} workers): {where}")
            for name, digest in contents(out).items():
                assert not name.endswith(".h5") or digest == whole[name], name  # a store is whole or not there
        else:
            process.join()
            assert process.exitcode == 0
            assert contents(out) == whole, f"after {n_killed} kills"
            shutil.rmtree(out)
            n_rounds += 1
            say(began, f"round {n_rounds} done: the same bytes, nothing beside them")


def fake_crew(tasks: list[SegmentTask], is_dropped: object, on_rows: OnRows) -> Iterator[Outcome]:
    """Fills part files with rows that hang on their number only, 32 at a time; no video is read."""
    for task in tasks:
        with Journal.open(task.part, task.header, segment=task.segment) as journal:
            while journal.next_row < task.segment.stop:
                rows = np.arange(journal.next_row, min(journal.next_row + 32, task.segment.stop), dtype=np.int64)
                features = np.sin(rows[:, None] + np.arange(task.header.dim)).astype(np.float16)
                journal.append(Block(rows, {"original": features}))
        yield Outcome(task)


def in_child(matches: list[Match], out: Path, job: ExtractionJob, number: int | None) -> tuple[int, list[str]]:
    """Extracts in a forked process that is killed before the change of that number: its wait status, its changes."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:  # whatever happens, the fork ends here and runs no further tests
            os.close(read)
            changes = watch(killed_at(-1 if number is None else number), below=out.name)
            extract_matches(matches, out, job, crew=fake_crew)
            os.write(write, "\n".join(changes).encode())
            code = 0
        finally:
            os._exit(code)
    os.close(write)
    with os.fdopen(read) as stream:
        changes = stream.read().split("\n")
    return os.waitpid(pid, 0)[1], changes


def test_killed_before_any_change_on_disk_and_resumed_it_ends_in_the_same_bytes(brief: Path, tmp_path: Path) -> None:
    job = ExtractionJob(
        load_backbone(BackboneSpec("regnety_002", "random", (64, 96)), torch.device("cpu")),
        device=torch.device("cpu"),
    )
    matches = list(find_matches(brief))[:2]
    status, changes = in_child(matches, tmp_path / "whole", job, None)
    whole = contents(tmp_path / "whole")
    assert (
        status == 0
        and len(whole) == 2
        and sum(change.startswith("os.rename") for change in changes) == 2
        and len(changes) > 40
    )
    for number in range(len(changes)):
        out = tmp_path / "killed"
        status, _ = in_child(matches, out, job, number)
        assert os.WTERMSIG(status) == signal.SIGKILL
        for name, digest in contents(out).items():
            assert not name.endswith(".h5") or digest == whole[name], changes[: number + 1][-3:]
        extract_matches(matches, out, job, crew=fake_crew)
        assert contents(out) == whole, (number, changes[: number + 1][-3:])
        shutil.rmtree(out)
