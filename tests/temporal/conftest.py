"""A small season in the layout of SN-BAS: labels, a split, and stores whose features show the events plainly."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store

LABELS = ("PASS", "DRIVE", "SHOT")
N_FRAMES = 700
DIM = 16


@dataclass(frozen=True)
class Season:
    data: Path
    features: Path
    names: tuple[str, ...]


def write_match(
    data: Path, features: Path, name: str, *, seed: int, n_frames: int = N_FRAMES, settings: str = "a"
) -> None:
    """One match: an event every 20 to 60 frames; its class lights up one feature for the frames around it."""
    rng = np.random.default_rng(seed)
    frames = np.cumsum(rng.integers(20, 60, size=n_frames // 40))
    frames = frames[frames < n_frames]
    classes = rng.integers(0, len(LABELS), size=len(frames))
    rows = rng.normal(0, 0.3, size=(n_frames, DIM))
    for frame, label in zip(frames, classes, strict=True):
        near = np.arange(max(frame - 6, 0), min(frame + 7, n_frames))
        rows[near, label] += 2.0 * np.exp(-(((near - frame) / 3.0) ** 2))
        rows[near, 8] += (near - frame) / 6.0
    header = StoreHeader(
        match=name,
        fps=Fraction(25),
        n_video_frames=n_frames,
        n_rows=n_frames,
        dim=DIM,
        spec=FeatureSpec.read({"made": settings}),
    )
    block = Block(np.arange(n_frames), {"original": rows.astype(np.float16)})
    write_store(features / f"{name}.h5", header=header, blocks=[block])
    annotations = [
        {
            "gameTime": f"1 - {frame // 1500:02d}:{frame // 25 % 60:02d}",
            "label": LABELS[label],
            "position": str(frame * 40),
            "team": "left",
            "visibility": "visible",
        }
        for frame, label in zip(frames.tolist(), classes.tolist(), strict=True)
    ]
    folder = data / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "Labels-ball.json").write_text(json.dumps({"UrlLocal": name, "annotations": annotations}))


@pytest.fixture(scope="session")
def match_writer() -> Callable[..., None]:
    """`write_match`, for a test that needs another match."""
    return write_match


@pytest.fixture(scope="session")
def season(tmp_path_factory: pytest.TempPathFactory) -> Season:
    """Four matches of 28 seconds: two train, one validates, one tests. Read only."""
    root = tmp_path_factory.mktemp("season")
    names = tuple(f"league/2026/match-{number}" for number in range(1, 5))
    for number, name in enumerate(names):
        write_match(root / "data", root / "features", name, seed=number)
    split = {"train": names[:2], "valid": names[2:3], "test": names[3:]}
    lines = [f"{part} = {json.dumps(list(members))}" for part, members in split.items()]
    (root / "data" / "splits.toml").write_text("\n".join(lines) + "\n")
    return Season(root / "data", root / "features", names)
