"""A sweep: one TOML file that says what varies, and the runs that follow from it.

::

    preset = "original"
    seeds = 3                        # or a list: [0, 7, 8]

    [set]                            # laid over every run
    n_epochs = 10

    [axes]                           # every combination of these
    warmup_epochs = [5, 3]
    temporal_stride = [1, 2]

    [[together]]                     # one more axis, whose keys change together
    learning_rate = [1e-4, 1e-4, 5e-5]
    offset_weight = [0.1, 0.3, 0.1]

    [[cases]]                        # one more axis, of whole cases
    kind = "tcn"
    [[cases]]
    kind = "transformer"
    n_layers = 2

    [[when]]                         # conditions, in order
    if = { temporal_stride = 1 }
    set = { offsets = false }        # or: skip = true

    [baseline]                       # what `ballspot compare` sets the others against; else the first setting
    temporal_stride = 2

A key is any configuration key, dotted or its leaf, or `preset`, `features` (a folder, or a list of folders that are
read side by side, from the folder that holds the file) or `leave_out` (a match; the word "each" alone stands for all
of them).
"""

import json
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import sha256
from itertools import product
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ..cache.errors import BallspotError
from ..cache.runs import flatten
from ..evaluate.labelsets import nearest_name
from .config import Config
from .configuration import PLACES, as_table, load_config

PRESET, FEATURES, LEAVE_OUT = "preset", "features", "leave_out"
RUN_KEYS = (PRESET, FEATURES, LEAVE_OUT)  # keys of a sweep that are no configuration keys
EACH = "each"
LONGEST_NAME = 120
Table = dict[str, Any]


class Condition(BaseModel):
    """Where every key of ``where`` has its value, ``set`` is laid over the run, or it is left out (``skip``)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    where: Table = Field(alias="if", min_length=1)
    set: Table = {}
    skip: bool = False


class SweepFile(BaseModel):
    """What a sweep file holds; unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str = ""
    preset: str = "best"
    features: str | tuple[str, ...] = ()
    leave_out: str | None = None
    seeds: int | tuple[int, ...] = 3
    set: Table = {}
    axes: dict[str, list[Any]] = {}
    together: tuple[dict[str, list[Any]], ...] = ()
    cases: tuple[Table, ...] = ()
    when: tuple[Condition, ...] = ()
    baseline: Table = {}

    @property
    def seed_numbers(self) -> tuple[int, ...]:
        """The seeds, counted up from 0 where only their number is given."""
        return tuple(range(self.seeds)) if isinstance(self.seeds, int) else self.seeds


@dataclass(frozen=True)
class Setting:
    """One point of the sweep: what it varies, and all that a run of it needs but a seed.

    ``varied`` maps the keys that are not alike in all settings to this setting's values; ``name`` spells them as a
    folder's name. ``features`` are folders that are read side by side, empty for those of the command line.
    """

    name: str
    varied: Mapping[str, Any]
    config: Config
    features: tuple[Path, ...]
    leave_out: str | None


@dataclass(frozen=True)
class Sweep:
    """The settings of a sweep file in its order, their seeds, and the place of the baseline among them."""

    title: str
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    baseline: int


def read_sweep(path: Path, *, settings: Sequence[str] = (), matches: Sequence[str] = ()) -> Sweep:
    """The sweep that a file describes; ``settings`` (``key=value``) are laid over every run, last.

    ``matches`` are the names that `leave_out = "each"` stands for. Settings that come out alike are one. Raises
    BallspotError, naming the file and the key, for what is unknown or out of range, and where nothing is left to run.
    """
    file = _read(path)
    points = list(_points(file, path, matches))
    common = {key for key in points[0] if all(key in other and other[key] == points[0][key] for other in points)}
    found: dict[str, Setting] = {}
    for point in points:
        setting = _setting(file, path, point, settings, common)
        alike = json.dumps([as_table(setting.config), [str(one) for one in setting.features], setting.leave_out])
        found.setdefault(alike, setting)
    names: dict[str, Setting] = {}
    for setting in found.values():
        if setting.name.lower() in names:  # some file systems know no capitals
            raise BallspotError(f"{path}: two settings are called {setting.name!r}; make their values differ")
        names[setting.name.lower()] = setting
    chosen = tuple(found.values())
    return Sweep(file.title or path.stem, chosen, file.seed_numbers, _baseline(file, path, chosen))


def _read(path: Path) -> SweepFile:
    try:
        file = SweepFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise BallspotError(
            f"{path}: no such sweep file; `ballspot sweep --list` names those that are shipped"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            near = nearest_name(place, SweepFile.model_fields)
            known = ", ".join(SweepFile.model_fields)
            message = f"unknown key; did you mean {near!r}?" if near else f"unknown key; known are {known}"
        raise BallspotError(f"{path}: {place}: {message}; see docs/sweeps.md") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BallspotError(f"{path}: is no readable TOML ({error}); see docs/sweeps.md") from error
    seeds = file.seed_numbers
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise BallspotError(
            f"{path}: seeds {file.seeds!r}: give a number of seeds from 1 on, or a list of different ones"
        )
    for key, values in file.axes.items():
        if not values:
            raise BallspotError(f"{path}: axes.{key} is empty; give it a value")
    for place, group in enumerate(file.together, start=1):
        lengths = {key: len(values) for key, values in group.items()}
        if len(set(lengths.values())) != 1 or 0 in lengths.values():
            raise BallspotError(
                f"{path}: together, table {place}: lists of different length {lengths}; pair their values"
            )
    for condition in file.when:
        if condition.skip == bool(condition.set):
            raise BallspotError(f"{path}: when {condition.where}: give either set or skip = true")
    return file


def _points(file: SweepFile, path: Path, matches: Sequence[str]) -> Iterator[Table]:
    """The values of every setting under whole keys, conditions applied. At least one, else BallspotError."""
    base: Table = {PRESET: file.preset, **_whole_keys(file.set, path)}
    if file.features:
        base[FEATURES] = file.features
    if file.leave_out is not None:
        base[LEAVE_OUT] = file.leave_out
    axes: list[list[Table]] = [[{key: value} for value in values] for key, values in file.axes.items()]
    for group in file.together:
        axes.append([dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)])
    if file.cases:
        axes.append(list(file.cases))
    axes = [[_whole_keys(one, path) for one in axis] for axis in axes]
    if base.get(LEAVE_OUT) == EACH and not matches:
        raise BallspotError(f"{path}: leave_out = {EACH!r}, and the data root has no match to leave out")
    if base.get(LEAVE_OUT) == EACH:
        axes.append([{LEAVE_OUT: name} for name in sorted(matches)])
    conditions = [(one, _whole_keys(one.where, path), _whole_keys(one.set, path)) for one in file.when]
    n_left = 0
    for parts in product(*axes):
        point = dict(base)
        for part in parts:
            point |= part
        skipped = False
        for condition, where, laid in conditions:
            if _has(point, where, path):
                skipped |= condition.skip
                point |= laid
        if not skipped:
            n_left += 1
            yield point
    if not n_left:
        raise BallspotError(f"{path}: no setting is left to run; its conditions skip them all")


def _has(point: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> bool:
    """Whether a setting has these values, its own or its preset's."""
    if not wanted:
        return False
    of_preset = _preset_values(_preset(point[PRESET], path)) if PRESET in point else {}
    return all({**of_preset, **point}.get(key) == value for key, value in wanted.items())


@lru_cache
def _preset_values(preset: str) -> dict[str, Any]:
    return flatten(as_table(load_config(preset)))


def _whole_keys(values: Mapping[str, Any], path: Path) -> Table:
    """The values under dotted keys; keys of the sweep itself stay. BallspotError for unknown ones."""
    whole = {}
    for key, value in values.items():
        if key in RUN_KEYS:
            whole[key] = tuple(value) if isinstance(value, list) else value
            continue
        leaf = key.rpartition(".")[2]
        if leaf not in PLACES or key not in (leaf, ".".join(PLACES[leaf])):
            near = nearest_name(leaf, [*PLACES, *RUN_KEYS])
            hint = f"did you mean {near!r}?" if near else "docs/configuration.md has them all"
            raise BallspotError(f"{path}: unknown key {key!r}; {hint}")
        whole[".".join(PLACES[leaf])] = value
    return whole


def _setting(file: SweepFile, path: Path, point: Table, settings: Sequence[str], common: set[str]) -> Setting:
    texts = [f"{key}={_toml(value)}" for key, value in point.items() if key not in RUN_KEYS]
    try:
        config = load_config(_preset(point[PRESET], path), [*texts, *settings])
    except BallspotError as error:
        raise BallspotError(f"{path}: {error}") from error
    varied = {key: value for key, value in point.items() if key not in common}
    features = point.get(FEATURES, ())
    folders = (features,) if isinstance(features, str) else features
    return Setting(
        name=setting_name(varied),
        varied=varied,
        config=config,
        features=tuple(path.parent / folder for folder in folders),
        leave_out=point.get(LEAVE_OUT),
    )


def _preset(name: str, path: Path) -> str:
    """A preset's name, or its file, which is looked for beside the sweep's."""
    beside = path.parent / name
    return str(beside) if beside.is_file() else name


def setting_name(varied: Mapping[str, Any]) -> str:
    """A folder's name that spells what a setting varies: ``temporal_stride=2,offset_weight=0.1``; "all" for nothing."""
    texts = [f"{key.rpartition('.')[2]}={_spoken(value)}" for key, value in varied.items()]
    name = re.sub(r"[^\w.,=+-]+", "-", ",".join(texts)) or "all"
    if len(name) <= LONGEST_NAME:
        return name
    return f"{name[: LONGEST_NAME - 9]}-{sha256(','.join(texts).encode()).hexdigest()[:8]}"


def _spoken(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return "+".join(_spoken(one) for one in value)
    return (
        Path(value).name
        if isinstance(value, str) and "/" in value
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )


def _toml(value: Any) -> str:
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()


def _baseline(file: SweepFile, path: Path, settings: Sequence[Setting]) -> int:
    wanted = _whole_keys(file.baseline, path)
    if not wanted:
        return 0
    for place, setting in enumerate(settings):
        if _has({**flatten(as_table(setting.config)), **setting.varied}, wanted, path):
            return place
    raise BallspotError(f"{path}: baseline {file.baseline}: no setting has these values; name values of its axes")
