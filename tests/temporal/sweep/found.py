"""What the runs of a sweep found."""

import json
from glob import glob
from pathlib import Path


def numbers(out: Path) -> dict[str, dict]:
    """What every run found: its metrics without the seconds and the memory that it took."""
    found = {}
    # pathlib's glob fails where a folder goes away meanwhile
    for name in sorted(glob(str(out / "*" / "seed-*" / "metrics.json"))):  # noqa: PTH207
        path = Path(name)
        metrics = json.loads(path.read_text())
        del metrics["train_s"], metrics["peak_memory_mb"]
        found[str(path.parent.relative_to(out))] = metrics
    return found
