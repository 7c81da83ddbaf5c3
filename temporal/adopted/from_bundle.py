"""A bundle of ours as a run again: heads that can be trained on, and the backbone that their features come from."""

from pathlib import Path

import torch
from safetensors import safe_open

from ...cache.code import is_reference
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, flatten
from ...extract.backbone import RUN_BACKBONE, UNREADABLE, BackboneSpec, Settled, assemble, load_model, save_backbone
from ...extract.rows import BundledFeatures
from ..bundle import Bundle, BundleHeader, load_bundle, read_bundle_file
from ..config import as_table, write_procedure
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

    Raises BallspotError for a bundle that is damaged, and where ``out`` holds something else.
    """
    if _names_own_code(read_bundle_file(path, runs_code=False).header):
        raise BallspotError(
            f"{path}: holds or names heads, losses or backbones of somebody's own code; `predict` takes the bundle "
            "itself"
        )
    bundle = load_bundle(path)
    several = len(bundle.heads) > 1
    for index, seed in enumerate(bundle.seeds):
        folder = out / f"seed-{seed}" if several else out
        _write(bundle, index, RunFolder(folder), path, command=command)
    if _makes_its_features(out / f"seed-{bundle.seeds[0]}" if several else out, bundle.features):
        return ()
    return ("how its features are made does not fit into a run: for videos, predict with the bundle itself",)


def _names_own_code(header: BundleHeader) -> bool:
    """Whether a head, a loss or a backbone is somebody's own, whether the bundle holds its code or only names it."""
    named = [value for part in header.heads for value in flatten(part.config).values()]
    named += [value for part in header.sets for value in flatten(part.extraction).values()]
    return bool(header.code) or any(map(is_reference, named))


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
        run.prepare(key=bundle.run_keys[index], record=record, config=config)
        if len(features) == 1 and features[0].weights is not None and features[0].components is None:
            spec = features[0].spec
            views = ",".join(features[0].views)
            settled = Settled(spec.backbone, spec.size, spec.stride, views=views, uncropped=spec.uncropped)
            save_backbone(run.path / RUN_BACKBONE, features[0].weights, settled)
            if not _makes_its_features(run.path, features):
                (run.path / RUN_BACKBONE).unlink()
        if bundle.postprocessing is not None:
            made_from = {"bundle": source.name}
            write_postprocessing(
                run.path / TUNED_FILE, bundle.postprocessing, made_from=made_from, threshold=bundle.threshold
            )
        write_checkpoint(
            run.path / BEST,
            description=head.description,
            head=head.load("cpu"),
            progress=head.progress,
            scaling=head.scaling,
        )
        if bundle.procedure is not None:
            write_procedure(run.path, bundle.procedure)
        run.update(status="adopted")


def _makes_its_features(run: Path, features: tuple[BundledFeatures, ...]) -> bool:
    """Whether the run's own backbone makes the features that the head reads."""
    path = run / RUN_BACKBONE
    if not path.is_file():
        return False
    spec = features[0].spec
    loaded = load_model(BackboneSpec(spec.backbone, str(path), spec.size, uncropped=spec.uncropped))
    backbone = assemble(loaded, torch.device("cpu"))
    margin = 0 if backbone.shifted is None else backbone.shifted.reach
    made = backbone.features(stride=spec.stride, views=features[0].views, margin=margin)
    return made.fingerprint == features[0].fingerprint
