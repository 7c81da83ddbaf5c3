"""What a path that does not fit is instead, or which one may have been meant: what errors say in brackets."""

import difflib
from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

from pydantic import ValidationError

KINDS = (  # a file that tells what a folder is, at any depth below it, and what it then is; the first that is found
    ("*.h5", "feature stores"),
    ("results_spotting.json", "predictions"),
    ("Labels-ball.json", "match folders"),
)


def path_hint(path: Path) -> str:
    """`` (it holds feature stores)``, `` (did you mean runs/first?)`` for a path that is not there, or nothing."""
    try:
        kind = folder_kind(path) if path.is_dir() else None
        near = None if path.exists() else nearest_path(path)
    except OSError:  # a folder that may not be listed
        return ""
    return f" ({kind})" if kind else f" (did you mean {near}?)" if near else ""


def folder_kind(path: Path) -> str | None:
    """What a folder is, in words that follow its name, None where no file tells."""
    if (path / "run.json").is_file():
        return "it is a run"
    if (path / "sweep.json").is_file():
        return "it is a sweep"
    runs = sorted(file.parent.name for file in path.glob("*/run.json"))
    if runs:
        return f"it is a folder of runs: {', '.join(runs[:3])}{', ...' if len(runs) > 3 else ''}"
    return next((f"it holds {what}" for name, what in KINDS if next(path.rglob(name), None)), None)


def nearest_path(path: Path) -> Path | None:
    """The existing path that is named most like ``path``, None if none is.

    The first name that is not there is replaced by the one most like it; what follows must then be there or alike, too.
    """
    known, left = path, []
    while not known.is_dir() and known != known.parent:
        left.insert(0, known.name)
        known = known.parent
    for name in left:
        if not known.is_dir():
            return None
        names = [entry.name for entry in known.iterdir() if not entry.name.startswith(".")]
        near = [name] if name in names else get_close_matches(name, names, n=1, cutoff=0.6)
        if not near:
            return None
        known /= near[0]
    return known if left else None


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """The one of ``known`` most like ``name``, case ignored; None when none is like it."""
    by_folded = {candidate.casefold(): candidate for candidate in known}
    near = difflib.get_close_matches(name.casefold(), by_folded, n=1, cutoff=0.5)
    return by_folded[near[0]] if near else None


def first_problem(error: ValidationError, *, depth: int | None = None) -> tuple[str, str]:
    """The dotted place of the first thing that is wrong, down to ``depth``, and what pydantic says of it."""
    first = error.errors()[0]
    return ".".join(str(part) for part in first["loc"][:depth]), first["msg"].removeprefix("Value error, ")
