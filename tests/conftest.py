"""Settings of all tests."""

import os
import random
import sys

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: as many processes as cores share the machine

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no failure: speed is measured by the scripts in bench/, never by a test.
settings.register_profile("ballspot", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("ballspot")


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Every test draws the same numbers, whichever tests ran before it in its process."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)
