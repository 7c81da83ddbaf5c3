"""What the sections of bench/gpu.py are made of: models, steps, videos, decoders. Torch is imported where it is needed:
processes that decode import this module, too.
"""

import multiprocessing
import shutil
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from importlib import import_module
from itertools import count, cycle, islice
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gpu import Check

BACKBONE = "regnety_002"
SMALL = (224, 398)


def backbone_model() -> Any:
    """The backbone with weights of no meaning, the same every time."""
    import timm
    import torch

    torch.manual_seed(0)
    return timm.create_model(BACKBONE, pretrained=False, num_classes=0).eval()


def normalised(pictures: Any, *, dtype: Any = None) -> Any:
    """uint8 (B, H, W, 3) as the backbone reads it, (B, 3, H, W), channels last in memory."""
    images = pictures.permute(0, 3, 1, 2)
    images = images.float() if dtype is None else images.to(dtype)
    return images.sub_(117).div_(58)


def half_precision(check: "Check", *, brain: bool = False) -> Any:
    """Autocast: float16, or bfloat16 with `brain` and on a CPU; at toy size none, for old CPUs."""
    import torch

    dtype = torch.float16 if check.on_gpu and not brain else torch.bfloat16
    return torch.autocast(check.device.type, dtype, enabled=check.on_gpu or not check.is_toy)


def flops_a_picture(size: tuple[int, int]) -> float:
    """What one picture costs the backbone."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        backbone_model()(torch.zeros(1, 3, *size))
    return float(counter.get_total_flops())


def head_of(kind: str, width: int) -> Any:
    """A head of ballspot's for 12 classes, without dropout, which draws anew in every one of many."""
    from ballspot.temporal.config import load_config
    from ballspot.temporal.heads import build_head

    config = load_config("fast", [f"kind={kind}", f"width={width}", "dropout=0", "class_dropout=0", "clip_frames=100"])
    return build_head(config.head, dims=(width,), n_labels=12, clip_frames=100)


def head_steps(check: "Check", kind: str, sizes: tuple[int, int] | None = None) -> Iterator[float]:
    """Training steps of a head on features that are there, over and over: their losses."""
    import torch
    from torch.nn.functional import cross_entropy

    batch, width = sizes or ((2, 16) if check.is_toy else (16, 368))
    torch.manual_seed(0)
    head = head_of(kind, width).to(check.device)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, fused=True)
    features = torch.randn(batch, 100, width, device=check.device)
    n_tokens = head(features).class_logits.shape[1]
    wanted = torch.randint(0, 13, (batch, n_tokens), device=check.device)
    for n in count():
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(head(features).class_logits.flatten(0, 1), wanted.flatten())
        loss.backward()
        optimizer.step()
        yield float(loss.detach()) if n < 20 else 0.0  # later ones are timed: nobody waits for their loss


def stacked_step(check: "Check", n: int, *, batch: int, width: int) -> Callable[[], object]:
    """One step of n heads of one shape at once."""
    import torch
    from torch.func import functional_call, grad, stack_module_state, vmap
    from torch.nn.functional import cross_entropy

    heads = [head_of("transformer", width).to(check.device) for _ in range(n)]
    weights, buffers = stack_module_state(heads)
    base = heads[0]
    features = torch.randn(batch, 100, width, device=check.device)
    wanted = torch.randint(0, 13, (batch * base(features).class_logits.shape[1],), device=check.device)

    def loss(own: Any, held: Any) -> Any:
        return cross_entropy(functional_call(base, (own, held), (features,)).class_logits.flatten(0, 1), wanted)

    gradients = vmap(grad(loss), randomness="different")
    optimizer = torch.optim.AdamW(list(weights.values()), lr=1e-3, fused=True)

    def step() -> None:
        for name, gradient in gradients(weights, buffers).items():
            weights[name].grad = gradient
        optimizer.step()

    return step


def fine_tuned(check: "Check") -> tuple[Any, Any, Any]:
    """A GRU on GSF as it is fine-tuned, and a batch of clips, all on the device."""
    import torch

    from ballspot.extract.backbone import BackboneSpec, load_model
    from ballspot.temporal.config import load_config
    from ballspot.temporal.finetune.model import EndToEnd
    from ballspot.temporal.finetune.settings import FinetuneSection
    from ballspot.temporal.heads import build_head

    size, n_clips, n_frames = ((64, 64), 1, 4) if check.is_toy else (SMALL, 4, 50)
    config = load_config(
        "finetune", [f"clip_frames={n_frames}", "pad_frames=1", *(["width=16"] if check.is_toy else [])]
    )
    head = build_head(config.head, dims=(368,), n_labels=12, clip_frames=n_frames)
    loaded = load_model(BackboneSpec(f"{BACKBONE}+gsf", "random", size))
    model = EndToEnd(loaded, head, FinetuneSection()).to(check.device).train()
    pictures = torch.randint(0, 256, (n_clips, n_frames, *size, 3), dtype=torch.uint8, device=check.device)
    return model, pictures, torch.ones(n_clips, n_frames, device=check.device)


def clip_seconds(check: "Check", n_frames: int) -> tuple[float, int]:
    """Seconds a clip when nothing is done with it: what the decoders give, and of how many."""
    from ballspot.extract.backbone import BackboneSpec
    from ballspot.extract.video import probe_video
    from ballspot.temporal.finetune.settings import FinetuneSection
    from ballspot.temporal.finetune.video_clips import ClipFormat, ClipReader, VideoClips, WantedClip

    size = (64, 96) if check.is_toy else SMALL
    video = drawn_video(check.folder / f"{size[0]}-clips.mp4", size, n_frames=30 if check.is_toy else 600)
    probe = probe_video(video)
    how = ClipFormat(n_frames, 2, BackboneSpec(BACKBONE, "random", size), is_changed=False)
    n_workers = 0 if check.is_toy else FinetuneSection().n_decoders(on_gpu=check.on_gpu)
    n_clips = 4 if check.is_toy else 40 * n_workers
    starts = islice(cycle(range(0, probe.n_frames - 2 * n_frames, 7)), n_clips)
    with ClipReader(VideoClips((probe,), how), n_workers=n_workers, pins=check.on_gpu) as reader:
        clips = reader.read([WantedClip(0, start, ()) for start in starts])
        first = max(n_clips // 4, 1)
        deque(islice(clips, first), maxlen=0)  # the processes are at work now
        started = time.monotonic()
        n_read = sum(1 for _ in clips)
        return (time.monotonic() - started) / n_read, n_read


class Logits:
    """A head that gives one tensor, as graphs want it."""

    def __new__(cls, head: Any) -> Any:
        import torch

        class Logits(torch.nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.head = head

            def forward(self, features: Any) -> Any:
                return self.head(features).class_logits

        return Logits()


def drawn_video(path: Path, size: tuple[int, int], *, n_frames: int) -> Path:
    """A video of moving stripes with noise, H.264 with a key frame every 12; made once."""
    if path.exists():
        return path
    import av
    import numpy as np

    random = np.random.default_rng(0)
    height, width = size
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=25, options={"g": "12", "preset": "veryfast", "crf": "28"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        rows = np.arange(height)[:, None, None] + np.arange(width)[None, :, None] + 40 * np.arange(3)
        for number in range(n_frames):
            noise = random.integers(0, 24, (height, width, 1))
            picture = ((rows + 3 * number) % 200 + noise).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def drawn_root(check: "Check") -> Path:
    """A data root of equal videos, long enough that starting does not count: 150,000 frames."""
    import av

    n_frames, n_matches, size = (30, 1, (64, 96)) if check.is_toy else (600, 10, SMALL)
    video = drawn_video(check.folder / f"{size[0]}-root.mp4", size, n_frames=n_frames)
    data = check.folder / "data"
    for number in range(n_matches):
        folder = data / f"match-{number:02d}"
        folder.mkdir(parents=True)
        (folder / "Labels-ball.json").write_text('{"annotations": []}')
        path = folder / "224p.mp4"
        if check.is_toy:
            shutil.copy(video, path)
            continue
        with av.open(str(video)) as source, av.open(str(path), "w") as target:  # the same packets, over and over
            stream = source.streams.video[0]
            copied = target.add_stream_from_template(stream)
            packets = [packet for packet in source.demux(stream) if packet.dts is not None]
            step = sum(packet.duration or 0 for packet in packets)
            for again in range(25):
                for packet in packets:
                    one = av.Packet(bytes(packet))
                    one.pts, one.dts = (packet.pts or 0) + again * step, (packet.dts or 0) + again * step
                    one.duration, one.time_base = packet.duration, packet.time_base
                    one.is_keyframe, one.stream = packet.is_keyframe, copied
                    target.mux(one)
    return data


def decode_for(video: str, kind: str, seconds: float, told: Any) -> None:
    """Decodes a video over and over; tells how many frames a second it came to."""
    import av

    started, n = time.monotonic(), 0
    while time.monotonic() - started < seconds:
        with av.open(video) as container:
            container.streams.video[0].thread_count = 1
            for frame in container.decode(video=0):
                frame.to_ndarray(format=kind)
                n += 1
    told.send(n / (time.monotonic() - started))


def pyav_rate(video: Path, kind: str, n: int, *, seconds: float) -> float:
    """Frames a second of n processes together."""
    context = multiprocessing.get_context("spawn")
    ours, processes = [], []
    for _ in range(n):
        mine, theirs = context.Pipe(duplex=False)
        processes.append(context.Process(target=decode_for, args=(str(video), kind, seconds, theirs), daemon=True))
        processes[-1].start()
        theirs.close()
        ours.append(mine)
    total = 0.0
    try:
        for one in ours:
            if not wait([one], timeout=60 + seconds):
                raise TimeoutError("a decoding process gives nothing")
            total += one.recv()
    finally:
        for process in processes:
            process.kill()
            process.join()
    return total


def nvdec_rate(video: Path, n: int, *, seconds: float) -> float:
    """Frames a second of n threads, each with a decoder of the GPU. ImportError without torchcodec."""
    decoder: Any = import_module("torchcodec.decoders").VideoDecoder

    def work() -> int:
        frames, end = 0, time.monotonic() + seconds
        while time.monotonic() < end:
            one = decoder(str(video), device="cuda")
            for batch in range(0, len(one), 64):
                frames += len(one.get_frames_in_range(batch, min(batch + 64, len(one))).data)
        return frames

    started = time.monotonic()
    with ThreadPoolExecutor(n) as pool:
        total = sum(future.result() for future in [pool.submit(work) for _ in range(n)])
    return total / (time.monotonic() - started)


def watch_gpu(found: list[tuple[float, float]], over: threading.Event) -> None:
    """Asks nvidia-smi once a second how busy the GPU is, and how much of its memory is taken (MB)."""
    line = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
    while shutil.which(line[0]) and not over.wait(1.0):
        with suppress(OSError, ValueError, subprocess.SubprocessError):
            said = subprocess.run(line, capture_output=True, text=True, timeout=5, check=True).stdout
            busy, memory = said.splitlines()[0].split(",")
            found.append((float(busy), float(memory)))
