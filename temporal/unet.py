"""The encoder-decoder trunk: fewer and fewer tokens down, back up with the finer ones mixed in at every level.

Own code after two papers' descriptions: the scalable-granularity perception (SGP) layer of TriDet (Shi et al. 2023),
and the U-Net of SGP layers with SGP-Mixers at its skips of T-DEED (Xarles et al. 2024).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .downsampling import downsample
from .transformer import stretched


class Granularity(nn.Module):
    """The two gated branches of SGP over normalised tokens, (B, W, N) -> two of (B, W, N).

    The instant branch weighs every token's features by the clip's mean, so that tokens differ from their clip; the
    window branch gates depthwise convolutions of a short and of a ``factor`` times longer window.
    """

    def __init__(self, width: int, *, kernel_size: int, factor: int) -> None:
        super().__init__()
        longer = factor * (kernel_size - 1) + 1  # odd, so that the window stays centred
        self.instant = nn.Conv1d(width, width, 1)
        self.clip_gate = nn.Conv1d(width, width, 1)
        self.short = nn.Conv1d(width, width, kernel_size, padding="same", groups=width)
        self.long = nn.Conv1d(width, width, longer, padding="same", groups=width)
        self.window_gate = nn.Conv1d(width, width, kernel_size, padding="same", groups=width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Tokens (B, W, N) -> instant branch, windows and the gate for them, each (B, W, N)."""
        gate = torch.relu(self.clip_gate(tokens.mean(-1, keepdim=True)))  # (B, W, 1)
        return gate * self.instant(tokens), self.short(tokens) + self.long(tokens), self.window_gate(tokens)


class Feedforward(nn.Module):
    """A perceptron over each token beside a residual path, (B, W, N) -> (B, W, N)."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(_groups(width), width),
            nn.Conv1d(width, 2 * width, 1),
            nn.GELU(),
            nn.Conv1d(2 * width, width, 1),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, W, N) -> (B, W, N)."""
        return tokens + self.layers(tokens)


class SGPLayer(nn.Module):
    """Instant branch and gated windows added to the tokens, then a feed-forward part: (B, W, N) -> (B, W, N)."""

    def __init__(self, width: int, *, kernel_size: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.branches = Granularity(width, kernel_size=kernel_size, factor=factor)
        self.feedforward = Feedforward(width, dropout=dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, W, N) -> (B, W, N)."""
        instant, windows, gate = self.branches(_normed(self.norm, tokens))
        return self.feedforward(tokens + instant + gate * windows)


class SGPMixer(nn.Module):
    """Coarse tokens brought to the finer ones' length and joined with them: (B, W, n) and (B, W, N) -> (B, W, N).

    Both have an instant branch of their own; the windows of each are gated by the other; the four go side by side
    through a linear layer.
    """

    def __init__(self, width: int, *, kernel_size: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.norm_fine, self.norm_coarse = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fine = Granularity(width, kernel_size=kernel_size, factor=factor)
        self.coarse = Granularity(width, kernel_size=kernel_size, factor=factor)
        self.join = nn.Conv1d(4 * width, width, 1)
        self.feedforward = Feedforward(width, dropout=dropout)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, W, n), (B, W, N) -> (B, W, N)."""
        coarse = F.interpolate(coarse, size=fine.shape[-1], mode="linear", align_corners=False)  # (B, W, N)
        instant, windows, gate = self.fine(_normed(self.norm_fine, fine))
        instant_coarse, windows_coarse, gate_coarse = self.coarse(_normed(self.norm_coarse, coarse))
        sides = (instant, instant_coarse, gate_coarse * windows, gate * windows_coarse)
        return self.feedforward(fine + coarse + self.join(torch.cat(sides, dim=1)))


class UNet(nn.Module):
    """SGP layers on ever fewer tokens (halved by maxima at each of ``n_levels``), then mixers back up; any length."""

    def __init__(
        self,
        dim: int,
        *,
        width: int,
        max_tokens: int,
        temporal_stride: int = 1,
        n_levels: int = 2,
        kernel_size: int = 9,
        factor: int = 4,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.width = width
        self.temporal_stride = temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        self.positions = nn.Parameter(torch.zeros(max_tokens, width))
        self.dropout = nn.Dropout(dropout)
        settings = {"kernel_size": kernel_size, "factor": factor, "dropout": dropout}
        self.down = nn.ModuleList(SGPLayer(width, **settings) for _ in range(n_levels))
        self.bottom = SGPLayer(width, **settings)
        self.up = nn.ModuleList(SGPMixer(width, **settings) for _ in range(n_levels))

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, width)."""
        tokens = self.project(downsample(frames, self.temporal_stride)).transpose(1, 2)  # (B, T, D) -> (B, W, N)
        tokens = self.dropout(tokens + stretched(self.positions, tokens.shape[-1]).T)
        finer = []
        for layer in self.down:
            tokens = layer(tokens)
            finer.append(tokens)
            tokens = F.max_pool1d(tokens, 2, ceil_mode=True)  # (B, W, N) -> (B, W, ceil(N / 2))
        tokens = self.bottom(tokens)
        for mixer in self.up:
            tokens = mixer(tokens, finer.pop())
        return tokens.transpose(1, 2)


def _normed(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    return norm(tokens.transpose(1, 2)).transpose(1, 2)  # norms run over the last place: (B, N, W)


def _groups(width: int) -> int:
    """The most groups up to 16 that divide the width into four numbers or more (one group below that)."""
    return next((n for n in range(16, 1, -1) if width % n == 0 and width // n >= 4), 1)
