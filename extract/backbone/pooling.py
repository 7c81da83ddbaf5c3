"""What of a backbone becomes the features: its pooled output, or feature maps averaged over the cells of a grid."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from ...cache.errors import BallspotError
from .spec import BackboneSpec

POOLED = "pooled"


class GridPooling(nn.Module):
    """float (B, 3, H, W) -> (B, R * C * D): the maps of some layers, each averaged over the cells of an R x C grid.

    D is the sum of the layers' channels, in the order of `layers`; cells go row by row. The layer `pooled` is the last
    feature map (its average over one cell is what timm pools). Other names are modules of the model, `s3` or
    `blocks.4`, whose output is (B, D, h, w); with `has_channels_last`, all maps are (B, h, w, D). Cell bounds are those
    of adaptive average pooling.

    A vision transformer has tokens instead, (B, k + h * w, D). With `tokens`, the (h, w) of its patches, `pooled` is
    the map that timm's `forward_intermediates` makes of the last ones after the final norm, and other layers' tokens
    are laid out alike. The k tokens before the patches (class, registers, distillation) have no place: dropped.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], grid: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.layers, self.grid = model, tuple(layers), grid
        self.has_channels_last = False
        self.tokens: tuple[int, int] | None = None
        self.last: Tensor | None = None  # the last map of the pictures that were read last
        self._maps: dict[str, Tensor] = {}
        for name in self.layers:
            if name != POOLED:
                model.get_submodule(name).register_forward_hook(Kept(self._maps, name))

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maps(images)
        if self.has_channels_last and self.tokens is None:
            maps = [one.permute(0, 3, 1, 2) for one in maps]
        cells = torch.cat([functional.adaptive_avg_pool2d(one, self.grid) for one in maps], dim=1)  # (B, D, R, C)
        return cells.permute(0, 2, 3, 1).flatten(1)  # (B, D, R, C) -> (B, R * C * D)

    def maps(self, images: Tensor) -> list[Tensor]:
        """What the layers give, in their order, as the model lays it out; tokens as maps (B, D, h, w)."""
        self._maps.clear()
        last = self.last = self._last(images)
        maps = [
            last if name == POOLED else self._map_of(self._maps.get(name, last.new_empty(0))) for name in self.layers
        ]
        self._maps.clear()
        return maps

    def _last(self, images: Tensor) -> Tensor:
        if self.tokens is not None:
            return last_token_map(self.model, images)
        features: Callable[[Tensor], Tensor] = getattr(self.model, "forward_features", self.model)
        return features(images)

    def _map_of(self, output: Tensor) -> Tensor:
        """A layer's output as a map; what is neither a map nor tokens is given back as it is."""
        if self.tokens is None or not isinstance(output, Tensor) or output.ndim not in (3, 4):
            return output
        rows, columns = self.tokens
        if output.ndim == 4:  # not yet in a row, (B, h, w, D)
            return output.permute(0, 3, 1, 2) if output.shape[1:3] == (rows, columns) else output
        n_before = output.shape[1] - rows * columns
        if n_before not in (0, getattr(self.model, "num_prefix_tokens", 0)):
            return output
        return output[:, n_before:].transpose(1, 2).unflatten(2, (rows, columns))


class Kept:
    """A hook that keeps what a layer gives in `maps`; a copy of the whole model keeps it in the copy's own maps."""

    def __init__(self, maps: dict[str, Tensor], name: str) -> None:
        self.maps, self.name = maps, name

    def __call__(self, _: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
        self.maps[self.name] = output


class WithStrength(nn.Module):
    """float (B, 3, H, W) -> (B, D + h * w): a model's features, then how strong every place of its last map is.

    The strength is the mean over channels of the last feature map (B, C, h, w), or of a transformer's last patch
    tokens, row by row.
    """

    def __init__(self, model: nn.Module, spec: BackboneSpec) -> None:
        super().__init__()
        self.model, self.name = model, spec.name
        self.tokens = None if isinstance(model, GridPooling) else _places_of_tokens(model, spec)
        own = model.model if isinstance(model, GridPooling) else model
        self.has_channels_last = getattr(own, "output_fmt", "NCHW") == "NHWC"

    def forward(self, images: Tensor) -> Tensor:
        model = cast(Any, self.model)
        if isinstance(self.model, GridPooling):
            features, last = model(images), model.last
            has_channels_last = self.has_channels_last and model.tokens is None
        else:
            last = model.forward_features(images)
            features = model.forward_head(last)
            has_channels_last = self.has_channels_last
            if self.tokens is not None:
                return torch.cat((features, last[:, -self.tokens[0] * self.tokens[1] :].mean(2)), dim=1)
        return torch.cat((features, last.mean(3 if has_channels_last else 1).flatten(1)), dim=1)

    def shape_at(self, size: tuple[int, int]) -> tuple[int, int]:
        """The (h, w) of the strengths. Raises BallspotError for a model that gives no map of the picture."""
        device = next((value.device for value in self.parameters()), torch.device("cpu"))
        images = torch.zeros(1, 3, *size, device=device)
        try:
            with torch.inference_mode():
                made, plain = self(images), self.model(images)
                if isinstance(self.model, GridPooling):
                    last = cast(Tensor, self.model.last)
                    is_last = self.has_channels_last and self.model.tokens is None
                    height, width = last.shape[1:3] if is_last else last.shape[2:]
                elif self.tokens is not None:
                    height, width = self.tokens
                else:
                    last = cast(Any, self.model).forward_features(images)
                    height, width = last.shape[1:3] if self.has_channels_last else last.shape[2:]
            if made.shape[1] == plain.shape[1] + height * width:
                return int(height), int(width)
        except (RuntimeError, AssertionError, AttributeError, IndexError, TypeError, ValueError):
            pass
        raise BallspotError(
            f"--region map: {self.name} gives no map of the picture; give --region motion, or another backbone"
        )


def last_token_map(model: nn.Module, images: Tensor) -> Tensor:
    """The last patch tokens of a timm transformer after its final norm, laid out as they lie in the pictures."""
    return cast(Any, model).forward_intermediates(
        images, indices=1, norm=True, output_fmt="NCHW", intermediates_only=True
    )[-1]


def with_pooling(model: nn.Module, spec: BackboneSpec, *, before: nn.Module | None = None) -> nn.Module:
    """The model itself for the plain pooled output, else in a `GridPooling`.

    `before` makes what the model reads of pictures, where it does not read pictures themselves.

    Raises BallspotError for a layer that the model does not have, naming the nearest, one that is there twice, one that
    gives no map, and a map with fewer cells than the grid.
    """
    layers = spec.layers
    if layers == (POOLED,) and spec.grid == (1, 1):
        return model
    known = [name for name, _ in model.named_modules() if name]
    for name in layers:
        if name != POOLED and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.0)
            raise BallspotError(
                f"--layers {name}: {spec.name} has no such layer; did you mean {near[0] if near else POOLED}?"
            )
    if len(set(layers)) != len(layers) or not layers:
        raise BallspotError(f"--layers {','.join(layers)}: name every layer once")
    pooling = GridPooling(model, layers, spec.grid)
    pooling.has_channels_last = getattr(model, "output_fmt", "NCHW") == "NHWC"
    pooling.tokens = None if before is not None else _places_of_tokens(model, spec)
    require_cells(pooling, spec, before=before)
    return pooling


def _places_of_tokens(model: nn.Module, spec: BackboneSpec) -> tuple[int, int] | None:
    """The rows and columns of a transformer's patches in pictures of the asked size; None for a model with maps."""
    if not (hasattr(model, "forward_features") and hasattr(model, "forward_intermediates")):
        return None
    device = next((value.device for value in model.parameters()), torch.device("cpu"))
    try:
        with torch.inference_mode():
            images, features = torch.zeros(1, 3, *spec.size, device=device), cast(Any, model).forward_features
            if features(images).ndim != 3:
                return None
            height, width = last_token_map(model, images).shape[2:]
            return height, width
    except (RuntimeError, AssertionError, AttributeError, TypeError, ValueError):
        return None  # a backbone that gives no map is told as that


def require_cells(pooling: GridPooling, spec: BackboneSpec, *, before: nn.Module | None = None) -> None:
    """Raises BallspotError where a layer gives no map of pictures of the spec's size, or one coarser than the grid."""
    device = next((value.device for value in pooling.parameters()), torch.device("cpu"))
    try:
        with torch.inference_mode():
            images = torch.zeros(1, 3, *spec.size, device=device)
            maps = pooling.maps(images if before is None else before(images))
    except (RuntimeError, AssertionError, TypeError, ValueError):
        return  # a backbone that cannot read such pictures is told as that
    rows, columns = pooling.grid
    for name, one in zip(pooling.layers, maps, strict=True):
        if not isinstance(one, Tensor) or one.ndim != 4:
            raise BallspotError(
                f"--layers {name}: {spec.name} gives no map of the picture there; give another layer or backbone, or "
                "neither --grid nor --layers"
            )
        height, width = one.shape[1:3] if pooling.has_channels_last and pooling.tokens is None else one.shape[2:]
        if rows > height or columns > width:
            raise BallspotError(
                f"--grid {rows}x{columns}: the map of layer {name!r} has {height}x{width} cells at "
                f"{spec.size[0]}x{spec.size[1]} pixels; give a coarser grid, an earlier layer or a larger --size"
            )
