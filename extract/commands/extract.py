"""The command of stage one: `extract`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click
from pydantic import ValidationError

from ...cache.disk import first_problem
from ...cache.errors import BallspotError
from ...cache.stores import MOST_MOTION, RegionSpec
from ...cache.terminal import (
    FOLDER,
    SIZE,
    GridType,
    command,
    data_argument,
    device_option,
    dtype_option,
    parse_fps,
    splits_option,
    trust_option,
)

if TYPE_CHECKING:
    from ...evaluate.dataset import Match
    from ..rows import Crew, ExtractionJob, Recipe


@command("extract")
@data_argument
@click.option("--out", required=True, type=FOLDER, help="Folder of feature sets.")
@click.option(
    "--backbone",
    "backbone_name",
    help="Name of any timm model. regnety_002+gsf:s3,s4 is one with temporal shift (RegNet, ResNet, ConvNeXt, "
    "EfficientNet, MobileNet); FILE.py:FUNCTION or MODULE:FUNCTION is a function of your own.  [default: what the "
    "weights say, otherwise regnety_002]",
)
@click.option(
    "--weights",
    default="hub",
    show_default=True,
    help="hub, random[:SEED], offline, own, a .pt, .pth or .safetensors file (of timm, E2E-Spot, OSL, T-DEED or the "
    "course baseline), or the folder of a run that trained or adopted a backbone.",
)
@click.option(
    "--size",
    type=SIZE,
    help="Height and width in pixels that frames are resized to.  [default: what the weights say, otherwise 224x398]",
)
@click.option(
    "--stride",
    type=click.IntRange(1),
    help="Make a row of every Nth frame.  [default: what the weights say, otherwise 1]",
)
@click.option(
    "--margin",
    type=click.IntRange(0),
    help="For temporal shift: extra rows on either side of a window.  [default: the reach of the shift]",
)
@click.option(
    "--views",
    help="Views to store, separated by commas: original, hflip, photo:K.  [default: what the weights say, otherwise "
    "original]",
)
@click.option(
    "--grid",
    type=GridType(),
    default="1x1",
    show_default=True,
    help="Rows and columns of cells, each of which is pooled by itself.",
)
@click.option("--layers", default="pooled", show_default=True, help="Layers to pool, separated by commas, e.g. s3,s4.")
@click.option(
    "--motion",
    type=click.IntRange(0, MOST_MOTION),
    help="Show motion: the channels are the grey levels of the frame N frames before, of the frame itself, and of the "
    "frame N frames after it.  [default: what the weights say, otherwise 0: colours]",
)
@click.option(
    "--region",
    "region_by",
    type=click.Choice(["map", "motion", "random", "centre"]),
    help="Also look closely at a box of each picture: where the last feature map is strongest (map), where edges move "
    "(motion), anywhere (random), or in the middle (centre).",
)
@click.option("--region-size", type=SIZE, help="Height and width of a box in pixels.  [default: 112x112]")
@click.option(
    "--region-from", type=SIZE, help="Size that pictures are resized to before boxes are cut.  [default: twice --size]"
)
@click.option("--region-count", type=click.IntRange(1, 2), help="Boxes per picture.  [default: 1]")
@click.option(
    "--region-fuse",
    type=click.Choice(["concat", "max"]),
    help="concat puts the features of boxes behind those of the picture; max keeps the greatest number of all.  "
    "[default: concat]",
)
@dtype_option
@click.option(
    "--precision",
    type=click.Choice(["float32", "bfloat16"]),
    help="Number type that features are computed in; bfloat16 needs a GPU, or a CPU with AMX or AVX512-BF16.  "
    "[default: float32 on a CPU; float16 on a GPU, or float32 with --dtype float32]",
)
@click.option(
    "--set",
    "set_name",
    help="Name of the feature set.  [default: backbone, weights and size, and what differs from the defaults]",
)
@click.option("--match", "names", multiple=True, help="Only this match, by name or last folder; repeatable.")
@click.option(
    "--split",
    type=click.Choice(["train", "valid", "test", "all"]),
    help="Only the matches of this part of the split.  [default: every match]",
)
@splits_option()
@click.option(
    "--batch", type=click.IntRange(1), help="Frames per batch.  [default: 8 on a CPU, or 4 with openvino; 64 on a GPU]"
)
@click.option(
    "--decoder",
    type=click.Choice(["auto", "pyav", "decord", "torchcodec", "nvdec"]),
    default="auto",
    show_default=True,
    help="What reads the videos; auto is PyAV. nvdec is the decoder of an NVIDIA GPU; its pictures differ in their "
    "last bits, so it makes a set of its own.",
)
@click.option(
    "--on-bad-frame",
    type=click.Choice(["error", "substitute"]),
    default="error",
    show_default=True,
    help="error: a damaged frame fails its match. substitute: the last good frame takes its place, and the store lists "
    "it (auto and pyav only).",
)
@click.option(
    "--fps",
    "rate",
    help="Frames per second that videos are read at, chosen by time, e.g. 25 from a video of 50.  [default: each "
    "video's own rate]",
)
@click.option("--image-fps", help="Frames per second of folders of JPG files, e.g. 25 or 30000/1001.")
@click.option(
    "--engine",
    type=click.Choice(["torch", "openvino"]),
    default="torch",
    show_default=True,
    help="What computes the features; openvino is for CPUs (extra `openvino`).",
)
@click.option(
    "--compile",
    "compiles",
    is_flag=True,
    help="Compile the torch model first; this takes a minute and needs a C++ compiler.",
)
@device_option()
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Processes at once.  [default: one per CPU core, up to 16; on GPUs decoders for all cores but two, over all "
    "GPUs; on a cluster 16 tasks]",
)
@click.option(
    "--cpus", type=click.IntRange(2), help="With --on: processors that a task asks for beside its GPU.  [default: 8]"
)
@trust_option
@click.option(
    "--on",
    help="Where the segments are filled: local, ray[:ADDRESS], slurm, or slurm:local (SLURM's jobs as processes here).",
)
def extract(
    data_root: Path,
    out: Path,
    backbone_name: str | None,
    weights: str,
    size: tuple[int, int] | None,
    stride: int | None,
    margin: int | None,
    views: str | None,
    grid: tuple[int, int],
    layers: str,
    motion: int | None,
    region_by: str | None,
    region_size: tuple[int, int] | None,
    region_from: tuple[int, int] | None,
    region_count: int | None,
    region_fuse: str | None,
    dtype: str,
    precision: str | None,
    set_name: str | None,
    names: tuple[str, ...],
    split: str | None,
    splits_file: Path | None,
    batch: int | None,
    decoder: str,
    on_bad_frame: str,
    rate: str | None,
    image_fps: str | None,
    engine: str,
    compiles: bool,
    device: str,
    workers: int | None,
    cpus: int | None,
    on: str | None,
) -> None:
    """Turn the videos of a data root into feature stores.

    Each match gets one HDF5 file, OUT/SET/MATCH.h5. Complete stores are kept. If an extraction was interrupted, the
    same command continues it, with any number of workers. A match that fails does not stop the others.

    \b
    ballspot extract DATA --out features --backbone regnety_002 --weights hub
    """
    import torch

    from ...cache.code import is_reference, pin_code
    from ...cache.terminal import note
    from ...evaluate.dataset import DataSelection
    from ..backbone import default_batch_rows, parse_views, parse_weights, settle
    from ..device import pick_devices, pick_precision
    from ..rows import (
        AUTO_DECODER,
        ExtractionError,
        Recipe,
        Settings,
        default_set_name,
        extract_matches,
        require_set_name,
        videos_of,
    )

    if on_bad_frame == "substitute" and decoder not in ("auto", "pyav"):
        raise BallspotError(f"--on-bad-frame substitute: {decoder} cannot do it; give --decoder auto or pyav")
    if backbone_name is not None and is_reference(backbone_name):
        backbone_name = pin_code(backbone_name, where="--backbone", kind="function")
        weights = "own" if weights == "hub" else weights
    path = parse_weights(weights).path
    settled = settle(path, backbone=backbone_name, size=size, stride=stride, views=views)
    stride, views = settled.stride, settled.views
    motion = settled.motion if motion is None else motion
    region = region_of(
        region_by, size=region_size, picture=region_from, count=region_count, fuse=region_fuse, whole=settled.size
    )
    _require_colours(motion, views)
    backbone = replace(settled.spec(weights), layers=tuple(filter(None, layers.split(","))), grid=grid)
    if settled.line:
        note(settled.line)
    if settled.fps is not None and rate is None:
        note(f"{weights}: videos are read at {float(settled.fps):.5g} frames a second, as its system reads them")
    devices = pick_devices(device, on=on)
    if decoder == "nvdec":
        _require_nvdec(devices[0], on=on)
    precision = pick_precision(precision or "auto", devices[0], on=on)
    data = DataSelection(data_root, splits_file=splits_file, one_video=True)
    matches = tuple(data.matches.values())
    if split is not None or splits_file is not None:
        of_split = set(data.splits.part(split or "all"))
        matches = tuple(match for match in matches if match.name in of_split)
    chosen = videos_of(_chosen(matches, names, data_root))
    settings = Settings(
        stride=stride,
        batch_rows=batch or default_batch_rows(engine, devices[0]),
        decoder=AUTO_DECODER if decoder == "auto" else decoder,
        engine=engine,
        compiles=compiles,
        dtype=dtype,
        views=parse_views(views),
        substitute=on_bad_frame == "substitute",
        image_fps=parse_fps(image_fps, option="--image-fps") if image_fps else None,
        fps=parse_fps(rate) if rate else settled.fps,
        margin=margin,
        precision=precision,
        motion=motion,
        region=region,
    )
    if path is not None:
        backbone = replace(backbone, weights=str(path.resolve()))
    recipe = Recipe(backbone, devices[0], settings)
    set_path = out / require_set_name(set_name or default_set_name(backbone, settings, views=views))
    torch.set_num_threads(1)
    job = (replace(recipe, device="cpu") if on else recipe).job()  # nothing is computed here for a cluster
    crew = _crew(job, recipe, Asked(on, workers, cpus), devices, n_rows=_rough_rows(chosen, stride), set_path=set_path)
    started = time.monotonic()
    try:
        results, failure = extract_matches(chosen, set_path, job, crew=crew), None
    except ExtractionError as error:
        results, failure = error.results, error
    elapsed = time.monotonic() - started
    for result in results:
        state = f"{result.n_new_rows / result.seconds:.1f} frames/s a worker" if result.seconds else "was complete"
        click.echo(f"{result.path}  {result.n_rows} rows of {job.dim}  {state}")
    n_new = sum(result.n_new_rows for result in results)
    if n_new:
        note(f"{n_new} frames in {elapsed:.1f} s: {n_new / elapsed:.1f} frames/s")
    if failure is not None:
        raise failure
    click.echo(f"feature set: {set_path}")


def _require_nvdec(device: str, *, on: str | None) -> None:
    """Raises BallspotError where no GPU of NVIDIA decodes, or torchcodec, which asks it to, is missing here."""
    from ...cache.terminal import note
    from ...cache.workers import Executor

    if not device.startswith("cuda"):
        raise BallspotError("--decoder nvdec: is a GPU's, and the device is not cuda; give --decoder auto")
    if not Executor.is_elsewhere(on) and find_spec("torchcodec") is None:
        raise BallspotError(
            "--decoder nvdec: torchcodec is not installed; pip install 'ballspot[torchcodec]', in its build for CUDA"
        )
    note("--decoder nvdec: not tried on a GPU yet; what it conceals of damaged frames is not found, as it is by pyav")


def region_of(
    by: str | None,
    *,
    size: tuple[int, int] | None,
    picture: tuple[int, int] | None,
    count: int | None,
    fuse: str | None,
    whole: tuple[int, int],
) -> RegionSpec | None:
    """The boxes that the options ask for, None without `--region`; ``whole`` is the size of the whole picture.

    Raises BallspotError for an option of boxes without `--region`, and for a box that is not whole pixels.
    """
    if by is None:
        said = {"--region-size": size, "--region-from": picture, "--region-count": count, "--region-fuse": fuse}
        for option, value in said.items():
            if value is not None:
                raise BallspotError(f"{option}: is for --region map, motion, random or centre; give that, too")
        return None
    picture = picture or (2 * whole[0], 2 * whole[1])
    settings = {"by": by, "size": size or (112, 112), "picture": picture, "count": count or 1, "fuse": fuse or "concat"}
    try:
        return RegionSpec.model_validate(settings)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise BallspotError(f"--region {by}: {place}: {problem}; give other numbers of pixels") from error


def _require_colours(motion: int, views: str) -> None:
    """Raises BallspotError for copies of changed colours, where the channels of a picture are moments."""
    if motion and "photo" in views:
        raise BallspotError(f"--motion {motion}: its pictures have no colours for --views {views}; leave photo out")


def _chosen(matches: Sequence[Match], names: Sequence[str], data_root: Path) -> list[Match]:
    from ...evaluate.dataset import resolve_match

    wholes = list(dict.fromkeys(match.whole for match in matches))
    own = {match.name for match in matches}
    chosen = {name if name in own else resolve_match(name, wholes, which=f"in {data_root}") for name in names}
    return [match for match in matches if not names or match.name in chosen or match.whole in chosen]


def _rough_rows(matches: Sequence[Match], stride: int) -> int:
    """About how many rows there will be, by the files' sizes (2 kB a frame of 224 lines): enough to choose workers."""
    from ..video import video_bytes

    n_bytes = sum(video_bytes(match.video) for match in matches if match.video and match.video.exists())
    return n_bytes // 2000 // stride


@dataclass(frozen=True)
class Asked:
    """What the person says of who computes: `--on`, `--workers` and `--cpus`, None where nothing is said."""

    on: str | None
    workers: int | None
    cpus: int | None


def _crew(
    job: ExtractionJob, recipe: Recipe, asked: Asked, devices: list[str], *, n_rows: int, set_path: Path
) -> Crew | None:
    from ...cache.workers import Executor
    from ..rows import MAX_AUTO_WORKERS, crew_of, n_workers_for

    # An engine that looks at boxes keeps what it saw of the whole picture, and so serves one decoder.
    if devices[0].startswith("cuda") and recipe.settings.region is None:
        return _gpu_crew(job, recipe, asked, devices, n_rows=n_rows, logs=set_path / ".slurm")
    if asked.cpus is not None:
        raise BallspotError(f"--cpus {asked.cpus}: is for tasks with a GPU, without --region; leave it out")
    on, workers = asked.on, asked.workers
    most = MAX_AUTO_WORKERS if Executor.is_elsewhere(on) else n_workers_for(2**40 if on else n_rows, devices)
    n_workers = workers or most
    if on is None and n_workers == 1:
        return None
    return crew_of(Executor(n_workers, on or "local", devices, logs=set_path / ".slurm"), recipe)


def _gpu_crew(job: ExtractionJob, recipe: Recipe, asked: Asked, devices: list[str], *, n_rows: int, logs: Path) -> Crew:
    """One engine a GPU, fed by many decoders: here the workers are decoders of all GPUs, on a cluster tasks at a time,
    each with a GPU.
    """
    import torch

    from ...cache.workers import Executor
    from ..rows import (
        CLUSTER_CPUS_A_GPU,
        MAX_AUTO_WORKERS,
        SEGMENT_ROWS,
        SEGMENTS_A_DECODER,
        crew_of_engines,
        gpu_crew,
        n_decoders_for,
    )

    on, workers = asked.on, asked.workers
    if Executor.is_elsewhere(on):
        executor = Executor(workers or MAX_AUTO_WORKERS, on or "", devices, logs=logs)
        return crew_of_engines(executor, recipe, n_decoders=(asked.cpus or CLUSTER_CPUS_A_GPU) - 1)
    if asked.cpus is not None:
        raise BallspotError(f"--cpus {asked.cpus}: is for tasks of a cluster (--on); here --workers says it")
    n_gpus = len(devices) if on is None else max(torch.cuda.device_count(), 1)
    gpu = torch.device(devices[0])
    n_useful = max(n_rows // 2048, 1)  # decoders: each takes some seconds to start
    if on is None and n_gpus == 1:
        return gpu_crew(job, n_decoders=workers or min(n_decoders_for(gpu), n_useful))
    n_engines = min(n_gpus, workers or n_useful)
    n_decoders = -(-workers // n_engines) if workers else n_decoders_for(gpu, n_gpus=n_engines)
    return crew_of_engines(
        Executor(n_engines, on or "local", devices, logs=logs),
        recipe,
        n_decoders=n_decoders,
        n_segments=max(min(SEGMENTS_A_DECODER * n_decoders, n_rows // SEGMENT_ROWS // n_engines), 1),
    )
