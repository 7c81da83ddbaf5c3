"""The encoder-decoder trunk: fewer and fewer tokens down, back up with the finer ones mixed in at every level.

Own code, in two forms. "published" (head `tdeed`) follows the papers and what came with them: the scalable-granularity
perception (SGP) layer of TriDet (Shi et al. 2023; repository dingfengshi/TriDet, libs/modeling/blocks.py) and the U-Net
of SGP layers with SGP-Mixers at its skips of T-DEED (Xarles et al. 2024; arturxe2/T-DEED, model/modules.py; its models
of SN-BAS have two levels, window 9, factor 4). "residual" (head `unet`) is ours, lighter, and learns much more from
little data (docs/measurements/heads.md): features meet in the instant branch, nothing is added but what a part
computes, the mixer adds to both of its sides, and no further layer follows it. In both, unlike the published code,
there is dropout, and pooled tokens stand over exactly two finer ones, over which they are put back. The trunk that
pools and puts back as the published code does is in sgp_mixer.py; its layers are those of the published form here.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import HeadSection
from .downsampling import downsample, n_tokens
from .dropout import Dropout
from .transformer import stretched

N_GROUPS = 16  # of a group norm, at most
LONGEST_PRODUCT = 256  # tokens
BRANCH_SD = 0.1  # of the published form's initial weights in the branches (TriDet has 1)


class Granularity(nn.Module):
    """The two gated branches of SGP over normalised tokens, (B, W, N) -> branches of (B, W, N).

    The instant branch weighs every token's features by the clip's mean, so that tokens differ from their clip; the
    window branch gates the sum of a short and a longer window, each feature by itself. In the published form the
    instant branch too works on every feature by itself.
    """

    def __init__(self, width: int, section: HeadSection) -> None:
        super().__init__()
        published, kernel_size = is_published(section), section.unet_kernel
        self.instant = nn.Conv1d(width, width, 1, groups=width if published else 1)
        self.clip_gate = nn.Conv1d(width, width, 1, groups=width if published else 1)
        self.short = _window(width, kernel_size)
        self.long = _window(width, long_window(section))
        self.window_gate = _window(width, kernel_size)
        if published:
            for layer in (self.instant, self.clip_gate, self.short, self.long, self.window_gate):
                _draw(layer)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Normalised tokens (B, W, N) -> instant branch and window branch, each (B, W, N)."""
        clip = torch.relu(self.clip_gate(tokens.mean(-1, keepdim=True)))  # (B, W, 1)
        windows = windowed(tokens, self.short, self.long)
        return clip * self.instant(tokens), windowed(tokens, self.window_gate) * windows


class Feedforward(nn.Module):
    """A perceptron over each token beside a residual path, (B, W, N) -> (B, W, N)."""

    def __init__(self, width: int, section: HeadSection) -> None:
        super().__init__()
        inner = (4 if is_published(section) else 2) * width
        self.layers = nn.Sequential(
            nn.GroupNorm(_groups(width, section), width),
            nn.Conv1d(width, inner, 1),
            nn.GELU(),
            nn.Conv1d(inner, width, 1),
            Dropout(section.dropout),
        )

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, W, N) -> (B, W, N)."""
        return tokens + self.layers(tokens)


class SGPLayer(nn.Module):
    """Both branches added to the tokens, then a feed-forward part: (B, W, N) -> (B, W, N).

    The published form adds the normalised tokens themselves, too.
    """

    def __init__(self, width: int, section: HeadSection) -> None:
        super().__init__()
        self.adds_normed = is_published(section)
        self.norm = nn.LayerNorm(width)
        self.branches = Granularity(width, section)
        self.feedforward = Feedforward(width, section)

    def forward(self, tokens: Tensor) -> Tensor:
        """(B, W, N) -> (B, W, N)."""
        normed = _normed(self.norm, tokens)
        instant, windows = self.branches(normed)
        tokens = tokens + instant + windows
        return self.feedforward(tokens + normed if self.adds_normed else tokens)


class SGPMixer(nn.Module):
    """Coarse tokens brought to the finer ones' length and joined with them: (B, W, n) and (B, W, N) -> (B, W, N).

    Both have branches of their own. "residual": these four go side by side through a linear layer and are added to the
    sum of both sides. "published": they and the two normalised sides go through a linear layer and GELU.
    """

    def __init__(self, width: int, section: HeadSection) -> None:
        super().__init__()
        self.published = is_published(section)
        self.norm_fine, self.norm_coarse = nn.LayerNorm(width), nn.LayerNorm(width)
        self.fine = Granularity(width, section)
        self.coarse = Granularity(width, section)
        self.join = nn.Conv1d((6 if self.published else 4) * width, width, 1)
        if self.published:
            _draw(self.join)
        self.feedforward = Feedforward(width, section)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """(B, W, n), (B, W, N) -> (B, W, N), n = ceil(N / 2)."""
        if self.published:
            fine = _normed(self.norm_fine, fine)
            coarse = self.spread(_normed(self.norm_coarse, coarse), fine.shape[-1])  # (B, W, N)
            sides = (*self.fine(fine), *self.coarse(coarse), fine, coarse)
            return self.feedforward(F.gelu(self.join(torch.cat(sides, dim=1))))
        coarse = self.spread(coarse, fine.shape[-1])  # (B, W, N)
        sides = (*self.fine(_normed(self.norm_fine, fine)), *self.coarse(_normed(self.norm_coarse, coarse)))
        return self.feedforward(fine + coarse + self.join(torch.cat(sides, dim=1)))

    def spread(self, coarse: Tensor, length: int) -> Tensor:
        """Coarse tokens over the finer ones: (B, W, n) -> (B, W, length)."""
        return spread_by_halves(coarse, length)


class UNet(nn.Module):
    """SGP layers on ever fewer tokens (halved by maxima at each of ``unet_levels``), then mixers back up; any clip
    length.

    In the published form an SGP layer follows every mixer.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        super().__init__()
        self.width = width = section.width or dim
        self.temporal_stride = section.temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        length, n_levels = n_tokens(clip_frames, self.temporal_stride), section.unet_levels
        self.positions = nn.Parameter(torch.zeros(length, width))
        if is_published(section):
            nn.init.normal_(self.positions, std=1.0 / length)
        self.dropout = Dropout(section.dropout)
        self.down = nn.ModuleList(SGPLayer(width, section) for _ in range(n_levels))
        self.bottom = SGPLayer(width, section)
        self.up = nn.ModuleList(SGPMixer(width, section) for _ in range(n_levels))
        self.after = nn.ModuleList(SGPLayer(width, section) for _ in range(n_levels if is_published(section) else 0))

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
        for level, mixer in enumerate(self.up):
            tokens = mixer(tokens, finer.pop())
            if self.after:
                tokens = self.after[level](tokens)
        return tokens.transpose(1, 2)


def is_published(section: HeadSection) -> bool:
    """Whether the layers are those of the papers ("published") or ours ("residual")."""
    return section.kind in ("tdeed", "sgp-mixer")


def long_window(section: HeadSection) -> int:
    """Tokens of the longer window, odd so that it stays centred: of 9 with factor 4 it has 33, as published 41."""
    if not is_published(section):
        return int(section.unet_factor) * (section.unet_kernel - 1) + 1
    window = round((section.unet_kernel + 1) * section.unet_factor)
    return window + 1 - window % 2


def spread_by_halves(coarse: Tensor, length: int) -> Tensor:
    """Tokens halved in number stretched linearly over the finer ones: (B, W, ceil(length / 2)) -> (B, W, length).

    Coarse token j is centred between fine tokens 2 j and 2 j + 1, of which it is the maximum, for every length.
    """
    return F.interpolate(coarse, scale_factor=2.0, mode="linear", align_corners=False)[..., :length]


def windowed(tokens: Tensor, *layers: nn.Conv1d) -> Tensor:
    """The sum of what layers of `_window` give of tokens, (B, W, N) -> (B, W, N).

    Of short clips as a product with a matrix for each feature, which holds the windows' weights in bands: a convolution
    of each feature by itself has no fast way on CPUs (of 25 tokens and a window of 33 the product took an eighth of the
    time, forwards and backwards; bench/train.py measures the whole).
    """
    length = tokens.shape[-1]
    if length > LONGEST_PRODUCT or torch.onnx.is_in_onnx_export():  # a graph is for any length
        first: Tensor = layers[0](tokens)
        return sum((layer(tokens) for layer in layers[1:]), first)
    bands = sum((_bands(layer.weight, length) for layer in layers[1:]), _bands(layers[0].weight, length))
    bias = sum((_bias(layer) for layer in layers[1:]), _bias(layers[0]))
    by_feature = tokens.transpose(0, 1).contiguous()  # (W, B, N)
    return (torch.bmm(by_feature, bands).permute(1, 2, 0) + bias).transpose(1, 2)  # (W, B, N) -> (B, W, N)


def _bands(weight: Tensor, length: int) -> Tensor:
    """The matrices of windows over ``length`` tokens: (W, 1, k) -> (W, N, N); (m, n) weighs token m for token n."""
    beyond = length - 1 - weight.shape[-1] // 2  # negative where the window is longer than the clip both ways
    around = F.pad(weight, (beyond, beyond))[:, 0]  # (W, 2 N - 1): of distances -(N - 1) .. N - 1
    return around.unfold(1, length, 1).flip(2)


def _bias(layer: nn.Conv1d) -> Tensor:
    return layer.weight.new_zeros(len(layer.weight)) if layer.bias is None else layer.bias


def _window(width: int, kernel_size: int) -> nn.Conv1d:
    return nn.Conv1d(width, width, kernel_size, padding="same", groups=width)


def _draw(layer: nn.Conv1d) -> None:
    nn.init.normal_(layer.weight, std=BRANCH_SD)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _normed(norm: nn.LayerNorm, tokens: Tensor) -> Tensor:
    return norm(tokens.transpose(1, 2)).transpose(1, 2)  # norms run over the last place: (B, N, W)


def _groups(width: int, section: HeadSection) -> int:
    """The most groups up to 16 that divide the width into four numbers or more (one group below that).

    T-DEED's own layers always have 16.
    """
    if section.kind == "sgp-mixer":
        return N_GROUPS
    return next((n for n in range(N_GROUPS, 1, -1) if width % n == 0 and width // n >= 4), 1)
