"""The names that feature sets get, and the check of a name that a user gives."""

import re

from ...cache.code import SHOWN_DIGITS, is_reference, parse_reference
from ...cache.errors import BallspotError
from ...cache.stores import RegionSpec
from ..backbone import BackboneSpec, parse_weights


def default_set_name(
    backbone: BackboneSpec,
    stride: int = 1,
    *,
    views: str = "original",
    dtype: str = "float16",
    precision: str = "auto",
    motion: int = 0,
    region: RegionSpec | None = None,
) -> str:
    """The name of a feature set: backbone, weights and size, and what else is not the default."""
    (height, width), (rows, columns), layers = backbone.size, backbone.grid, ",".join(backbone.layers)
    called = backbone.name
    if is_reference(called):
        own = parse_reference(called)
        called = f"{own.base.removesuffix('.py')}-{own.name}-{own.digest[:SHOWN_DIGITS]}"
    name = f"{called}-{parse_weights(backbone.weights).tag}-{height}x{width}"
    name += "-crop" if backbone.uncropped is not None else ""
    name += f"-stride{stride}" if stride != 1 else ""
    name += f"-{layers}" if layers != "pooled" else ""
    name += f"-grid{rows}x{columns}" if backbone.grid != (1, 1) else ""
    name += f"-motion{motion}" if motion else ""
    if region is not None:
        (high, wide), (rows, columns) = region.size, region.picture
        n_boxes = region.count if region.count > 1 else ""
        name += f"-region{n_boxes}-{region.by}-{high}x{wide}of{rows}x{columns}"
        name += f"-{region.fuse}" if region.fuse != "concat" else ""
    name += f"-{views.removeprefix('original,')}" if views != "original" else ""
    name += "-bfloat16" if precision == "bfloat16" else ""
    name = re.sub(r"[^\w .+-]", "_", name.replace(",", "+").replace(":", ""))
    return name if dtype == "float16" else f"{name}-{dtype}"


def require_set_name(name: str) -> str:
    """The name itself. Raises BallspotError when it cannot be a folder's name everywhere."""
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise BallspotError(f"--set {name}: a set's name has letters, digits, spaces and . + - _ only; choose another")
    return name
