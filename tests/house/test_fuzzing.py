"""Seconds of the fuzzing in bench/ (docs/contributing/fuzzing.md), and that it finds what it looks for."""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="the fuzzing runs its cases in forked processes")
FAULTS = """
import os, signal, sys, time
from pathlib import Path
from fuzz_cases import Limits, fuzz
from fuzz_damage import Target
from ballspot.cache.errors import BallspotError

def never(path):
    while True: pass

def refuse(path):
    raise BallspotError("one line")

readers = {
    "raises": lambda path: 1 / 0,
    "crashes": lambda path: os.kill(os.getpid(), signal.SIGSEGV),
    "hangs": never,
    "takes memory": lambda path: bytearray(2**31),
    "ends": lambda path: sys.exit(3),
    "refuses": refuse,
    "reads": Path.read_bytes,
}
folder = Path(sys.argv[1])
targets = {name: Target((b"x",), folder / name, read) for name, read in readers.items()}
outcome = fuzz(targets, seconds=3, seed=0, keep=folder / "kept", limits=Limits(case_s=0.1))
for name, (n_read, n_refused) in outcome.counts.items():
    print(name, bool(n_read), bool(n_refused))
for finding in outcome.findings:
    print(finding)
"""


@needs_fork
def test_no_reader_fails_over_damaged_files():
    # BALLSPOT_FUZZ_SECONDS=600 makes it a long one.
    seconds = os.environ.get("BALLSPOT_FUZZ_SECONDS", "2")
    groups = ["spots", "configs", "runs", "stores", "requests", "heads", "features"]
    words = [sys.executable, str(BENCH / "fuzz_readers.py"), *groups, "--seconds", seconds, "--seed", "7"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = re.search(r"^(\d+) files, 0 findings$", done.stdout, flags=re.MULTILINE)
    assert found is not None and int(found[1]) > 20


@needs_fork
def test_a_reader_that_raises_crashes_hangs_or_takes_too_much_is_found_and_one_that_refuses_is_not(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, str(tmp_path)], cwd=BENCH, capture_output=True, text=True, check=True
    )
    assert "refuses False True" in done.stdout and "reads True False" in done.stdout
    for finding in (
        "raises, case 0/", "ZeroDivisionError", "ended by SIGSEGV", "hangs, case 0/", "takes too long", "SystemExit: 3",
    ):  # fmt: skip
        assert finding in done.stdout, finding
    assert "MemoryError" in done.stdout or not Path("/proc/self/statm").is_file()
    for name in ("refuses, case", "reads, case"):
        assert name not in done.stdout


@pytest.mark.skipif(importlib.util.find_spec("atheris") is not None, reason="atheris is installed")
def test_guided_fuzzing_without_atheris_says_how_to_get_it():
    done = subprocess.run(
        [sys.executable, str(BENCH / "fuzz_guided.py"), "labels"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "pip install 'ballspot[fuzz]'" in done.stderr
