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
OTHERS, OURS = ("peers", "eager"), ("torch", "openvino")


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
    """Rates of every way with `n_cores` processes of one thread each, pinned to that many cores.

    The ways of others have processes of their own beside ours: we change how ours keeps its memory.
    """
    context = multiprocessing.get_context("spawn")
    step, results = context.Barrier(2 * n_cores), context.Queue()
    processes = [
        context.Process(target=work, args=(k, n_cores, is_ours, options, step, results))
        for k in range(n_cores)
        for is_ours in (True, False)
    ]
    for process in processes:
        process.start()
    found = [results.get() for _ in processes]
    for process in processes:
        process.join()
    rates = {
        way: [sum(rates) for rates in zip(*(one["rates"][way] for one in found if way in one["rates"]), strict=True)]
        for way in (*OTHERS, *OURS)
    }
    medians = {way: statistics.median(values) for way, values in rates.items()}
    ratios = {f"{way} / {other}": medians[way] / medians[other] for way in OURS for other in OTHERS}
    share = {way: 0.74 * medians[way] / n_cores / found[0]["sgemm"] for way in OURS}
    difference = max(one["difference"] for one in found)
    return {
        "rates": rates,
        "ratios": ratios,
        "share": share,
        "sgemm_gflops": found[0]["sgemm"],
        "difference": difference,
    }


def work(number: int, n_cores: int, is_ours: bool, options: argparse.Namespace, step: Any, results: Any) -> None:
    """One process: makes our ways or those of others ready, then times them round by round, in step with the rest."""
    import torch

    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:n_cores])
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ways, difference = prepare(options.data, options.frames, Path(folder), number, is_ours=is_ours)
        rates: dict[str, list[float]] = {way: [] for way in ways}
        for run in ways.values():
            run()
        order = (*OTHERS, *OURS)
        for turn in range(options.rounds):
            for way in order if turn % 2 == 0 else reversed(order):
                step.wait()
                if way in ways:
                    began = time.perf_counter()
                    ways[way]()
                    rates[way].append(options.frames / (time.perf_counter() - began))
                step.wait()
    results.put({"rates": rates, "difference": difference, "sgemm": sgemm_gflops() if is_ours else 0.0})


def prepare(
    data: Path, n_frames: int, folder: Path, number: int, *, is_ours: bool
) -> tuple[dict[str, Callable[[], None]], float]:
    """The ways by name, ready to be timed, and how far our features are from eager float32 ones (of the largest)."""
    import numpy as np
    import timm
    import torch

    from ballspot.cache.stores.journal import Journal, Segment
    from ballspot.cache.stores.layout import StoreHeader
    from ballspot.evaluate.dataset.matches import find_matches
    from ballspot.extract.backbone.engines import default_batch_rows, normalisation
    from ballspot.extract.backbone.spec import BackboneSpec
    from ballspot.extract.backbone.window_engine import WindowEngine
    from ballspot.extract.rows.job import Recipe, Settings
    from ballspot.extract.rows.segments import SegmentRunner
    from ballspot.extract.video.probe import probe_video

    matches = find_matches(data)
    video = matches[number % len(matches)].video
    if video is None:
        raise SystemExit(f"{data}: the first match has no video")
    probe = probe_video(video)
    torch.manual_seed(0)
    plain = timm.create_model("regnety_002", num_classes=0).eval()
    torch.save(plain.state_dict(), folder / "weights.pth")
    random_pictures = torch.rand(N_CLIP, 3, *SIZE)
    if not is_ours:
        return others(plain, video, n_frames, folder / "jpg", random_pictures), 0.0
    runners = {
        engine: SegmentRunner(
            Recipe(
                BackboneSpec("regnety_002", str(folder / "weights.pth"), SIZE),
                settings=Settings(engine=engine, batch_rows=default_batch_rows(engine, "cpu")),
            ).job()
        )
        for engine in OURS
    }
    backbone = runners["torch"].job.backbone
    scale, shift = normalisation(backbone.mean, backbone.std)

    def extraction(engine: str) -> Callable[[], None]:
        runner = runners[engine]
        header = StoreHeader("m", probe.fps, probe.n_frames, n_frames, 368, runner.job.spec, engine=engine)

        def run() -> None:
            path = folder / f"{engine}.part"
            path.unlink(missing_ok=True)
            runner.decoding.open(probe, "pyav")
            with Journal.open(path, header, segment=Segment(0, n_frames)) as journal:
                for block in runner.records(Segment(0, n_frames), match="m"):
                    journal.append(block)

        return run

    runners["torch"].decoding.open(probe, "pyav")
    pictures = next(runners["torch"].decoding.batches(Segment(0, 8), stride=1)).pictures.copy()
    given = torch.from_numpy(pictures)
    with torch.inference_mode():
        expected = plain(given.permute(0, 3, 1, 2).contiguous() * scale + shift).numpy()
    difference = 0.0
    for runner in runners.values():
        rows = runner.job.settings.batch_rows
        if isinstance(runner.engine, WindowEngine):
            continue
        made = np.concatenate([runner.engine(given[first : first + rows]) for first in range(0, len(given), rows)])
        difference = max(difference, float(np.abs(made - expected).max() / np.abs(expected).max()))
    return {engine: extraction(engine) for engine in OURS}, difference


def others(plain: Any, video: Path, n_frames: int, dump: Path, random_pictures: Any) -> dict[str, Callable[[], None]]:
    """The ways of others: JPG files written, read back and computed by `plain` as it is, and `plain` alone."""
    import av
    import numpy as np
    import torch
    from PIL import Image

    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def peers() -> None:
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
                plain((clip.contiguous().float() / 255 - mean) / std)

    def eager() -> None:
        with torch.inference_mode():
            for _ in range(0, n_frames, N_CLIP):
                plain(random_pictures)

    return {"peers": peers, "eager": eager}


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
