import numpy as np
import pytest
import torch

from ballspot.extract.transforms import Preprocess

CPU = torch.device("cpu")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def pictures(height: int, width: int, n: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (n, height, width, 3), dtype=np.uint8))


def test_pictures_of_the_right_size_are_only_normalised() -> None:
    given = pictures(6, 8)
    images = Preprocess((6, 8), mean=MEAN, std=STD, device=CPU)(given)
    # The formula of the torchvision recipe, in double precision.
    expected = (given.double() / 255 - torch.tensor(MEAN).double()) / torch.tensor(STD).double()
    assert images.shape == (2, 3, 6, 8)
    torch.testing.assert_close(images.double(), expected.permute(0, 3, 1, 2), rtol=1e-5, atol=1e-5)


def test_the_given_pictures_are_not_changed() -> None:
    given = pictures(6, 8)
    before = given.clone()
    Preprocess((6, 8), mean=MEAN, std=STD, device=CPU)(given)
    assert torch.equal(given, before)


def test_halving_a_picture_averages_it_with_the_triangle_filter() -> None:
    # Antialiased bilinear at half size weighs four source pixels 1, 3, 3, 1 (of 8) away from the border.
    row = torch.tensor([0, 0, 0, 0, 80, 80, 80, 80], dtype=torch.uint8)
    given = row.view(1, 1, 8, 1).expand(1, 8, 8, 3).contiguous()
    images = Preprocess((4, 4), mean=(0.0,) * 3, std=(1 / 255,) * 3, device=CPU)(given)
    torch.testing.assert_close(images[0, 0, 1, 1:3], torch.tensor([10.0, 70.0]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_a_picture_of_one_colour_keeps_it_at_any_size(interpolation: str) -> None:
    given = torch.full((1, 30, 50, 3), 200, dtype=torch.uint8)
    preprocess = Preprocess((17, 23), mean=(0.5,) * 3, std=(0.5,) * 3, interpolation=interpolation, device=CPU)
    torch.testing.assert_close(preprocess(given), torch.full((1, 3, 17, 23), 200 / 127.5 - 1), rtol=0, atol=1e-4)


def test_sharp_edges_do_not_leave_the_range_of_pictures() -> None:
    given = torch.zeros(1, 32, 32, 3, dtype=torch.uint8)
    given[:, :, 16:] = 255
    preprocess = Preprocess((20, 21), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bicubic", device=CPU)
    images = preprocess(given)
    assert float(images.min()) >= 0.0 and float(images.max()) <= 1.0 + 1e-6
