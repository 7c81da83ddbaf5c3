import numpy as np
import pytest
import torch
from hypothesis import given as given_any
from hypothesis import settings
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone.transforms import fitted, parse_views, photo, resize, resized_part, see, views_settings


def pictures(height: int, width: int, n: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


def test_pictures_of_the_right_size_are_left_as_they_are() -> None:
    given = pictures(6, 8)
    assert resize(given, (6, 8)) is given


def test_halving_a_picture_averages_it_with_the_triangle_filter() -> None:
    # Antialiased bilinear at half size weighs four source pixels 1, 3, 3, 1 (of 8) away from the border.
    row = torch.tensor([0, 0, 0, 0, 80, 80, 80, 80], dtype=torch.uint8)
    given = row.view(1, 1, 8, 1).expand(1, 8, 8, 3).contiguous()
    images = resize(given, (4, 4))
    torch.testing.assert_close(images[0, 1, 1:3, 0], torch.tensor([10.0, 70.0]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_picture_of_one_colour_keeps_it_at_any_size(interpolation: str) -> None:
    given = torch.full((1, 30, 50, 3), 200, dtype=torch.uint8)
    images = resize(given, (17, 23), interpolation=interpolation)
    torch.testing.assert_close(images, torch.full((1, 17, 23, 3), 200.0), rtol=0, atol=1e-3)


def test_sharp_edges_do_not_leave_the_range_of_pictures() -> None:
    given = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    given[:, :, 16:] = 255
    images = resize(given, (20, 21), interpolation="bicubic")
    assert float(images.min()) >= 0.0 and float(images.max()) <= 255.0


SIDES = st.tuples(st.integers(3, 40), st.integers(3, 40))


@settings(max_examples=60, deadline=None)
@given_any(SIDES, SIDES, st.sampled_from(["bilinear", "bicubic"]), st.data())
def test_a_resized_part_is_that_part_of_the_resized_picture(
    have: tuple[int, int], size: tuple[int, int], interpolation: str, data: st.DataObject
) -> None:
    whole = pictures(*have, n=1)
    corner = tuple(data.draw(st.integers(0, side - 1)) for side in size)
    part = tuple(data.draw(st.integers(1, side - first)) for side, first in zip(size, corner, strict=True))
    (top, left), (height, width) = corner, part
    expected = resize(whole, size, interpolation=interpolation)[0, top : top + height, left : left + width].float()
    found = resized_part(whole[0], size, (top, left), (height, width), interpolation=interpolation)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-3)


def test_a_mirrored_view_twice_is_the_original() -> None:
    given = pictures(5, 7)
    mirrored = see(given, "hflip")
    assert torch.equal(mirrored[:, :, 0], given[:, :, 6])
    assert torch.equal(see(mirrored, "hflip"), given)
    assert torch.equal(see(given, "original"), given)


def test_a_photometric_copy_is_the_formula_within_the_range() -> None:
    given, chosen = pictures(4, 4), photo(3)
    seen = see(given, "photo:3")
    assert (seen.dtype, seen.min() >= 0, seen.max() <= 255) == (torch.float32, True, True)
    red, green, blue = given[0, 1, 2].tolist()
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    value = (grey + chosen.saturation * (red - grey) - 128) * chosen.contrast + 128 + chosen.brightness
    assert float(seen[0, 1, 2, 0]) == pytest.approx(min(max(value, 0), 255), abs=1e-3)
    assert len({photo(number) for number in range(1, 17)}) == 16


def test_views_are_named_once_with_the_original_first() -> None:
    assert parse_views("photo:2,original,hflip,hflip") == ("original", "photo:1", "photo:2", "hflip")
    assert parse_views("original") == parse_views("") == ("original",)
    assert views_settings(("original", "hflip", "photo:1")) == {"hflip": {}, "photo:1": vars(photo(1))}


@pytest.mark.parametrize("text", ["mirror", "photo", "photo:0", "photo:17"])
def test_a_view_that_is_none_is_named(text: str) -> None:
    with pytest.raises(BallspotError, match=f"{text!r} is not a view"):
        parse_views(text)


def test_the_middle_of_a_resized_picture_is_cut_out_as_torchvision_does():
    """CenterCrop of torchvision begins at int(round((whole - kept) / 2)), halves to even."""
    pictures = torch.arange(2 * 9 * 13 * 3, dtype=torch.uint8).view(2, 9, 13, 3)
    for size in ((9, 13), (4, 8), (5, 7), (2, 2)):
        top, left = round((9 - size[0]) / 2), round((13 - size[1]) / 2)
        cut = fitted(pictures, size, uncropped=(9, 13))
        assert torch.equal(cut, pictures[:, top : top + size[0], left : left + size[1]])
    halved = fitted(pictures, (2, 3), uncropped=(4, 6))
    assert torch.equal(halved, resize(pictures, (4, 6))[:, 1:3, 2:5])
