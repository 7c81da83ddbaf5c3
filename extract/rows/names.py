"""The names that feature sets get, and the check of a name that a user gives."""

import re

from ...cache.errors import BallspotError


def default_set_name(
    backbone: str,
    weights_tag: str,
    size: tuple[int, int],
    stride: int = 1,
    *,
    views: str = "original",
    grid: tuple[int, int] = (1, 1),
    layers: str = "pooled",
) -> str:
    """The name of a feature set: backbone, weights and size, and what else is not the default."""
    name = f"{backbone}-{weights_tag}-{size[0]}x{size[1]}"
    name += f"-stride{stride}" if stride != 1 else ""
    name += f"-{layers}" if layers != "pooled" else ""
    name += f"-grid{grid[0]}x{grid[1]}" if grid != (1, 1) else ""
    name += f"-{views.removeprefix('original,')}" if views != "original" else ""
    return re.sub(r"[^\w .+-]", "_", name.replace(",", "+").replace(":", ""))


def require_set_name(name: str) -> str:
    """The name itself. Raises BallspotError when it cannot be a folder's name everywhere."""
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise BallspotError(f"--set {name}: a set's name has letters, digits, spaces and . + - _ only; choose another")
    return name
