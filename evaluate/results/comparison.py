"""Runs side by side: what each scored, and only what differs in how they were made."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, baseline_stand_in, expand_runs
from ..dataset import LabelSet, label_set_of
from ..scoring import METRICS, OFFICIAL_FPS, Pool, tolerances_of
from ..uncertainty import BLOCK_S, FEW_BLOCKS, N_RESAMPLES, check_settings, draw_resamples
from .effects import Effect, effects_of
from .folds import OF_FOLDS, Fold, group_folds, open_fold, pools_of, read_folds, score_folds, unit_paths
from .scored_run import FINGERPRINT, ComparedRun, compared_run, frame_rate, run_names, with_folds
from .settings import Setting, compare_settings, group_by_setting, setting_names


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
    settings: tuple[Setting, ...] = ()
    frequent_settings: tuple[Setting, ...] = ()
    groups: tuple[tuple[int, ...], ...] = ()
    names: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = field(default=(), repr=False)

    def varied(self) -> list[dict[str, Any]]:
        """For each setting the values of the keys that settings differ in.

        Features are told by the name of their set, with their fingerprint where one name stands for several.
        """
        varied = {key: values for key, values in self.differs.items() if key not in ("seed", FINGERPRINT)}
        told = [(run.made_from["features"], run.made_from[FINGERPRINT]) for run in self.runs]
        if len(set(told)) > len({name for name, _ in told}):
            varied["features"] = tuple(f"{name} {fingerprint}" for name, fingerprint in told)
        return [{key: values[group[0]] for key, values in varied.items()} for group in self.groups]

    def effects(self) -> tuple[Effect, ...]:
        """What each of these keys does by itself, over all classes; none without intervals."""
        return effects_of(self.settings, self.varied()) if self.settings else ()

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
    split: str = "valid",
    data_root: Path | None = None,
    baseline: Path | None = None,
    min_count: int = 10,
    n_resamples: int = N_RESAMPLES,
    block_s: float = BLOCK_S,
) -> Comparison:
    """The runs at ``paths`` side by side on "valid" or "test"; `expand_runs` says what a path may be.

    ``baseline``, a run or the folder of its seeds, comes first, and others are compared with it; else the first does.
    A sweep's baseline of which no run is done is replaced by the first finished setting, which a warning tells.

    On "valid" the numbers are those that each run recorded when it was done. On "test" each run's
    ``predictions/test`` are scored now, mAP@1 at 25 frames a second, against ``data_root`` or else the data root in
    its run.json. Other feature sets, training matches or settings are listed in ``differs``; runs with other classes
    or other scored matches cannot be compared: BallspotError, as for a run that is not done or not predicted. But runs
    of one seed that differ in their matches only are the folds of one run, which is scored now on all of them.
    ``n_resamples`` draws of blocks of ``block_s`` seconds and of seeds give the intervals, 0 none.
    """
    if split not in ("valid", "test"):
        raise BallspotError(f"runs cannot be compared on split {split!r}; choose valid or test")
    check_settings(fps=OFFICIAL_FPS, block_s=block_s)
    if not paths:
        raise BallspotError("no run to compare; give the folders of two runs or more")
    first, paths = baseline or paths[0], _baseline_first(expand_runs(paths), baseline)
    opened = [open_fold(RunFolder(path), split) for path in paths]
    label_sets = [label_set_of(one.record, str(one.path / "run.json")) for one in opened]
    for one, label_set in zip(opened, label_sets, strict=True):
        if label_set.labels != label_sets[0].labels:
            raise BallspotError(
                f"{one.path}: its classes ({label_set.name}) are not those of {opened[0].path} "
                f"({label_sets[0].name}); compare runs of one label set"
            )
    label_set, units = label_sets[0], group_folds(opened, split)
    called = unit_paths(units)
    matches = list(opened[0].matches)
    if len(units) < len(opened):
        matches = sorted(name for fold in units[0] for name in fold.matches)
    runs, protocols = [], []
    for folds, name in zip(units, run_names(called), strict=True):
        run, protocol = _scored(folds, name, split, data_root, label_set, matches, min_count)
        runs.append(run)
        protocols.append(protocol)
        if protocol != protocols[0]:
            raise BallspotError(
                f"{run.path}: scored as {protocol[0]} at {protocol[1]:g} frames per second, "
                f"{runs[0].path} as {protocols[0][0]} at {protocols[0][1]:g}; compare runs scored alike"
            )
    differs = _differing([run.made_from for run in runs])
    settings, frequent = (), ()
    groups = group_by_setting([run.made_from for run in runs])
    names = setting_names(groups, called)
    pools = None
    warnings = _stand_in_warnings(first) + _warnings(differs, runs)
    if len(matches) > len(opened[0].matches):
        warnings += (f"{len(opened)} runs are the folds of {len(runs)}, each scored on the matches of all its folds",)
    if n_resamples and protocols[0][0] in METRICS:
        pools = pools_of(units, split, data_root=data_root, label_set=label_set, matches=matches, fps=protocols[0][1])
        if pools is None:
            warnings += ("no intervals: the spots or the labels of a run were not found from here; give --data",)
        elif (n_blocks := draw_resamples(pools, seed=0, n_resamples=1, block_s=block_s).blocks.size) < 2:
            warnings += (
                f"no intervals: the matches make one block of {block_s:g} s; shorter ones (--block) give more",
            )
        else:
            if n_blocks < FEW_BLOCKS:
                warnings += (f"the intervals and p-values rest on {n_blocks} blocks of {block_s:g} s: they say little",)
            settings, frequent = compare_settings(
                [run.name for run in runs],
                groups,
                pools,
                tolerances_s=tolerances_of(protocols[0][0]),
                n_resamples=n_resamples,
                block_s=block_s,
                min_counts=(0, min_count),
                called=names,
            )
            if min(map(len, groups)) < 3 and len(groups) > 1:
                warnings += ("a setting with under three seeds: its interval knows of matches, not of training",)
            if len(groups) > 2:
                warnings += (f"{len(groups) - 1} settings against the first: read the p-value after Holm's correction",)
    return Comparison(
        split=split,
        metric=protocols[0][0],
        fps=protocols[0][1],
        matches=tuple(matches),
        label_set=label_set,
        min_count=min_count,
        runs=tuple(runs),
        differs=differs,
        warnings=warnings,
        settings=settings,
        frequent_settings=frequent,
        groups=tuple(map(tuple, groups)),
        names=tuple(names),
        pools=tuple(pools or ()),
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


def _scored(
    folds: Sequence[Fold],
    name: str,
    split: str,
    data_root: Path | None,
    label_set: LabelSet,
    matches: Sequence[str],
    min_count: int,
) -> tuple[ComparedRun, tuple[str, float]]:
    """A run's numbers, and the metric and frame rate that they are of: as recorded, or those of now."""
    first, *others = folds
    if split == "valid":
        numbers = first.folder.metrics()
        protocol = (str(numbers.get("metric")), frame_rate(first.folder, numbers))
    else:
        numbers, protocol = {}, ("at1", OFFICIAL_FPS)
    if others or split == "test":
        pairing = read_folds(folds, split, data_root=data_root, label_set=label_set, matches=matches)
        numbers = score_folds(pairing, metric=protocol[0], fps=protocol[1], min_count=min_count)
    run = compared_run(first.folder, first.record, name, numbers, label_set, min_count)
    if others:
        of_others = [compared_run(one.folder, one.record, name, one.folder.metrics(), label_set, 0) for one in others]
        run = with_folds(run, of_others, OF_FOLDS)
    return run, protocol


def _differing(made_from: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    keys = dict.fromkeys(key for settings in made_from for key in settings)
    columns = {key: tuple(settings.get(key) for settings in made_from) for key in keys}
    return {key: values for key, values in columns.items() if any(value != values[0] for value in values)}


def _warnings(differs: Mapping[str, Any], runs: Sequence[ComparedRun]) -> tuple[str, ...]:
    warnings = []
    if FINGERPRINT in differs:
        warnings.append("the runs read different features: a difference may be the backbone's, not the head's")
    if "train matches" in differs or "valid matches" in differs:
        warnings.append("the runs trained or validated on different matches: their numbers are not like for like")
    if len(runs) > 1 and len({str(run.seed) for run in runs}) == 1:
        warnings.append("one seed: train each setting with three seeds or more before calling one better")
    return tuple(warnings)
