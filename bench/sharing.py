"""How much memory two jobs of a sweep take against one, on a feature set of the size of SN-BAS.

    python bench/sharing.py

Writes a synthetic set of seven matches, 1,022,160 x 368 float16 (752 MB), to a temporary folder, trains a short sweep
with one job at a time and with two, and samples the proportional set size (a page that n processes share counts 1 / n
in each) of all its processes. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np

from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store
from ballspot.evaluate.dataset.labelsets import BALL_12

DIM = 368
MATCHES = (146_479, 144_752, 142_498, 142_886, 146_892, 152_740, 145_913)
SWEEP = """
preset = "original"
seeds = 2
[set]
kind = "tcn"
n_epochs = 2
warmup_epochs = 1
epoch_frames = 20000
batch_clips = 16
[axes]
temporal_stride = [1, 2]
"""


def write_season(root: Path) -> None:
    """Labels, split and stores of seven matches."""
    random = np.random.default_rng(0)
    block = random.standard_normal((8192, DIM), dtype=np.float32).astype(np.float16)
    names = [f"match-{number}" for number in range(1, 1 + len(MATCHES))]
    for name, n_frames in zip(names, MATCHES, strict=True):
        header = StoreHeader(
            match=name,
            fps=Fraction(25),
            n_video_frames=n_frames,
            n_rows=n_frames,
            dim=DIM,
            spec=FeatureSpec.read({"made": "here"}),
        )
        pieces = (
            Block(np.arange(start, min(start + len(block), n_frames)), {"original": block[: n_frames - start]})
            for start in range(0, n_frames, len(block))
        )
        write_store(root / "features" / f"{name}.h5", header=header, blocks=pieces)
        events = [
            {
                "gameTime": f"1 - {frame // 1500:02d}:{frame // 25 % 60:02d}",
                "label": BALL_12.labels[place % 12],
                "position": str(frame * 40),
                "team": "left",
                "visibility": "visible",
            }
            for place, frame in enumerate(range(50, n_frames, 90))
        ]
        folder = root / "data" / name
        folder.mkdir(parents=True)
        (folder / "Labels-ball.json").write_text(json.dumps({"annotations": events}))
    split = {"train": names[:5], "valid": names[5:6], "test": names[6:]}
    lines = [f"{part} = {json.dumps(members)}\n" for part, members in split.items()]
    (root / "data" / "splits.toml").write_text("".join(lines))
    (root / "sweep.toml").write_text(SWEEP)


def tree_of(pid: int) -> list[int]:
    """The process and all that come from it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
    tree, fresh = [], {pid}
    while fresh:
        tree += fresh
        fresh = {child for child, parent in parents.items() if parent in fresh}
    return tree


def held_mb(pid: int) -> float:
    """The proportional set size of a process, in 10^6 bytes."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1024 / 1e6 for line in lines if line.startswith("Pss:")), 0.0)


def peak_mb(root: Path, n_jobs: int) -> tuple[float, float]:
    """The most that a sweep's processes hold together with ``n_jobs`` at a time, and its seconds."""
    words = ["sweep", root / "sweep.toml", root / "features", "--data", root / "data", "--out", root / f"out-{n_jobs}"]
    command = [sys.executable, "-m", "ballspot.cli", *map(str, words), "--jobs", str(n_jobs), "--device", "cpu"]
    started, peak = time.monotonic(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while process.poll() is None:
        peak = max(peak, sum(map(held_mb, tree_of(process.pid))))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit((process.stderr.read() if process.stderr else b"").decode())
    return peak, time.monotonic() - started


def main() -> None:
    """Prints the peaks and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where to put the set  [default: a temporary folder]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        write_season(Path(folder))
        one, one_s = peak_mb(Path(folder), 1)
        print(f"one job:  {one:7.0f} MB at most, {one_s:.0f} s", flush=True)
        two, two_s = peak_mb(Path(folder), 2)
        print(f"two jobs: {two:7.0f} MB at most, {two_s:.0f} s; {two / one:.2f} times the memory of one")


if __name__ == "__main__":
    main()
