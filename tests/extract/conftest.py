"""Drawn matches, made once for all tests of stage one: ten seconds each, 64x96 pixels, 25 frames a second."""

from fractions import Fraction
from pathlib import Path

import av
import pytest
import torch

from ballspot.extract.synth import synthesize

N_FRAMES = 250
torch.set_num_threads(1)  # decord and torch share a process here: torch first, or its libraries break


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


@pytest.fixture(scope="session")
def faststart(video: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same video with its index in front, as files from the web have it: it opens even when its end is missing."""
    path = tmp_path_factory.mktemp("faststart") / "a.mp4"
    with av.open(str(video)) as old, av.open(str(path), "w", options={"movflags": "+faststart"}) as new:
        stream = old.streams.video[0]
        copy = new.add_stream_from_template(stream)
        for packet in old.demux(stream):
            if packet.size:
                packet.stream = copy
                new.mux(packet)
    return path
