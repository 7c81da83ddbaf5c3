"""Training clips changed at random: colour, blur, crop, mirror; all frames of a clip alike.

Every clip has a generator of its own, seeded by the epoch and the clip's number, so that a clip looks the same in
whichever process or batch it falls. On CPUs the processes that decode change the clips, one by one; on a GPU whole
batches are changed at once, there.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.v2.functional import gaussian_blur

from ...extract.backbone import Photo
from .settings import FinetuneSection

LARGEST_SD = 1.5  # pixels of blur
BLUR_REACH = 2  # pixels either side
BRIGHTNESS = 128.0  # that a colour strength of 1 adds or takes at most
GREY = (0.299, 0.587, 0.114)  # BT.601, as in Photo


@dataclass(frozen=True)
class Change:
    """What is done to one clip; None: nothing of that kind.

    ``cut``: the share of the picture's area that is kept, and where of what is left it begins (top, left).
    """

    photo: Photo | None
    blur_sd: float | None
    cut: tuple[float, float, float] | None
    mirrored: bool


def drawn_change(section: FinetuneSection, *, seed: int, mirrored: bool) -> Change:
    """The change of that seed. ``mirrored``: whether left and right change places, which the labels must know."""
    draw = torch.Generator().manual_seed(seed)
    one, two, three, blurs, sd, area, top, left = torch.rand(8, generator=draw).tolist()
    strength = section.colour
    photo = Photo(
        brightness=BRIGHTNESS * strength * (2 * one - 1),
        contrast=1 + strength * (2 * two - 1),
        saturation=1 + strength * (2 * three - 1),
    )
    return Change(
        photo if strength else None,
        0.1 + (LARGEST_SD - 0.1) * sd if blurs < section.blur else None,
        (1 - section.crop * area, top, left) if section.crop else None,
        mirrored,
    )


def change_pictures(pictures: Tensor, change: Change) -> Tensor:
    """A clip's pictures (T, H, W, 3) of 0..255, changed: float32, as many and as large."""
    changed = pictures.float()
    if change.mirrored:
        changed = changed.flip(2)
    if change.photo is not None:
        changed = change.photo.apply(changed)
    if change.blur_sd is not None:
        images = changed.permute(0, 3, 1, 2)  # (T, H, W, 3) -> (T, 3, H, W)
        size = [2 * BLUR_REACH + 1] * 2
        changed = gaussian_blur(images, size, [change.blur_sd]).permute(0, 2, 3, 1)
    if change.cut is not None:
        changed = _cropped(changed, *change.cut)
    return changed


def change_batch(pictures: Tensor, changes: Sequence[Change]) -> Tensor:
    """The pictures (B, T, H, W, 3) of 0..255 of B clips, each changed as `change_pictures` does it: float32.

    A few operations for the whole batch, wherever it lies, and none of them waits for the device.
    """
    changed = pictures.float()
    device = pictures.device
    mirrored = [place for place, change in enumerate(changes) if change.mirrored]
    if mirrored:
        changed = _with(changed, mirrored, _part(changed, mirrored).flip(3))
    photos = [change.photo or Photo(0.0, 1.0, 1.0) for change in changes]
    if any(change.photo is not None for change in changes):
        numbers = torch.tensor([[one.saturation, one.contrast, one.brightness] for one in photos])
        saturation, contrast, brightness = numbers.to(device, non_blocking=True).view(-1, 3, 1, 1, 1, 1).unbind(1)
        grey = changed[..., 0:1] * GREY[0] + changed[..., 1:2] * GREY[1] + changed[..., 2:3] * GREY[2]
        changed = torch.lerp(grey.expand_as(changed), changed, saturation)
        changed = changed.sub_(128).mul_(contrast).add_(128 + brightness).clamp_(0, 255)
    blurred = {place: change.blur_sd for place, change in enumerate(changes) if change.blur_sd is not None}
    if blurred:
        places = list(blurred)
        changed = _with(changed, places, _blurred(_part(changed, places), list(blurred.values())))
    cuts = {place: change.cut for place, change in enumerate(changes) if change.cut is not None}
    if cuts:  # each has a size of its own
        parts = [_cropped(changed[place], *cut) for place, cut in cuts.items()]
        changed = _with(changed, list(cuts), torch.stack(parts))
    return changed


def _part(pictures: Tensor, places: Sequence[int]) -> Tensor:
    """The clips at these places; by views, since indices would have to be brought to the device."""
    return torch.stack([pictures[place] for place in places])


def _with(pictures: Tensor, places: Sequence[int], changed: Tensor) -> Tensor:
    """The clips with those at these places replaced; ``pictures`` is ours to write to."""
    for place, clip in zip(places, changed, strict=True):
        pictures[place].copy_(clip)
    return pictures


def _blurred(pictures: Tensor, sds: Sequence[float]) -> Tensor:
    """The clips (B, T, H, W, 3) under a Gaussian of so many pixels each, mirrored at the edges."""
    at = torch.arange(-BLUR_REACH, BLUR_REACH + 1, dtype=torch.float32)
    weights = torch.exp(-0.5 * (at / torch.tensor(sds)[:, None]) ** 2)  # (B, 5)
    weights = (weights / weights.sum(1, keepdim=True)).to(pictures.device, non_blocking=True)
    images = pictures.permute(0, 1, 4, 2, 3)  # (B, T, H, W, 3) -> (B, T, 3, H, W)
    height, width = images.shape[-2:]
    padded = functional.pad(images.flatten(1, 2), [BLUR_REACH] * 4, mode="reflect")
    of_tap = weights.view(len(sds), -1, 1, 1, 1).unbind(1)
    down, across = torch.zeros_like(padded[..., :height, :]), torch.zeros_like(images.flatten(1, 2))
    for tap, weight in enumerate(of_tap):
        down.addcmul_(weight, padded[..., tap : tap + height, :])
    for tap, weight in enumerate(of_tap):
        across.addcmul_(weight, down[..., tap : tap + width])
    return across.view(images.shape).permute(0, 1, 3, 4, 2)


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
