"""What of a backbone becomes the features: its pooled output, or feature maps averaged over the cells of a grid."""

from collections.abc import Callable, Sequence
from difflib import get_close_matches

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cache.errors import BallspotError

POOLED = "pooled"


class GridPooling(nn.Module):
    """float (B, 3, H, W) -> (B, R * C * D): the maps of some layers, each averaged over the cells of an R x C grid.

    D is the sum of the layers' channels, in the order of `layers`; cells go row by row. The layer `pooled` is the last
    feature map (its average over one cell is what timm pools). Other names are modules of the model, `s3` or
    `blocks.4`, whose output is (B, D, h, w). Cell bounds are those of adaptive average pooling.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], grid: tuple[int, int]) -> None:
        super().__init__()
        self.model, self.layers, self.grid = model, tuple(layers), grid
        self._maps: dict[str, Tensor] = {}
        for name in self.layers:
            if name != POOLED:
                model.get_submodule(name).register_forward_hook(self._keep(name))

    def forward(self, images: Tensor) -> Tensor:
        self._maps.clear()
        features: Callable[[Tensor], Tensor] = getattr(self.model, "forward_features", self.model)
        last = features(images)
        maps = [last if name == POOLED else self._maps[name] for name in self.layers]
        cells = torch.cat([functional.adaptive_avg_pool2d(one, self.grid) for one in maps], dim=1)  # (B, D, R, C)
        self._maps.clear()
        return cells.permute(0, 2, 3, 1).flatten(1)  # (B, D, R, C) -> (B, R * C * D)

    def _keep(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        def hook(_: nn.Module, __: tuple[Tensor, ...], output: Tensor) -> None:
            self._maps[name] = output

        return hook


def with_pooling(model: nn.Module, *, backbone: str, layers: Sequence[str], grid: tuple[int, int]) -> nn.Module:
    """The model itself for the plain pooled output, else in a `GridPooling`.

    Raises BallspotError for a layer that the model does not have, naming the nearest, and one that is there twice.
    """
    if tuple(layers) == (POOLED,) and grid == (1, 1):
        return model
    known = [name for name, _ in model.named_modules() if name]
    for name in layers:
        if name != POOLED and name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.0)
            raise BallspotError(
                f"--layers {name}: {backbone} has no such layer; did you mean {near[0] if near else POOLED}?"
            )
    if len(set(layers)) != len(layers) or not layers:
        raise BallspotError(f"--layers {','.join(layers)}: name every layer once")
    return GridPooling(model, layers, grid)
