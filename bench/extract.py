"""Extraction speed against the ways it is done elsewhere, as ratios taken in one run, on one core and on two.

    python bench/extract.py DATA [--frames 480] [--rounds 5] [--json]

Every round times every way once, in an order that alternates; the medians are compared. The ways:
  peers     frames dumped as JPG files, read back, eager float32 backbone on clips of 16, NCHW
  eager     the same backbone eager in NCHW on random pictures, batch 16, no decoding
  torch     `ballspot extract`: decoding, fused torch, writing the part file
  openvino  the same with --engine openvino
"""

import argparse
import json
import multiprocessing
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

N_CLIP = 16
SIZE = (224, 398)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--frames", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    result = {f"{n} core{'s' * (n > 1)}": measure(options, n) for n in (1, 2)}
    if options.json:
        print(json.dumps(result, indent=1))
        return
    for cores, one in result.items():
        print(f"\n{cores}: median frames/s over {options.rounds} rounds (least to most)")
        for way, rates in one["rates"].items():
            print(f"  {way:9} {statistics.median(rates):7.1f}   ({min(rates):.1f} to {max(rates):.1f})")
        for name, ratio in one["ratios"].items():
            print(f"  {name:22} {ratio:5.2f}x")
        print(
            f"  sgemm {one['sgemm_gflops']:.0f} GFLOP/s a core; torch {one['share']['torch']:.0%} of it, "
            f"openvino {one['share']['openvino']:.0%}; features within {one['difference']:.1e} of eager"
        )


def measure(options: argparse.Namespace, n_cores: int) -> dict[str, Any]:
    """Rates of every way with `n_cores` processes of one thread each, pinned to that many cores."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(n_cores), context.Queue()
    processes = [
        context.Process(target=work, args=(k, n_cores, options.data, options.frames, options.rounds, start, results))
        for k in range(n_cores)
    ]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    rates = {
        way: [sum(rates) for rates in zip(*(one["rates"][way] for one in found), strict=True)]
        for way in found[0]["rates"]
    }
    medians = {way: statistics.median(values) for way, values in rates.items()}
    ratios = {
        f"{way} / {other}": medians[way] / medians[other]
        for way in ("torch", "openvino")
        for other in ("peers", "eager")
    }
    share = {way: 0.74 * medians[way] / n_cores / found[0]["sgemm"] for way in ("torch", "openvino")}
    difference = max(one["difference"] for one in found)
    return {
        "rates": rates,
        "ratios": ratios,
        "share": share,
        "sgemm_gflops": found[0]["sgemm"],
        "difference": difference,
    }


def work(number: int, n_cores: int, data: Path, n_frames: int, rounds: int, start: Any, results: Any) -> None:
    """One process: makes every way ready, then times them round by round, beside the other processes."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ways, difference = prepare(data, n_frames, Path(folder), number)
        rates: dict[str, list[float]] = {way: [] for way in ways}
        order = list(ways)
        for way in order:
            ways[way]()
        for turn in range(rounds):
            for way in order if turn % 2 == 0 else reversed(order):
                start.wait()
                began = time.perf_counter()
                ways[way]()
                rates[way].append(n_frames / (time.perf_counter() - began))
    results.put({"rates": rates, "difference": difference, "sgemm": sgemm_gflops()})


def prepare(data: Path, n_frames: int, folder: Path, number: int) -> tuple[dict[str, Callable[[], None]], float]:
    """The ways by name, ready to be timed, and how far our features are from eager float32 ones (of the largest)."""
    import av
    import numpy as np
    import timm
    import torch
    from PIL import Image

    from ballspot.cache.journal import Journal, Segment
    from ballspot.cache.layout import StoreHeader
    from ballspot.evaluate.matches import find_matches
    from ballspot.extract.engines import normalisation
    from ballspot.extract.segments import Recipe, SegmentRunner, Settings
    from ballspot.extract.video import probe_video

    matches = find_matches(data)
    video = matches[number % len(matches)].video
    if video is None:
        raise SystemExit(f"{data}: the first match has no video")
    probe = probe_video(video)
    torch.manual_seed(0)
    plain = timm.create_model("regnety_002", num_classes=0).eval()
    torch.save(plain.state_dict(), folder / "weights.pth")
    random_pictures = torch.rand(N_CLIP, 3, *SIZE)
    runners = {
        engine: SegmentRunner(
            Recipe("regnety_002", str(folder / "weights.pth"), SIZE, settings=Settings(engine=engine)).job()
        )
        for engine in ("torch", "openvino")
    }
    scale, shift = normalisation(runners["torch"].job.backbone)

    def peers() -> None:
        dump = folder / "jpg"
        dump.mkdir(exist_ok=True)
        with av.open(str(video)) as container:
            for index, frame in enumerate(container.decode(video=0)):
                if index == n_frames:
                    break
                Image.fromarray(frame.to_ndarray(format="rgb24")).save(dump / f"{index:06d}.jpg", quality=95)
        with torch.inference_mode():
            for first in range(0, n_frames, N_CLIP):
                files = [dump / f"{index:06d}.jpg" for index in range(first, min(first + N_CLIP, n_frames))]
                clip = torch.stack(
                    [torch.from_numpy(np.asarray(Image.open(file)).copy()).permute(2, 0, 1) for file in files]
                )
                images = (clip.contiguous().float() / 255 - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(
                    3, 1, 1
                )
                plain(images)

    def eager() -> None:
        with torch.inference_mode():
            for _ in range(0, n_frames, N_CLIP):
                plain(random_pictures)

    def ours(engine: str) -> Callable[[], None]:
        runner = runners[engine]
        header = StoreHeader("m", probe.fps, probe.n_frames, n_frames, 368, runner.job.extraction, engine=engine)

        def run() -> None:
            path = folder / f"{engine}.part"
            path.unlink(missing_ok=True)
            runner.decoding.open(probe, "pyav")
            with Journal.open(path, header, segment=Segment(0, n_frames)) as journal:
                for block in runner.records(Segment(0, n_frames), match="m"):
                    journal.append(block)

        return run

    runners["torch"].decoding.open(probe, "pyav")
    pictures = next(runners["torch"].decoding.batches(Segment(0, 4), stride=1)).pictures.copy()
    given = torch.from_numpy(pictures)
    with torch.inference_mode():
        expected = plain(given.permute(0, 3, 1, 2).contiguous() * scale + shift).numpy()
    difference = max(
        float(np.abs(one.engine(given) - expected).max() / np.abs(expected).max()) for one in runners.values()
    )
    return {"peers": peers, "eager": eager, "torch": ours("torch"), "openvino": ours("openvino")}, difference


MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def sgemm_gflops(n: int = 1536) -> float:
    """The best of some large matrix products on this core, GFLOP/s."""
    import torch

    left, right = torch.rand(n, n), torch.rand(n, n)
    best = 0.0
    for _ in range(8):
        began = time.perf_counter()
        left @ right
        best = max(best, 2 * n**3 / (time.perf_counter() - began) / 1e9)
    return best


if __name__ == "__main__":
    main()
