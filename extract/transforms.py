"""Decoded pictures as what a backbone reads: resized on the tensor, in one way, and normalised."""

import torch
from torch import Tensor
from torch.nn import functional

INTERPOLATIONS = ("bilinear", "bicubic")


class Preprocess:
    """uint8 (B, H, W, 3) RGB -> float32 (B, 3, height, width), channels last in memory.

    Pictures of another size are resized by torch's antialiased interpolation (`bilinear` or `bicubic`, without corner
    alignment), computed in float and clamped to 0..255; aspect ratio is not kept. Pictures of the right size are only
    normalised: (x / 255 - mean) / std per channel. Resizing is never left to a decoder: they differ in how they do it.
    """

    def __init__(
        self,
        size: tuple[int, int],
        *,
        mean: tuple[float, ...],
        std: tuple[float, ...],
        interpolation: str = "bilinear",
        device: torch.device,
    ) -> None:
        self.size, self.interpolation, self.device = size, interpolation, device
        means, stds = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (mean, std))
        # One multiplication and one addition a value: x / (255 std) - mean / std.
        self.scale = (1 / (255 * stds)).float().to(device)
        self.shift = (-means / stds).float().to(device)

    def __call__(self, pictures: Tensor) -> Tensor:
        images = pictures.to(self.device).permute(0, 3, 1, 2).float()  # (B, H, W, 3) -> (B, 3, H, W), a view until here
        if tuple(images.shape[-2:]) != self.size:
            images = functional.interpolate(
                images, self.size, mode=self.interpolation, antialias=True, align_corners=False
            ).clamp_(0, 255)
        images = images.mul_(self.scale).add_(self.shift)
        return images.contiguous(memory_format=torch.channels_last)
