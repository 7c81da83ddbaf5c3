"""Pictures of a clip to features by two looks: a coarse one at the whole picture, a close one at a box of it.

Own code from the facts of AdaSpot (repository arturxe2/AdaSpot, model/model.py). The two backbones are alike but have
weights of their own.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..backbone import normalisation, resize, shifted_model
from .boxes import FEWEST_FRAMES, Boxes, choose_boxes, cut_boxes
from .settings import MEAN, STD, Padding, RegionSettings


class Seen(NamedTuple):
    """What a clip of T frames gives: `fused` float32 (T, D); the pooled features of each look (T, D); the boxes."""

    fused: Tensor
    low: Tensor
    high: Tensor
    boxes: Boxes


class RegionNetwork(nn.Module):
    """Pictures (T, H, W, 3) of 0..255 -> features (T, D), the greater of the two looks' in every place.

    Each look's features go through a layer of their own (linear to half of the numbers, ReLU, linear). What a frame
    gives hangs on the whole clip: by the shift in the backbones and by the boxes, which are smoothed over time.
    """

    offset: Tensor
    scale: Tensor

    def __init__(self, settings: RegionSettings) -> None:
        super().__init__()
        self.settings = settings
        self.lowres_backbone, self.low_clips = shifted_model(settings.backbone)
        self.highres_backbone, self.high_clips = shifted_model(settings.backbone)
        for backbone in (self.lowres_backbone, self.highres_backbone):
            pad_as(backbone, settings.padding)
        self.dim = dim = int(self.lowres_backbone.num_features)  # pyright: ignore[reportArgumentType]  # a number
        self.lowres_linear, self.highres_linear = _projection(dim), _projection(dim)
        scale, shift = normalisation(MEAN, STD)
        self.register_buffer("scale", scale, persistent=False)
        self.register_buffer("offset", shift, persistent=False)

    def features(self, pictures: Tensor) -> Tensor:
        """Pictures of one clip, uint8 or float (T, H, W, 3) of 0..255 -> float32 (T, D)."""
        return self(pictures).fused

    def forward(self, pictures: Tensor, boxes: Boxes | None = None) -> Seen:
        """All that the two looks see of the pictures of one clip; in the given boxes, else in those that are chosen.

        Raises ValueError for a clip of fewer than four frames, which has no boxes of its own.
        """
        if boxes is None and len(pictures) < FEWEST_FRAMES:
            raise ValueError(f"a clip of {len(pictures)} frames; boxes are chosen in {FEWEST_FRAMES} or more")
        asked = self.settings
        maps, low = self._look(self.lowres_backbone, self._pictures(pictures, asked.low, asked.low_seen))
        if boxes is None:
            boxes = choose_boxes(maps, smallest=asked.region, picture=asked.high_seen, threshold=asked.threshold)
        parts = cut_boxes(self._pictures(pictures, asked.high, asked.high_seen), boxes, asked.region)
        _, high = self._look(self.highres_backbone, parts)
        fused = torch.maximum(self.lowres_linear(low), self.highres_linear(high))
        return Seen(fused, low, high, boxes)

    def _look(self, backbone: nn.Module, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """The last maps (T, D, h, w) of pictures (T, H, W, 3) of one clip, and what is pooled of them (T, D)."""
        clips = self.low_clips if backbone is self.lowres_backbone else self.high_clips
        if clips is not None:
            clips.n_frames = len(pictures)
        images = pictures.permute(0, 3, 1, 2).float()  # (T, H, W, 3) -> (T, 3, H, W), channels last in memory
        model: Any = backbone  # timm's models have these two, which nn.Module does not say
        maps = model.forward_features(torch.addcmul(self.offset, images, self.scale))
        return maps, model.forward_head(maps)

    @staticmethod
    def _pictures(pictures: Tensor, size: tuple[int, int], seen: tuple[int, int]) -> Tensor:
        """Pictures (T, H, W, 3) at a size, and of these the centre."""
        resized = resize(pictures, size)
        top, left = (round((side - part) / 2) for side, part in zip(size, seen, strict=True))
        return resized[:, top : top + seen[0], left : left + seen[1]]


def pad_as(model: nn.Module, padding: Padding) -> None:
    """Has all padded convolutions of pictures, in place, pad with the picture's margin instead of zeros.

    Those over clips (`Conv3d`) keep their zeros, as in AdaSpot.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d) and any(module.padding):
            module.padding_mode = padding


def _projection(dim: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(dim, dim // 2), nn.ReLU(), nn.Linear(dim // 2, dim))
