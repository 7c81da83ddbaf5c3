"""One run as comparisons show it: its name, its numbers on a split, and all that decided them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from ..cache.errors import BallspotError
from ..cache.runs import RunFolder, flatten
from .evaluation import OFFICIAL_FPS
from .labelsets import LabelSet

ABSENT = "-"
FINGERPRINT = "features fingerprint"  # among what a run was made from
COSTS = ("train_s", "peak_memory_mb", "n_parameters", "best_epoch", "n_epochs")


@dataclass(frozen=True)
class ComparedRun:
    """One run's numbers on one split; average precisions in 0..1, ``frequent_ap`` None where it is not known.

    ``cost`` is what its training took (seconds, memory, parameters), ``learning`` the validation mAP after each epoch
    that had one, ``record`` what run.json says of how it was made.
    """

    name: str
    path: Path
    seed: Any
    mean_ap: float
    headline_ap: float
    frequent_ap: float | None
    original_ap: float | None
    per_class: Mapping[str, Mapping[str, Any]]  # label -> {"ap", "n_truth"}
    made_from: Mapping[str, Any]  # flat: all that decided the result
    cost: Mapping[str, Any]
    learning: tuple[tuple[int, float], ...]
    record: Mapping[str, Any]


def compared_run(
    folder: RunFolder,
    record: Mapping[str, Any],
    name: str,
    numbers: Mapping[str, Any],
    label_set: LabelSet,
    min_count: int,
) -> ComparedRun:
    """The run whose record and metrics of the split are ``record`` and ``numbers``, by the classes of ``label_set``.

    The headline mean is taken anew from the classes: what the set leaves out of it is then the same for every run.
    Raises BallspotError naming the metrics that lack or garble a number.
    """
    trained = numbers if "train_s" in numbers else folder.metrics()
    try:
        per_class = {label: numbers["per_class"][label] for label in label_set.labels}
        frequent = [float(one["ap"]) for one in per_class.values() if one["n_truth"] >= min_count]
        return ComparedRun(
            name=name,
            path=folder.path,
            seed=record.get("seed"),
            mean_ap=float(numbers["mean_ap"]),
            headline_ap=mean(float(per_class[label]["ap"]) for label in label_set.headline_labels),
            frequent_ap=sum(frequent) / len(frequent) if frequent else None,
            original_ap=numbers.get("original_protocol", {}).get("mean_ap"),
            per_class=per_class,
            made_from=_made_from(folder, record),
            cost={key: trained.get(key) for key in COSTS},
            learning=tuple((line["epoch"], line["valid_mean_ap"]) for line in folder.log() if "valid_mean_ap" in line),
            record=record,
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BallspotError(
            f"{folder.path / 'metrics.json'}: lacks or garbles {error}; train the run again with this ballspot"
        ) from error


def frame_rate(folder: RunFolder, numbers: Mapping[str, Any]) -> float:
    """The frames per second that ``numbers`` were scored at. Raises BallspotError where they are no frame rate."""
    fps = numbers.get("fps", OFFICIAL_FPS)
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1000:
        raise BallspotError(f"{folder.path / 'metrics.json'}: fps {fps!r} is no frame rate; train the run again")
    return float(fps)


def scored_matches(folder: RunFolder, record: Mapping[str, Any], split: str) -> list[str]:
    """The names of the split's matches in a run's ``record``. Raises BallspotError where it has none."""
    splits = record.get("splits")
    names = splits.get(split) if isinstance(splits, Mapping) else None
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise BallspotError(f"{folder.path / 'run.json'}: records no {split} matches; compare it on another split")
    return [str(name) for name in names]


def run_names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with the folder above where two have one name, or whole paths where that is not enough."""
    whole = [path.resolve() for path in paths]
    for names in ([path.name for path in whole], [f"{path.parent.name}/{path.name}" for path in whole]):
        if len(set(names)) == len(names):
            return names
    return [str(path) for path in paths]


def _made_from(folder: RunFolder, record: Mapping[str, Any]) -> dict[str, Any]:
    """All that decided a run, flat: its configuration, seed, features, training matches and label shuffling."""
    features, splits = record.get("features"), record.get("splits")
    features = features if isinstance(features, Mapping) else {}
    splits = splits if isinstance(splits, Mapping) else {}
    return {
        **flatten(folder.config()),
        "seed": record.get("seed"),
        "shuffled labels": bool(record.get("shuffle_labels", False)),
        "features": Path(str(features.get("set", ABSENT))).name,
        FINGERPRINT: str(features.get("fingerprint", ABSENT))[:12],
        "train matches": list(splits.get("train", ())),
        "valid matches": list(splits.get("valid", ())),
        "version": record.get("version"),
    }
