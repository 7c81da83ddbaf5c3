"""Drawn matches, made once for all tests of stage one: ten seconds each, 64x96 pixels, 25 frames a second."""

from fractions import Fraction
from pathlib import Path

import pytest

from ballspot.extract.synth import synthesize

N_FRAMES = 250


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data root with three drawn matches; not to be written to."""
    out = tmp_path_factory.mktemp("drawn") / "data"
    synthesize(out, n_matches=3, minutes=N_FRAMES / 25 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    return out


@pytest.fixture(scope="session")
def video(drawn: Path) -> Path:
    """One drawn match's video: 250 frames, a key frame every 12, B-frames between."""
    return drawn / "synth" / "drawn" / "match-01" / "64p.mp4"
