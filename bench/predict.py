"""`ballspot predict RUN VIDEO` from file to JSON: time against the video's, peak memory at 1 and 10 times its length.

    python bench/predict.py RUN VIDEO [--times 1 10] [--features SET] [--old ROOT] [--rounds N]

The video is looped by copying its packets. Memory is that of the command and of its decoding process together, sampled
every tenth of a second: resident pages that are not mapped files. With SET, the set that the run was trained on, the
spots of the video itself are compared with those of its stored features. With --old, the package in the folder ROOT
(which has a `ballspot` in it) is timed in turn with this one. Both columns are medians over the rounds.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from memory import loop


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path)
    parser.add_argument("video", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--features", type=Path)
    parser.add_argument("--match", help="With --features: the video's match in it.")
    parser.add_argument("--data", type=Path, help="With --features: the data root.")
    parser.add_argument("--old", type=Path, help="The folder that an older `ballspot` lies in.")
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    from ballspot.extract.video.probe import probe_video

    duration_s = probe_video(options.video).duration_s
    packages = {"now": None, **({} if options.old is None else {"before": options.old.resolve()})}
    print("| package | length | video, s | predict, s | of the video's time | peak MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for times in options.times:
            path = Path(folder) / str(times) / "video.mp4"
            loop(options.video, path, times * duration_s / 60)
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in packages}
            for number in range(options.rounds):
                for name, package in packages.items():
                    out = Path(folder) / f"out-{times}-{name}-{number}"
                    found[name].append(measured(["predict", options.run, path, "--out", out], package))
            long_s = probe_video(path).duration_s
            for name, pairs in found.items():
                took_s, peak_mb = (median(column) for column in zip(*pairs, strict=True))
                row = f"{name} | {times}x | {long_s:.0f} | {took_s:.1f} | {took_s / long_s:.2f} | {peak_mb:.0f}"
                print(f"| {row} |", flush=True)
        if options.features:
            print(compared(options, Path(folder)))


def measured(words: list[object], package: Path | None = None) -> tuple[float, float]:
    """Seconds and peak megabytes of one command of this package or of the one in a folder, with what it starts."""
    path = {} if package is None else {"PYTHONPATH": str(package)}
    started = time.monotonic()
    command = [sys.executable, "-m", "ballspot.cli", *map(str, words)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=os.environ | path)
    peak_kb = 0
    while process.poll() is None:
        peak_kb = max(peak_kb, sum(map(anonymous_kb, family(process.pid))))
        time.sleep(0.1)
    if process.returncode:
        raise SystemExit(process.stderr.read().decode() if process.stderr else "the command failed")
    return time.monotonic() - started, peak_kb / 1024


def family(pid: int) -> list[int]:
    """A process and all that it started."""
    found = [pid]
    for parent in found:
        try:
            children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
        except OSError:
            continue
        found += map(int, children)
    return found


def anonymous_kb(pid: int) -> int:
    """Resident memory of a process that is no mapped file, kilobytes; shared memory included."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    sizes = {line.partition(":")[0]: line.partition(":")[2] for line in lines}
    return sum(int(sizes.get(name, "0 kB").split()[0]) for name in ("RssAnon", "RssShmem"))


def compared(options: argparse.Namespace, folder: Path) -> str:
    """How the spots of the video differ from those of its stored features."""
    from ballspot.evaluate.dataset.spots import read_spots

    stored = folder / "stored"
    words = ["predict", options.run, options.features, "--data", options.data, "--split", "all", "--out", stored]
    measured(list(words))
    ours = {
        (s.label, s.position_ms): s.confidence or 0 for s in read_spots(folder / "out-1/video/results_spotting.json")
    }
    path = stored / options.match / "results_spotting.json"
    theirs = {(s.label, s.position_ms): s.confidence or 0 for s in read_spots(path)}
    largest = max((abs(ours[key] - theirs[key]) for key in ours.keys() & theirs.keys()), default=0.0)
    return f"{len(ours)} spots, {len(ours.keys() ^ theirs.keys())} in one only; confidences differ by {largest:.1e}"


if __name__ == "__main__":
    main()
