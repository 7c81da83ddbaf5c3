"""How threads wait, which the command line decides before torch is imported."""

import os
import subprocess
import sys

import pytest

TOLD = "import os, ballspot.cli; print(os.environ.get('OMP_WAIT_POLICY'), os.environ.get('GOMP_SPINCOUNT'))"


@pytest.mark.parametrize(
    ("given", "then"),
    [
        ({}, "PASSIVE 10000"),
        ({"GOMP_SPINCOUNT": "7"}, "PASSIVE 7"),
        ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE None"),
        ({"OMP_WAIT_POLICY": "PASSIVE"}, "PASSIVE None"),
    ],
)
def test_threads_spin_a_moment_and_then_sleep_unless_the_user_says_otherwise(given: dict[str, str], then: str):
    rest = {name: value for name, value in os.environ.items() if name not in {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}}
    done = subprocess.run(
        [sys.executable, "-c", TOLD], env={**rest, **given}, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == then
