"""What `extract --motion` and `--region` cost beside the plain picture, as ratios taken in one run.

    python bench/views.py DATA [--frames 256] [--rounds 5] [--size 224x398] [--from 224x398] [--json]

Every round extracts the same frames once in every way, in an order that alternates; decoding and part files are
included. A cost is the CPU time of the extracting and the decoding process; medians over the rounds are compared, and
the wall clock is told beside them. Ways: `plain`, `motion` (t-2, t, t+2), `map`, `by-motion`, `random` and `centre` (a
box of 112x112), `both` (motion, and a box by the map), and `pixels`, the plain picture with as many more pixels as one
box has.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

BOX = (112, 112)
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--size", default="224x398")
    parser.add_argument("--from", dest="picture", help="what boxes are cut from (default: the pictures as they are)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    spent = measure(options)
    medians = {way: statistics.median(cpu for cpu, _ in times) for way, times in spent.items()}
    ratios = {way: cpu / medians["plain"] for way, cpu in medians.items()}
    if options.json:
        print(json.dumps({"spent": spent, "ratios": ratios}, indent=1))
        return
    print(f"CPU ms a frame, median of {options.rounds} rounds (least to most); times plain; frames/s by the clock")
    for way, times in spent.items():
        costs = sorted(1000 * cpu / options.frames for cpu, _ in times)
        rate = options.frames / statistics.median(wall for _, wall in times)
        print(
            f"  {way:10} {statistics.median(costs):6.2f}  ({costs[0]:.2f} to {costs[-1]:.2f})  {ratios[way]:5.2f}x"
            f"  {rate:6.1f}"
        )


def measure(options: argparse.Namespace) -> dict[str, list[tuple[float, float]]]:
    """CPU and wall seconds of every way, round by round; a first round that is not counted warms up."""
    import torch

    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ways = prepare(options, Path(folder))
        spent: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
        for turn in range(options.rounds + 1):
            for way in list(ways) if turn % 2 == 0 else list(reversed(ways)):
                times = ways[way]()
                if turn:
                    spent[way].append(times)
    return spent


def prepare(options: argparse.Namespace, folder: Path) -> dict[str, Callable[[], tuple[float, float]]]:
    """The ways by name: each extracts the frames and gives the seconds that took."""
    from ballspot.cache.stores import Journal, RegionSpec, Segment, StoreHeader
    from ballspot.evaluate.dataset import find_matches
    from ballspot.extract.backbone import BackboneSpec
    from ballspot.extract.rows import Recipe, SegmentRunner, Settings
    from ballspot.extract.video import probe_video

    height, width = map(int, options.size.split("x"))
    match = find_matches(options.data)[0]
    if match.video is None:
        raise SystemExit(f"{options.data}: the first match has no video")
    probe = probe_video(match.video)
    picture = tuple(map(int, options.picture.split("x"))) if options.picture else (probe.height, probe.width)

    def box(by: str) -> RegionSpec:
        said = {"by": by, "size": BOX, "picture": picture, "count": 1, "fuse": "concat"}
        return RegionSpec.model_validate(said)

    more = float(Fraction(height * width + BOX[0] * BOX[1], height * width)) ** 0.5
    larger = (round(height * more), round(width * more))
    settings: dict[str, tuple[tuple[int, int], dict[str, Any]]] = {
        "plain": ((height, width), {}),
        "motion": ((height, width), {"motion": 2}),
        **{name: ((height, width), {"region": box(by)}) for name, by in
           (("map", "map"), ("by-motion", "motion"), ("random", "random"), ("centre", "centre"))},
        "both": ((height, width), {"motion": 2, "region": box("map")}),
        "pixels": (larger, {}),
    }  # fmt: skip

    def way(name: str, size: tuple[int, int], chosen: dict[str, Any]) -> Callable[[], tuple[float, float]]:
        runner = SegmentRunner(Recipe(BackboneSpec("regnety_002", "random", size), settings=Settings(**chosen)).job())
        header = StoreHeader("m", probe.fps, probe.n_frames, options.frames, runner.job.dim, runner.job.spec, engine="")
        wanted = Segment(0, options.frames)

        def run() -> tuple[float, float]:
            path = folder / f"{name}.part"
            path.unlink(missing_ok=True)
            runner.open(probe, "pyav")
            own, child, wall = time.process_time(), child_s(), time.perf_counter()
            with Journal.open(path, header, segment=wanted) as journal:
                for block in runner.records(wanted, match="m"):
                    journal.append(block)
            return time.process_time() - own + child_s() - child, time.perf_counter() - wall

        def child_s() -> float:
            """CPU seconds of the decoding process, as the system counts them (proc(5): utime and stime)."""
            words = Path(f"/proc/{runner.decoding.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(words[11]) + int(words[12])) * TICK_S

        return run

    return {name: way(name, size, chosen) for name, (size, chosen) in settings.items()}


if __name__ == "__main__":
    main()
