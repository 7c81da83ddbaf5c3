"""Which box of a picture is looked at closely: the one of a few sizes in which a small feature map is strongest.

Own code from the facts of AdaSpot ("AdaSpot: Spend Resolution Where It Matters for Precise Event Spotting", repository
arturxe2/AdaSpot). The map is smoothed over space and time, so that the box of a clip seldom jumps. The choice is the
highest of nearly equal sums: a last bit can move it.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from ..backbone import resized_part

CELL = 8  # places either way that a cell of the feature map becomes
STEP = 28  # pixels from one size of box to the next
KERNEL = (7, 9, 9)  # frames, rows and columns of the smoothing; its deviations are a quarter of that
N_SMOOTHINGS = 2
FEWEST_FRAMES = KERNEL[0] // 2 + 1  # of a clip: it is reflected in time


@dataclass(frozen=True)
class Boxes:
    """A box a frame: `centres` float32 (T, 2), row and column as shares of the picture; `sizes` int64 (T, 2), pixels.

    Sizes are (height, width), even.
    """

    centres: Tensor
    sizes: Tensor

    def corners(self, picture: tuple[int, int]) -> Tensor:
        """int64 (T, 2): row and column of each box's first pixel, moved so that it lies inside a (height, width).

        Raises ValueError for a box that has no place in such a picture.
        """
        whole = torch.tensor(picture, device=self.sizes.device)
        if bool((self.sizes >= whole).any()) or bool((self.sizes % 2 != 0).any()) or bool((self.sizes < 2).any()):
            raise ValueError(f"boxes of {self.sizes.unique(dim=0).tolist()} pixels in a picture of {list(picture)}")
        half = self.sizes // 2
        centres = (self.centres * whole.to(self.centres.dtype)).long()
        return centres.clamp(half, whole - half - 1) - half


def box_sizes(smallest: tuple[int, int], picture: tuple[int, int]) -> tuple[tuple[int, int], ...]:
    """The (height, width) that boxes may have, the smallest first; each lies inside the picture."""
    heights, widths = (range(first, whole, STEP) for first, whole in zip(smallest, picture, strict=True))
    return tuple(zip(heights, widths, strict=False))


def choose_boxes(maps: Tensor, *, smallest: tuple[int, int], picture: tuple[int, int], threshold: float = 0.0) -> Boxes:
    """A box for each frame of a clip, by its maps float (T, D, h, w), T at least 4, on a picture of (height, width).

    The first size counts that has a box which holds more than `threshold` of what the smoothed map sums to; of this
    size it is the box that holds most. Where none does, it is the largest size at the place h w // 2 of the fine map,
    which is also taken for a box at the map's very first place: both as published.
    """
    strength = saliency(maps)  # (T, 8 h, 8 w)
    n_frames, height, width = strength.shape
    sizes = box_sizes(smallest, picture)
    at = torch.full((n_frames,), height // CELL * (width // CELL) // 2, device=maps.device)
    which = torch.full_like(at, len(sizes) - 1)
    is_open = torch.ones(n_frames, dtype=torch.bool, device=maps.device)
    for number, size in enumerate(sizes):
        most, place = box_sums(strength, size, picture).flatten(1).max(dim=1)
        found = is_open & (most > threshold)
        at = torch.where(found & (place > 0), place, at)
        which = torch.where(found, number, which)
        is_open &= ~found
        if not is_open.any():
            break
    rows, columns = at // width, at % width
    centres = torch.stack((rows.float() / height, columns.float() / width), dim=1)
    return Boxes(centres, torch.tensor(sizes, device=maps.device)[which])


def saliency(maps: Tensor) -> Tensor:
    """Maps float (T, D, h, w) -> how strong every place of a finer grid is, float (T, 8 h, 8 w), of sum 1 a frame.

    The mean over channels, from 0 to 1 in each frame, smoothed. A frame without any difference is 0 before smoothing,
    and where its neighbours are, too, it stays 0.
    """
    means = maps.float().mean(1)
    lowest = means.amin((1, 2), keepdim=True)
    span = means.amax((1, 2), keepdim=True) - lowest
    scaled = (means - lowest) / torch.where(span > 0, span, 1.0)
    fine = scaled.repeat_interleave(CELL, 1).repeat_interleave(CELL, 2)
    for _ in range(N_SMOOTHINGS):
        fine = _smoothed(fine)
    total = fine.sum((1, 2), keepdim=True)
    return fine / torch.where(total > 0, total, 1.0)


def box_sums(strength: Tensor, size: tuple[int, int], picture: tuple[int, int]) -> Tensor:
    """What a box of `size` pixels around each place holds of `strength` (T, H, W), of the same shape; zero outside."""
    sides = [int(side / whole * cells) for side, whole, cells in zip(size, picture, strength.shape[1:], strict=True)]
    sides = [side + 1 - side % 2 for side in sides]  # odd, so that a place is a centre
    padding = [side // 2 for side in sides]
    return functional.avg_pool2d(strength[:, None], sides, stride=1, padding=padding)[:, 0] * (sides[0] * sides[1])


def cut_boxes(pictures: Tensor, boxes: Boxes, size: tuple[int, int]) -> Tensor:
    """The boxes of pictures (T, H, W, 3), each brought to `size` (height, width): float32 (T, height, width, 3).

    Larger ones are resized bilinearly, corners not aligned, without antialiasing.
    """
    corners, cut = boxes.corners((pictures.shape[1], pictures.shape[2])).tolist(), []
    for picture, (top, left), (height, width) in zip(pictures, corners, boxes.sizes.tolist(), strict=True):
        part = picture[top : top + height, left : left + width].float()
        if (height, width) != size:
            images = part.permute(2, 0, 1)[None]  # (h, w, 3) -> (1, 3, h, w)
            images = functional.interpolate(images, size, mode="bilinear", align_corners=False)
            part = images[0].permute(1, 2, 0)
        cut.append(part)
    return torch.stack(cut)


def cut_resized(pictures: Tensor, boxes: Boxes, whole: tuple[int, int], *, interpolation: str) -> Tensor:
    """The boxes, all of one size, of pictures (T, H, W, 3) as if those were brought to `whole` (height, width) first.

    Only what boxes hang on is resized: float32 (T, height, width, 3).
    """
    if tuple(pictures.shape[1:3]) == whole:
        return cut_boxes(pictures, boxes, tuple(boxes.sizes[0].tolist()))
    corners, (height, width) = boxes.corners(whole).tolist(), boxes.sizes[0].tolist()
    return torch.stack(
        [
            resized_part(picture, whole, (top, left), (height, width), interpolation=interpolation)
            for picture, (top, left) in zip(pictures, corners, strict=True)
        ]
    )


def _smoothed(fine: Tensor) -> Tensor:
    """(T, H, W) by a Gaussian along each of the three, which are reflected at their ends."""
    volume = fine[None, None]
    pads = [length // 2 for length in reversed(KERNEL) for _ in range(2)]
    volume = functional.pad(volume, pads, mode="reflect")
    for place, length in enumerate(KERNEL):
        shape = [1, 1, 1, 1, 1]
        shape[2 + place] = length
        volume = functional.conv3d(volume, _gaussian(length, fine).view(shape))
    return volume[0, 0]


def _gaussian(length: int, like: Tensor) -> Tensor:
    at = torch.arange(length, dtype=like.dtype, device=like.device) - length // 2
    weights = torch.exp(-0.5 * (at / (length / 4)) ** 2)
    return weights / weights.sum()
