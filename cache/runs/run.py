"""A run on disk: one trained head with everything needed to repeat, resume, use and compare it.

`run.json` says how it was made, `config.toml` the resolved configuration, `log.jsonl` holds a line an epoch, and
`metrics.json` is written last, by rename: its presence means the run is done.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import tomli_w

from ..code import SHOWN_DIGITS, is_reference, keep_code, kept_copy, parse_reference, portable_table
from ..disk import (
    locked_folder,
    make_folder,
    path_hint,
    plain_name,
    read_json,
    read_toml,
    reason_of,
    whole_file,
    write_json,
)
from ..errors import BallspotError

RUN_FORMAT = "ballspot-run/1"
TEMPORARY = ".*.????????.tmp"
SPLIT_PARTS = ("train", "valid", "test")
PLACES = ("data", "features")  # entries of run.json that hold paths
SEEDS_BELOW = 2**63  # what 64 bits of any program hold
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class RunFolder:
    """Paths and records of one run; ``path`` is the run's folder, whether or not it exists yet.

    ``option`` is what the command has for another place, which its refusals name.
    """

    path: Path
    option: str = field(default="--run", compare=False)

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def is_done(self) -> bool:
        """True when the run's final metrics were written, which happens last."""
        return (self.path / "metrics.json").is_file()

    def prepare(self, *, key: str, record: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Makes the folder, or takes up an interrupted run with the same key.

        ``key`` digests all that decides the result (config, seed, features, split). Raises BallspotError when the
        folder holds something else, or a run with another key: a run is never overwritten. The key does not know where
        features and data lie; of a run that is taken up the record then says where they are now.
        """
        self._require_folder()
        if (self.path / "run.json").is_file():
            self.require_key(key, record=record, config=config)
            self._write_config(config)
            keep_code(flatten(config).values(), self.path)
            moved = {name: record[name] for name in PLACES if name in record}
            if not self.is_done and any(self.record().get(name) != value for name, value in moved.items()):
                self.update(**moved)
            return
        if self.path.is_dir() and not all(_is_unfinished(found) for found in self.path.iterdir()):
            raise BallspotError(f"{self.path}: is not empty and holds no run.json; choose another {self.option}")
        make_folder(self.path)
        write_json(self.path / "run.json", {"format": RUN_FORMAT, "key": key, "status": "started", **record})
        self._write_config(config)
        keep_code(flatten(config).values(), self.path)

    def require_key(self, key: str, *, record: Mapping[str, Any], config: Mapping[str, Any]) -> None:
        """Raises BallspotError, with the first difference, where the run that is here was made with another key."""
        there = self.record()
        if there.get("key") != key:
            self._require_code(config)
            raise BallspotError(
                f"{self.path}: holds {self._other_run(config, record, there)}choose another {self.option}"
            )

    @contextmanager
    def at_work(self, *, waits: bool) -> Iterator[None]:
        """Holds the lock of the run's folder, which is made, and at the end clears what killed processes left there.

        Where another process is at this run it waits for it, or raises BallspotError.
        """
        self._require_folder()
        with locked_folder(make_folder(self.path), waits=waits):
            try:
                yield
            finally:
                if (self.path / "run.json").is_file():
                    self._clear()

    def _require_folder(self) -> None:
        if self.path.exists() and not self.path.is_dir():
            raise BallspotError(f"{self.path}: is a file, not a run folder; choose another {self.option}")

    def _clear(self) -> None:
        """Removes temporary files, but for those in a folder of predictions that another process is writing."""
        for path in self.path.rglob(TEMPORARY):
            parts = path.relative_to(self.path).parts
            if parts[0] != "predictions" or len(parts) < 3:
                path.unlink(missing_ok=True)
                continue
            with suppress(BallspotError), locked_folder(self.path / parts[0] / parts[1], waits=False):
                path.unlink(missing_ok=True)

    def record(self) -> dict[str, Any]:
        """The content of run.json. Raises BallspotError when this is no run of a format that can be read."""
        path = self.path / "run.json"
        if not path.is_file():
            what = ("not a run, no run.json in it" if self.path.exists() else "no such run") + path_hint(self.path)
            raise BallspotError(f"{self.path}: {what}; give the folder that `ballspot train` made")
        record = read_json(path)
        if not isinstance(record, dict) or record.get("format") != RUN_FORMAT:
            found = record.get("format") if isinstance(record, dict) else type(record).__name__
            raise BallspotError(f"{path}: format {found!r} is not {RUN_FORMAT!r}; use the ballspot that wrote it")
        if not isinstance(record.get("key"), str):
            raise BallspotError(f"{path}: lacks or garbles the run's key; bring the file back, or train the run again")
        splits = record.get("splits")
        if isinstance(splits, dict):
            record["splits"] = {part: _plain_names(names) for part, names in splits.items()}
        return record

    def entry(self, name: str, kind: type[Kind]) -> Kind:
        """What run.json says under ``name``. Raises BallspotError when it is missing or no ``kind``."""
        value = self.record().get(name)
        if not isinstance(value, kind):
            raise BallspotError(f"{self.path / 'run.json'}: lacks or garbles {name!r}; train the run again")
        return value

    def update(self, **changes: Any) -> None:
        """Rewrites run.json with ``changes`` merged in."""
        write_json(self.path / "run.json", {**self.record(), **changes})

    def config(self) -> dict[str, Any]:
        """The resolved configuration as plain nested dictionaries."""
        return read_toml(self.path / "config.toml", remedy="train the run again")

    def append_log(self, line: Mapping[str, Any]) -> None:
        """Adds one epoch's line to log.jsonl. Raises BallspotError where the disk does not take it."""
        path = self.path / "log.jsonl"
        try:
            with path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(line, allow_nan=False) + "\n")
        except OSError as error:
            raise BallspotError(
                f"{path}: cannot be written ({reason_of(error)}); free space or check rights"
            ) from error

    def log(self) -> list[dict[str, Any]]:
        """The whole lines of log.jsonl, oldest first; a torn last line (the run was killed) is left out.

        So is all from the first line on that is no JSON object with a whole number of an epoch.
        """
        path = self.path / "log.jsonl"
        lines = []
        try:
            content = path.read_bytes() if path.is_file() else b""
        except OSError as error:
            raise BallspotError(f"{path}: cannot be read ({reason_of(error)}); check its rights") from error
        for text in content.splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):  # no JSON, or no UTF-8
                break
            if not isinstance(line, dict) or not isinstance(line.get("epoch"), int):
                break
            lines.append(line)
        return lines

    def keep_log(self, n_epochs: int) -> None:
        """Drops log lines after the first ``n_epochs``: those of epochs that a resumed run trains again."""
        kept = self.log()[:n_epochs]
        with whole_file(self.path / "log.jsonl") as temporary:
            temporary.write_text("".join(json.dumps(line) + "\n" for line in kept), encoding="utf-8")

    def finish(self, metrics: Mapping[str, Any]) -> None:
        """Marks the run done: status in run.json, then metrics.json, last."""
        self.update(status="done")
        write_json(self.path / "metrics.json", dict(metrics))

    def metrics(self) -> dict[str, Any]:
        """The final metrics. Raises BallspotError when the run is not done, or they are no JSON object."""
        if not self.is_done:
            raise BallspotError(f"{self.path}: the run is not done; give its train command again to resume it")
        metrics = read_json(self.path / "metrics.json")
        if not isinstance(metrics, dict):
            raise self.garbled("its numbers")
        return metrics

    def metric(self, name: str) -> float:
        """One number of the final metrics. Raises BallspotError as `metrics`, and when it is not a number."""
        value = self.metrics().get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.garbled(name)
        return float(value)

    def garbled(self, what: object) -> BallspotError:
        """The error for metrics that were damaged after they were written."""
        path = self.path / "metrics.json"
        return BallspotError(f"{path}: lacks or garbles {what}; remove the file and give the run's command again")

    def _write_config(self, config: Mapping[str, Any]) -> None:
        """Writes config.toml unless it is there; a kill may have come before it was, or damage after it."""
        path, content = self.path / "config.toml", tomli_w.dumps(_without_none(config)).encode()
        if not path.is_file() or path.read_bytes() != content:
            with whole_file(path) as temporary:
                temporary.write_bytes(content)

    def _require_code(self, config: Mapping[str, Any]) -> None:
        """Raises BallspotError where own code of the run that is here has changed since: it names both files."""
        theirs = flatten(self.config())
        for name, value in flatten(config).items():
            if not is_reference(value) or not is_reference(theirs.get(name)):
                continue
            now, then = parse_reference(value), parse_reference(theirs[name])
            if (now.base, now.name) == (then.base, then.name) and now.digest != then.digest:
                raise BallspotError(
                    f"{self.path}: its {name} is {then.short} as {kept_copy(self.path, then)} keeps it (digest "
                    f"{then.digest[:SHOWN_DIGITS]}), and {now.file} has changed since (digest "
                    f"{now.digest[:SHOWN_DIGITS]}); bring that back, or choose another {self.option}"
                )

    def _other_run(self, config: Mapping[str, Any], record: Mapping[str, Any], there: Mapping[str, Any]) -> str:
        """What the run that is here is: the first difference, or the version that made it before keys were added."""
        ours = {**flatten(portable_table(_without_none(config))), "seed": record.get("seed"), **_parts(record)}
        theirs = {**flatten(portable_table(self.config())), "seed": there.get("seed"), **_parts(there)}
        different = sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name))
        known = [name for name in different if name in theirs]
        made_by = there.get("version")
        if different and not known and made_by != record.get("version"):
            return (
                f"a run of ballspot {made_by}, which had no {different[0]} and is the only one to train it on; "
                "predict, evaluate and compare take it as it is; to train here "
            )
        for name in known or different:
            return f"another run ({name} is {theirs.get(name)!r} there and {ours.get(name)!r} here); "
        return "another run (other features, videos or labels); "


def flatten(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one level with dotted names: ``{"head": {"kind": "tcn"}}`` gives ``{"head.kind": "tcn"}``."""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[prefix + name] = value
    return flat


def _parts(record: Mapping[str, Any]) -> dict[str, Any]:
    """The matches of each part of a run's split, by ``train matches`` and so on."""
    splits = record.get("splits")
    return {f"{part} matches": splits.get(part) for part in SPLIT_PARTS} if isinstance(splits, Mapping) else {}


def _plain_names(names: Any) -> Any:
    """The match names of a part in the form of Unicode that data roots are read in; whatever else is there as it is."""
    if isinstance(names, list) and all(isinstance(name, str) for name in names):
        return list(map(plain_name, names))
    return names


def _is_unfinished(path: Path) -> bool:
    """Whether this is a whole file to be, as a kill while a run was prepared leaves it."""
    return path.name.startswith(".run.json.") and path.name.endswith(".tmp")


def _without_none(config: Mapping[str, Any]) -> dict[str, Any]:
    kept = ((name, value) for name, value in config.items() if value is not None)
    return {name: _without_none(value) if isinstance(value, Mapping) else value for name, value in kept}
