"""The sections of bench/gpu.py: each measures one part of the way from video to head, beside its ceiling."""

import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from statistics import median
from typing import TYPE_CHECKING, Any

from gpu_material import (
    BACKBONE,
    SMALL,
    Logits,
    backbone_model,
    clip_seconds,
    drawn_root,
    drawn_video,
    fine_tuned,
    flops_a_picture,
    half_precision,
    head_of,
    head_steps,
    normalised,
    nvdec_rate,
    pyav_rate,
    stacked_step,
    watch_gpu,
)

if TYPE_CHECKING:
    from gpu import Check

HEADS = ("tcn", "transformer", "gru", "unet", "ms-tcn", "asformer")
PACKAGES = ("torch", "timm", "torchvision", "numpy", "h5py", "av", "pydantic", "tomli-w", "decord", "torchcodec")
LARGE = (720, 1280)


def environment(check: "Check") -> None:
    """What the machine is, and the most that it multiplies, moves and reads."""
    import torch

    for name in PACKAGES:
        try:
            check.add(name, version(name))
        except PackageNotFoundError:
            check.add(name, "missing")
    check.add("python, cores", f"{platform.python_version()}, {len(os.sched_getaffinity(0))}")
    with suppress(OSError):
        check.add("/dev/shm", shutil.disk_usage("/dev/shm").free / 1e9, "GB free")
    if check.on_gpu:
        about = torch.cuda.get_device_properties(check.device)
        check.add("GPU", f"{about.name}, {about.total_memory / 1e9:.0f} GB, {torch.cuda.device_count()} of them")
    n = 128 if check.is_toy else 8192
    for dtype in (torch.float32, torch.float16 if check.on_gpu else torch.bfloat16):
        left, right = (torch.randn(n, n, device=check.device).to(dtype) for _ in range(2))
        seconds = check.seconds(lambda left=left, right=right: left @ right, at_most_s=2)
        check.add(f"matrix product, {str(dtype)[6:]}", 2 * n**3 / seconds / 1e12, "TFLOP/s")
    numbers = torch.empty(2**20 if check.is_toy else 2**30, dtype=torch.uint8, device=check.device)
    seconds = check.seconds(lambda: numbers.copy_(numbers.flip(0)) if check.is_toy else numbers.add_(1), at_most_s=2)
    check.add("memory, read and written", 2 * numbers.numel() / seconds / 1e9, "GB/s")


def correctness(check: "Check") -> None:
    """Whether the device gives what the CPU gives, and everything trains on it."""
    import torch

    model = backbone_model()
    size, n = ((64, 64), 2) if check.is_toy else (SMALL, 16)
    pictures = torch.randint(0, 256, (n, *size, 3), dtype=torch.uint8)
    with torch.inference_mode():
        exact = model(normalised(pictures))
        model.to(check.device)
        with half_precision(check):
            ours = model(normalised(pictures.to(check.device))).float().cpu()
    check.add("features, half against CPU float32", float((ours - exact).abs().max() / exact.abs().max()),
              "of the largest", why="docs: 2e-3 to 1e-2")  # fmt: skip
    for kind in HEADS[:2] if check.is_toy else HEADS:
        losses = list(islice(head_steps(check, kind), 2 if check.is_toy else 20))
        is_well = all(loss == loss and abs(loss) < 1e6 for loss in losses)
        check.add(
            f"{kind}: {len(losses)} steps", f"loss {losses[0]:.3f} to {losses[-1]:.3f}" if is_well else "DIVERGED"
        )
    if check.on_gpu:
        import torch.distributed as dist

        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29517", "RANK": "0", "WORLD_SIZE": "1"}
        dist.init_process_group("cpu:gloo,cuda:nccl", device_id=torch.device("cuda", 0))
        ones = torch.ones(8, device=check.device)
        dist.all_reduce(ones)
        check.add("NCCL, a group of one", "right" if ones.tolist() == [1.0] * 8 else "WRONG")
        dist.destroy_process_group()
    end_to_end, pictures, inside = fine_tuned(check)
    optimizer, loss = torch.optim.AdamW(end_to_end.parameters(), lr=1e-4), torch.zeros(())
    for _ in range(2):
        optimizer.zero_grad(set_to_none=True)
        with half_precision(check, brain=True):
            loss = end_to_end(pictures.float(), inside).class_logits.float().square().mean()
        loss.backward()
        optimizer.step()
    check.add("2 steps of fine-tuning, GRU on GSF", f"loss {float(loss.detach()):.4f}")


def backbone(check: "Check") -> None:
    """Frames a second of the backbone alone, the pictures being there already."""
    import torch

    size, batches = ((64, 64), (2,)) if check.is_toy else (SMALL, (64, 256, 1024))
    peak = check.found("matrix product, float16", section="environment")
    flops = flops_a_picture(size)
    ceiling = None if peak is None else peak * 1e12 / flops
    for n in batches:
        pictures = torch.randint(0, 256, (n, *size, 3), dtype=torch.uint8, device=check.device)
        for name, call in backbone_ways(check, pictures).items():
            try:
                with torch.inference_mode():
                    seconds = check.seconds(call, at_most_s=4)
                check.add(
                    f"{name}, batch {n}", n / seconds, "frames/s", ceiling=ceiling, why=f"{flops / 1e9:.2f} GFLOP"
                )
            except RuntimeError as error:
                check.add(f"{name}, batch {n}", f"failed: {str(error).splitlines()[0][:80]}")
        if check.on_gpu:
            check.add(f"most memory, batch {n}", torch.cuda.max_memory_allocated() / 1e9, "GB")
            torch.cuda.reset_peak_memory_stats()


def backbone_ways(check: "Check", pictures: Any) -> dict[str, Callable[[], object]]:
    """The ways of running the backbone on a batch, by name."""
    import torch

    plain = backbone_model().to(check.device)

    def autocast() -> object:
        with half_precision(check):
            return plain(normalised(pictures))

    if not check.on_gpu:
        return {"float32": lambda: plain(normalised(pictures)), "autocast": autocast}
    halves = backbone_model().to(check.device).half().to(memory_format=torch.channels_last)

    def half() -> object:
        return halves(normalised(pictures, dtype=torch.float16))

    ways: dict[str, Callable[[], object]] = {"autocast": autocast, "half": half}
    with torch.inference_mode():
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                half()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            half()
    ways["half + graph"] = graph.replay
    if len(pictures) == 256 and check.left_s > 30:
        compiled = torch.compile(lambda: halves(normalised(pictures, dtype=torch.float16)))
        ways["half, compiled"] = compiled
    return ways


def copies(check: "Check") -> None:
    """Gigabytes a second from the machine's memory to the GPU, by how the memory is held."""
    import torch

    n_bytes = {"RGB": 3, "YUV": 1.5}
    n = 2 if check.is_toy else 256
    for name, each in n_bytes.items():
        size = int(n * SMALL[0] * SMALL[1] * each)
        target = torch.empty(size, dtype=torch.uint8, device=check.device)
        sources = {"pageable": torch.zeros(size, dtype=torch.uint8)}
        if check.on_gpu:
            sources["pinned"] = torch.zeros(size, dtype=torch.uint8).pin_memory()
            sources["registered"] = torch.zeros(size, dtype=torch.uint8).share_memory_()
            runtime: Any = torch.cuda.cudart()
            code = runtime.cudaHostRegister(sources["registered"].data_ptr(), size, 0)
            if int(code) != 0:
                check.add("registered", f"refused: {code}")
                del sources["registered"]
        for kind, source in sources.items():
            seconds = check.seconds(lambda source=source, target=target: target.copy_(source, non_blocking=True))
            check.add(f"{name}, {kind}", size / seconds / 1e9, "GB/s", why=f"{n / seconds:,.0f} frames/s")
        if "registered" in sources:
            runtime = torch.cuda.cudart()
            runtime.cudaHostUnregister(sources["registered"].data_ptr())
    if not check.on_gpu:
        check.add("pinned and registered memory", "needs CUDA")


def decoding(check: "Check") -> None:
    """Frames a second of PyAV in processes and of NVDEC in threads, small and large pictures."""
    import_module("av")
    sizes = {"224p": (64, 96)} if check.is_toy else {"224p": SMALL, "720p": LARGE}
    for name, size in sizes.items():
        video = drawn_video(check.folder / f"{name}.mp4", size, n_frames=30 if check.is_toy else 600)
        rates = {}
        for kind in ("rgb24", "yuv420p"):
            for n in (1, 2) if check.is_toy else (1, 4, 8, 15):
                rates[kind, n] = pyav_rate(video, kind, n, seconds=0.1 if check.is_toy else 4.0)
                one = rates[kind, 1] * n
                check.add(f"PyAV {name}, {kind}, {n} processes", rates[kind, n], "frames/s", ceiling=one)
        check.add(f"PyAV {name}, best", max(rates.values()), "frames/s")
        if not check.on_gpu:
            check.add(f"NVDEC {name}", "needs CUDA")
            continue
        try:
            found = [nvdec_rate(video, n, seconds=4.0) for n in (1, 4, 7, 14)]
        except (ImportError, RuntimeError, OSError) as error:
            check.add(f"NVDEC {name}", f"needs torchcodec with CUDA ({str(error).splitlines()[0][:60]})")
            continue
        for n, rate in zip((1, 4, 7, 14), found, strict=True):
            check.add(f"NVDEC {name}, {n} threads", rate, "frames/s")
        check.add(f"NVDEC {name}, best", max(found), "frames/s")


def extraction(check: "Check") -> None:
    """`ballspot extract` as it comes, with all its defaults."""
    import_module("av"), import_module("pydantic"), import_module("ballspot.cli")
    data = check.videos or drawn_root(check)
    each = 30 if check.is_toy else 15_000
    n_frames = None if data is check.videos else each * sum(1 for _ in data.rglob("*.mp4"))
    line = [sys.executable, "-m", "ballspot.cli", "extract", str(data), "--out", str(check.folder / "features")]
    line += ["--backbone", BACKBONE, "--weights", "random", "--device", check.device.type]
    line += ["--size", "64x96", "--workers", "1"] if check.is_toy else []
    busy: list[tuple[float, float]] = []
    over = threading.Event()
    watcher = threading.Thread(target=watch_gpu, args=(busy, over), daemon=True)
    watcher.start()
    started = time.monotonic()
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = process.communicate(timeout=300 if check.is_toy else max(check.left_s, 1))
        seconds = time.monotonic() - started
        if process.returncode:
            check.add("ballspot extract", f"failed: {said.strip().splitlines()[-1][:120]}")
        elif n_frames:
            best = [check.found(f"PyAV 224p, {kind}, 15 processes") or 0 for kind in ("rgb24", "yuv420p")]
            check.add("ballspot extract, start to end", n_frames / seconds, "frames/s", ceiling=max(best) or None,
                      why="of decoding on 15 cores")  # fmt: skip
        else:
            check.add("ballspot extract, start to end", seconds, "s")
    except subprocess.TimeoutExpired:
        process.kill()
        said, _ = process.communicate()
        check.add("ballspot extract", f"still at work: {(said.strip().splitlines() or ['no line yet'])[-1][:120]}")
    over.set()
    watcher.join()
    if busy:
        check.add("GPU at work", median(one for one, _ in busy), "%", why="median of nvidia-smi, once a second")
        check.add("GPU memory", max(memory for _, memory in busy) / 1e3, "GB")


def head_step(check: "Check") -> None:
    """A training step of a head on features that lie on the device: alone, as a graph, and many at once."""
    import torch

    batch, width = (2, 16) if check.is_toy else (16, 368)
    for kind in ("tcn", "transformer") if check.is_toy else ("transformer", "tcn", "gru"):
        steps = head_steps(check, kind, sizes=(batch, width))
        seconds = check.seconds(lambda steps=steps: next(steps), at_most_s=4)
        check.add("one head, eager" if kind == "transformer" else f"{kind}, eager", 1000 * seconds, "ms")
        check.add(f"{kind}: samples", batch / seconds, "clips/s")
    for n in (1, 2) if check.is_toy else (1, 8, 32):
        step = stacked_step(check, n, batch=batch, width=width)
        seconds = check.seconds(step, at_most_s=5)
        check.add(f"{n} stacked, one step of all", 1000 * seconds, "ms", why=f"{1000 * seconds / n:.2f} ms each")
    if check.on_gpu:
        model = head_of("transformer", width).to(check.device)
        features = torch.randn(batch, 100, width, device=check.device)
        called: Any = torch.cuda.make_graphed_callables(Logits(model), (features,))

        def graphed() -> None:
            model.zero_grad(set_to_none=True)
            called(features).square().mean().backward()

        check.add("transformer, forward and backward as graphs", 1000 * check.seconds(graphed, at_most_s=4), "ms")


def fine_tuning(check: "Check") -> None:
    """Where a step of fine-tuning goes: waiting for clips, the copy, the changes, forward and backward."""
    end_to_end, pictures, inside = fine_tuned(check)
    from ballspot.temporal.finetune.augmentation import change_batch, drawn_change
    from ballspot.temporal.finetune.settings import FinetuneSection

    n_clips, n_frames = inside.shape
    on_host = pictures.cpu().pin_memory() if check.on_gpu else pictures
    check.add("copy", 1000 * check.seconds(lambda: on_host.to(check.device, non_blocking=True)), "ms")
    section = FinetuneSection()
    changes = [drawn_change(section, seed=seed, mirrored=bool(seed % 2)) for seed in range(n_clips)]
    check.add("changes of the pictures", 1000 * check.seconds(lambda: change_batch(pictures, changes)), "ms")
    changed = change_batch(pictures, changes)

    def both() -> None:
        end_to_end.zero_grad(set_to_none=True)
        with half_precision(check, brain=True):
            loss = end_to_end(changed, inside).class_logits.float().square().mean()
        loss.backward()

    seconds = check.seconds(both, at_most_s=8)
    peak = check.found("matrix product, float16", section="environment")
    size = (pictures.shape[2], pictures.shape[3])
    ceiling = None if peak is None else peak * 1e12 / (3 * flops_a_picture(size))
    check.add("forward and backward", 1000 * seconds, "ms")
    check.add("frames in training", n_clips * n_frames / seconds, "frames/s", ceiling=ceiling, why="3 forwards")
    import_module("av")
    waiting, n_read = clip_seconds(check, n_frames)
    check.add("a clip, decoded ahead", 1000 * waiting, "ms", why=f"{n_frames / waiting:,.0f} frames/s, {n_read} clips")


SECTIONS: dict[str, tuple[float, Callable[["Check"], None]]] = {
    "environment": (20, environment),
    "correctness": (70, correctness),
    "backbone": (90, backbone),
    "copies": (40, copies),
    "decoding": (110, decoding),
    "ballspot extract": (100, extraction),
    "head step": (70, head_step),
    "fine-tuning step": (40, fine_tuning),
}
