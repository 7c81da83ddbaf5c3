"""Where a run that goes on from another one lies."""

from pathlib import Path


def following_run(run: Path) -> Path:
    """Where the run that follows ``run`` is put: beside it, under the next number that is free."""
    name, mark, number = run.resolve().name.rpartition("-learned-")
    stem, last = (name, int(number)) if mark and number.isdigit() else (run.resolve().name, 0)
    while (place := run.resolve().with_name(f"{stem}-learned-{last + 1}")).exists():
        last += 1
    return place
