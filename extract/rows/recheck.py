"""Whether a store holds what its video gives: random chunks are extracted again and compared."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from ...cache.code import settle_code
from ...cache.disk import is_file
from ...cache.errors import BallspotError
from ...cache.runs import find_recorded
from ...cache.stores import CHUNK_ROWS, Block, EngineSpec, FeatureStore, Segment
from ...cache.terminal import note
from ...cache.times import rate_of
from ..backbone import HALF_TOLERANCES, BackboneSpec
from ..device import pick_precision
from ..video import VideoProbe, at_rate, video_bytes, video_digest
from .job import ExtractionJob, Recipe, Settings
from .pca import FIT_FILE, Components, load_components
from .segments import SegmentRunner, cut_segments, probed

TOLERANCES = {"float16": 2e-3, "float32": 1e-4, "int8": 2e-2}  # of a row's largest feature, by how it is stored


@dataclass(frozen=True)
class DeepCheck:
    """How many rows of one store were extracted again, and what is wrong with it, "" where nothing is."""

    n_rows: int
    problem: str = ""


def recipe_of(store: FeatureStore, weights: str | None, *, tell: Callable[[str], None] = note) -> Recipe:
    """The recipe that makes the store's features again; `weights` is needed where the store does not say.

    Where this CPU has no units for the bfloat16 of the store, they are made in float32, and `tell` is told so. Of a
    store of components it is the recipe of the features that they were made from. Raises BallspotError for a store
    that does not say enough.
    """
    if store.spec.pca is not None and store.spec.parent is None:
        raise BallspotError(f"{store.path}: components of components; verify the set that they were made from")
    if store.spec.decoder is not None:
        raise BallspotError(
            f"{store.path}: its pictures were decoded by a GPU (--decoder {store.spec.decoder}), which is not repeated "
            "here to the last bit; verify without --deep"
        )
    chosen = weights or _weights_now(store)
    if not chosen:
        raise BallspotError(f"{store.path}: does not say where its weights came from; give --weights")
    try:
        store.spec.require_buildable()
    except ValueError as error:
        raise BallspotError(f"{store.path}: does not say how it was made ({error}); extract again") from error
    made, engine = store.spec, EngineSpec.read(store.header.engine)
    settings = Settings(
        stride=made.stride,
        batch_rows=engine.batch_rows or 4,
        engine=engine.kind or "torch",
        dtype="float32" if made.dtype != "float16" or made.pca is not None else "float16",
        views=store.views,
        substitute=len(store.substituted) > 0,
        image_fps=_picture_fps(store),
        margin=made.shift.get("margin"),
        precision=pick_precision(made.precision, "cpu", tell=tell),
        motion=made.motion or 0,
        region=made.region,
    )
    name = settle_code(made.backbone, near=set_folder(store), owner=str(store.path))
    return Recipe(
        BackboneSpec(
            name,
            chosen,
            made.size,
            made.layers,
            made.grid,
            made.uncropped,
            made.interpolation.removesuffix("-antialias"),
        ),
        settings=settings,
    )


def _picture_fps(store: FeatureStore) -> Fraction:
    """The rate of the pictures in a folder, of which rows at another rate may have been chosen."""
    said = store.header.picture_fps
    try:
        return rate_of(said) if said else store.fps
    except ValueError as error:
        raise BallspotError(f"{store.path}: picture_fps {said!r} is not a rate; extract again") from error


def _weights_now(store: FeatureStore) -> str:
    """What the store says of its weights; of a file that was moved with the store its path now."""
    said = store.header.weights
    if not Path(said).is_absolute() or is_file(said):
        return said
    return str(find_recorded(store.path, said, is_file) or said)


def set_folder(store: FeatureStore) -> Path:
    """The folder of the feature set that a store lies in."""
    return store.path.resolve().parents[len(Path(store.match).parts) - 1]


def components_of(store: FeatureStore) -> Components | None:
    """The fit that a store of components was made with, from its set's folder; None for other stores.

    Raises BallspotError when the fit is not there or another one.
    """
    if store.spec.pca is None:
        return None
    folder = set_folder(store)
    fit = load_components(folder / FIT_FILE)
    if fit.digest != store.spec.pca.sha256:
        raise BallspotError(
            f"{folder / FIT_FILE}: not the fit that {store.path.name} was made with; make the set again"
        )
    return fit


def job_of(recipe: Recipe, store: FeatureStore) -> ExtractionJob:
    """The recipe's job. Raises BallspotError when the weights are not those of the store."""
    torch.set_num_threads(1)
    job = recipe.job()
    if job.backbone.weights_sha256 != store.spec.weights_sha256:
        raise BallspotError(
            f"{store.path}: made with other weights than --weights {recipe.backbone.weights}; give those"
        )
    return job


def check_chunks(
    store: FeatureStore, video: Path, runner: SegmentRunner, *, n_chunks: int, rng: np.random.Generator
) -> DeepCheck:
    """Extracts `n_chunks` random chunks of 256 rows again and compares them, every view; and the video's own facts."""
    if store.header.video_bytes != video_bytes(video):
        return DeepCheck(0, f"{video} has another size than the video it was made from")
    if store.header.video_sha256 not in ("", video_digest(video)):
        return DeepCheck(0, f"{video} is another video than the one it was made from: their SHA-256 differ")
    settings = runner.job.settings
    probe = at_rate(probed(video, settings), store.fps)
    if (probe.n_frames, probe.fps) != (store.n_video_frames, store.fps):
        facts = (
            f"{store.n_video_frames} frames at {store.fps} a second, {video.name} has {probe.n_frames} at {probe.fps}"
        )
        return DeepCheck(0, f"says {facts}")
    if probe.turn != store.header.video_turn:
        ways = [turn or "as they are stored" for turn in (store.header.video_turn, probe.turn)]
        return DeepCheck(0, f"was made of pictures {ways[0]}; players show those of {video.name} {ways[1]}")
    fit = components_of(store)
    starts = np.arange(0, store.n_rows, CHUNK_ROWS)
    differences: list[np.ndarray] = []
    n_rows = 0
    for start in sorted(rng.choice(starts, size=min(n_chunks, len(starts)), replace=False).tolist()):
        stop = min(start + CHUNK_ROWS, store.n_rows)
        for block in _again(runner, probe, Segment(start, stop), store.match):
            for view in store.views:
                stored = store.read(start, start + len(block), view=view).astype(np.float32)
                again = block.features[view].astype(np.float32)
                again = again if fit is None else fit.apply(again)
                largest = np.maximum(np.abs(again).max(axis=1, keepdims=True), 1e-12)
                differences.append((np.abs(stored - again) / largest).max(axis=1))
            start += len(block)
            n_rows += len(block)
    limit = max(TOLERANCES[store.header.dtype], _tolerance_of(store.header.engine))
    found = np.concatenate(differences) if differences else np.zeros(1)
    problem = f"features differ from the video's by up to {found.max():.2g} of the largest"
    return DeepCheck(n_rows, problem if (found > limit).mean() > _share_that_may(store) else "")


def _share_that_may(store: FeatureStore) -> float:
    """Which share of rows may differ: none, but where the last bits of features choose what is looked at closely."""
    region = store.spec.region
    if region is None or region.by not in ("map", "motion"):
        return 0.0
    return 0.1 if _tolerance_of(store.header.engine) else 0.02


def _tolerance_of(engine: str) -> float:
    """What the numbers that an engine computed in may be off by, of a row's largest feature; 0 for float32."""
    return max((limit for number, limit in HALF_TOLERANCES.items() if number in engine.split()), default=0.0)


def _again(runner: SegmentRunner, probe: VideoProbe, chunk: Segment, match: str) -> Iterator[Block]:
    """The chunk's rows made again; where damaged frames are replaced, as parts of the segments they were made in."""
    job, whole = runner.job, [chunk]
    if job.settings.substitute:
        whole = cut_segments(probe, stride=job.settings.stride, aligned_rows=job.aligned_rows)
    for segment in whole:
        part = Segment(max(chunk.start, segment.start), min(chunk.stop, segment.stop))
        if part.start < part.stop:
            runner.open(probe, "jpg" if probe.path.is_dir() else "pyav")
            yield from runner.rows(part, match=match, whole=segment)
