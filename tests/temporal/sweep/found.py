"""What the runs of a sweep found."""

import json
from pathlib import Path


def numbers(out: Path) -> dict[str, dict]:
    """What every run found: its metrics without the seconds and the memory that it took."""
    found = {}
    for path in sorted(out.glob("*/seed-*/metrics.json")):
        metrics = json.loads(path.read_text())
        del metrics["train_s"], metrics["peak_memory_mb"]
        found[str(path.parent.relative_to(out))] = metrics
    return found
