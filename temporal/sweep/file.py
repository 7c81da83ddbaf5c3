"""The file of a sweep: what varies, as TOML, and the errors of what is wrong with it.

::

    preset = "original"
    seeds = 3                        # or a list: [0, 7, 8]
    folds = 4                        # every setting and seed once a fold of the matches, compared on all of them
    with_test = true                 # deals the test matches, too

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
read side by side, from the folder that holds the file), `leave_out` (a match; the word "each" alone stands for all
of them) or `train_matches` (so many of the training matches, drawn by the seed; 0 for all).
"""

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ...cache.disk import first_problem, nearest_name, read_toml
from ...cache.errors import BallspotError
from ...cache.runs import SEEDS_BELOW

SWEEP_FILES = Path(__file__).parent / "files"
Table = dict[str, Any]
MOST_SEEDS = 1000


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
    train_matches: int = 0
    folds: int | None = Field(default=None, ge=2)
    with_test: bool = False
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


def read_sweep_file(path: Path) -> SweepFile:
    """The file, read and checked. Raises BallspotError, naming the file and the place, for what is wrong with it."""
    table = read_toml(path, what="sweep file", remedy="see docs/reference/sweeps.md")
    try:
        file = SweepFile.model_validate(table)
    except ValidationError as error:
        place, message = first_problem(error)
        if error.errors()[0]["type"] == "extra_forbidden":
            near = nearest_name(place, SweepFile.model_fields)
            known = ", ".join(SweepFile.model_fields)
            message = f"unknown key; did you mean {near!r}?" if near else f"unknown key; known are {known}"
        raise BallspotError(f"{path}: {place}: {message}; see docs/reference/sweeps.md") from error
    n_seeds = file.seeds if isinstance(file.seeds, int) else len(file.seeds)
    seeds = file.seed_numbers if n_seeds <= MOST_SEEDS else ()
    if not seeds or not 0 <= min(seeds) <= max(seeds) < SEEDS_BELOW or len(set(seeds)) < len(seeds):
        raise BallspotError(
            f"{path}: seeds {file.seeds!r}: give a number of seeds from 1 to {MOST_SEEDS}, or a list of different ones"
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


def find_sweep(name: str) -> Path:
    """The sweep file of that path, or the shipped one of that name. Raises BallspotError when there is neither."""
    path = Path(name)
    if path.is_file():
        return path
    shipped = {file.stem: file for file in sorted(SWEEP_FILES.glob("*.toml"))}
    found = shipped.get(name.removesuffix(".toml"))
    if found is None:
        near = nearest_name(name, shipped)
        hint = f"did you mean {near}?" if near else "check the name"
        raise BallspotError(f"{name}: neither a sweep file nor a shipped one ({', '.join(shipped)}); {hint}")
    return found
