"""From a preset and `key=value` texts to a Config: defaults < preset < settings, unknown keys refused by name."""

from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ...cache.code import is_reference, moved_table, parse_reference, pin_code, portable_table
from ...cache.disk import first_problem, is_file, nearest_name, parse_toml, read_toml
from ...cache.errors import BallspotError
from . import presets
from .sections import Config

SECTIONS: dict[str, tuple[str, ...]] = {
    name: tuple(field.default.__class__.model_fields) for name, field in Config.model_fields.items()
}

ADDED = {
    "head": ("n_stages", "cells"),
    "training": ("precision",),
    "prediction": ("team_scores",),
}  # keys that 0.1.0 did not have

PLACES: dict[str, tuple[str, str]] = {leaf: (section, leaf) for section, leaves in SECTIONS.items() for leaf in leaves}
OWN_CODE: dict[str, tuple[str, Any]] = {  # the keys that may name own code, and what it must be
    "kind": ("head", "class"),
    "class_loss": ("loss", "function"),
    "offset_loss": ("loss", "function"),
}
MOST_SHOWN = 12  # names in one line of an error


def preset_names() -> tuple[str, ...]:
    """The names of the presets that come with the package, sorted."""
    files = resources.files(presets).iterdir()
    return tuple(sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml")))


def load_config(preset: str = "best", settings: Sequence[str] = (), laid: Sequence[str] = ()) -> Config:
    """The configuration of a preset (a built-in name, or the path of a TOML file) with ``settings`` laid over it.

    ``laid`` are further settings over those: what is given on the command line with a sweep.

    A setting is ``key=value``: the key dotted (``head.kind``) or its leaf alone (``kind``), the value as in TOML, text
    without quotes allowed. Raises BallspotError for an unknown preset or key (naming the nearest) and a bad value.
    """
    table, source = _preset_table(preset)
    return _laid_over(table, settings, laid, source=source)


def changed_config(table: dict[str, Any], settings: Sequence[str], *, source: str) -> Config:
    """The configuration that a run recorded, which ``source`` names, with ``settings`` laid over it (`load_config`).

    Raises BallspotError, too, where the record names own code without its file's digest: only its user can do so.
    """
    _require_digests(table, source)
    return _laid_over(table, settings, source=source)


def _laid_over(table: dict[str, Any], *layers: Sequence[str], source: str) -> Config:
    """The same of any nested tables; own code that they name gets the place and digest of its file as it is now."""
    for layer in layers:
        before = _training(table)
        _lay(table, layer)
        _shorten_warmup(table, before)
    settings = [setting for layer in layers for setting in layer]
    return _pinned(config_from_table(table, source=f"{source} with {', '.join(settings)}" if settings else source))


def _lay(table: dict[str, Any], settings: Sequence[str]) -> None:
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise BallspotError(f"--set {setting}: is not KEY=VALUE; write e.g. --set n_epochs=30")
        section, leaf = _place(key.strip(), setting)
        values = table.setdefault(section, {})
        if isinstance(values, dict):  # else it is refused below
            values[leaf] = config_value(text.strip())


def _training(table: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of the training section, its defaults filled in where the warm-up depends on them."""
    section, default = table.get("training"), Config().training
    known = {"n_epochs": default.n_epochs, "warmup_epochs": default.warmup_epochs}
    return known | (dict(section) if isinstance(section, Mapping) else {})


def _shorten_warmup(table: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Keeps the share of the epochs that warm up where only their number was changed, to less than the warm-up."""
    after = _training(table)
    numbers = (before["n_epochs"], before["warmup_epochs"], after["n_epochs"], after["warmup_epochs"])
    if not all(isinstance(number, (int, float)) for number in numbers) or numbers[1] != numbers[3]:
        return
    n_before, warmup, n_after, _ = numbers
    if 0 < n_after <= warmup < n_before:
        table["training"]["warmup_epochs"] = warmup * n_after / n_before


def _pinned(config: Config) -> Config:
    changed: dict[str, Any] = {}
    for leaf, (name, kind) in OWN_CODE.items():
        section = changed.get(name, getattr(config, name))
        value = getattr(section, leaf)
        if is_reference(value):
            pinned = pin_code(value, where=f"{name}.{leaf} = {value[:120]!r}", kind=kind)
            changed[name] = section.model_copy(update={leaf: pinned})
    return config.model_copy(update=changed) if changed else config


def config_from_table(table: Mapping[str, Any], *, source: str) -> Config:
    """The configuration that nested tables give; ``source`` names them in errors.

    Raises BallspotError for unknown sections and keys (naming the nearest) and for values out of their range.
    """
    for section, values in table.items():
        if section not in SECTIONS:
            raise BallspotError(f"{source}: unknown section {section!r}; {_hint(section, SECTIONS)}")
        if not isinstance(values, Mapping):
            raise BallspotError(f"{source}: {section} must be a table of keys, found {values!r}")
        for leaf in values:
            if leaf not in SECTIONS[section]:
                raise BallspotError(f"{source}: unknown key '{section}.{leaf}'; {_hint(leaf, PLACES)}")
    try:
        return Config.model_validate(table)
    except ValidationError as error:
        place, allowed = first_problem(error, depth=2)
        value = error.errors()[0]["input"]
        shown = "" if isinstance(value, (Mapping, Config)) else f" = {value!r}"
        if isinstance(value, str) and value.startswith("["):
            allowed += ' (in a list, text needs quotes: ["a", "b"])'
        raise BallspotError(f"{source}: {place}{shown}: {allowed}; see docs/reference/configuration.md") from error


def as_table(config: Config) -> dict[str, Any]:
    """The configuration as nested plain values that TOML and JSON can hold; `config_from_table` reads it back."""
    return config.model_dump(mode="json")


def travelling_table(config: Config) -> dict[str, Any]:
    """`as_table` without the folders of own code, which decide nothing: what files for others have."""
    return portable_table(as_table(config))


def deciding_table(config: Config) -> dict[str, Any]:
    """What of the configuration is part of a run's key: as `as_table`, but keys newer than 0.1.0 only where changed.

    So a run of 0.1.0 is the same run to the versions that came after it.
    """
    table, default = travelling_table(config), as_table(Config())
    for section, leaves in ADDED.items():
        for leaf in leaves:
            if table[section][leaf] == default[section][leaf]:
                del table[section][leaf]
    return table


def _preset_table(preset: str) -> tuple[dict[str, Any], str]:
    if preset in preset_names():
        text = resources.files(presets).joinpath(f"{preset}.toml").read_text(encoding="utf-8")
        return parse_toml(text), f"preset {preset}"
    path = Path(preset)
    if not is_file(path):
        names = preset_names()
        hint = _hint(preset, names)
        raise BallspotError(f"--preset {preset}: neither a preset ({', '.join(names)}) nor a TOML file; {hint}")
    table = moved_table(read_toml(path, remedy="see docs/reference/configuration.md"), path.parent)
    if is_file(path.parent / "run.json"):
        _require_digests(table, str(path))
    return table, str(path)


def _require_digests(table: Mapping[str, Any], source: str) -> None:
    """Raises BallspotError where a run's record names own code without a digest: that is no user's naming."""
    for leaf, (name, _) in OWN_CODE.items():
        section = table.get(name)
        value = section.get(leaf) if isinstance(section, Mapping) else None
        if is_reference(value) and not parse_reference(str(value)).digest:
            raise BallspotError(
                f"{source}: {name}.{leaf} = {str(value)[:120]!r}: is in a run and lacks the digest of its file; bring "
                "the run's file back as it was"
            )


def _place(key: str, setting: str) -> tuple[str, str]:
    section, _, leaf = key.rpartition(".")
    if not section and leaf in PLACES:
        return PLACES[leaf]
    if leaf in SECTIONS.get(section, ()):
        return section, leaf
    if section and leaf in PLACES:
        raise BallspotError(f"--set {setting}: unknown key {key!r}; did you mean {'.'.join(PLACES[leaf])!r}?")
    dotted = [".".join(place) for place in PLACES.values()]
    raise BallspotError(f"--set {setting}: unknown key {key!r}; {_hint(key, dotted if section else PLACES)}")


def config_value(text: str) -> Any:
    """The value that a `key=value` text means: as in TOML, text without quotes allowed."""
    try:
        table = parse_toml(f"value = {text}")
    except ValueError:
        return text
    return table["value"] if len(table) == 1 else text


def _hint(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    near = nearest_name(name, known)
    if near:
        return f"did you mean {near!r}?"
    return (
        f"known are {', '.join(known)}"
        if len(known) <= MOST_SHOWN
        else "docs/reference/configuration.md lists them all"
    )
