"""Where a trained head's features come from: how to make them again, bit for bit, of a video it never saw."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from ..cache.errors import BallspotError
from ..cache.fingerprint import fingerprint
from ..cache.journal import Segment
from ..cache.layout import ORIGINAL, Block, rows_of_chunks
from ..cache.runs import RunFolder
from ..cache.sets import find_stores
from ..cache.store import FeatureStore
from .engines import default_batch_rows
from .foreign import settle
from .live_frames import LiveFrames
from .pca import FIT_FILE, Components, load_components
from .segments import ExtractionJob, Recipe, SegmentRunner, Settings
from .video import VideoProbe
from .weights import RUN_BACKBONE, parse_weights
from .windows import WindowEngine

PIECE_ROWS = 64
STREAM_WINDOW_ROWS = 32


@dataclass(frozen=True)
class Origin:
    """One feature set's making: the backbone with its settings, and the components that rows are projected to.

    `extraction` is what the set's stores say; a backbone that would make others is refused by `job`.
    """

    recipe: Recipe
    extraction: Mapping[str, Any]
    components: Components | None = None

    @property
    def fingerprint(self) -> str:
        """That of the set."""
        return fingerprint(self.extraction)

    def job(self, views: Sequence[str]) -> ExtractionJob:
        """The extraction of these views. Raises BallspotError when the weights are not those that the set was made by.

        Views do not change one another, so that a set's original view can be made without its others.
        """
        job = self.recipe.job()
        wanted = {key: value for key, value in self.extraction.items() if key != "pca"}
        if self.components is not None:  # the parent's type of number is known by its digest only
            types = ("float16", "float32", "int8")
            parents = [{**wanted, "dtype": dtype} for dtype in types]
            parent = self.extraction["pca"]["parent"]
            wanted = next((one for one in parents if fingerprint(one) == parent), wanted)
            job = replace(job, settings=replace(job.settings, dtype=wanted["dtype"]))
        made = job.extraction
        for key in sorted(wanted.keys() | made.keys()):
            if wanted.get(key) != made.get(key):
                raise BallspotError(
                    f"--weights {self.recipe.weights}: {key} is {_short(made.get(key))}, the head's features were "
                    f"made with {_short(wanted.get(key))}; give the weights that they were extracted with"
                )
        return replace(job, settings=replace(job.settings, views=tuple(views)))


def origins_of(
    run: RunFolder, fingerprint_wanted: str, *, features: Sequence[Path], weights: str | None, device: str, engine: str
) -> tuple[Origin, ...]:
    """How the features of a run's head are made, set by set, in their order.

    A run that trained a backbone brings it; else a store of each set says how it was made: of `features`, where these
    are given, else of the sets that the run was trained on. `weights` says where the backbone's weights are now.
    Raises BallspotError when that cannot be found out, or gives other features than the head was trained on.
    """
    if (run.path / RUN_BACKBONE).is_file() and not features:
        found: list[Origin] = [_of_backbone(run.path, device=device, engine=engine)]
    else:
        stores = [next(iter(find_stores(path).items()), None) for path in features] if features else _stores_of(run)
        found = [_of_store(*one, weights=weights, device=device, engine=engine) for one in stores if one]
        if not found or len(found) != len(stores):
            raise BallspotError(
                f"{run.path}: the features it was trained on are not where they were; give that set with --features"
            )
    whole = fingerprint({"sets": [one.fingerprint for one in found]}) if len(found) > 1 else found[0].fingerprint
    if fingerprint_wanted != whole:
        raise BallspotError(
            f"{run.path}: was trained on features {fingerprint_wanted[:12]}, not on {whole[:12]}; give the sets that "
            "it was trained on, in their order, with --features"
        )
    return tuple(found)


def _of_backbone(path: Path, *, device: str, engine: str) -> Origin:
    weights = parse_weights(str(path))
    settled = settle(weights.path)
    views = tuple(settled.views.split(",")) if settled.views else (ORIGINAL,)
    settings = Settings(
        stride=settled.stride, batch_rows=default_batch_rows(engine, device), engine=engine, views=views
    )
    recipe = Recipe(settled.backbone, str(path), settled.size, device=device, settings=settings)
    return Origin(recipe, recipe.job().extraction)


def _stores_of(run: RunFolder) -> list[tuple[str, Path] | None]:
    """One store of each set that the run was trained on, with its match; None for a set of which none is left."""
    files: Mapping[str, str] = run.record()["features"]["files"]
    of_sets: list[tuple[str, Path] | None] = []
    for name, joined in files.items():
        paths = [Path(path) for path in joined.split("+")] if not Path(joined).is_file() else [Path(joined)]
        of_sets = of_sets or [None] * len(paths)
        for index, path in enumerate(paths[: len(of_sets)]):
            if of_sets[index] is None and path.is_file():
                of_sets[index] = (name, path)
    return of_sets


def _of_store(match: str, path: Path, *, weights: str | None, device: str, engine: str) -> Origin:
    with FeatureStore.open(path) as store:
        said, views, kept = store.extraction, store.views, store.header.weights
    try:
        interpolated, size = str(said["interpolation"]), tuple(said["size"])
        shift, margin = said.get("shift"), None
        if shift is not None:
            margin, engine = int(shift["margin"]), "torch"
        settings = Settings(
            stride=int(said["stride"]),
            batch_rows=default_batch_rows(engine, device),
            engine=engine,
            dtype=str(said["dtype"]),
            views=views,
            margin=margin,
        )
        recipe = Recipe(
            str(said["backbone"]),
            weights or kept or "hub",
            (int(size[0]), int(size[1])),
            device=device,
            layers=tuple(said["layers"]),
            grid=(int(said["grid"][0]), int(said["grid"][1])),
            settings=settings,
        )
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise BallspotError(f"{path}: does not say how it was made ({error}); extract it again") from error
    components = None
    if "pca" in said:
        folder = path.parents[len(Path(match).parts) - 1]
        components = load_components(folder / FIT_FILE)
        if components.digest != said["pca"]["sha256"]:
            raise BallspotError(f"{folder / FIT_FILE}: is not the fit of its stores; make the set again")
    if not interpolated.endswith("-antialias"):
        raise BallspotError(f"{path}: made by another resizing ({interpolated}); extract it again")
    return Origin(recipe, said, components)


class RowMaker:
    """Makes the rows of all sets of a head, side by side, of one video after another; a context manager."""

    def __init__(self, origins: Sequence[Origin], views: Sequence[str]) -> None:
        self.origins, self.views = tuple(origins), tuple(views)
        self._runners = [SegmentRunner(origin.job(views)) for origin in origins]
        self.stride = self._runners[0].job.settings.stride
        if any(runner.job.settings.stride != self.stride for runner in self._runners):
            raise BallspotError("the head's feature sets have different strides; extract both with one --stride")

    @property
    def jobs(self) -> tuple[ExtractionJob, ...]:
        """One extraction a set."""
        return tuple(runner.job for runner in self._runners)

    def n_rows(self, probe: VideoProbe) -> int:
        """How many rows a video gives."""
        return -(-probe.n_frames // self.stride)

    def rows(self, probe: VideoProbe, decoder: str, *, match: str) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a video in order, about 64 at a time: of every view (n, D), the sets one after another in D.

        Raises DecodingError for a frame that this decoder cannot give.
        """
        for runner in self._runners:
            runner.open(probe, decoder)
        whole = Segment(0, self.n_rows(probe))
        blocks = [rows_of_chunks(runner.rows(whole, match=match), PIECE_ROWS) for runner in self._runners]
        for parts in zip(*blocks, strict=True):
            yield self.joined(parts)

    def live_rows(self, frames: LiveFrames) -> Iterator[dict[str, np.ndarray]]:
        """The rows of a stream, batch by batch, as its frames arrive. BallspotError for a shift beside other sets."""
        batch_rows = self._runners[0].job.settings.batch_rows
        batches = frames.batches(batch_rows=batch_rows, stride=self.stride)
        if len(self._runners) == 1:
            for part in self._runners[0].rows_of_stream(batches, match=frames.source):
                yield self.joined([part])
            return
        if any(runner.job.backbone.shifted for runner in self._runners):
            raise BallspotError("--live: a backbone with temporal shift beside other feature sets; give another run")
        for batch in batches:
            yield self.joined([next(one.rows_of_stream([batch], match=frames.source)) for one in self._runners])

    def shorten_windows(self) -> None:
        """Makes a temporal shift's windows short, for streams; features do not change where the margin is the reach."""
        for runner in self._runners:
            engine = runner.engine
            if isinstance(engine, WindowEngine) and engine.margin >= engine.shifted.reach:
                engine.shorten(STREAM_WINDOW_ROWS)

    @property
    def look_ahead_frames(self) -> int:
        """How many frames past a frame must have come, at most, until its row is made from a stream."""
        rows = []
        for runner in self._runners:
            engine = runner.engine
            window = engine.shifted.window_rows + engine.margin if isinstance(engine, WindowEngine) else 0
            rows.append(runner.job.settings.batch_rows + window)
        return max(rows) * self.stride

    def joined(self, parts: Sequence[Block]) -> dict[str, np.ndarray]:
        """The sets' rows of the same frames side by side, each projected as its set is."""
        made = []
        for origin, part in zip(self.origins, parts, strict=True):
            project = _as_stored if origin.components is None else partial(_projected, origin.components)
            made.append({view: project(part.features[view]) for view in self.views})
        return {view: np.concatenate([one[view] for one in made], axis=1) for view in self.views}

    def close(self) -> None:
        """Ends the decoding processes."""
        for runner in self._runners:
            runner.close()

    def __enter__(self) -> "RowMaker":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def _as_stored(rows: np.ndarray) -> np.ndarray:
    return rows


def _projected(components: Components, rows: np.ndarray) -> np.ndarray:
    return components.apply(rows).astype(np.float16)


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 24 else f"{text[:12]}..."
