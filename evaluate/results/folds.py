"""Runs that leave out other matches each: the folds of one, which is scored on the matches of all of them together."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...cache.errors import BallspotError
from ...cache.runs import FOLD, RunFolder, data_of_run
from ..dataset import SPOTS_FILE, DataSelection, LabelSet
from ..scoring import Pairing, Pool, joined, read_pairing
from .scored_run import first_distinct, made_by_anybody, made_from, scored_matches

OF_FOLDS = ("train matches", "valid matches")


@dataclass(frozen=True)
class Fold:
    """A run's folder and record, all that decided it, and the matches of the split that it is scored on.

    Predictions of anybody take part as one, of which only ``predictions``, their folder or zip file, is known: its
    record is then that of the run beside which they are scored, and ``beside`` that run's folder, None without one.
    """

    folder: RunFolder
    record: Mapping[str, Any]
    made_from: Mapping[str, Any]
    matches: tuple[str, ...]
    predictions: Path | None = None
    beside: Path | None = None

    @property
    def path(self) -> Path:
        """The run's folder, or the place of the predictions."""
        return self.folder.path

    @property
    def is_run(self) -> bool:
        """Whether it is known how the predictions were made."""
        return self.predictions is None

    @property
    def n_folds(self) -> int:
        """Of how many folds a run is one, 0 where it is none and of predictions of anybody."""
        splits = self.record.get("splits") if self.is_run else None
        n_folds = splits.get("n_folds") if isinstance(splits, Mapping) else None
        return n_folds if isinstance(n_folds, int) else 0


def open_fold(folder: RunFolder, split: str) -> Fold:
    """The run in ``folder``. Raises BallspotError where it records no matches of the split."""
    record = folder.record()
    return Fold(folder, record, made_from(folder, record), tuple(scored_matches(folder, record, split)))


def open_folds(paths: Sequence[Path], split: str, data: DataSelection | None) -> list[Fold]:
    """What is compared: runs, and predictions of anybody, which are scored on the matches of the first run.

    Without a run they are scored on the split of ``data``, by the classes of its label set. Raises BallspotError where
    there is neither, and for a run on all matches: it was trained on some of them.
    """
    runs = {path: open_fold(RunFolder(path), split) for path in paths if not is_of_anybody(path)}
    first = next(iter(runs.values()), None)
    if first is not None:
        record, matches = first.record, tuple(dict.fromkeys(name for run in runs.values() for name in run.matches))
    elif data is None:
        raise BallspotError(
            f"{paths[0]}: is not a run, and no run is beside it; give --data, the data root of its matches"
        )
    else:
        record = {"label_set": data.label_set.as_record()}
        matches = data.labelled() if split == "all" else _matches_of(data, split)
    beside = None if first is None else first.path
    return [
        runs[path] if path in runs else Fold(RunFolder(path), record, made_by_anybody(path), matches, path, beside)
        for path in paths
    ]


def _matches_of(data: DataSelection, split: str) -> tuple[str, ...]:
    _ = data.splits.part(split)  # complains where it has none
    return data.splits.by_match[split]


def is_of_anybody(path: Path) -> bool:
    """Whether this is a folder or a zip file of predictions, and no run or folder of runs."""
    is_folder = path.is_dir() and any(path.rglob(SPOTS_FILE)) and not any(path.rglob("run.json"))
    return path.is_file() or is_folder


def group_folds(runs: Sequence[Fold], split: str) -> list[tuple[Fold, ...]]:
    """The runs, each by itself where all are scored on the same matches, else with the other folds of the same run.

    Folds of one are runs of one seed that differ in nothing but their matches. Raises BallspotError where two of them
    are scored on one match, and where the groups are not scored on the same matches either.
    """
    if all(set(run.matches) == set(runs[0].matches) for run in runs):
        return [(run,) for run in runs]
    groups: dict[str, list[Fold]] = {}
    for run in runs:
        rest = {key: value for key, value in run.made_from.items() if key not in OF_FOLDS}
        groups.setdefault(json.dumps(rest, sort_keys=True, default=str), []).append(run)
    wanted: set[str] = set()
    for folds in groups.values():
        scored: dict[str, Fold] = {}
        for fold in folds:
            for name in fold.matches:
                if name in scored:
                    raise BallspotError(
                        f"{fold.path}: its {split} match {name} is also one of {scored[name].path}, a fold of the same "
                        "run; leave one of them out"
                    )
                scored[name] = fold
        wanted = wanted or set(scored)
        if set(scored) != wanted:
            raise _other_matches(folds, [*scored], runs[0], wanted, split)
    return [tuple(folds) for folds in groups.values()]


def is_fold(path: Path) -> bool:
    """Whether this is a run that holds out a fold of the matches, which it predicted as its test matches."""
    if is_of_anybody(path):
        return False
    folder = RunFolder(path)
    return bool(Fold(folder, folder.record(), {}, ()).n_folds)


def unit_paths(units: Sequence[Sequence[Fold]]) -> list[Path]:
    """What runs are called by: their paths, of several folds the first one's, its name without what only that has.

    ``OUT/kind=tcn,leave_out=a/seed-0`` and the same with b are ``OUT/kind=tcn/seed-0``, and so are
    ``OUT/kind=tcn/fold-1/seed-0`` and the same of fold 2. Where two would be called alike, all are called by the first
    folds' whole paths.
    """
    paths = [_common_path([fold.path for fold in folds]) for folds in units]
    return first_distinct(paths, [folds[0].path for folds in units])


@dataclass(frozen=True)
class EvaluationSet:
    """The matches of a split that runs are compared on, in their order, and the classes of their labels.

    The labels are those below ``data_root``, None below the data root that each run was trained on.
    """

    split: str
    label_set: LabelSet
    matches: tuple[str, ...]
    data_root: Path | None

    def read(self, folds: Sequence[Fold]) -> Pairing:
        """The spots of a run, of all its folds, beside the labels.

        A run by itself has the matches in their order, those of folds are in the order of their names. Raises
        BallspotError where there are no predictions of the split, or no data root.
        """
        pairings = []
        for fold in folds:
            spots = self._spots(fold)
            if not spots.is_dir() and fold.is_run:
                raise BallspotError(
                    f"{spots}: no {self.split} predictions; run `ballspot predict {fold.path} ...` first"
                )
            root = self._root(fold)
            names = self.matches if len(folds) == 1 else fold.matches
            pairings.append(read_pairing(spots, DataSelection(root, self.label_set), names))
        return joined(pairings)

    def pools(self, runs: Sequence[Sequence[Fold]], fps: float) -> list[Pool] | None:
        """Each run's spots beside the labels; None when one has no spots of the split or no labels."""
        pools = []
        for folds in runs:
            try:
                places = [path for fold in folds for path in (self._spots(fold), self._root(fold))]
            except BallspotError:  # whose data root is not found
                return None
            if not all(path.exists() for path in places):
                return None
            pools.append(self.read(folds).pool(fps))
        return pools

    def _spots(self, fold: Fold) -> Path:
        return fold.predictions or fold.path / "predictions" / self.split

    def _root(self, fold: Fold) -> Path:
        return self.data_root or data_of_run(fold.beside or fold.path, fold.record)


def _other_matches(
    folds: Sequence[Fold], names: Sequence[str], first: Fold, wanted: set[str], split: str
) -> BallspotError:
    more = f" and {len(folds) - 1} more" if len(folds) > 1 else ""
    return BallspotError(
        f"{folds[0].path}{more}: its {split} matches ({', '.join(names)}) are not those of {first.path} "
        f"({', '.join(sorted(wanted))}); compare runs of one split, or of which every fold is done"
    )


def _common_path(paths: Sequence[Path]) -> Path:
    path, *others = paths
    if not others:
        return path
    with_seed = path.name.startswith("seed-")
    if with_seed and all(FOLD.fullmatch(fold.parent.name) for fold in paths):
        return path.parent.parent / path.name
    names = [(fold.parent if with_seed else fold).name.split(",") for fold in paths]
    common = [part for part in names[0] if all(part in other for other in names)]
    name = ",".join(common) or f"{','.join(names[0])} and {len(others)} more"
    return path.parent.with_name(name) / path.name if with_seed else path.with_name(name)
