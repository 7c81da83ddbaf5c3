"""One run as comparisons show it: its name, its numbers on a split, and all that decided them."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, TypeVar

from ...cache.code import shown
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, flatten, seed_of
from ..dataset import LabelSet
from ..scoring import OFFICIAL_FPS

Name = TypeVar("Name", bound=Hashable)

ABSENT = "-"
FINGERPRINT = "features fingerprint"  # among what a run was made from
COSTS = ("train_s", "peak_memory_mb", "n_parameters", "best_epoch", "n_epochs")
TOGETHER: Mapping[str, Callable[[list[float]], float]] = {"train_s": sum, "peak_memory_mb": max}  # costs of folds


def made_from(folder: RunFolder, record: Mapping[str, Any]) -> dict[str, Any]:
    """All that decided a run, flat: its configuration, seed, features, training matches and label shuffling.

    Training matches that the seed drew are told by their number: seeds of one setting have others each.
    Raises BallspotError where the record's matches are no lists.
    """
    features, splits = record.get("features"), record.get("splits")
    features = features if isinstance(features, Mapping) else {}
    splits = splits if isinstance(splits, Mapping) else {}
    matches = {part: splits.get(part, []) for part in ("train", "valid")}
    for part, names in matches.items():
        if not isinstance(names, list):
            raise BallspotError(
                f"{folder.path / 'run.json'}: its {part} matches are {names!r}, no list; train the run again"
            )
    if "train_matches" in splits:
        del matches["train"]
    return {
        **{key: shown(value) if isinstance(value, str) else value for key, value in flatten(folder.config()).items()},
        "seed": record.get("seed"),
        "shuffled labels": bool(record.get("shuffle_labels", False)),
        "features": Path(str(features.get("set", ABSENT))).name,
        FINGERPRINT: str(features.get("fingerprint", ABSENT))[:12],
        **{f"{part} matches": names for part, names in matches.items()},
        **({"train_matches": splits["train_matches"]} if "train_matches" in splits else {}),
        "version": record.get("version"),
    }


MOST_PARTS = 4  # of a path in a name


@dataclass(frozen=True)
class ComparedRun:
    """One run's numbers on one split; average precisions in 0..1, ``frequent_ap`` None where it is not known, and
    ``macro_f1`` for other classes than those of the player-centric task, of which it is the score without players.

    ``cost`` is what its training took (seconds, memory, parameters), ``learning`` the validation mAP after each epoch
    that had one, ``records`` what run.json says of how it was made, of every fold where it has several.
    """

    name: str
    path: Path
    seed: Any
    mean_ap: float
    headline_ap: float
    frequent_ap: float | None
    original_ap: float | None
    macro_f1: float | None
    per_class: Mapping[str, Mapping[str, Any]]  # label -> {"ap", "n_truth"}
    made_from: Mapping[str, Any]  # flat: all that decided the result
    cost: Mapping[str, Any]
    learning: tuple[tuple[int, float], ...]
    records: tuple[Mapping[str, Any], ...]


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
        return replace(
            _scored(folder.path, name, numbers, label_set, min_count),
            seed=record.get("seed"),
            made_from=made_from(folder, record),
            cost={key: trained.get(key) for key in COSTS},
            learning=tuple((line["epoch"], line["valid_mean_ap"]) for line in folder.log() if "valid_mean_ap" in line),
            records=(record,),
        )
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        raise BallspotError(
            f"{folder.path / 'metrics.json'}: lacks or garbles {error}; train the run again with this ballspot"
        ) from error


def scored_predictions(
    path: Path, name: str, numbers: Mapping[str, Any], label_set: LabelSet, min_count: int
) -> ComparedRun:
    """Predictions of anybody as a run of which nothing is known but what they score and, maybe, their seed."""
    made = made_by_anybody(path)
    return replace(_scored(path, name, numbers, label_set, min_count), seed=made.get("seed"), made_from=made)


def made_by_anybody(path: Path) -> dict[str, Any]:
    """What tells predictions of anybody from others: those that differ in their seed alone are one setting."""
    of, seed = seed_of(path)
    return {"predictions": str(of)} if seed is None else {"predictions": str(of), "seed": seed}


def _scored(path: Path, name: str, numbers: Mapping[str, Any], label_set: LabelSet, min_count: int) -> ComparedRun:
    per_class = {label: numbers["per_class"][label] for label in label_set.labels}
    frequent = [float(row["ap"]) for row in per_class.values() if row["n_truth"] >= min_count]
    return ComparedRun(
        name=name,
        path=path,
        seed=None,
        mean_ap=float(numbers["mean_ap"]),
        headline_ap=mean(float(per_class[label]["ap"]) for label in label_set.headline_labels),
        frequent_ap=sum(frequent) / len(frequent) if frequent else None,
        original_ap=numbers.get("original_protocol", {}).get("mean_ap"),
        macro_f1=numbers.get("f1_without_players", {}).get("macro_f1"),
        per_class=per_class,
        made_from={},
        cost=dict.fromkeys(COSTS),
        learning=(),
        records=(),
    )


def with_folds(run: ComparedRun, others: Sequence[ComparedRun], left_out: Sequence[str]) -> ComparedRun:
    """A run that has further folds, its numbers being those of all: their cost together, every fold's learning curve.

    ``left_out`` are the keys of what made them that every fold has its own value of.
    """
    every = [run, *others]
    costs = {key: [fold.cost.get(key) for fold in every] for key in COSTS}
    cost = {key: values[0] if all(value == values[0] for value in values) else None for key, values in costs.items()}
    for key, together in TOGETHER.items():
        numbers = [float(value) for value in costs[key] if isinstance(value, (int, float))]
        cost[key] = together(numbers) if len(numbers) == len(every) else None
    return replace(
        run,
        made_from={key: value for key, value in run.made_from.items() if key not in left_out},
        cost=cost,
        learning=tuple(point for fold in every for point in fold.learning),
        records=tuple(record for fold in every for record in fold.records),
    )


def frame_rate(folder: RunFolder, numbers: Mapping[str, Any]) -> float:
    """The frames per second that ``numbers`` were scored at. Raises BallspotError where they are no frame rate."""
    fps = numbers.get("fps", OFFICIAL_FPS)
    if isinstance(fps, bool) or not isinstance(fps, (int, float)) or not 0 < fps < 1000:
        raise BallspotError(f"{folder.path / 'metrics.json'}: fps {fps!r} is not a frame rate; train the run again")
    return float(fps)


def scored_matches(folder: RunFolder, record: Mapping[str, Any], split: str) -> list[str]:
    """The names of the split's matches in a run's ``record``. Raises BallspotError where it has none."""
    splits = record.get("splits")
    names = splits.get(split) if isinstance(splits, Mapping) else None
    if not isinstance(names, Sequence) or isinstance(names, str) or not names:
        raise BallspotError(f"{folder.path / 'run.json'}: records no {split} matches; compare it on another split")
    return [str(name) for name in names]


def run_names(paths: Sequence[Path]) -> list[str]:
    """The folders' names, with as many folders above as it takes to tell them apart, or else the whole paths."""
    return first_distinct(*tails(paths), [str(path) for path in paths])


def tails(paths: Sequence[Path]) -> list[list[str]]:
    """The last part of each path, the last two, and so on."""
    whole = [path.resolve().parts[1:] for path in paths]
    return [["/".join(parts[-n:]) for parts in whole] for n in range(1, MOST_PARTS + 1)]


def first_distinct(*candidates: list[Name]) -> list[Name]:
    """The first list of names in which no two are alike, else the last list."""
    return next((names for names in candidates if len(set(names)) == len(names)), candidates[-1])


def learning_curve(runs: Sequence[ComparedRun]) -> tuple[list[int], list[float], list[float], list[float]]:
    """The epochs after which the runs were validated, and after each their mean mAP in %, the least and the most."""
    by_epoch: dict[int, list[float]] = {}
    for run in runs:
        for epoch, value in run.learning:
            by_epoch.setdefault(epoch, []).append(100 * value)
    epochs = sorted(by_epoch)
    middle, low, high = ([how(by_epoch[epoch]) for epoch in epochs] for how in (mean, min, max))
    return epochs, middle, low, high
