"""What is read of the CPU, from texts as Linux writes them."""

import pytest

from ballspot.cache import machine

BOTH = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu vme avx512f avx512_bf16 amx_bf16 avx512_fp16 amx_tile amx_int8

processor\t: 1
model name\t: another
flags\t\t: fpu
"""


@pytest.mark.parametrize(
    ("text", "units"),
    [
        (BOTH, ("AMX", "AVX512-BF16")),
        ("flags : fpu avx512f avx512_bf16\n", ("AVX512-BF16",)),
        ("flags : fpu amx_bf16\n", ()),  # a hypervisor that hides the tiles
        ("flags : fpu avx2 amx_bf16_not amx_tile\n", ()),
        ("Features : fp asimd bf16\n", ()),  # an ARM core: nothing was measured there
        ("", ()),
    ],
)
def test_units_are_those_of_the_flags(tmp_path, monkeypatch, text, units):
    info = tmp_path / "cpuinfo"
    info.write_text(text)
    monkeypatch.setattr(machine, "CPU_INFO", info)
    assert machine.bfloat16_units() == units
    assert machine.has_bfloat16_units() is bool(units)


def test_the_name_is_that_of_the_first_cpu(tmp_path, monkeypatch):
    info = tmp_path / "cpuinfo"
    info.write_text(BOTH)
    monkeypatch.setattr(machine, "CPU_INFO", info)
    assert machine.cpu_name() == "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz"


def test_nothing_is_assumed_where_there_is_nothing_to_read(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "CPU_INFO", tmp_path / "absent")
    assert machine.bfloat16_units() == ()
    assert machine.cpu_name() == ""
