"""Extraction speed against the ways it is done elsewhere, as ratios taken in one run, on one core and on two.

    python bench/extract.py DATA [--frames 480] [--rounds 5] [--json]

Every round times every way once, in an order that alternates; the medians are compared. The ways:
  peers     frames dumped as JPG files, read back, eager float32 backbone on clips of 16, NCHW
  eager     the same backbone eager in NCHW on random pictures, batch 16, no decoding
  torch     `ballspot extract`: decoding, fused torch, writing the part file
  openvino  the same with --engine openvino
  torch-bf16, openvino-bf16   both with --precision bfloat16, on CPUs that have units for it (AMX, AVX512-BF16)
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

from ballspot.cache.machine import has_bfloat16_units

N_CLIP = 16
SIZE = (224, 398)
OTHERS = ("peers", "eager")
OURS = ("torch", "openvino", *(("torch-bf16", "openvino-bf16") if has_bfloat16_units() else ()))


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
        print(f"  sgemm {one['sgemm_gflops']:.0f} GFLOP/s a core, of which:")
        for way in OURS:
            print(f"  {way:14} {one['share'][way]:.0%}; features within {one['difference'][way]:.1e} of eager")


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
    sgemm = max(one["sgemm"] for one in found)  # only processes of ours measure it
    share = {way: 0.74 * medians[way] / n_cores / sgemm for way in OURS}
    difference = {way: max(one["difference"].get(way, 0.0) for one in found) for way in OURS}
    return {
        "rates": rates,
        "ratios": ratios,
        "share": share,
        "sgemm_gflops": sgemm,
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
) -> tuple[dict[str, Callable[[], None]], dict[str, float]]:
    """The ways by name, ready to be timed, and how far ours are from eager float32 features (of the largest)."""
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
        return others(plain, video, n_frames, folder / "jpg", random_pictures), {}
    runners = {}
    for way in OURS:
        engine, _, bf16 = way.partition("-")
        settings = Settings(
            engine=engine, batch_rows=default_batch_rows(engine, "cpu"), precision="bfloat16" if bf16 else "auto"
        )
        spec = BackboneSpec("regnety_002", str(folder / "weights.pth"), SIZE)
        runners[way] = SegmentRunner(Recipe(spec, settings=settings).job())
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
    difference = {}
    for way, runner in runners.items():
        rows = runner.job.settings.batch_rows
        if isinstance(runner.engine, WindowEngine):
            continue
        made = np.concatenate([runner.engine(given[first : first + rows]) for first in range(0, len(given), rows)])
        difference[way] = float(np.abs(made - expected).max() / np.abs(expected).max())
    return {way: extraction(way) for way in OURS}, difference


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


def engine_rate(device: str, *, batch_rows: int, precision: str = "auto", size: tuple[int, int] = SIZE,
                seconds: float = 3.0) -> tuple[float, str]:  # fmt: skip
    """Frames a second of `extract`'s own engine on pictures that wait in the machine's memory, features fetched batch
    by batch; and what the engine calls itself. For bench/gpu.py.
    """
    import torch

    from ballspot.extract.backbone import BackboneSpec, load_backbone, make_engine

    where = torch.device(device)
    backbone = load_backbone(BackboneSpec("regnety_002", "random", size), where)
    engine = make_engine(backbone, kind="torch", batch_rows=batch_rows, device=where, precision=precision)
    pictures = torch.randint(0, 256, (batch_rows, *size, 3), dtype=torch.uint8)
    for _ in range(3):
        engine(pictures)
    began, n_batches = time.perf_counter(), 0
    while n_batches == 0 or time.perf_counter() - began < seconds:
        engine(pictures)
        n_batches += 1
    return n_batches * batch_rows / (time.perf_counter() - began), str(engine.spec)


def fed_rate(video: Path, device: str, *, n_decoders: int, batch_rows: int = 64, size: tuple[int, int] = SIZE) -> float:
    """Frames a second from a video to its features by so many decoders on one engine, nothing written: the rate of
    `extract` and `predict VIDEO` on one GPU but for the disk. The first pass, in which decoders start, does not count.
    For bench/gpu.py.
    """
    import torch

    from ballspot.extract.backbone import BackboneSpec
    from ballspot.extract.rows import Recipe, SegmentRunner, Settings
    from ballspot.extract.rows.decoders import Decoders
    from ballspot.extract.video import probe_video

    torch.set_num_threads(1)
    probe = probe_video(video)
    recipe = Recipe(BackboneSpec("regnety_002", "random", size), device, Settings(batch_rows=batch_rows))
    began, n_rows = 0.0, 0
    with Decoders(SegmentRunner(recipe.job()), n_decoders=n_decoders) as decoders:
        for _ in range(2):
            began = time.perf_counter()
            n_rows = sum(len(block) for block in decoders.rows(probe, "pyav", match="m"))
        return n_rows / (time.perf_counter() - began)


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
