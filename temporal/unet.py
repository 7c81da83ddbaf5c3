"""The encoder-decoder trunk: fewer and fewer tokens down, back up with the finer ones mixed in at every level.

Own code after the papers' descriptions and what was published with them: the scalable-granularity perception (SGP)
layer of TriDet (Shi et al. 2023; repository dingfengshi/TriDet, libs/modeling/blocks.py) and the U-Net of SGP layers
with SGP-Mixers at its skips of T-DEED (Xarles et al. 2024; arturxe2/T-DEED, model/modules.py; its models of SN-BAS have
two levels, window 9, factor 4). Ours differs in three ways: dropout, pooled tokens that always stand over exactly two
finer ones (theirs overlap where the length is odd), and coarse tokens that are put back over those two (theirs are
stretched from end to end).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .downsampling import downsample
from .transformer import stretched

FEEDFORWARD_FACTOR = 4
BRANCH_SD = 0.1  # of the initial weights in the branches, T-DEED's (TriDet has 1)


class Granularity(nn.Module):
    """The two gated branches of SGP over normalised tokens, (B, W, N) -> two of (B, W, N).

    The instant branch weighs every token's features by the clip's mean, so that tokens differ from their clip; the
    window branch gates the sum of a short and a longer window, ``(kernel_size + 1) * factor`` rounded up to an odd
    number of tokens. All of it works on every feature by itself: features meet in the feed-forward parts.
    """

    def __init__(self, width: int, *, kernel_size: int, factor: int) -> None:
        super().__init__()
        self.instant = _by_feature(width, 1)
        self.clip_gate = _by_feature(width, 1)
        self.short = _by_feature(width, kernel_size)
        self.long = _by_feature(width, long_window(kernel_size, factor))
        self.window_gate = _by_feature(width, kernel_size)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised tokens (B, W, N) -> instant branch and window branch, each (B, W, N)."""
        clip = torch.relu(self.clip_gate(tokens.mean(-1, keepdim=True)))  # (B, W, 1)
        windows = self.short(tokens) + self.long(tokens)
        return clip * self.instant(tokens), self.window_gate(tokens) * windows


class Feedforward(nn.Module):
    """A perceptron over each token beside a residual path, (B, W, N) -> (B, W, N)."""

    def __init__(self, width: int, *, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(_groups(width), width),
            nn.Conv1d(width, FEEDFORWARD_FACTOR * width, 1),
            nn.GELU(),
            nn.Conv1d(FEEDFORWARD_FACTOR * width, width, 1),
            nn.Dropout(dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, W, N) -> (B, W, N)."""
        return tokens + self.layers(tokens)


class SGPLayer(nn.Module):
    """Both branches and the normalised tokens added to the tokens, then a feed-forward part: (B, W, N) -> (B, W, N)."""

    def __init__(self, width: int, *, kernel_size: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.branches = Granularity(width, kernel_size=kernel_size, factor=factor)
        self.feedforward = Feedforward(width, dropout=dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, W, N) -> (B, W, N)."""
        normed = _normed(self.norm, tokens)
        instant, windows = self.branches(normed)
        return self.feedforward(tokens + normed + instant + windows)


class SGPMixer(nn.Module):
    """Coarse tokens brought to the finer ones' length and joined with them: (B, W, n) and (B, W, N) -> (B, W, N).

    Both are normalised and have branches of their own; these four and the two normalised sides go next to one another
    through a linear layer and GELU, then a feed-forward part.
    """

    def __init__(self, width: int, *, kernel_size: int, factor: int, dropout: float) -> None:
        super().__init__()
        self.norm_fine, self.norm_coarse = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fine = Granularity(width, kernel_size=kernel_size, factor=factor)
        self.coarse = Granularity(width, kernel_size=kernel_size, factor=factor)
        self.join = _drawn(nn.Conv1d(6 * width, width, 1))
        self.feedforward = Feedforward(width, dropout=dropout)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, W, n), (B, W, N) -> (B, W, N), n = ceil(N / 2)."""
        fine = _normed(self.norm_fine, fine)
        coarse = spread_by_halves(_normed(self.norm_coarse, coarse), fine.shape[-1])  # (B, W, N)
        sides = (*self.fine(fine), *self.coarse(coarse), fine, coarse)
        return self.feedforward(F.gelu(self.join(torch.cat(sides, dim=1))))


class UNet(nn.Module):
    """SGP layers on ever fewer tokens (halved by maxima at each of ``n_levels``), then back up; any clip length.

    On the way up a mixer and an SGP layer follow one another at each level.
    """

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
        self.positions = nn.Parameter(torch.empty(max_tokens, width).normal_(std=1.0 / max_tokens))
        self.dropout = nn.Dropout(dropout)
        settings = {"kernel_size": kernel_size, "factor": factor, "dropout": dropout}
        self.down = nn.ModuleList(SGPLayer(width, **settings) for _ in range(n_levels))
        self.bottom = SGPLayer(width, **settings)
        self.mixers = nn.ModuleList(SGPMixer(width, **settings) for _ in range(n_levels))
        self.up = nn.ModuleList(SGPLayer(width, **settings) for _ in range(n_levels))

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
        for mixer, layer in zip(self.mixers, self.up, strict=True):
            tokens = layer(mixer(tokens, finer.pop()))
        return tokens.transpose(1, 2)


def long_window(kernel_size: int, factor: int) -> int:
    """Tokens of the longer window: 9 with factor 4 gives 41. The added one keeps it apart from a window of 1."""
    window = (kernel_size + 1) * factor
    return window + 1 - window % 2


def spread_by_halves(coarse: Tensor, length: int) -> Tensor:
    """Tokens halved in number stretched linearly over the finer ones: (B, W, ceil(length / 2)) -> (B, W, length).

    Coarse token j is centred between fine tokens 2 j and 2 j + 1, of which it is the maximum, for every length.
    """
    return F.interpolate(coarse, scale_factor=2.0, mode="linear", align_corners=False)[..., :length]


def _by_feature(width: int, kernel_size: int) -> nn.Conv1d:
    return _drawn(nn.Conv1d(width, width, kernel_size, padding="same", groups=width))


def _drawn(layer: nn.Conv1d) -> nn.Conv1d:
    nn.init.normal_(layer.weight, std=BRANCH_SD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def _normed(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    return norm(tokens.transpose(1, 2)).transpose(1, 2)  # norms run over the last place: (B, N, W)


def _groups(width: int) -> int:
    """The most groups up to 16 that divide the width into four numbers or more (one group below that)."""
    return next((n for n in range(16, 1, -1) if width % n == 0 and width // n >= 4), 1)
