"""The names that feature sets get, and the check of a name that a user gives."""

import re
import shlex

from ...cache.code import SHOWN_DIGITS, is_reference, parse_reference
from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL, FeatureSpec, RegionSpec
from ..backbone import TWO_LOOKS, BackboneSpec, parse_weights
from .job import Settings


def default_set_name(backbone: BackboneSpec, settings: Settings, *, views: str = "original") -> str:
    """The name of a feature set: backbone, weights and size, and what else is not the default; ``views`` as asked."""
    region = settings.region
    (height, width), (rows, columns), layers = backbone.size, backbone.grid, ",".join(backbone.layers)
    called = backbone.name
    if is_reference(called):
        own = parse_reference(called)
        called = f"{own.base.removesuffix('.py')}-{own.name}-{own.digest[:SHOWN_DIGITS]}"
    name = f"{called}-{parse_weights(backbone.weights).tag}-{height}x{width}"
    name += "-crop" if backbone.uncropped is not None else ""
    name += f"-stride{settings.stride}" if settings.stride != 1 else ""
    name += f"-{layers}" if layers != "pooled" else ""
    name += f"-grid{rows}x{columns}" if backbone.grid != (1, 1) else ""
    name += f"-motion{settings.motion}" if settings.motion else ""
    if region is not None:
        (high, wide), (rows, columns) = region.size, region.picture
        n_boxes = region.count if region.count > 1 else ""
        name += f"-region{n_boxes}-{region.by}-{high}x{wide}of{rows}x{columns}"
        name += f"-{region.fuse}" if region.fuse != "concat" else ""
    name += f"-{views.removeprefix('original,')}" if views != "original" else ""
    name += "-bfloat16" if settings.precision == "bfloat16" else ""
    name = re.sub(r"[^\w .+-]", "_", name.replace(",", "+").replace(":", ""))
    name += f"-{settings.dtype}" if settings.dtype != "float16" else ""
    return f"{name}-nvdec" if settings.decoder == "nvdec" else name


def require_set_name(name: str) -> str:
    """The name itself. Raises BallspotError when it cannot be a folder's name everywhere."""
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise BallspotError(f"--set {name}: a set's name has letters, digits, spaces and . + - _ only; choose another")
    return name


def extract_options(spec: FeatureSpec, weights: str) -> str:
    """The options of `extract` that make features of these settings, with ``weights`` as `--weights` has them.

    "" for those that no options make: of components, of a network of two looks, and of unknown settings.
    """
    if not spec.backbone or spec.pca is not None or spec.backbone.endswith(TWO_LOOKS):
        return ""
    said: dict[str, str] = {"backbone": spec.backbone, "weights": weights}
    if spec.uncropped is None:  # else it is the weights that say what is cut out of what
        said["size"] = _by(spec.size)
    said["stride"] = str(spec.stride)
    views = _views_option(spec)
    optional = {
        "margin": str(spec.shift["margin"]) if spec.shift.get("margin") != spec.shift.get("reach") else "",
        "views": views if views != ORIGINAL else "",
        "grid": _by(spec.grid) if spec.grid != (1, 1) else "",
        "layers": ",".join(spec.layers) if spec.layers != ("pooled",) else "",
        "motion": str(spec.motion or ""),
        **({} if spec.region is None else _region_options(spec.region)),
        "dtype": spec.dtype if spec.dtype != "float16" else "",
        "precision": spec.precision if spec.precision != "float32" else "",
        "decoder": spec.decoder or "",
    }
    said |= {name: value for name, value in optional.items() if value}
    return " ".join(f"--{name} {shlex.quote(value)}" for name, value in said.items())


def _views_option(spec: FeatureSpec) -> str:
    copies = max((int(view.partition(":")[2]) for view in spec.views if view.startswith("photo:")), default=0)
    plain = [view for view in spec.views if not view.startswith("photo:")]
    return ",".join([ORIGINAL, *plain, *([f"photo:{copies}"] if copies else [])])


def _region_options(region: RegionSpec) -> dict[str, str]:
    return {
        "region": region.by,
        "region-size": _by(region.size),
        "region-from": _by(region.picture),
        "region-count": str(region.count),
        "region-fuse": region.fuse,
    }


def _by(pair: tuple[int, int]) -> str:
    return f"{pair[0]}x{pair[1]}"
