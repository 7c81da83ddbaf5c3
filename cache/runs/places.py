"""Where the things that a run recorded lie now: its data root, its feature sets, the weights that made those.

Records hold absolute paths, and those of ballspot 0.1.0 hold them as they were typed. Either is found from any working
folder and after the folder above the run was moved or renamed. What is found is taken only where it is the thing that
was recorded: what it holds decides, not its name.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import BallspotError


def recorded_path(path: Path) -> str:
    """What a record says of a path: the absolute one, which means the same in every working folder."""
    return str(path.resolve() if ".." in path.parts else path.absolute())


def places_of(near: Path, recorded: str | Path) -> Iterator[Path]:
    """The existing files and folders that ``recorded`` may mean, the likeliest first, each once.

    An absolute path itself, then its ends, the longest first, below the folders above ``near``. A relative path below
    the folders above ``near``, the nearest first, then in the working folder.
    """
    path = Path(recorded)
    above = [*near.absolute().parents, *near.resolve().parents]
    if path.is_absolute():
        ends = [Path(*path.parts[n:]) for n in range(1, len(path.parts))]
        tried = [path, *(folder / end for end in ends if ".." not in end.parts for folder in above)]
    else:
        tried = [*(folder / path for folder in above), path.absolute()]
    for place in dict.fromkeys(tried):
        if os.path.exists(place):  # noqa: PTH110  pathlib raises over a name that no file can have
            yield place


def find_recorded(near: Path, recorded: str | Path, fits: Callable[[Path], bool]) -> Path | None:
    """The first of `places_of` that ``fits``; None where none does."""
    return next((place for place in places_of(near, recorded) if fits(place)), None)


def not_found(near: Path, recorded: str | Path, what: str, remedy: str) -> BallspotError:
    """The error that says where ``what`` was looked for, and names what lies there but is something else."""
    path = Path(recorded)
    if path.is_absolute():
        looked = f"looked at {path}, and for its last names in the folders above {near}"
    else:
        looked = f"looked for {path} in the folders above {near} and in the working folder"
    others = [str(place) for place in places_of(near, recorded)]
    other = f"; {others[0]} is another" if others else ""
    return BallspotError(f"{near}: its {what} was not found from here: {looked}{other}; {remedy}")


def data_of_run(run: Path, record: Mapping[str, Any]) -> Path:
    """The data root that a run was trained on, where it lies now: one that has the matches of the run's split.

    Where none has all of them, the first that has some is taken. Raises BallspotError where none has.
    """
    recorded, splits = record.get("data"), record.get("splits")
    if not isinstance(recorded, str) or not recorded:
        raise BallspotError(f"{run / 'run.json'}: does not say its data root; give --data")
    parts = splits.values() if isinstance(splits, Mapping) else ()
    names = {name for part in parts if isinstance(part, list) for name in part if isinstance(name, str)}

    def has(place: Path, n_least: int) -> bool:
        return os.path.isdir(place) and sum(os.path.isdir(place / name) for name in names) >= n_least  # noqa: PTH112  as above

    if Path(recorded).is_absolute() and has(Path(recorded), min(1, len(names))):
        return Path(recorded)
    for n_least in (len(names), min(1, len(names))):
        found = find_recorded(run, recorded, lambda place, n_least=n_least: has(place, n_least))
        if found is not None:
            return found
    raise not_found(run, recorded, "data root", "give --data")
