"""Runs side by side: what each scored, and only what differs in how they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...cache.disk import nearest_name
from ...cache.errors import BallspotError
from ...cache.runs import baseline_stand_in, expand_runs
from ..dataset import DataSelection, LabelSet, label_set_of
from ..scoring import METRIC, METRICS, OFFICIAL_FPS, Pool, Protocol
from ..uncertainty import BOOTSTRAP, FEW_BLOCKS, LEAST_BLOCKS, Bootstrap, no_intervals
from .effects import Effect, effects_of
from .evaluation import evaluate_pairing
from .folds import OF_FOLDS, EvaluationSet, Fold, group_folds, is_fold, is_of_anybody, open_folds, unit_paths
from .scored_run import (
    ABSENT,
    FINGERPRINT,
    ComparedRun,
    compared_run,
    frame_rate,
    run_names,
    scored_predictions,
    with_folds,
)
from .settings import ComparedSetting, compare_settings, group_by_setting, setting_names


@dataclass(frozen=True)
class Comparison:
    """Runs that were scored in the same way on the same matches; ``differs`` maps a setting to its value in each run.

    ``warnings`` says what a reader must know before calling one run better than another. ``settings`` are the runs
    grouped by what made them but for the seed, with intervals; none where the spots or labels are not at hand.
    ``frequent_settings`` are the same by the mean over the classes with ``min_count`` truths, which no single event
    of a rare class can move. ``groups`` are the places of each setting's runs and ``names`` what the settings are
    called, with and without intervals; ``pools`` the runs' spots beside the labels, where there are intervals.
    """

    split: str
    metric: str
    fps: float
    matches: tuple[str, ...]
    label_set: LabelSet
    min_count: int
    runs: tuple[ComparedRun, ...]
    differs: Mapping[str, tuple[Any, ...]]
    warnings: tuple[str, ...]
    settings: tuple[ComparedSetting, ...] = ()
    frequent_settings: tuple[ComparedSetting, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    names: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = field(default=(), repr=False)

    @property
    def part(self) -> str:
        """The matches that are compared, in words: those of the split, or those that every fold holds out."""
        splits = [record.get("splits", {}) for run in self.runs for record in run.records]
        is_of_folds = self.split == "test" and bool(splits) and all(one.get("n_folds") for one in splits)
        return "out of fold" if is_of_folds else self.split

    @property
    def n_truths(self) -> list[int]:
        """How many truths each class has, in the order of the label set."""
        return [int(self.runs[0].per_class[label]["n_truth"]) for label in self.label_set.labels]

    def only(self, names: Sequence[str]) -> "Comparison":
        """The comparison with the baseline and these settings or runs alone, in their old order.

        Raises BallspotError for a name that is neither.
        """
        known = [
            {name, *(self.runs[run].name for run in group)} for name, group in zip(self.names, self.groups, strict=True)
        ]
        for name in names:
            if not any(name in of_setting for of_setting in known):
                near = nearest_name(name, self.names)
                hint = f"did you mean {near!r}?" if near else f"there are {', '.join(self.names)}"
                raise BallspotError(f"--only {name}: no setting of that name; {hint}")
        kept = [place for place, of_setting in enumerate(known) if not place or of_setting & set(names)]
        runs = sorted(run for place in kept for run in self.groups[place])
        differs = {key: tuple(values[run] for run in runs) for key, values in self.differs.items()}
        return replace(
            self,
            runs=tuple(self.runs[run] for run in runs),
            differs={key: values for key, values in differs.items() if any(value != values[0] for value in values)},
            settings=tuple(self.settings[place] for place in kept if self.settings),
            frequent_settings=tuple(self.frequent_settings[place] for place in kept if self.frequent_settings),
            groups=tuple(tuple(runs.index(run) for run in self.groups[place]) for place in kept),
            names=tuple(self.names[place] for place in kept),
            pools=tuple(self.pools[run] for run in runs if self.pools),
        )

    def varied(self) -> list[dict[str, Any]]:
        """For each setting the values of the keys that settings differ in.

        Features are told by the name of their set, with their fingerprint where one name stands for several.
        """
        varied = {key: values for key, values in self.differs.items() if key not in ("seed", FINGERPRINT)}
        if "train_matches" in varied and len({str(names) for names in varied.get("train matches", ()) if names}) == 1:
            del varied["train matches"]  # of runs that train on all that others draw from
        told = [(run.made_from.get("features", ABSENT), run.made_from.get(FINGERPRINT, ABSENT)) for run in self.runs]
        if len(set(told)) > len({name for name, _ in told}):
            varied["features"] = tuple(f"{name} {fingerprint}" for name, fingerprint in told)
        return [{key: values[group[0]] for key, values in varied.items()} for group in self.groups]

    def effects(self) -> tuple[Effect, ...]:
        """What each of these keys does by itself, over all classes; none without intervals."""
        known = [
            (one, keys) for one, keys in zip(self.settings, self.varied(), strict=False) if ABSENT not in keys.values()
        ]
        return effects_of([one for one, _ in known], [keys for _, keys in known]) if known else ()

    def as_record(self) -> dict[str, Any]:
        """The comparison as one JSON object."""
        return {
            "split": self.split,
            "metric": self.metric,
            "fps": self.fps,
            "label_set": self.label_set.name,
            "matches": list(self.matches),
            "min_count": self.min_count,
            "runs": [
                {
                    "name": run.name,
                    "path": str(run.path),
                    "seed": run.seed,
                    "mean_ap": run.mean_ap,
                    "headline_ap": run.headline_ap,
                    "frequent_ap": run.frequent_ap,
                    "original_protocol_ap": run.original_ap,
                    **({} if run.macro_f1 is None else {"macro_f1_without_players": run.macro_f1}),
                    "cost": dict(run.cost),
                    "per_class": {label: dict(numbers) for label, numbers in run.per_class.items()},
                }
                for run in self.runs
            ],
            "differs": {key: list(values) for key, values in self.differs.items()},
            "settings": [setting.as_record() for setting in self.settings],
            "frequent_settings": [setting.as_record() for setting in self.frequent_settings],
            "effects": [effect.as_record() for effect in self.effects()],
            "warnings": list(self.warnings),
        }


def compare_runs(
    paths: Sequence[Path],
    *,
    split: str | None = None,
    data: DataSelection | None = None,
    baseline: Path | None = None,
    min_count: int = 10,
    bootstrap: Bootstrap = BOOTSTRAP,
) -> Comparison:
    """The runs at ``paths`` side by side on "valid" or "test"; `expand_runs` says what a path may be.

    Predictions of anybody, a folder or a zip file, stand beside runs and are scored now on the same matches; those that
    differ in their seed alone (`seed_of`) are seeds of one setting. Without any run they are scored on ``split`` of
    ``data``, None for all its matches with labels, by the classes of its label set.

    ``baseline``, a run or the folder of its seeds, comes first, and others are compared with it; else the first does.
    A sweep's baseline of which no run is done is replaced by the first finished setting, which a warning tells.

    Runs that each hold out a fold of the matches are compared on "test", the matches that each did not see, unless
    ``split`` is given. On "valid" the numbers are those that each run recorded when it was done. On "test" each run's
    ``predictions/test`` are scored now, mAP@1 at 25 frames a second, against the labels of ``data`` or else of the data
    root in its run.json. Other feature sets, training matches or settings are listed in ``differs``; runs with other
    classes or other scored matches cannot be compared: BallspotError, as for a run that is not done or not predicted.
    But runs of one seed that differ in their matches only are the folds of one run, which is scored now on all of them.
    ``bootstrap`` draws blocks and seeds for the intervals.
    """
    if not paths:
        raise BallspotError("no run to compare; give the folders of two runs or more")
    first, paths = baseline or paths[0], _baseline_first(expand_runs(paths), baseline)
    has_runs = not all(map(is_of_anybody, paths))
    split = split or _usual_split(paths, has_runs)
    if split not in ("valid", "test") and (has_runs or split != "all"):
        raise BallspotError(f"runs cannot be compared on split {split!r}; choose valid or test")
    opened = open_folds(paths, split, data)
    label_set, units = _label_set(opened), group_folds(opened, split)
    matches = opened[0].matches
    if len(units) < len(opened):
        matches = tuple(sorted(name for fold in units[0] for name in fold.matches))
    evaluated = EvaluationSet(split, label_set, matches, None if data is None else data.data_root)
    runs, metric, fps = _score_all(units, evaluated, min_count)
    differs = _differing([run.made_from for run in runs])
    groups = group_by_setting([run.made_from for run in runs])
    warnings = [*_stand_in_warnings(first), *_warnings(differs, runs), *_fold_warnings(units)]
    comparison = Comparison(
        split=split,
        metric=metric,
        fps=fps,
        matches=matches,
        label_set=label_set,
        min_count=min_count,
        runs=runs,
        differs=differs,
        warnings=tuple(warnings),
        groups=tuple(map(tuple, groups)),
        names=tuple(setting_names(groups, unit_paths(units))),
    )
    if not bootstrap.n_resamples or metric not in METRICS:
        return comparison
    return _with_intervals(comparison, evaluated.pools(units, fps), bootstrap)


def _usual_split(paths: Sequence[Path], has_runs: bool) -> str:
    """The split where none is named: of folds the matches that each holds out, of other runs those that validate."""
    if not has_runs:
        return "all"
    return "test" if all(is_of_anybody(path) or is_fold(path) for path in paths) else "valid"


def _fold_warnings(units: Sequence[Sequence[Fold]]) -> list[str]:
    n_folds, warnings = sum(map(len, units)), []
    if n_folds > len(units):
        warnings.append(f"{n_folds} runs are the folds of {len(units)}, each scored on the matches of all its folds")
    for here, dealt in sorted({(len(unit), unit[0].n_folds) for unit in units}):
        if here < dealt:
            warnings.append(f"{here} of {dealt} folds alone: what the others hold out is not in the numbers")
    return warnings


def _label_set(runs: Sequence[Fold]) -> LabelSet:
    """The label set of all ``runs``. Raises BallspotError where one has other classes."""
    first, *others = (label_set_of(run.record, str(run.path / "run.json")) for run in runs)
    for run, label_set in zip(runs[1:], others, strict=True):
        if label_set.labels != first.labels:
            raise BallspotError(
                f"{run.path}: its classes ({label_set.name}) are not those of {runs[0].path} ({first.name}); compare "
                "runs of one label set"
            )
    return first


def _score_all(
    units: Sequence[Sequence[Fold]], evaluated: EvaluationSet, min_count: int
) -> tuple[tuple[ComparedRun, ...], str, float]:
    """Every run's numbers, and the metric and frame rate of all. Raises BallspotError where these are not alike."""
    names = run_names(unit_paths(units))
    runs, (metric, fps) = [], (METRIC, OFFICIAL_FPS)
    for folds, name in zip(units, names, strict=True):
        run, scored_as = _score(folds, name, evaluated, min_count)
        if not runs:
            metric, fps = scored_as
        runs.append(run)
        if scored_as != (metric, fps):
            raise BallspotError(
                f"{run.path}: scored as {scored_as[0]} at {scored_as[1]:g} frames per second, "
                f"{runs[0].path} as {metric} at {fps:g}; compare runs scored alike"
            )
    return tuple(runs), metric, fps


def _score(
    folds: Sequence[Fold], name: str, evaluated: EvaluationSet, min_count: int
) -> tuple[ComparedRun, tuple[str, float]]:
    """A run's numbers, and the metric and frame rate that they are of: as recorded, or those of now."""
    first, *others = folds
    numbers, scored_as = {}, (METRIC, OFFICIAL_FPS)
    if evaluated.split == "valid" and first.is_run:
        numbers = first.folder.metrics()
        scored_as = (str(numbers.get("metric")), frame_rate(first.folder, numbers))
    if others or evaluated.split == "test" or not first.is_run:
        pairing = evaluated.read(folds)
        scored = evaluate_pairing(pairing, protocol=Protocol(*scored_as), bootstrap=Bootstrap(n_resamples=0))
        numbers = scored.as_record(min_count=min_count)
    label_set = evaluated.label_set
    if not first.is_run:
        return scored_predictions(first.path, name, numbers, label_set, min_count), scored_as
    run = compared_run(first.folder, first.record, name, numbers, label_set, min_count)
    if others:
        of_others = [
            compared_run(fold.folder, fold.record, name, fold.folder.metrics(), label_set, 0) for fold in others
        ]
        run = with_folds(run, of_others, OF_FOLDS)
    return run, scored_as


def _with_intervals(comparison: Comparison, pools: Sequence[Pool] | None, bootstrap: Bootstrap) -> Comparison:
    """The comparison with its settings drawn again, or with a warning that says why they cannot be."""
    block_s, groups, warnings = bootstrap.block_s, comparison.groups, list(comparison.warnings)
    if pools is None:
        why = "no intervals: the spots or the labels of a run were not found from here; give --data"
        return replace(comparison, warnings=(*warnings, why))
    n_blocks = bootstrap.blocks(pools).size
    if n_blocks < LEAST_BLOCKS:
        warnings.append(no_intervals(n_blocks, block_s))
    elif n_blocks < FEW_BLOCKS:
        warnings.append(f"the intervals and p-values rest on {n_blocks} blocks of {block_s:g} s: they say little")
    if min(map(len, groups)) < 3 and len(groups) > 1:
        warnings.append("a setting with under three seeds: its interval knows of matches, not of training")
    if len(groups) > 2:
        warnings.append(f"{len(groups) - 1} settings against the first: read the p-value after Holm's correction")
    settings, frequent = compare_settings(
        [run.name for run in comparison.runs],
        groups,
        pools,
        tolerances_s=METRICS[comparison.metric],
        bootstrap=bootstrap,
        min_counts=(0, comparison.min_count),
        called=comparison.names,
    )
    return replace(
        comparison, settings=settings, frequent_settings=frequent, pools=tuple(pools), warnings=tuple(warnings)
    )


def _baseline_first(paths: Sequence[Path], baseline: Path | None) -> list[Path]:
    if baseline is None:
        return list(paths)
    wanted = {path.resolve() for path in expand_runs([baseline])}
    first = [path for path in paths if path.resolve() in wanted]
    if not first:
        raise BallspotError(f"--baseline {baseline}: is none of the runs that are compared; name one of them")
    return [*first, *(path for path in paths if path.resolve() not in wanted)]


def _stand_in_warnings(first: Path) -> tuple[str, ...]:
    """What to say where ``first``, the path that holds the baseline, is a sweep whose own is not done."""
    stand_in = baseline_stand_in(first)
    if stand_in is None:
        return ()
    missing, name = stand_in
    return (
        f"no run of {missing!r}, the baseline of {first}, is done: {name!r} stands in its place; give the sweep's "
        "command again, or choose another with --baseline",
    )


def _differing(made_from: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """The settings that are not the same in all runs; predictions of anybody, which say none, have "-" there."""
    known = [settings for settings in made_from if FINGERPRINT in settings]
    keys = dict.fromkeys(key for settings in known for key in settings)
    differing = [key for key in keys if any(settings.get(key) != known[0].get(key) for settings in known)]
    return {
        key: tuple(settings.get(key) if FINGERPRINT in settings else ABSENT for settings in made_from)
        for key in differing
    }


def _warnings(differs: Mapping[str, Any], runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    warnings = []
    if FINGERPRINT in differs:
        warnings.append("the runs read different features: a difference may be the backbone's, not the head's")
    if "train matches" in differs or "valid matches" in differs:
        warnings.append("the runs trained or validated on different matches: their numbers are not like for like")
    if len(runs) > 1 and len({str(run.seed) for run in runs}) == 1:
        warnings.append("one seed: train each setting with three seeds or more before calling one better")
    return tuple(warnings)
