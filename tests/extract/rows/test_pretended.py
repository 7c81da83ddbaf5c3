"""An extraction on a GPU, as far as a machine without one can tell: its rows, in their places."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cache.stores import FeatureStore
from ballspot.cli import main

from ...pretend import reason, run_pretended

SCRIPT = Path(__file__).with_name("pretended_extraction.py")
MATCH = "synth/drawn/match-01"


@pytest.mark.skipif(bool(reason()), reason=reason())
def test_rows_that_a_gpu_gives_ahead_of_the_disk_are_those_of_the_cpu_in_their_places(
    brief: Path, tmp_path: Path
) -> None:
    """Batches of 16 rows: 6 whole ones and 4 rows, of which two wait while the third is computed."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "match").symlink_to(brief / MATCH)
    words = (tmp_path / "data", "--out", tmp_path, "--backbone", "resnet10t", "--weights", "random", "--size", "32x48",
             "--precision", "float32", "--batch", 16)  # fmt: skip
    words = [str(word) for word in words]
    done = CliRunner().invoke(main, ["extract", *words, "--set", "cpu", "--device", "cpu", "--workers", "1"])
    assert done.exit_code == 0, done.output
    run_pretended(SCRIPT, *words, "--set", "cuda", "--workers", 2)
    with FeatureStore.open(tmp_path / "cpu/match.h5") as cpu, FeatureStore.open(tmp_path / "cuda/match.h5") as gpu:
        wanted, found = cpu.read().astype(np.float32), gpu.read().astype(np.float32)
        assert "cuda float32" in gpu.header.engine and gpu.frame_index.tolist() == list(range(100))
    np.testing.assert_allclose(found, wanted, rtol=2**-10, atol=1e-3)  # a step of float16
    assert (np.abs(np.diff(wanted, axis=0)).max(1) > 0.01).all()  # rows in other places would be seen
