"""Training clips changed at random: colour, blur, crop, mirror; all frames of a clip alike.

Every clip has a generator of its own, seeded by the epoch and the clip's number, so that a clip looks the same in
whichever process or batch it falls.
"""

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2.functional import gaussian_blur

from ...extract.backbone import Photo
from .settings import FinetuneSection

LARGEST_SD = 1.5  # pixels of blur
BRIGHTNESS = 128.0  # that a colour strength of 1 adds or takes at most


def change_pictures(pictures: Tensor, section: FinetuneSection, *, seed: int, mirrored: bool) -> Tensor:
    """A clip's pictures (T, H, W, 3) of 0..255, changed: float32, as many and as large.

    ``mirrored``: whether left and right change places, which the labels must know.
    """
    draw = torch.Generator().manual_seed(seed)
    one, two, three, blurs, sd, area, top, left = torch.rand(8, generator=draw).tolist()
    changed = pictures.float()
    if mirrored:
        changed = changed.flip(2)
    if section.colour:
        strength = section.colour
        photo = Photo(
            brightness=BRIGHTNESS * strength * (2 * one - 1),
            contrast=1 + strength * (2 * two - 1),
            saturation=1 + strength * (2 * three - 1),
        )
        changed = photo.apply(changed)
    if blurs < section.blur:
        images = changed.permute(0, 3, 1, 2)  # (T, H, W, 3) -> (T, 3, H, W)
        changed = gaussian_blur(images, [5, 5], [0.1 + (LARGEST_SD - 0.1) * sd]).permute(0, 2, 3, 1)
    if section.crop:
        changed = _cropped(changed, 1 - section.crop * area, top, left)
    return changed


def _cropped(pictures: Tensor, share: float, top: float, left: float) -> Tensor:
    """The part of the pictures that has ``share`` of their area and their shape, brought back to their size."""
    height, width = pictures.shape[1:3]
    rows, columns = round(height * share**0.5), round(width * share**0.5)
    first_row, first_column = round(top * (height - rows)), round(left * (width - columns))
    part = pictures[:, first_row : first_row + rows, first_column : first_column + columns]
    images = functional.interpolate(
        part.permute(0, 3, 1, 2), (height, width), mode="bilinear", antialias=True, align_corners=False
    )
    return images.clamp(0, 255).permute(0, 2, 3, 1)
