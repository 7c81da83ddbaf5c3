"""What `extract --motion` and `--region` cost beside the plain picture, as ratios taken in one run.

    python bench/views.py DATA [--frames 256] [--rounds 5] [--ways plain,motion,map] [--backbone regnety_002]
        [--weights random] [--size 224x398] [--box 112x112] [--from 224x398] [--json]

Every round extracts the same frames once in every way, in an order that alternates; decoding and part files are
included. A cost is the CPU time of the extracting and the decoding process. Each is divided by that of the plain
picture of its own round, so that a machine that is slower for a while does not count, and the median over the rounds is
told with the least and the most. The wall clock stands beside it. Ways: `plain`, `motion` (t-2, t, t+2), `map`,
`by-motion`, `random` and `centre` (a box), `both` (motion, and a box by the map), and `pixels`, the plain picture with
as many more pixels as one box has.
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", help="names with commas, plain among them (default: all)")
    parser.add_argument("--backbone", default="regnety_002")
    parser.add_argument("--weights", default="random")
    parser.add_argument("--size", default="224x398")
    parser.add_argument("--box", default="112x112")
    parser.add_argument("--from", dest="picture", help="what boxes are cut from (default: the pictures as they are)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    spent = measure(options)
    paired = {
        way: [one / plain for (one, _), (plain, _) in zip(times, spent["plain"], strict=True)]
        for way, times in spent.items()
    }
    ratios = {way: statistics.median(found) for way, found in paired.items()}
    if options.json:
        print(json.dumps({"spent": spent, "ratios": ratios}, indent=1))
        return
    print(f"CPU ms a frame, median of {options.rounds} rounds; times plain of the same round, median (least to most);")
    print("frames/s by the clock")
    for way, times in spent.items():
        cost = 1000 * statistics.median(cpu for cpu, _ in times) / options.frames
        rate = options.frames / statistics.median(wall for _, wall in times)
        least, most = min(paired[way]), max(paired[way])
        print(f"  {way:10} {cost:6.2f}  {ratios[way]:5.2f}x  ({least:.2f} to {most:.2f})  {rate:6.1f}")


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
    sides = tuple(map(int, options.box.split("x")))
    match = find_matches(options.data)[0]
    if match.video is None:
        raise SystemExit(f"{options.data}: the first match has no video")
    probe = probe_video(match.video)
    picture = tuple(map(int, options.picture.split("x"))) if options.picture else (probe.height, probe.width)

    def box(by: str) -> RegionSpec:
        said = {"by": by, "size": sides, "picture": picture, "count": 1, "fuse": "concat"}
        return RegionSpec.model_validate(said)

    more = float(Fraction(height * width + sides[0] * sides[1], height * width)) ** 0.5
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
        spec = BackboneSpec(options.backbone, options.weights, size)
        runner = SegmentRunner(Recipe(spec, settings=Settings(**chosen)).job())
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
            decoder = next(one for one in multiprocessing.active_children() if one.name == "decoder")
            words = Path(f"/proc/{decoder.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(words[11]) + int(words[12])) * TICK_S

        return run

    names = options.ways.split(",") if options.ways else list(settings)
    if "plain" not in names or not set(names) <= set(settings):
        raise SystemExit(f"--ways {options.ways}: give plain, and any of {', '.join(settings)}")
    return {name: way(name, *settings[name]) for name in names}


if __name__ == "__main__":
    main()
