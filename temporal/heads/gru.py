"""The recurrent trunk: a gated recurrent unit that reads the tokens forwards and backwards."""

from torch import Tensor, nn

from .downsampling import downsample


class BiGRU(nn.Module):
    """A bidirectional GRU over the tokens, as E2E-Spot (Hong et al. 2022) has on its backbone; any clip length.

    ``width`` numbers a token come out, half of them from each direction. With ``width`` other than ``dim`` a linear
    layer comes first.
    """

    def __init__(
        self, dim: int, *, width: int, temporal_stride: int = 1, n_layers: int = 1, dropout: float = 0.1
    ) -> None:
        super().__init__()
        if width % 2:
            raise ValueError(f"width {width} is odd: each of the two directions of a GRU has half of it")
        self.width = width
        self.temporal_stride = temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        self.gru = nn.GRU(
            width,
            width // 2,
            num_layers=n_layers,
            bidirectional=True,
            batch_first=True,
            dropout=dropout if n_layers > 1 else 0.0,  # between layers only
        )

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, width)."""
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, width)
        return self.gru(tokens)[0]
