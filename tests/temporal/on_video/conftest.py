"""Videos of four seconds in place of those of ten: here each is predicted many times."""

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def drawn(brief: Path) -> Path:
    return brief


@pytest.fixture(scope="session")
def video(drawn: Path) -> Path:
    return drawn / "synth" / "drawn" / "match-01" / "64p.mp4"
