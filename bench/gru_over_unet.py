"""A head for `examples/heads.toml`: a GRU that reads the tokens of the U-Net both ways.

`--head bench/gru_over_unet.py:GRUOverUNet` or `...:GRUOverUNet(beside=False)`. It was not told from the U-Net by itself
(docs/measurements/default.md), so it is no head of the package.
"""

from torch import Tensor, nn

from ballspot.temporal.config import HeadSection
from ballspot.temporal.heads.unet import UNet


class GRUOverUNet(nn.Module):
    """The trunk of head `unet`, then a bidirectional GRU on its normalised tokens; ``beside`` adds these to them."""

    def __init__(
        self, dim: int, clip_frames: int, temporal_stride: int, width: int, dropout: float, beside: bool = True
    ) -> None:
        super().__init__()
        self.width, self.beside = width, beside
        section = HeadSection(width=width, dropout=dropout, temporal_stride=temporal_stride)
        self.trunk = UNet(dim, section, clip_frames)
        self.norm = nn.LayerNorm(width)
        self.gru = nn.GRU(width, width // 2, bidirectional=True, batch_first=True)

    def forward(self, frames: Tensor) -> Tensor:
        """(B, T, D) -> (B, N, width)."""
        tokens = self.trunk(frames)
        read = self.gru(self.norm(tokens))[0]
        return tokens + read if self.beside else read
