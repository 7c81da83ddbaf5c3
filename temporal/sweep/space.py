"""A sweep: the space of settings that its file spans, and the runs that follow from it."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from hashlib import sha256
from itertools import count, islice, product
from math import prod
from pathlib import Path
from typing import Any

import tomli_w

from ...cache.code import moved_table
from ...cache.disk import is_file, nearest_name
from ...cache.errors import BallspotError
from ...cache.runs import flatten
from ...evaluate.dataset import Fold
from ..config import PLACES, Config, as_table, load_config
from .file import SweepFile, Table, read_sweep_file

PRESET, FEATURES, LEAVE_OUT, TRAIN_MATCHES = "preset", "features", "leave_out", "train_matches"
RUN_KEYS = (PRESET, FEATURES, LEAVE_OUT, TRAIN_MATCHES)  # keys of a sweep that are no configuration keys
EACH = "each"
LONGEST_NAME = 120
MOST_SETTINGS = 100_000  # that the axes of a file may span: all of them are held
Place = tuple[int, ...]  # of a setting in the space: which value it has on every axis


@dataclass(frozen=True)
class Setting:
    """One point of the sweep: what it varies, and all that a run of it needs but a seed.

    ``varied`` maps the keys that are not alike in all settings to this setting's values; ``name`` spells them as a
    folder's name. ``features`` are folders that are read side by side, empty for those of the command line.
    ``train_matches`` is how many of the training matches are drawn, 0 for all.
    """

    name: str
    varied: Mapping[str, Any]
    config: Config
    features: tuple[Path, ...]
    leave_out: str | None
    train_matches: int = 0

    @property
    def identity(self) -> str:
        """Equal for settings that come out alike, whatever they are called."""
        features = [str(one) for one in self.features]
        return json.dumps([as_table(self.config), features, self.leave_out, self.train_matches])


@dataclass(frozen=True)
class Axis:
    """One axis of the space: its name, and at every place the values that it lays over a setting."""

    name: str
    values: tuple[Table, ...]


@dataclass(frozen=True)
class Sweep:
    """The settings of a sweep file in its order, their seeds, and the place of the baseline among them.

    Every setting and seed is trained once a fold of ``folds``, else on the split of the data.
    """

    title: str
    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    baseline: int
    folds: tuple[Fold, ...] = ()


@dataclass(frozen=True)
class Space:
    """All settings of a sweep file, none of them made yet.

    ``points`` has the values of every place that no condition skips, at least one; ``laid`` are ``key=value`` texts
    that are laid over every run, last.
    """

    path: Path
    file: SweepFile
    axes: tuple[Axis, ...]
    points: Mapping[Place, Table]
    laid: tuple[str, ...]

    def setting(self, place: Place) -> Setting:
        """The setting at a place of ``points``. Raises BallspotError for a value out of its range."""
        point = self.points[place]
        of_config = moved_table({key: value for key, value in point.items() if key not in RUN_KEYS}, self.path.parent)
        texts = [f"{key}={_toml(value)}" for key, value in of_config.items()]
        try:
            config = load_config(_preset(point[PRESET], self.path), texts, self.laid)
        except BallspotError as error:
            raise BallspotError(f"{self.path}: {error}") from error
        varied = {key: value for key, value in point.items() if key not in self._common | self._overlaid}
        features = point.get(FEATURES, ())
        folders = (features,) if isinstance(features, str) else features
        return Setting(
            name=setting_name(varied),
            varied=varied,
            config=config,
            features=tuple(self.path.parent / folder for folder in folders),
            leave_out=point.get(LEAVE_OUT),
            train_matches=point.get(TRAIN_MATCHES, 0),
        )

    def sweep(self, places: Iterable[Place]) -> Sweep:
        """The sweep of these places; of settings that come out alike the first.

        Raises BallspotError where two settings have one name, or none has the values of the file's baseline.
        """
        found: dict[str, Setting] = {}
        for place in places:
            setting = self.setting(place)
            found.setdefault(setting.identity, setting)
        names: set[str] = set()
        for setting in found.values():
            if setting.name.lower() in names:  # some file systems know no capitals
                raise BallspotError(f"{self.path}: two settings are called {setting.name!r}; make their values differ")
            names.add(setting.name.lower())
        settings = tuple(found.values())
        return Sweep(self.title, settings, self.file.seed_numbers, self._place_of_baseline(settings))

    @property
    def title(self) -> str:
        """The sweep's name: its file's where it names none."""
        return self.file.title or self.path.stem

    def covering(self) -> list[Place]:
        """Places that have every value of every axis between them, where conditions leave them any."""
        found: dict[Place, None] = {}
        for number, axis in enumerate(self.axes):
            for index in range(len(axis.values)):
                with_value = (place for place in self.points if place[number] == index)
                if (first := next(with_value, None)) is not None:
                    found[first] = None
        return list(found) or list(self.points)

    def baseline(self) -> Place:
        """The place of the file's baseline, the first where it names none. Raises BallspotError like `sweep`."""
        wanted = self._wanted
        for place, point in self.points.items():
            if not wanted or _has(point, wanted, self.path):
                return place
        raise self._no_baseline()

    def _place_of_baseline(self, settings: Sequence[Setting]) -> int:
        wanted = self._wanted
        for place, setting in enumerate(settings):
            has = {**flatten(as_table(setting.config)), **setting.varied}
            if all(has.get(key) == value for key, value in wanted.items()):
                return place
        raise self._no_baseline()

    def _no_baseline(self) -> BallspotError:
        wanted = self.file.baseline
        return BallspotError(f"{self.path}: baseline {wanted}: no setting has these values; name values of its axes")

    @property
    def _wanted(self) -> Table:
        """The values of the baseline, but for those that something is laid over."""
        wanted = _whole_keys(self.file.baseline, self.path)
        return {key: value for key, value in wanted.items() if key not in self._overlaid}

    @cached_property
    def _overlaid(self) -> frozenset[str]:
        """The whole keys that the command line sets for every run."""
        return frozenset(whole_key(text) for text in self.laid)

    @cached_property
    def _common(self) -> frozenset[str]:
        first, *others = self.points.values()
        alike = (key for key in first if all(key in other and other[key] == first[key] for other in others))
        return frozenset(alike)


def read_space(
    path: Path, *, settings: Sequence[str] = (), matches: Sequence[str] = (), n_seeds: int | None = None
) -> Space:
    """The settings that a sweep file describes; ``settings`` (``key=value``) are laid over every run, last.

    ``n_seeds`` takes the place of the file's number of seeds.
    ``matches`` are the names that `leave_out = "each"` stands for. Raises BallspotError, naming the file and the key,
    for what is unknown, and where nothing is left to run.
    """
    file = with_seeds(read_sweep_file(path), n_seeds)
    base: Table = _whole_keys({PRESET: file.preset, **file.set}, path)
    if file.features:
        base |= _whole_keys({FEATURES: file.features}, path)
    if file.leave_out is not None:
        base |= _whole_keys({LEAVE_OUT: file.leave_out}, path)
    if file.train_matches:
        base |= _whole_keys({TRAIN_MATCHES: file.train_matches}, path)
    axes = tuple(_axes(file, path, base, matches))
    n_settings = prod(len(axis.values) for axis in axes)
    if n_settings > MOST_SETTINGS:
        raise BallspotError(f"{path}: its axes span {n_settings} settings, above {MOST_SETTINGS}; leave values out")
    points = dict(_points(file, path, base, axes))
    if not points:
        raise BallspotError(f"{path}: no setting is left to run; its conditions skip them all")
    return Space(path, file, axes, points, tuple(settings))


def with_seeds(file: SweepFile, n_seeds: int | None) -> SweepFile:
    """The file with so many seeds: the first of its own, then the smallest other numbers."""
    if n_seeds is None:
        return file
    own = file.seed_numbers[:n_seeds]
    others = (number for number in count() if number not in own)
    return file.model_copy(update={"seeds": (*own, *islice(others, n_seeds - len(own)))})


def _axes(file: SweepFile, path: Path, base: Table, matches: Sequence[str]) -> Iterator[Axis]:
    axes: list[list[Table]] = [[{key: value} for value in values] for key, values in file.axes.items()]
    for group in file.together:
        axes.append([dict(zip(group, values, strict=True)) for values in zip(*group.values(), strict=True)])
    if file.cases:
        axes.append(list(file.cases))
    if base.get(LEAVE_OUT) == EACH and not matches:
        raise BallspotError(f"{path}: leave_out = {EACH!r}, and the data root has no match to leave out")
    if base.get(LEAVE_OUT) == EACH:
        axes.append([{LEAVE_OUT: name} for name in sorted(matches)])
    for place, axis in enumerate(axes, start=1):
        values = tuple(_whole_keys(one, path) for one in axis)
        yield Axis(f"{place}: {', '.join(dict.fromkeys(key for one in values for key in one))}", values)


def _points(file: SweepFile, path: Path, base: Table, axes: Sequence[Axis]) -> Iterator[tuple[Place, Table]]:
    """The values of every setting under whole keys, conditions applied."""
    conditions = [(one, _whole_keys(one.where, path), _whole_keys(one.set, path)) for one in file.when]
    for place in product(*(range(len(axis.values)) for axis in axes)):
        point = dict(base)
        for axis, index in zip(axes, place, strict=True):
            point |= axis.values[index]
        skipped = False
        for condition, where, laid in conditions:
            if _has(point, where, path):
                skipped |= condition.skip
                point |= laid
        if not skipped:
            yield place, point


def _has(point: Mapping[str, Any], wanted: Mapping[str, Any], path: Path) -> bool:
    """Whether a setting has these values, its own or its preset's."""
    of_preset = _preset_values(_preset(point[PRESET], path))
    return all({**of_preset, **point}.get(key) == value for key, value in wanted.items())


@lru_cache
def _preset_values(preset: str) -> dict[str, Any]:
    return flatten(as_table(load_config(preset)))


def whole_key(text: str) -> str:
    """The dotted key that a ``key=value`` text sets, the text's own where there is no such key."""
    key = text.partition("=")[0].strip()
    leaf = key.rpartition(".")[2]
    return ".".join(PLACES[leaf]) if leaf in PLACES else key


def _whole_keys(values: Mapping[str, Any], path: Path) -> Table:
    """The values under dotted keys; keys of the sweep itself stay. BallspotError for unknown ones."""
    whole = {}
    for key, value in values.items():
        if key in RUN_KEYS:
            whole[key] = _run_value(key, value, path)
            continue
        try:
            json.dumps(value)
        except TypeError as error:
            raise BallspotError(f"{path}: {key} = {value!r}: no key takes a date or a time") from error
        leaf = key.rpartition(".")[2]
        if leaf not in PLACES or key not in (leaf, ".".join(PLACES[leaf])):
            near = nearest_name(leaf, [*PLACES, *RUN_KEYS])
            hint = f"did you mean {near!r}?" if near else "docs/reference/configuration.md has them all"
            raise BallspotError(f"{path}: unknown key {key!r}; {hint}")
        whole[".".join(PLACES[leaf])] = value
    return whole


def _run_value(key: str, value: Any, path: Path) -> str | int | tuple[str, ...]:
    """The value of one of RUN_KEYS: text, of `features` also several, of `train_matches` a number, else an error."""
    if key == TRAIN_MATCHES:
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise BallspotError(f"{path}: {key} = {value!r}: give a number of matches, or 0 for all")
        return value
    several = key == FEATURES and isinstance(value, (list, tuple))
    texts: tuple[Any, ...] = tuple(value) if several else (value,)
    if not all(isinstance(one, str) and one and "\0" not in one for one in texts):
        raise BallspotError(f"{path}: {key} = {value!r}: give text{' or a list of texts' if key == FEATURES else ''}")
    return texts if several else texts[0]


def _preset(name: str, path: Path) -> str:
    """A preset's name, or its file, which is looked for beside the sweep's."""
    beside = path.parent / name
    return str(beside) if is_file(beside) else name


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
