"""Full disks, closed folders, two writers, lost workers: what is taken for a store is always whole and right."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cli import main

from ...disks import IS_ROOT, remount, small_disk
from ...processes import Ended, run_forked, started
from ...servers import NAME


def command(data: Path, out: Path, *more: object) -> list[object]:
    return ["extract", data, "--out", out, "--set", "s", "--weights", "random", "--size", "64x96", *more]


def extract(data: Path, out: Path, *more: object) -> Ended:
    return run_forked(*command(data, out, *more))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".slurm" not in path.parts
    }


@pytest.fixture(scope="module")
def drawn(brief: Path) -> Path:
    """Matches of four seconds: most tests extract all of them twice."""
    return brief


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an extraction that nothing interrupted, with one worker."""
    out = tmp_path_factory.mktemp("whole")
    # In this process: its backbone is there in all that is forked from it.
    done = CliRunner().invoke(main, [str(word) for word in command(drawn, out, "--workers", 1)])
    assert done.exit_code == 0, done.stderr
    return contents(out)


def test_two_extractions_of_one_set_at_once_leave_it_whole(
    drawn: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    out = tmp_path / "out"
    words = command(drawn, out, "--workers", 1)
    children = [started(words, tmp_path / f"log-{number}") for number in range(2)]
    for ended in [child.wait() for child in children]:
        is_told = "another process is extracting this match; wait for it or stop it" in ended.stderr
        assert ended.code == 0 or is_told, ended.stderr
    assert contents(out) == whole  # each may have refused a match, but one that the other was at


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", "4m") as disk:
        yield disk


def the_error(done: Ended) -> str:
    """The one line that a failed command ends with."""
    assert done.code == 1 and not done.trace, done.stderr
    assert done.error.startswith("Error: "), done.stderr
    return done.error


@pytest.mark.parametrize(("n_stores", "n_workers"), [(0.5, 1), (1.5, 1), (2.3, 2)])  # what there is room for
def test_a_full_disk_is_a_clear_error_and_leaves_no_half_store(
    drawn: Path, disk: Path, whole: dict[str, bytes], n_stores: float, n_workers: int
) -> None:
    remount(disk, f"size={int(n_stores * max(map(len, whole.values()))) // 1024}k")
    error = the_error(extract(drawn, disk, "--workers", n_workers))
    assert "No space left on device" in error and "free space" in error
    for path in disk.rglob("*.h5"):
        assert path.read_bytes() == whole[str(path.relative_to(disk))]
    remount(disk, "size=4m")
    assert extract(drawn, disk, "--workers", 1).code == 0
    assert contents(disk) == whole


def test_a_disk_that_is_read_only_gives_what_it_has_and_takes_nothing(
    drawn: Path, disk: Path, whole: dict[str, bytes]
) -> None:
    first = "synth/drawn/match-01"
    assert extract(drawn, disk, "--match", first).code == 0
    remount(disk, "ro")
    assert extract(drawn, disk, "--match", first).code == 0
    error = the_error(extract(drawn, disk))
    assert "match-02.h5" in error and "Read-only file system" in error
    error = the_error(extract(drawn, disk, "--set", "other"))
    assert f"{disk / 'other'}: cannot make this folder (Read-only file system); choose another place" in error
    remount(disk, "rw")
    (disk / "s" / f"{first}.h5.0-100.part").write_bytes(b"")
    remount(disk, "ro")
    error = the_error(extract(drawn, disk, "--match", first))
    assert "match-01.h5.0-100.part: cannot be removed (Read-only file system)" in error
    error = the_error(run_forked("cache", "remove", disk / "s", "--yes"))
    assert "cannot be removed (Read-only file system)" in error
    remount(disk, "rw")
    assert extract(drawn, disk).code == 0
    assert contents(disk) == whole


def test_a_folder_that_cannot_be_written_is_a_clear_error(drawn: Path, tmp_path: Path) -> None:
    if IS_ROOT:  # root may write anywhere but where the file system says no
        place = Path("/proc/ballspot")
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        place = tmp_path / "closed" / "out"
    done = extract(drawn, place, "--workers", 1)
    error = the_error(done)
    assert str(place) in error and "cannot make this folder" in error


def test_a_missing_data_root_is_a_clear_error(tmp_path: Path) -> None:
    done = extract(tmp_path / "gone", tmp_path / "out")
    assert done.code == 1
    assert done.stderr == f"Error: {tmp_path / 'gone'}: does not exist; give the folder that holds the match folders\n"


def test_a_worker_that_is_killed_is_replaced(drawn: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    child = started(command(drawn, tmp_path / "out", "--workers", 2), tmp_path / "log")
    killed = False
    while not child.is_over() and not killed:
        parts = [path for path in (tmp_path / "out").rglob("*.part") if path.stat().st_size > 5000]
        if children_of(child.pid) is None:
            child.kill()
            pytest.skip("this system does not say which processes are children")
        servers = [pid for pid in children_of(child.pid) or () if name_of(pid) == NAME]
        workers = [pid for server in servers for pid in children_of(server) or ()]  # and decoders, which come later
        if parts and workers:
            with suppress(ProcessLookupError):  # it may just have ended
                os.kill(workers[0], signal.SIGKILL)
                killed = True
        time.sleep(0.01)
    ended = child.wait()
    assert killed and ended.code == 0, ended.stderr
    assert contents(tmp_path / "out") == whole


def children_of(pid: int) -> list[int] | None:
    """The processes that this one's first thread has started; None where the system does not say."""
    path = Path(f"/proc/{pid}/task/{pid}/children")
    try:
        return [int(child) for child in path.read_text().split()]
    except OSError:
        return [] if Path("/proc/self/task").exists() and not Path(f"/proc/{pid}").exists() else None


def name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip()
    except OSError:
        return ""
