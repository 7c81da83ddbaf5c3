"""The part of an AdaSpot checkpoint that turns pictures into features, under the names of `RegionNetwork`.

AdaSpot puts every padded convolution of a picture behind its padding, so that `conv.weight` is `conv.1.weight` there,
and calls each temporal shift `gs`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import torch
from torch import Size, Tensor, nn

from ...cache.errors import BallspotError
from ..backbone import shifted_model

LOOKS = ("lowres_backbone.", "highres_backbone.")
BACKBONES = ("regnety_002", "regnety_004", "regnety_006", "regnety_008")
STAGES = ("s1", "s2", "s3", "s4")
LAST = "s4.b1.conv3.conv.weight"


@dataclass(frozen=True)
class RegionPart:
    """Of a checkpoint its backbones' name, their features, the tensors of a `RegionNetwork`, and the other keys."""

    backbone: str
    dim: int
    state: Mapping[str, Tensor]
    rest: tuple[str, ...]


def region_part(state: Mapping[str, Tensor], *, source: str) -> RegionPart | None:
    """What of a checkpoint is a network of two looks, None for a checkpoint that has none.

    Raises BallspotError where a tensor of one is missing, left over or of another shape; it names the first.
    """
    if not any(key.startswith(LOOKS) for key in state):
        return None
    backbone = _name_of(state, source)
    names = _names(backbone)
    own, rest = {}, []
    for key in state:
        prefix = next((look for look in LOOKS if key.startswith(look)), "")
        if prefix and key.removeprefix(prefix) not in names:
            raise BallspotError(
                f"{source} (AdaSpot): tensor {key!r} has no place in {backbone}; give a checkpoint of such backbones"
            )
        if not prefix and not key.startswith(("lowres_linear.", "highres_linear.")):
            rest.append(key)
    dim = names[LAST][1][0]
    wanted = {f"{look}{theirs}": (f"{look}{ours}", shape) for look in LOOKS for theirs, (ours, shape) in names.items()}
    for side in ("lowres", "highres"):
        shapes = (Size((dim // 2, dim)), Size((dim // 2,)), Size((dim, dim // 2)), Size((dim,)))
        for tail, shape in zip(("0.weight", "0.bias", "2.weight", "2.bias"), shapes, strict=True):
            wanted[f"{side}_linear.{tail}"] = (f"{side}_linear.{tail}", shape)
    for key, (name, shape) in wanted.items():
        if key in state:
            own[name] = state[key].float() if state[key].is_floating_point() else state[key]
        elif key.endswith("num_batches_tracked"):
            own[name] = torch.tensor(0)
            continue
        fit(state, key, shape, source=f"{source} (AdaSpot, {backbone})")
    return RegionPart(backbone, dim, own, tuple(rest))


def fit(state: Mapping[str, Tensor], key: str, shape: Size, *, source: str) -> None:
    """Raises BallspotError where a checkpoint lacks a tensor, or has it in another shape."""
    if key not in state:
        raise BallspotError(f"{source}: lacks the tensor {key!r} {tuple(shape)}; give a whole checkpoint")
    if state[key].shape != shape:
        raise BallspotError(f"{source}: tensor {key!r} is {tuple(state[key].shape)}, wanted is {tuple(shape)}")


def _name_of(state: Mapping[str, Tensor], source: str) -> str:
    """Which RegNetY with which shift both looks have, by the first look's tensors."""
    first = {key.removeprefix(LOOKS[0]) for key in state if key.startswith(LOOKS[0])}
    last = state.get(LOOKS[0] + LAST)
    if last is None:
        raise BallspotError(f"{source} (AdaSpot): lacks the tensor {LOOKS[0] + LAST!r}; give a whole checkpoint")
    name = next((one for one in BACKBONES if _width(one) == len(last)), None)
    if name is None:
        raise BallspotError(
            f"{source} (AdaSpot): its last stage is {len(last)} wide, which is none of {', '.join(BACKBONES)}"
        )
    shifted = [key for key in first if ".conv1.gs." in key]
    stages = [stage for stage in STAGES if any(key.startswith(f"{stage}.") for key in shifted)]
    if not stages:
        return name
    kind = "gsf" if any(".channel_conv" in key for key in shifted) else "gsm"
    return f"{name}+{kind}:{','.join(stages)}"


@cache
def _names(backbone: str) -> Mapping[str, tuple[str, Size]]:
    """AdaSpot's name of every tensor of a backbone, with ours and its shape."""
    with torch.device("meta"):
        model, _ = shifted_model(backbone)
    padded = [name for name, one in model.named_modules() if isinstance(one, nn.Conv2d) and any(one.padding)]
    names = {}
    for name, value in model.state_dict().items():
        owner, _, leaf = name.rpartition(".")
        theirs = f"{owner}.1.{leaf}" if owner in padded else name
        names[theirs.replace(".conv1.gsm.", ".conv1.gs.")] = (name, value.shape)
    return names


@cache
def _width(name: str) -> int:
    with torch.device("meta"):
        return int(shifted_model(name)[0].num_features)  # pyright: ignore[reportArgumentType]  # a number in timm's models
