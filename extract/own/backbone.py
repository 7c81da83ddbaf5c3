"""A backbone of a user's own: a function that gives a module, pictures in and one row of features each out."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...cache.code import blamed, called, is_memory, parse_reference
from ...cache.errors import BallspotError

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, what most weights were trained with
INTERPOLATIONS = ("bilinear", "bicubic")
CLOSE = 1e-3  # relative to the largest feature: sums in another order


@dataclass(frozen=True)
class OwnBackbone:
    """The module in evaluation mode, float (B, 3, H, W) -> (B, D), and how its pictures are made."""

    model: nn.Module
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str


def make_own(text: str, *, size: tuple[int, int], seed: int = 0, is_tried: bool = True) -> OwnBackbone:
    """The backbone that the function of that name gives for pictures of ``size`` (height, width).

    The function may ask for ``size``; torch's generator begins at ``seed`` and is then as it was before. ``mean``,
    ``std`` and ``interpolation`` are the module's attributes of that name, ImageNet's and bilinear without. Raises
    BallspotError for what gives no module, or a module that does not give each picture a row of its own.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = called(text, {"size": size})
    if not isinstance(model, nn.Module):
        raise _wrong(text, f"gives {type(model).__name__}, no torch.nn.Module; return the module")
    for name, value in model.state_dict().items():
        if not isinstance(value, Tensor):
            raise _wrong(text, f"keeps {type(value).__name__} {name!r} in its state; keep tensors alone")
    model = model.eval()
    mean, std = (_three(text, model, name, default) for name, default in (("mean", MEAN), ("std", STD)))
    if not all(value > 0 for value in std):
        raise _wrong(text, f"its std is {std}; give three numbers above 0")
    interpolation = getattr(model, "interpolation", INTERPOLATIONS[0])
    if interpolation not in INTERPOLATIONS:
        raise _wrong(text, f"its interpolation is {interpolation!r}; let it be {' or '.join(INTERPOLATIONS)}")
    if is_tried:
        _try(text, model, size)
    return OwnBackbone(model, mean, std, interpolation)


def _three(text: str, model: nn.Module, name: str, default: tuple[float, ...]) -> tuple[float, ...]:
    value: Any = getattr(model, name, default)
    try:
        values = tuple(float(one) for one in value)
    except (TypeError, ValueError) as error:
        raise _wrong(text, f"its {name} is {value!r}; give three numbers, of pictures of 0 to 1") from error
    if len(values) != 3 or not all(abs(one) < 1e6 for one in values):
        raise _wrong(text, f"its {name} is {values}; give three numbers, of pictures of 0 to 1")
    return values


@torch.inference_mode()
def _try(text: str, model: nn.Module, size: tuple[int, int]) -> None:
    """Raises BallspotError unless two pictures give two rows, each its own, the same twice."""
    pictures = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0))
    try:
        rows, again, alone = model(pictures), model(pictures), model(pictures[:1])
    except Exception as error:
        if is_memory(error):
            raise
        raise blamed(text, error, f"given pictures {tuple(pictures.shape)}") from error
    if not isinstance(rows, Tensor) or rows.ndim != 2 or len(rows) != 2 or not rows.is_floating_point():
        what = tuple(rows.shape) if isinstance(rows, Tensor) else type(rows).__name__
        raise _wrong(text, f"its module gives {what} for pictures {tuple(pictures.shape)}, not one row (2, D) each")
    if not rows.isfinite().all():
        raise _wrong(text, "its module gives features that are not finite")
    if not torch.equal(rows, again):
        raise _wrong(text, "its module gives other features the second time; let nothing be drawn in evaluation")
    scale = float(rows.abs().max().clamp_min(1e-12))
    if float((rows[:1] - alone).abs().max()) / scale > CLOSE:
        raise _wrong(text, "a picture's features hang on the pictures beside it; use no statistics of the batch")


def _wrong(text: str, what: str) -> BallspotError:
    return BallspotError(f"{parse_reference(text).short}: {what}; see docs/reference/own-code.md")
