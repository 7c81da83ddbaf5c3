"""Kills, full disks, folders that cannot be written, two writers: what is taken for a store is always whole and right.

One kill in the default run; BALLSPOT_KILLS=50 makes it fifty.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ballspot.cache.store import FeatureStore

N_KILLS = int(os.environ.get("BALLSPOT_KILLS", "1"))
IS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0


def command(data: Path, out: Path, *more: object) -> list[str]:
    words = ["extract", data, "--out", out, "--set", "s", "--weights", "random", "--size", "64x96", *more]
    return [sys.executable, "-m", "ballspot.cli", *map(str, words)]


def extract(data: Path, out: Path, *more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(data, out, *more), capture_output=True, text=True, check=False, timeout=300)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and ".slurm" not in path.parts
    }


@pytest.fixture(scope="module")
def whole(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of an extraction that nothing interrupted, with one worker."""
    out = tmp_path_factory.mktemp("whole")
    done = extract(drawn, out, "--workers", 1)
    assert done.returncode == 0, done.stderr
    return contents(out)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    os.kill(process.pid, signal.SIGKILL)  # the command alone: what it started must end by itself
    process.wait()


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_killed_at_random_moments_and_resumed_it_ends_in_the_same_bytes(
    drawn: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    started = time.monotonic()
    assert extract(drawn, tmp_path / "timing", "--workers", 2).returncode == 0
    assert contents(tmp_path / "timing") == whole  # two workers, the same bytes
    duration_s = time.monotonic() - started
    rng = random.Random(N_KILLS)
    for number in range(N_KILLS):
        out = tmp_path / "killed"
        n_workers = 1 + number % 2
        process = subprocess.Popen(
            command(drawn, out, "--workers", n_workers), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.3, 1.0) * duration_s)
        kill_group(process)
        for path in out.rglob("*.h5"):
            with FeatureStore.open(path) as store:  # whatever has the name of a store is whole
                assert store.n_rows == 250
        done = extract(drawn, out, "--workers", 2 - number % 2)
        assert done.returncode == 0, done.stderr
        assert contents(out) == whole, f"kill {number}"
        shutil.rmtree(out)


def test_two_extractions_of_one_set_at_once_leave_it_whole(
    drawn: Path, tmp_path: Path, whole: dict[str, bytes]
) -> None:
    processes = [
        subprocess.Popen(command(drawn, tmp_path, "--workers", 1), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    errors = [process.communicate(timeout=300)[1].decode() for process in processes]
    codes = [process.returncode for process in processes]
    assert 0 in codes, errors
    for code, error in zip(codes, errors, strict=True):
        assert code == 0 or "another process is extracting this match; wait for it or stop it" in error, error
    if codes != [0, 0]:  # each may have refused a match that the other was at
        assert extract(drawn, tmp_path, "--workers", 1).returncode == 0
    assert contents(tmp_path) == whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system of 300 kB: a store here takes 200."""
    if not IS_ROOT or shutil.which("mount") is None:
        pytest.skip("mounting a small file system needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(disk)]
    if subprocess.run(words, capture_output=True, check=False).returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    return disk


def test_a_full_disk_is_a_clear_error_and_leaves_no_half_store(
    drawn: Path, small_disk: Path, whole: dict[str, bytes]
) -> None:
    try:
        done = extract(drawn, small_disk, "--workers", 1)
        assert done.returncode == 1
        assert "No space left on device" in done.stderr and "free space" in done.stderr
        assert done.stderr.splitlines()[-1].startswith("Error: ") and "Traceback" not in done.stderr
        for path in small_disk.rglob("*.h5"):
            assert path.read_bytes() == whole[str(path.relative_to(small_disk))]
        for path in small_disk.rglob("*.part"):
            path.unlink()
        subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
        assert extract(drawn, small_disk, "--workers", 1).returncode == 0
        assert contents(small_disk) == whole
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)


def test_a_folder_that_cannot_be_written_is_a_clear_error(drawn: Path, tmp_path: Path) -> None:
    if IS_ROOT:  # root may write anywhere but where the file system says no
        place = Path("/proc/ballspot")
    else:
        (tmp_path / "closed").mkdir(mode=0o500)
        place = tmp_path / "closed" / "out"
    done = extract(drawn, place, "--workers", 1)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: ") and str(place) in done.stderr
    assert "cannot make this folder" in done.stderr and "Traceback" not in done.stderr


def test_a_missing_data_root_is_a_clear_error(tmp_path: Path) -> None:
    done = extract(tmp_path / "gone", tmp_path / "out")
    assert done.returncode == 1
    assert done.stderr == f"Error: {tmp_path / 'gone'}: does not exist; give the folder that holds the match folders\n"


def test_a_worker_that_is_killed_is_replaced(drawn: Path, tmp_path: Path, whole: dict[str, bytes]) -> None:
    process = subprocess.Popen(command(drawn, tmp_path, "--workers", 2), stderr=subprocess.PIPE)
    killed = False
    while process.poll() is None and not killed:
        parts = [path for path in tmp_path.rglob("*.part") if path.stat().st_size > 5000]
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        if not children.exists():
            process.kill()
            pytest.skip("this system does not say which processes are children")
        workers = [int(pid) for pid in children.read_text().split() if b"spawn_main" in cmdline(int(pid))]
        if parts and workers:
            os.kill(workers[0], signal.SIGKILL)
            killed = True
        time.sleep(0.01)
    _, error = process.communicate(timeout=300)
    assert killed and process.returncode == 0, error
    assert contents(tmp_path) == whole


def cmdline(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
