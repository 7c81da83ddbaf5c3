"""Decoded pictures as what a backbone reads: resized on the tensor, in one way, and seen in different views."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from ...cache.errors import BallspotError
from ...cache.stores import ORIGINAL

INTERPOLATIONS = ("bilinear", "bicubic")
HFLIP = "hflip"
MAX_PHOTO = 16


@dataclass(frozen=True)
class Photo:
    """A photometric copy: luma weights of BT.601; contrast is around 128; the values hold for a whole video."""

    brightness: float
    contrast: float
    saturation: float

    def apply(self, pictures: Tensor) -> Tensor:
        """float32 (B, H, W, 3) of 0..255, changed and clamped."""
        grey = pictures @ torch.tensor([0.299, 0.587, 0.114], device=pictures.device)
        coloured = grey.unsqueeze(-1) + self.saturation * (pictures - grey.unsqueeze(-1))
        return ((coloured - 128) * self.contrast + 128 + self.brightness).clamp_(0, 255)


def photo(number: int) -> Photo:
    """The photometric copy of that number, 1 to 16, always the same: brightness within 32, the rest within 0.3 of 1."""
    rng = np.random.default_rng(number)
    brightness, contrast, saturation = rng.uniform(-1, 1, 3)
    return Photo(
        brightness=round(32 * float(brightness), 1),
        contrast=round(1 + 0.3 * float(contrast), 2),
        saturation=round(1 + 0.3 * float(saturation), 2),
    )


def parse_views(text: str) -> tuple[str, ...]:
    """The view names that `--views` asks for, `original` first: `hflip`, and `photo:1` to `photo:K` of `photo:K`.

    Raises BallspotError for another word, and for a number of copies that is not 1 to 16.
    """
    names = [ORIGINAL]
    for word in filter(None, text.split(",")):
        copies = re.fullmatch(r"photo:(\d{1,3})", word)
        if copies and 1 <= int(copies[1]) <= MAX_PHOTO:
            names += [f"photo:{number}" for number in range(1, int(copies[1]) + 1)]
        elif word in (ORIGINAL, HFLIP):
            names.append(word)
        else:
            raise BallspotError(
                f"--views {text}: {word!r} is not a view; give some of original, hflip, photo:K (K 1 to 16)"
            )
    return tuple(dict.fromkeys(names))


def views_settings(views: Sequence[str]) -> dict[str, Mapping[str, float]]:
    """What the views other than the original do, for the fingerprint."""
    chosen = {view: photo(int(view.partition(":")[2])) for view in views if view.startswith("photo:")}
    return {view: vars(chosen[view]) if view in chosen else {} for view in views if view != ORIGINAL}


def see(pictures: Tensor, view: str) -> Tensor:
    """Pictures (B, H, W, 3) in a view: the original and `hflip` keep their type, photometric copies are float32."""
    if view == HFLIP:
        return pictures.flip(2)
    if view.startswith("photo:"):
        return photo(int(view.partition(":")[2])).apply(pictures.float())
    return pictures


def fitted(
    pictures: Tensor, size: tuple[int, int], *, uncropped: tuple[int, int] | None, interpolation: str = "bilinear"
) -> Tensor:
    """Pictures (B, H, W, 3) at `size` (see `resize`); with `uncropped` brought to that, of which the middle is cut out.

    As torchvision's CenterCrop: halves of a pixel are rounded to even.
    """
    if uncropped is None:
        return resize(pictures, size, interpolation=interpolation)
    whole = resize(pictures, uncropped, interpolation=interpolation)
    top, left = (round((there - kept) / 2) for there, kept in zip(uncropped, size, strict=True))
    return whole[:, top : top + size[0], left : left + size[1]].contiguous()


def resize(pictures: Tensor, size: tuple[int, int], *, interpolation: str = "bilinear") -> Tensor:
    """Pictures (B, H, W, 3) at `size` (height, width): as they are where they have it, else float32 of 0..255.

    torch's antialiased interpolation (`bilinear` or `bicubic`, no corner alignment), computed in float and clamped;
    the aspect ratio is not kept. Resizing is never left to a decoder: they differ in how they do it.
    """
    if tuple(pictures.shape[1:3]) == size:
        return pictures
    images = pictures.permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> (B, 3, H, W), channels last in memory
    images = functional.interpolate(images, size, mode=interpolation, antialias=True, align_corners=False)
    return images.clamp_(0, 255).permute(0, 2, 3, 1).contiguous()


def resized_part(
    picture: Tensor,
    size: tuple[int, int],
    corner: tuple[int, int],
    part: tuple[int, int],
    *,
    interpolation: str = "bilinear",
) -> Tensor:
    """The `part` (height, width) from `corner` (row, column) on of a picture (H, W, 3) at `size`: float32 (h, w, 3).

    What `resize` makes of the whole picture, to the rounding of sums, at the cost of the part: interpolation is linear
    and separable, and a part hangs on the pixels around it alone.
    """
    (rows, by_row), (columns, by_column) = (
        _reached(int(n_from), n_to, interpolation, first, length)
        for n_from, n_to, first, length in zip(picture.shape[:2], size, corner, part, strict=True)
    )
    pixels = picture[rows, columns].float().permute(2, 0, 1)  # (a, b, 3) -> (3, a, b)
    made = by_row.to(picture.device) @ pixels @ by_column.T.to(picture.device)
    return made.clamp_(0, 255).permute(1, 2, 0)


def _reached(n_from: int, n_to: int, interpolation: str, first: int, length: int) -> tuple[slice, Tensor]:
    """The pixels of one side that so many resized ones from `first` on hang on, and by how much: (length, pixels)."""
    weights, starts, stops = _weights(n_from, n_to, interpolation)
    reached = slice(starts[first], stops[first + length - 1])
    return reached, weights[first : first + length, reached]


@lru_cache(maxsize=8)
def _weights(n_from: int, n_to: int, interpolation: str) -> tuple[Tensor, list[int], list[int]]:
    """What each of n_to pixels takes of n_from, float32 (n_to, n_from), and the first and last (exclusive) it takes.

    They are what torch's own interpolation makes of the unit vectors.
    """
    units = torch.eye(n_from)[None, None]
    sides = (n_to, n_from)
    weights = functional.interpolate(units, sides, mode=interpolation, antialias=True, align_corners=False)[0, 0]
    taken = weights != 0
    starts = taken.int().argmax(1)
    stops = n_from - taken.flip(1).int().argmax(1)
    # Rows near an edge may reach farther back than the next one does: no part may miss what any of its rows takes.
    return weights, starts.flip(0).cummin(0).values.flip(0).tolist(), stops.cummax(0).values.tolist()
