"""What this machine's processor can do, told without torch.

Two units of today's CPUs multiply bfloat16 numbers many times as fast as float32: AMX (Intel, from Sapphire Rapids on)
and AVX512-BF16 (Intel Cooper Lake, AMD from Zen 4 on). Without one of them bfloat16 is emulated, and slower.
"""

from functools import lru_cache
from pathlib import Path

CPU_INFO = Path("/proc/cpuinfo")
UNITS = {"AMX": {"amx_bf16", "amx_tile"}, "AVX512-BF16": {"avx512_bf16"}}  # the fastest first, by the kernel's flags


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
