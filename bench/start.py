"""How long an extraction of many small videos shows nothing: seconds to its first frames, of one or two checkouts.

    python bench/start.py VIDEO [--videos 500] [--old ROOT]

Makes a data root of so many small videos: the first frames of VIDEO, copied with other bytes in each file, so that no
digest is another's. Then it starts `ballspot extract` on all of them, waits for the first rows of features on the disk,
and ends it. With --old the package in the folder ROOT (which has a `ballspot` in it) is timed in turn with this one.
Random weights of a small backbone at 64x96: what is timed is the way to the first frame, not the frames.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import av

N_FRAMES = 50
PATIENCE_S = 1800.0


def write_root(video: Path, data: Path, n_videos: int) -> None:
    """So many matches with the first frames of a video; a free box at each file's end makes its bytes its own."""
    short = data / "short.mp4"
    data.mkdir(parents=True)
    with av.open(str(video)) as source, av.open(str(short), "w") as target:
        stream = source.streams.video[0]
        copied = target.add_stream_from_template(stream)
        for number, packet in enumerate(source.demux(stream)):
            if packet.dts is None or number >= N_FRAMES:
                break
            packet.stream = copied
            target.mux(packet)
    content = short.read_bytes()
    short.unlink()
    for number in range(n_videos):
        folder = data / f"match-{number:04d}"
        folder.mkdir()
        (folder / "224p.mp4").write_bytes(content + (16).to_bytes(4, "big") + b"free" + number.to_bytes(8, "big"))
        (folder / "Labels-ball.json").write_text('{"annotations": []}')


def first_frame_s(data: Path, out: Path, package: Path | None, *, n_videos: int) -> float:
    """Seconds from the command to the first rows on the disk."""
    environment = {**os.environ, **({} if package is None else {"PYTHONPATH": str(package)})}
    line = [sys.executable, "-m", "ballspot.cli", "extract", str(data), "--out", str(out), "--set", "s"]
    line += ["--backbone", "resnet10t", "--weights", "random", "--size", "64x96", "--device", "cpu"]
    shutil.rmtree(out, ignore_errors=True)
    started = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=environment)
    try:
        while not holds_rows(out):
            if process.poll() is not None and not holds_rows(out):
                said = process.stderr.read() if process.stderr else ""
                raise SystemExit(f"ballspot extract ended without a frame of {n_videos} videos: {said[-400:]}")
            if time.monotonic() - started > PATIENCE_S:
                raise SystemExit(f"no frame after {PATIENCE_S:.0f} s")
            time.sleep(0.05)
        return time.monotonic() - started
    finally:
        process.kill()
        process.wait()


def holds_rows(out: Path) -> bool:
    """Whether a part file with rows in it, or a store, is there."""
    return any(path.stat().st_size > 4096 for path in out.rglob("*.h5*")) if out.is_dir() else False


def main(words: list[str] | None = None, say: Callable[[str], object] = print) -> None:
    """Times the start and prints medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("--videos", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--old", type=Path, help="the folder that an older `ballspot` lies in")
    given = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="ballspot-start-") as folder:
        data = Path(folder) / "data"
        write_root(given.video, data, given.videos)
        ways = {"now": None, **({} if given.old is None else {"before": given.old})}
        seconds: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, package in ways.items():
                seconds[name].append(first_frame_s(data, Path(folder) / "out", package, n_videos=given.videos))
        for name, found in seconds.items():
            say(f"{name}: {median(found):.1f} s to the first rows of {given.videos} videos")


if __name__ == "__main__":
    main()
