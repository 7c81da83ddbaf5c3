"""What this machine's processor can do, told without torch; and how its memory is kept.

Two units of today's CPUs multiply bfloat16 numbers many times as fast as float32: AMX (Intel, from Sapphire Rapids on)
and AVX512-BF16 (Intel Cooper Lake, AMD from Zen 4 on). Without one of them bfloat16 is emulated, and slower.
"""

import ctypes
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
UNITS = {"AMX": {"amx_bf16", "amx_tile"}, "AVX512-BF16": {"avx512_bf16"}}  # the fastest first, by the kernel's flags
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4  # malloc.h of glibc
LARGEST_THRESHOLD = 2**25  # glibc takes no more on 64 bits
LARGEST_INT = 2**31 - 1
_kept = [0]  # bytes, the most that was asked for in this process: an engine within a training must not take it back


def has_bfloat16_units() -> bool:
    """Whether this machine's CPU multiplies bfloat16 numbers in a unit of its own."""
    return bool(bfloat16_units())


def bfloat16_units() -> tuple[str, ...]:
    """The names of the CPU's units for bfloat16, the fastest first, e.g. ("AMX", "AVX512-BF16"); () without one.

    They are read from the flags that the Linux kernel shows; where there are none to read, none is assumed.
    """
    flags = set(_of_cpu("flags").split())
    return tuple(name for name, needed in UNITS.items() if needed <= flags)


def cpu_name() -> str:
    """The CPU as its maker calls it, "" where Linux does not say."""
    return _of_cpu("model name")


def _of_cpu(key: str) -> str:
    """The value of a line of the first CPU, "" without it."""
    return _cpu_lines(CPU_INFO).get(key, "")


@lru_cache(maxsize=4)
def _cpu_lines(path: Path) -> dict[str, str]:
    try:
        first = path.read_text(errors="replace").split("\n\n", 1)[0]
    except OSError:
        return {}
    pairs = (line.partition(":") for line in first.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def keep_freed_memory(*, up_to: int | None = None) -> None:
    """Makes glibc keep what is freed instead of giving it back to the system at once; elsewhere does nothing.

    The maps of a batch are freed and wanted again at every batch. Every time that they are given back, the system must
    clear them, page by page, when they are wanted: a sixth of all time of extraction at batches of 8, and up to two
    thirds of a training step, whose maps are hundreds of megabytes (`bench/pages.py`). `up_to` says how many bytes are
    kept, of blocks below 32 MB; the most that the process ever holds does not change then. Without it all is kept, of
    blocks of any size, and the process may hold half as much again, because what is kept is in pieces.
    """
    with suppress(AttributeError, OSError, TypeError):  # no glibc here
        mallopt = ctypes.CDLL(None).mallopt
        if up_to is None:
            mallopt(M_MMAP_MAX, 0)
        else:
            mallopt(M_MMAP_THRESHOLD, LARGEST_THRESHOLD)
        _kept[0] = max(_kept[0], LARGEST_INT if up_to is None else up_to)
        mallopt(M_TRIM_THRESHOLD, _kept[0])
