"""What a command is given: a run, the folder of several seeds, or predictions of anybody, in a folder or a zip file."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from ...cache.disk import plain_name, read_json
from ...cache.errors import BallspotError
from ...cache.runs import RunFolder, data_of_run, is_sweep, read_sweep_record, seed_folders
from .data_selection import DataSelection
from .labelsets import LabelSet, label_set_of, load_label_set
from .predictions import Predictions, open_predictions

RECORD_FILE = "predictions.json"  # which matches a folder of predictions is of


@dataclass(frozen=True)
class Given:
    """The predictions that one argument stands for.

    ``path`` is their folder or zip file. ``run`` is the run that they are of, of several seeds the first one, and
    ``split`` the part of its matches that they are of; both None for predictions of anybody.
    """

    argument: Path
    path: Path
    run: Path | None = None
    split: str | None = None

    @cached_property
    def matches(self) -> tuple[str, ...] | None:
        """The names of the matches that a run's predictions are of; None for predictions of anybody."""
        return None if self.run is None else _predicted(self.path)

    def opened(self) -> Predictions:
        """The predictions themselves. Raises BallspotError where they are no folder and no zip file."""
        return open_predictions(self.path)


def given_predictions(paths: Sequence[Path], split: str | None) -> tuple[Given, ...]:
    """The predictions that each of ``paths`` stands for: a run, the folder of several seeds, or predictions themselves.

    Of a run they are those of ``split``; None means test where every run among ``paths`` has them, else valid (see
    `split_remark`). Split "all" is ``predictions/all`` where the run has that, else the predictions of all its splits.

    Raises BallspotError for a run without predictions of that split, a sweep, and another folder that holds runs.
    """
    runs = [path for path in paths if _run_at(path) is not None]
    chosen = split or ("test" if all((path / "predictions" / "test").is_dir() for path in runs) else "valid")
    return tuple(_given(path, chosen) for path in paths)


def split_remark(given: Sequence[Given], split: str | None) -> str | None:
    """What to say where ``split`` is None, so that a run's predictions were chosen; None where nothing was."""
    runs = [one for one in given if one.run is not None]
    if split is not None or not runs:
        return None
    return f"the {runs[0].split} predictions of {' and '.join(str(one.argument) for one in runs)}; --split takes others"


def is_run(path: Path) -> bool:
    """Whether this is the folder of a run."""
    return (path / "run.json").is_file()


def refuse_sweep(path: Path) -> None:
    """Raises BallspotError, naming a run of it, where ``path`` is a sweep and one run is wanted."""
    if is_sweep(path):
        runs = [path / run for setting in read_sweep_record(path).settings for run in setting.runs]
        example = f", such as {runs[0]}" if runs else ""
        raise BallspotError(f"{path}: is a sweep of {len(runs)} runs; give one of them{example}, or use `compare`")


def data_root_of(given: Sequence[Given], data_root: Path | None) -> Path:
    """``data_root``, or else the one that the first run was trained on, which is found although it was moved.

    The predictions in a run's own folder are of that run. Raises BallspotError where no run tells its data root.
    """
    if data_root is not None:
        return data_root
    problem = BallspotError(f"{given[0].argument}: is not a run that tells its data root; give --data")
    for one in given:
        run = one.run or run_of_predictions(one.path)
        if run is None:
            continue
        try:
            return data_of_run(run, RunFolder(run).record())
        except BallspotError as error:
            problem = error
    raise problem


def label_set_for(given: Sequence[Given], labels: str | None) -> LabelSet:
    """The label set that ``labels`` names, else that of the first run, else ball-12. Errors as `load_label_set`."""
    runs = [one.run for one in given if one.run is not None]
    if labels is not None or not runs:
        return load_label_set(labels or "ball-12")
    return label_set_of(RunFolder(runs[0]).record(), str(runs[0] / "run.json"))


def matches_of(
    given: Sequence[Given], data: DataSelection | None, split: str | None
) -> tuple[str, tuple[str, ...] | None]:
    """The part of the matches that is meant, and their names; None for all that there are.

    Of a run the part is the one that was predicted, with the matches of it, of predictions that of the data root
    (``split``, None meaning all). Where matches are divided by ``splits_file`` or ``leave_out`` that division counts.
    """
    of_run = next((one for one in given if one.run is not None), None)
    part = split or (None if of_run is None else of_run.split) or "all"
    divided = data is not None and (data.splits_file is not None or data.leave_out is not None)
    if of_run is not None and not divided:
        return part, of_run.matches
    return part, None if data is None else data.part(part)


def _given(path: Path, split: str) -> Given:
    refuse_sweep(path)
    run = _run_at(path)
    if run is not None:
        return Given(path, _folder_of(path, split), run, split)
    open_predictions(path)
    runs = sorted(one.parent.name for one in path.glob("*/run.json"))
    if runs:
        raise BallspotError(f"{path}: is not a run but holds runs; give one or two of them, such as {path / runs[0]}")
    return Given(path, path)


def _run_at(path: Path) -> Path | None:
    """The run at ``path``, or the first of the seeds there; None where it is neither."""
    if not path.is_dir():
        return None
    first = seed_folders(path)[0]
    return first if is_run(first) and not is_sweep(path) else None


def _folder_of(path: Path, split: str) -> Path:
    """The folder of a run's predictions. Raises BallspotError where it is not there, naming those that are."""
    folder = path / "predictions" / split
    if split == "all" and not folder.is_dir():
        folder = folder.parent
    if folder.is_dir():
        return folder
    there = sorted(one.name for one in (path / "predictions").glob("*") if one.is_dir())
    if not there and not is_run(path):
        raise BallspotError(
            f"{path}: is not a run but holds runs; give one or two of them, such as {seed_folders(path)[0]}, or "
            "average "
            f"them with `ballspot predict {path} FEATURES --data DATA --split {split}`"
        )
    hint = f"it has {', '.join(there)}: give --split" if there else "make some with `ballspot predict`"
    raise BallspotError(f"{path}: the run has no predictions of split {split!r}; {hint}")


def _predicted(folder: Path) -> tuple[str, ...] | None:
    """The matches that a folder of predictions is said to be of, or else has; None where that is not known.

    Of a folder of the predictions of several splits those of every one.
    """
    is_of_one = folder.name != "predictions"
    parts = [folder] if is_of_one else sorted(one for one in folder.iterdir() if one.is_dir())
    names: list[str] = []
    for part in parts:
        path = part / RECORD_FILE
        record = read_json(path) if path.is_file() else None
        said = record.get("matches") if isinstance(record, dict) else None
        if isinstance(said, list) and said and all(isinstance(name, str) for name in said):
            names += map(plain_name, said)
        else:
            names += open_predictions(part).matches()
    return tuple(dict.fromkeys(names)) or None


def run_of_predictions(path: Path) -> Path | None:
    """The run that the folder of predictions lies in, ``RUN/predictions/SPLIT``; None where it lies elsewhere."""
    folder = path.resolve()
    is_inside = folder.parent.name == "predictions" and is_run(folder.parent.parent)
    return folder.parent.parent if is_inside else None
