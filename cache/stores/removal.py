"""Removing feature sets: only files of ours, never one that is being written."""

from collections.abc import Sequence
from pathlib import Path

from ..code import CODE_FOLDER, PLACES_FILE, SHOWN_DIGITS
from ..disk import find_temporary, is_locked, is_temporary, locked_folder
from ..errors import BallspotError
from .sets import find_stores

OWN_FILES = ("pca.safetensors", f"{CODE_FOLDER}/{PLACES_FILE}", f"{CODE_FOLDER}/*-{'[0-9a-f]' * SHOWN_DIGITS}.py")
SET_DEPTH = 6  # folders above a store among which its set's is looked for


def removable_files(paths: Sequence[Path], *, unfinished: bool = False) -> list[Path]:
    """The files of ours at or below the given stores and folders, sorted: stores, part files, fits of components.

    With `unfinished` only part files and what a kill left of stores that were being written. Raises BallspotError for a
    path that is not there or holds none, when one of the files is being written, and while a set of components is made.
    """
    found: set[Path] = set()
    for path in paths:
        parts = {path} if path.name.endswith(".part") else set(path.rglob("*.h5*.part")) if path.is_dir() else set()
        whole = {path} if path.suffix == ".h5" and path.is_file() else set(find_stores(path).values())
        own = {file for name in OWN_FILES for file in path.rglob(name)} if path.is_dir() else set()
        left = {file for file in path.rglob(".*.h5.????????.tmp")} if path.is_dir() else set(find_temporary(path))
        files = {file for file in (parts | left if unfinished else parts | left | whole | own) if file.is_file()}
        if not files:
            what = "no part file" if unfinished else "no feature store"
            raise BallspotError(f"{path}: {what} there; give a feature set, or a store's .h5 file")
        found |= files
    for file in sorted(found):
        if file.name.endswith(".part") and is_locked(file):
            raise BallspotError(f"{file}: is being extracted; stop that process first")
        if is_temporary(file) and is_locked(file):  # by `write_store`, as long as it writes
            raise BallspotError(f"{file}: is being written; wait for that process or stop it")
    for folder in sorted({folder for file in found for folder in file.resolve().parents[:SET_DEPTH]}):
        with locked_folder(folder, waits=False, shared=True):
            pass  # nobody has it alone, as who makes components has the set's
    return sorted(found)


def remove_files(files: Sequence[Path], paths: Sequence[Path]) -> None:
    """Removes the files, and below and including the given folders those that are empty then."""
    for file in files:
        try:
            file.unlink(missing_ok=True)
        except OSError as error:
            raise BallspotError(f"{file}: cannot be removed ({error.strerror}); check rights") from error
    for path in paths:
        if path.is_dir():
            for folder in sorted((each for each in path.rglob("*") if each.is_dir()), reverse=True):
                _remove_empty(folder)
            _remove_empty(path)


def _remove_empty(folder: Path) -> None:
    if not any(folder.iterdir()):
        folder.rmdir()
