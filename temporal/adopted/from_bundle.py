"""A bundle of ours as a run again: heads that can be trained on, and the backbone that their features come from."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import safe_open

from ...cache.code import is_reference
from ...cache.disk import fingerprint
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, flatten, seed_folders
from ...evaluate.dataset import write_threshold
from ...extract.backbone import (
    RUN_BACKBONE,
    UNREADABLE,
    Settled,
    assemble,
    load_model,
    own_settings,
    save_backbone,
    weights_digest,
)
from ...extract.rows import BundledFeatures
from ..bundle import Bundle, BundleHeader, load_bundle, read_bundle_file
from ..config import as_table, procedure_record, write_procedure
from ..decoding import write_postprocessing
from ..heads import write_checkpoint
from ..training import BEST, adopted_record

TUNED_FILE = "tuned.json"


def is_own_bundle(path: Path) -> bool:
    """Whether a file says that it is a bundle of ballspot's."""
    try:
        with safe_open(path, framework="pt") as file:
            return "ballspot" in (file.metadata() or {})
    except UNREADABLE:
        return False


def run_of_bundle(path: Path, out: Path, *, command: str) -> tuple[str, ...]:
    """Writes the run, or the runs of the seeds, that a bundle holds to ``out``; remarks about what a run cannot do.

    Runs of one seed are numbered as they come. Raises BallspotError for a bundle that is damaged, and where ``out``
    holds something else, before anything is written.
    """
    if _names_own_code(read_bundle_file(path, runs_code=False).header):
        raise BallspotError(
            f"{path}: holds or names heads, losses or backbones of somebody's own code; `predict` takes the bundle "
            "itself"
        )
    bundle = load_bundle(path)
    runs = [RunFolder(folder, option="--out") for folder in _folders(bundle, out)]
    _require_room(bundle, runs, out)
    for index, run in enumerate(runs):
        _write(bundle, index, run, path, command=command)
    if _makes_its_features(runs[0].path, bundle.features):
        return ()
    return ("how its features are made does not fit into a run: for videos, predict with the bundle itself",)


def _names_own_code(header: BundleHeader) -> bool:
    """Whether a head, a loss or a backbone is somebody's own, whether the bundle holds its code or only names it."""
    named = [value for part in header.heads for value in flatten(part.config).values()]
    named += [value for part in header.sets for value in flatten(part.extraction).values()]
    return bool(header.code) or any(map(is_reference, named))


def _folders(bundle: Bundle, out: Path) -> list[Path]:
    if len(bundle.heads) == 1:
        return [out]
    differ = len(set(bundle.seeds)) == len(bundle.seeds)
    return [out / f"seed-{seed}" for seed in (bundle.seeds if differ else range(len(bundle.seeds)))]


def _require_room(bundle: Bundle, runs: Sequence[RunFolder], out: Path) -> None:
    """Raises BallspotError where ``out`` holds a run that was not adopted from this very bundle."""
    there = {out, *seed_folders(out)} - {run.path for run in runs}
    if strange := next((path for path in sorted(there) if (path / "run.json").is_file()), None):
        raise BallspotError(f"{strange}: holds a run that is none of the bundle's; choose another --out")
    for index, run in enumerate(runs):
        if not (run.path / "run.json").is_file():
            continue
        record = run.record()
        if "adopted" not in record:
            raise BallspotError(f"{run.path}: holds a run that was trained here; choose another --out")
        if record.get("key") != _key(bundle, index):
            raise BallspotError(f"{run.path}: holds a run that was adopted from something else; choose another --out")


def _key(bundle: Bundle, index: int) -> str:
    """The digest of all that decides what the run predicts: never the key of the run that the bundle was made of."""
    head, how = bundle.heads[index], bundle.postprocessing
    scaling = {} if head.scaling is None else {"mean": head.scaling.mean, "sd": head.scaling.sd}
    return fingerprint(
        {
            "bundle": bundle.run_keys[index],
            "checkpoint": bundle.checkpoint,
            "head": weights_digest({**head.head, **{f"scaling.{name}": value for name, value in scaling.items()}}),
            "features": [features.fingerprint for features in bundle.features],
            "postprocessing": None if how is None else {label: vars(decoding) for label, decoding in how.items()},
            "threshold": bundle.threshold,
            "procedure": None if bundle.procedure is None else procedure_record(bundle.procedure),
        }
    )


def _write(bundle: Bundle, index: int, run: RunFolder, source: Path, *, command: str) -> None:
    head, features = bundle.heads[index], bundle.features
    config = as_table(head.description.config)
    made = {"set": features[0].name, "fingerprint": head.description.features_fingerprint, "files": {}}
    record = {
        **adopted_record(bundle.label_set, command=command, features=made),
        "seed": bundle.seeds[index],
        "splits": {**{part: list(names) for part, names in bundle.splits.items()}, "source": "the bundle's"},
        "adopted": {"system": "ballspot", "checkpoint": source.name},
    }
    with run.at_work(waits=False):
        run.prepare(key=_key(bundle, index), record=record, config=config)
        if len(features) == 1 and features[0].weights is not None and features[0].components is None:
            spec = features[0].spec
            views = ",".join(features[0].views)
            settled = Settled(
                spec.backbone,
                spec.size,
                spec.stride,
                views=views,
                uncropped=spec.uncropped,
                interpolation=spec.interpolation.removesuffix("-antialias"),
                fps=None if bundle.procedure is None else bundle.procedure.rate,
                motion=spec.motion or 0,
            )
            save_backbone(run.path / RUN_BACKBONE, features[0].weights, settled)
            if not _makes_its_features(run.path, features):
                (run.path / RUN_BACKBONE).unlink()
        if bundle.postprocessing is None:
            write_threshold(run.path, bundle.threshold)
        else:
            made_from = {"bundle": source.name}
            write_postprocessing(
                run.path / TUNED_FILE, bundle.postprocessing, made_from=made_from, threshold=bundle.threshold
            )
        if bundle.procedure is not None:  # first: without it the head would pass for one of ours
            write_procedure(run.path, bundle.procedure)
        write_checkpoint(
            run.path / BEST,
            description=head.description,
            head=head.load("cpu"),
            progress=head.progress,
            scaling=head.scaling,
        )
        run.update(status="adopted")


def _makes_its_features(run: Path, features: tuple[BundledFeatures, ...]) -> bool:
    """Whether the run's own backbone makes the features that the head reads."""
    path = run / RUN_BACKBONE
    if not path.is_file():
        return False
    spec = features[0].spec
    settled = own_settings(path)
    if settled is None:
        return False
    loaded = load_model(settled.spec(str(path)))
    backbone = assemble(loaded, torch.device("cpu"))
    made = backbone.features(stride=spec.stride, views=features[0].views, motion=settled.motion)
    return made.fingerprint == features[0].fingerprint
