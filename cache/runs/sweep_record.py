"""A sweep on disk: `sweep.json` in its folder says which settings it has and where the runs of each lie."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..disk import make_folder, read_json, write_json
from ..errors import BallspotError
from .run import RunFolder

SWEEP_FORMAT = "ballspot-sweep/1"
SWEEP_FILE = "sweep.json"
PARTS = ("train", "valid", "test")  # of a fold
SEED = re.compile(r"seed-([0-9]{1,18})(?:\.zip)?")
FOLD = re.compile(r"fold-([0-9]{1,18})")
NAME_AND_SEED = re.compile(r"(.+?)[-_ .]seed[-_]?([0-9]{1,18})(?:\.zip)?")


@dataclass(frozen=True)
class SweepSetting:
    """One setting: its name, the keys that it varies with their values, and the folders of its runs in the sweep's."""

    name: str
    varied: Mapping[str, Any]
    runs: tuple[str, ...]


@dataclass(frozen=True)
class SweepRecord:
    """What sweep.json holds; ``baseline`` is the name of the setting that the others are compared with.

    ``folds`` are the matches of each fold, by part (train, valid, test), where every setting is trained on several.
    """

    title: str
    source: str
    seeds: tuple[int, ...]
    baseline: str
    settings: tuple[SweepSetting, ...]
    folds: tuple[Mapping[str, Any], ...] = ()

    def write(self, folder: Path) -> None:
        """Writes sweep.json. Raises BallspotError where the folder holds a sweep of another title."""
        path = make_folder(folder) / SWEEP_FILE
        if path.is_file() and (there := read_sweep_record(folder)).title != self.title:
            raise BallspotError(f"{folder}: holds the sweep {there.title!r}; choose another --out")
        write_json(path, {"format": SWEEP_FORMAT, **asdict(self)})


def is_sweep(folder: Path) -> bool:
    """Whether a sweep lies in the folder."""
    return (folder / SWEEP_FILE).is_file()


def read_sweep_record(folder: Path) -> SweepRecord:
    """The sweep in ``folder``. Raises BallspotError when there is none, or none that can be read."""
    path = folder / SWEEP_FILE
    record = read_json(path)
    found = record.get("format") if isinstance(record, dict) else type(record).__name__
    if found != SWEEP_FORMAT:
        raise BallspotError(f"{path}: format {found!r} is not {SWEEP_FORMAT!r}; use the ballspot that wrote it")
    try:
        settings = tuple(
            SweepSetting(_text(one["name"]), dict(one["varied"]), tuple(map(_place, one["runs"])))
            for one in record["settings"]
        )
        title, source, baseline = (_text(record[name]) for name in ("title", "source", "baseline"))
        folds = tuple({part: tuple(map(_text, one[part])) for part in PARTS} for one in record.get("folds", []))
        return SweepRecord(title, source, tuple(map(int, record["seeds"])), baseline, settings, folds)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise BallspotError(f"{path}: lacks or garbles {error}; remove it, give the sweep's command again") from error


def expand_runs(paths: Sequence[Path]) -> list[Path]:
    """The run folders that ``paths`` mean: runs, folders of seeds (`train --seeds`), and sweeps.

    Of a sweep the finished runs, those of its baseline first, and of one on folds the seeds that are done in each; a
    run that two paths lead to once, by the first of them.
    Raises BallspotError for a sweep without any.
    """
    runs: dict[Path, Path] = {}
    for path in paths:
        for run in _finished(path) if is_sweep(path) else seed_folders(path):
            runs.setdefault(run.resolve(), run)
    return list(runs.values())


def baseline_stand_in(path: Path) -> tuple[str, str] | None:
    """The names of the baseline of the sweep at ``path`` and of the first finished setting, where these are two.

    That is where no run of the baseline is done: another setting then comes first in `expand_runs`. None for all
    other sweeps, and for what is no sweep.
    """
    if not is_sweep(path):
        return None
    record, first = read_sweep_record(path), _finished(path)[0]
    name = next(setting.name for setting in record.settings if first in [path / run for run in setting.runs])
    return None if name == record.baseline else (record.baseline, name)


def seed_folders(path: Path) -> list[Path]:
    """The run folder itself, or those of its seeds, of every fold, in order, where `train --seeds` or a sweep made it.

    Predictions of anybody may lie beside one another like that too, as folders or as `seed-N.zip`.
    """
    if (path / "run.json").is_file():
        return [path]
    folds = sorted((one for one in path.glob("fold-*") if FOLD.fullmatch(one.name)), key=lambda one: int(one.name[5:]))
    if folds:  # of one setting of a sweep
        return [seed for fold in folds for seed in seed_folders(fold) if seed != fold] or [path]
    numbered = {one: SEED.fullmatch(one.name) for one in path.glob("seed-*")}
    seeds = {one: int(found[1]) for one, found in numbered.items() if found is not None}
    return sorted(seeds, key=lambda one: (seeds[one], one.name)) or [path]


def seed_of(path: Path) -> tuple[Path, int | None]:
    """What the predictions at ``path`` are of, and which seed: of `X/seed-3`, `X/seed-3.zip` and `X_seed3.zip` X and 3.

    The path itself and None where its name tells no seed.
    """
    found = SEED.fullmatch(path.name)
    if found is not None:
        return path.parent, int(found[1])
    found = NAME_AND_SEED.fullmatch(path.name)
    return (path, None) if found is None else (path.with_name(found[1]), int(found[2]))


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError(f"the text in {str(value)[:40]!r}")
    return value


def _place(value: Any) -> str:
    """A run's place below the sweep that a file system can hold: names of at most 255 bytes, 1000 in all."""
    lengths = [len(part.encode(errors="replace")) for part in _text(value).split("/")]
    if max(lengths) > 255 or sum(lengths) > 1000:
        raise ValueError(f"the run {value[:40]!r}...")
    return value


def _finished(path: Path) -> list[Path]:
    record = read_sweep_record(path)
    ordered = sorted(record.settings, key=lambda setting: setting.name != record.baseline)
    done: list[Path] = []
    for setting in ordered:
        of_setting = [path / run for run in setting.runs]
        lacking = {run.name for run in of_setting if not RunFolder(run).is_done} if record.folds else set[str]()
        done += [run for run in of_setting if run.name not in lacking and RunFolder(run).is_done]
    if not done:
        n_runs, whole = sum(len(setting.runs) for setting in ordered), " in every fold" if record.folds else ""
        raise BallspotError(f"{path}: none of the {n_runs} runs of this sweep is done{whole}; give its command again")
    return done
