"""A trained run as one file: its heads, and how the features that they read are made from video, backbone included.

`bundle_of` takes a run apart, `write_bundle` writes it, `load_bundle` reads it back: a `Bundle` is the same whichever
way it came. docs/reference/bundle-format.md specifies the file; `temporal/bundle/file.py` reads the part that predicts
from features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from torch import Tensor

from ...cache.code import allow_code, held_source, is_reference
from ...cache.disk import first_problem
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, seed_folders
from ...evaluate.dataset import LabelSet, recorded_splits
from ...extract.rows import BundledFeatures
from ..config import Procedure, procedure_of, procedure_record, read_procedure, travelling_table
from ..decoding import ClassDecoding, read_postprocessing
from ..heads import Checkpoint, read_checkpoint
from .feature_parts import features_of_parts, features_part
from .file import is_bundle, read_bundle_file, write_bundle_file
from .header import MetricsPart
from .run_features import REMEDY, features_of_run
from .trained import threshold_of

TUNED_FILE = "tuned.json"
OR_WITHOUT = f"{REMEDY}, or --without-backbone: then it predicts from features only"


@dataclass(frozen=True)
class Bundle:
    """All that finds spots in a video, and where it came from.

    heads: one trained head or several, whose scores are averaged; `head.load(device)` gives the module,
        `head.description` its configuration, label set and the widths of its feature sets, `head.scaling` the means and
        deviations of the training matches where the head wants them.
    label_set: the classes, the same for every head.
    features: the feature sets that the heads read side by side, in their order: settings of the extraction, the
        backbone's weights or where they come from, principal components. `features[i].job(...)` makes what extracts.
    postprocessing: how each class's scores become spots where that was tuned, else None: as the first head's
        configuration says.
    checkpoint: which of the run's heads these are, "best" or "last".
    run_keys, seeds: of the runs, in the order of `heads`.
    splits: names of the matches the run was trained and validated on and is to be tested on.
    metrics: what each run's metrics.json says of its head, None for a run that is not done.
    threshold: the confidence from which on spots were best on the validation matches; None where that is not known.
    procedure: of an adopted model, how its system looks at a video; None for a head that reads rows.
    """

    heads: tuple[Checkpoint, ...]
    label_set: LabelSet
    features: tuple[BundledFeatures, ...]
    postprocessing: Mapping[str, ClassDecoding] | None
    checkpoint: str
    run_keys: tuple[str, ...]
    seeds: tuple[int, ...]
    splits: Mapping[str, tuple[str, ...]]
    metrics: tuple[Mapping[str, Any] | None, ...] = field(default=())
    threshold: float | None = None
    procedure: Procedure | None = None


def bundle_of(
    runs: Sequence[Path],
    *,
    features: Sequence[Path] = (),
    checkpoint: str = "best",
    tuned: Path | None = None,
    with_backbone: bool | None = None,
    remedy: str | None = REMEDY,
) -> Bundle:
    """The bundle of runs, or folders of seeds, that were trained on the same features.

    ``features`` are the folders of the feature sets, found by the run's own record where none is given. ``tuned`` is a
    file of `ballspot tune`, the first run's own where there is one. ``with_backbone`` holds the backbone's weights or
    leaves them out; None holds those that are ours to give: random, of the package for offline use, of a fine-tuning.
    Where feature sets are not found, the BallspotError ends with this ``remedy``; with None the bundle then predicts
    from features only.

    Raises BallspotError for runs of different labels or features, and for weights or components that are asked for
    and not there any more, or not those that the features were made with.
    """
    folders = [RunFolder(folder) for run in runs for folder in seed_folders(run)]
    record = folders[0].record()
    keys, seeds = [folder.entry("key", str) for folder in folders], [folder.entry("seed", int) for folder in folders]
    heads = tuple(read_checkpoint(folder.path / f"{checkpoint}.safetensors") for folder in folders)
    first = heads[0].description
    for folder, head in zip(folders, heads, strict=True):
        if not head.description.features_fingerprint:
            raise BallspotError(f"{folder.path}: its last checkpoint goes on with the fine-tuning; give the best one")
        if head.description.features_fingerprint != first.features_fingerprint:
            raise BallspotError(
                f"{folder.path}: trained on other features than {folders[0].path}; give runs of one kind"
            )
        if head.description.label_set.labels != first.label_set.labels:
            raise BallspotError(f"{folder.path}: trained on other labels than {folders[0].path}; give runs of one kind")
    procedures = [read_procedure(folder.path) for folder in folders]
    if len(folders) > 1 and any(procedures):
        adopted = next(folder for folder, found in zip(folders, procedures, strict=True) if found is not None)
        raise BallspotError(f"{adopted.path}: an adopted model goes over a video in its own way; give it alone")
    if tuned is None:
        beside = [runs[0] / TUNED_FILE, folders[0].path / TUNED_FILE]
        tuned = next((path for path in beside if path.is_file()), None)
    splits = recorded_splits(record, str(folders[0].path / "run.json"))
    return Bundle(
        heads=heads,
        label_set=first.label_set,
        features=features_of_run(
            folders[0], record, first.features_fingerprint, sets=features, with_backbone=with_backbone, remedy=remedy
        ),
        postprocessing=None if tuned is None else read_postprocessing(tuned),
        checkpoint=checkpoint,
        run_keys=tuple(keys),
        seeds=tuple(seeds),
        splits=splits.by_part,
        metrics=tuple(_metrics_of(folder) if folder.is_done else None for folder in folders),
        threshold=threshold_of(runs[0], others=runs[1:], tuned=tuned),
        procedure=procedures[0],
    )


def write_bundle(
    runs: Sequence[Path],
    *,
    out: Path,
    features: Sequence[Path] = (),
    checkpoint: str = "best",
    tuned: Path | None = None,
    with_backbone: bool | None = None,
) -> Bundle:
    """Writes the bundle of runs (see `bundle_of`) to ``out`` and returns it; equal runs give equal bytes.

    Raises BallspotError, too, when ``out`` is there already.
    """
    if out.exists():
        raise BallspotError(f"{out}: already exists; choose another --out")
    bundle = bundle_of(
        runs,
        features=features,
        checkpoint=checkpoint,
        tuned=tuned,
        with_backbone=with_backbone,
        remedy=None if with_backbone is False else OR_WITHOUT if with_backbone is None else REMEDY,
    )
    save_bundle(bundle, out)
    return bundle


def save_bundle(bundle: Bundle, out: Path) -> None:
    """Writes a bundle, whole or not at all. Raises BallspotError for one that says what no bundle can hold."""
    tensors: dict[str, Tensor] = {}
    heads = []
    for index, head in enumerate(bundle.heads):
        tensors |= {f"head.{index}.{name}": value for name, value in head.head.items()}
        if head.scaling is not None:
            tensors |= {f"scaling.{index}.mean": head.scaling.mean, f"scaling.{index}.sd": head.scaling.sd}
        heads.append(_head_part(bundle, index))
    for index, features in enumerate(bundle.features):
        tensors |= features.tensors(index)
    labels = bundle.label_set
    how = bundle.postprocessing
    header = {
        "label_set": labels.as_record(),
        "heads": heads,
        "sets": [features_part(features) for features in bundle.features],
        "postprocessing": None if how is None else {label: vars(decoding) for label, decoding in how.items()},
        "splits": {part: list(names) for part, names in bundle.splits.items()},
        **_code_parts(bundle),
        **({} if bundle.procedure is None else {"procedure": procedure_record(bundle.procedure)}),
    }
    try:
        write_bundle_file(out, header, tensors)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise BallspotError(f"{out}: no bundle can hold its {place}: {problem}; change that in the run") from error


def _code_parts(bundle: Bundle) -> dict[str, Any]:
    """The sources of own heads and backbones, nothing where there are none."""
    names = [head.description.config.head.kind for head in bundle.heads]
    names += [features.spec.backbone for features in bundle.features]
    found = {name: held_source(name) for name in names}
    parts = {
        of_name[0].digest: {"name": of_name[0].base, "sha256": of_name[0].digest, "source": of_name[1].decode()}
        for of_name in found.values()
        if of_name is not None
    }
    return {"code": [parts[digest] for digest in sorted(parts)]} if parts else {}


def load_bundle(path: Path, *, runs_code: bool = True) -> Bundle:
    """The bundle at ``path``, every byte checked. Raises BallspotError as `read_bundle_file` does."""
    file = read_bundle_file(path, runs_code=runs_code)
    header = file.header
    for part in header.sets if runs_code else ():
        name = part.extraction.get("backbone")
        content = None if not is_reference(name) else header.code_of(str(name))
        if content is not None:
            allow_code(str(name), content, owner=str(path))
    return Bundle(
        heads=file.heads,
        label_set=file.heads[0].description.label_set,
        features=features_of_parts(path, header.sets, file.others),
        postprocessing=file.postprocessing,
        checkpoint=header.heads[0].checkpoint,
        run_keys=tuple(head.run_key for head in header.heads),
        seeds=tuple(head.seed for head in header.heads),
        splits={part: tuple(names) for part, names in header.splits.model_dump().items()},
        metrics=tuple(None if head.metrics is None else head.metrics.model_dump() for head in header.heads),
        threshold=header.heads[0].threshold,
        procedure=None if header.procedure is None else procedure_of(header.procedure, str(path)),
    )


def open_bundle(source: Path, **how: Any) -> Bundle:
    """The bundle in a file, or the one of a run's folder, made as `bundle_of` makes it with ``how``."""
    return load_bundle(source) if is_bundle(source) else bundle_of([source], **how)


def without_backbone(bundle: Bundle) -> Bundle:
    """The same bundle without the backbones' weights; their digests and origins stay."""
    return replace(bundle, features=tuple(replace(one, weights=None) for one in bundle.features))


def _metrics_of(folder: RunFolder) -> dict[str, Any]:
    """What a bundle holds of a run's metrics.json. Raises BallspotError where that lacks something."""
    metrics = folder.metrics()
    kept = {name: metrics.get(name) for name in MetricsPart.model_fields}
    try:
        MetricsPart.model_validate(kept)
    except ValidationError as error:
        raise folder.garbled(first_problem(error)[0]) from error
    return kept


def _head_part(bundle: Bundle, index: int) -> dict[str, Any]:
    head = bundle.heads[index]
    fps = head.description.fps
    return {
        **({} if fps is None else {"fps": str(fps)}),
        **({} if index or bundle.threshold is None else {"threshold": bundle.threshold}),
        "config": travelling_table(head.description.config),
        "dims": list(head.description.dims),
        "features_fingerprint": head.description.features_fingerprint,
        "checkpoint": bundle.checkpoint,
        "best_epoch": head.progress.best_epoch,
        "n_epochs": head.progress.n_epochs_done,
        "run_key": bundle.run_keys[index],
        "seed": bundle.seeds[index],
        "scaled": head.scaling is not None,
        "metrics": bundle.metrics[index],
    }
