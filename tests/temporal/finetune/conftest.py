"""Matches of two seconds in place of those of four: every validation extracts one anew."""

from fractions import Fraction
from pathlib import Path

import pytest

from ballspot.extract.data_root.synth import synthesize


@pytest.fixture(scope="session")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three drawn matches of two seconds, one of each part."""
    out = tmp_path_factory.mktemp("brief") / "data"
    synthesize(out, n_matches=3, minutes=2 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    return out
