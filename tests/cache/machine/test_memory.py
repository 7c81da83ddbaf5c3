"""What glibc is told to keep of freed memory, seen by the pages that the system clears for a process."""

import subprocess
import sys

import pytest

NEW_PROCESS = """
import resource
import numpy as np
from ballspot.cache.machine import keep_freed_memory

def page_faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for n_bytes in (96 << 20, 2 << 20):
        np.ones(n_bytes, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

np.ones(1)
print(min(page_faults() for _ in range(3)))
keep_freed_memory()
keep_freed_memory(up_to=4096)  # an engine that is made within a training
print(min(page_faults() for _ in range(3)))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc is told to keep what is freed")
def test_blocks_of_any_size_are_kept_whatever_is_asked_for_later() -> None:
    done = subprocess.run([sys.executable, "-c", NEW_PROCESS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 40, "the test cannot tell: nothing was given back before either"  # huge pages are of 2 MB
    assert after < before / 10
