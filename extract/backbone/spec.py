"""A backbone as it is asked for."""

from dataclasses import dataclass
from typing import Any

from ...cache.errors import BallspotError


@dataclass(frozen=True)
class BackboneSpec:
    """What makes the same backbone anywhere: plain values, no model.

    `name` is timm's and may say a temporal shift, `regnety_002+gsf:s3,s4`; `weights` is a value of `--weights`; `size`
    is the (height, width) of the pictures. The features are those of `layers`, over the cells of `grid` (see
    `GridPooling`). With `uncropped`, pictures are brought to that size, and their middle of `size` is read. Without
    `interpolation` they are resized as timm says of the weights.
    """

    name: str
    weights: str
    size: tuple[int, int]
    layers: tuple[str, ...] = ("pooled",)
    grid: tuple[int, int] = (1, 1)
    uncropped: tuple[int, int] | None = None
    interpolation: str | None = None


def size_of_patches(name: str, size: tuple[int, int], *, is_asked: bool) -> tuple[int, int]:
    """The (height, width) of pictures that a backbone reads whole: for a transformer, whole patches either way.

    timm would leave out the pixels of a patch that is not whole. What nobody asked for becomes the nearest size of
    whole patches; another one that was asked for is a BallspotError that names the two nearest.
    """
    patch = _patch_of(name)
    if patch is None or all(pixels % step == 0 for pixels, step in zip(size, patch, strict=True)):
        return size
    nearest = tuple(max(round(pixels / step), 1) * step for pixels, step in zip(size, patch, strict=True))
    if not is_asked:
        return nearest[0], nearest[1]
    lower, upper = (
        "x".join(
            str(max((pixels + more) // step, 1) * step) for pixels, step, more in zip(size, patch, mores, strict=True)
        )
        for mores in ((0, 0), (patch[0] - 1, patch[1] - 1))
    )
    raise BallspotError(
        f"--size {size[0]}x{size[1]}: {name} reads patches of {patch[0]}x{patch[1]} pixels, and would leave part of "
        f"the picture out; give --size {lower} or {upper}"
    )


def _patch_of(name: str) -> tuple[int, int] | None:
    """The (height, width) of a transformer's patches; None for a model without, and for what timm does not know."""
    import timm  # takes seconds to import
    import torch

    base = name.partition("+")[0].split(".")[0]
    cfg: Any = timm.get_pretrained_cfg(base) if timm.is_model(base) else None
    if cfg is None or not cfg.fixed_input_size:
        return None
    try:
        with torch.device("meta"):  # shapes alone
            model = timm.create_model(base, num_classes=0)
    except (RuntimeError, NotImplementedError):  # made from numbers that a meta tensor has not
        return None
    patch: Any = getattr(getattr(model, "patch_embed", None), "patch_size", None)
    height, width = patch if isinstance(patch, (tuple, list)) else (patch, patch)
    return (height, width) if isinstance(height, int) and isinstance(width, int) else None
