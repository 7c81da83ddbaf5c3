"""A backbone as it is asked for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BackboneSpec:
    """What makes the same backbone anywhere: plain values, no model.

    `name` is timm's and may say a temporal shift, `regnety_002+gsf:s3,s4`; `weights` is a value of `--weights`; `size`
    is the (height, width) of the pictures. The features are those of `layers`, over the cells of `grid` (see
    `GridPooling`).
    """

    name: str
    weights: str
    size: tuple[int, int]
    layers: tuple[str, ...] = ("pooled",)
    grid: tuple[int, int] = (1, 1)
