"""What the runs of a sweep found."""

import json
from glob import glob
from pathlib import Path


def files_of_runs(out: Path, name: str) -> list[Path]:
    """The files of that name in the folders of a sweep's runs, while other processes make and remove folders."""
    found = glob(str(out / "*" / "seed-*" / name))  # noqa: PTH207 - pathlib's fails where a folder goes away meanwhile
    return sorted(Path(one) for one in found)


def numbers(out: Path) -> dict[str, dict]:
    """What every run found: its metrics without the seconds and the memory that it took."""
    found = {}
    for path in files_of_runs(out, "metrics.json"):
        metrics = json.loads(path.read_text())
        del metrics["train_s"], metrics["peak_memory_mb"]
        found[str(path.parent.relative_to(out))] = metrics
    return found
