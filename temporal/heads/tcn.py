"""The temporal convolutional trunk: convolutions of growing dilation over the tokens."""

from torch import Tensor, nn

from ..config import HeadSection
from .downsampling import downsample


class TCN(nn.Module):
    """1-D convolutions in sequence with "same" padding, ReLU after each: a centred window over the tokens.

    Kernel 5 with dilations 1, 2, 4 sees 14 tokens either side. With a width other than ``dim`` a linear layer comes
    first; equal widths have none, as in the original.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        """Clips of any length have the same layers; ``clip_frames`` is not needed."""
        super().__init__()
        self.width = width = section.width or dim
        self.temporal_stride = section.temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        layers: list[nn.Module] = []
        for dilation in section.dilations:
            layers += [nn.Conv1d(width, width, section.kernel_size, padding="same", dilation=dilation), nn.ReLU()]
        self.layers = nn.Sequential(*layers)

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, width)."""
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, width)
        return self.layers(tokens.transpose(1, 2)).transpose(1, 2)  # convolutions want (B, width, N)
