"""Runs one command and writes what it took to a JSON file; whatever it prints goes where this prints.

    python bench/measured.py OUT.json COMMAND [ARGUMENT ...]

`cpu_s` is the CPU time of all processes that the command started, as the kernel counts it. `largest_mb` is the most
that one of them had resident, the kernel's own high-water mark; pages of mapped files and pages shared with other
processes are in it. `together_mb` is the most that all had at one time, sampled twice a second: a page that several
processes map counts once (proportional set sizes), pages of mapped files count, and `mapped_mb` is how much of it
those are. Megabytes are 10^6 bytes. Linux only.

It is a program of its own, for a process begins with the high-water mark of the one that forked it.
"""

import ctypes
import json
import os
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

SAMPLE_S = 0.5
BECOME_PARENT_OF_ORPHANS = 36  # PR_SET_CHILD_SUBREAPER of prctl


def main() -> None:
    """Runs the command; its exit code is this program's."""
    out, command = Path(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(BECOME_PARENT_OF_ORPHANS, 1)  # so that no process is left out that outlives its parent
    started = time.monotonic()
    process = subprocess.Popen(command)
    together, mapped, code, wall_s = 0, 0, 0, 0.0
    next_sample = started
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            break
        if pid == process.pid:
            code, wall_s = os.waitstatus_to_exitcode(status), time.monotonic() - started
        if pid:
            continue
        if time.monotonic() >= next_sample:
            sizes = [proportional_kb(one) for one in descendants(os.getpid())]
            if (now := sum(size for size, _ in sizes)) > together:
                together, mapped = now, sum(of_files for _, of_files in sizes)
            next_sample = time.monotonic() + SAMPLE_S
        time.sleep(0.02)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = {
        "wall_s": wall_s,
        "cpu_s": used.ru_utime + used.ru_stime,
        "largest_mb": used.ru_maxrss * 1024 / 1e6,
        "together_mb": together * 1024 / 1e6,
        "mapped_mb": mapped * 1024 / 1e6,
    }
    out.write_text(json.dumps({name: round(value, 3) for name, value in result.items()}))
    sys.exit(code if code >= 0 else 128 - code)


def descendants(pid: int) -> list[int]:
    """All processes that a process started, and those that they started."""
    found = [pid]
    for parent in found:
        with suppress(OSError):
            for task in Path(f"/proc/{parent}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found[1:]


def proportional_kb(pid: int) -> tuple[int, int]:
    """The proportional set size of a process, and how much of it are pages of mapped files, kilobytes."""
    sizes = {}
    with suppress(OSError):  # it has just ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            sizes[name] = int(rest.split()[0])
    return sizes.get("Pss", 0), sizes.get("Pss_File", 0)


if __name__ == "__main__":
    main()
