"""The Transformer trunk: self-attention among all tokens of a clip."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import HeadSection
from .downsampling import downsample, n_tokens
from .dropout import Dropout, draws_for_runs

POSITION_SD = 0.02
ROTARY_BASE = 10000.0


class EncoderLayer(nn.Module):
    """Self-attention and a two-layer perceptron with ReLU, each beside a residual path.

    Normalised before each part ("pre") or after the sum ("post", as Vaswani et al. 2017 and torch's own default).
    """

    def __init__(self, width: int, section: HeadSection) -> None:
        super().__init__()
        self.n_attention_heads = section.n_attention_heads
        self.norm_first = section.norm == "pre"
        self.rotary = section.positions == "rotary"
        if self.rotary and width % (2 * self.n_attention_heads):
            raise ValueError(f"width {width} leaves {self.n_attention_heads} attention heads no pairs to turn (rotary)")
        if width % self.n_attention_heads:
            raise ValueError(f"width {width} does not divide by {self.n_attention_heads} attention heads")
        inner = section.feedforward_factor * width
        self.attention_dropout = Dropout(section.dropout)
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), Dropout(section.dropout), nn.Linear(inner, width)
        )
        self.norm_attention = nn.LayerNorm(width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.dropout = Dropout(section.dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, N, width) -> (B, N, width)."""
        if self.norm_first:
            tokens = tokens + self.dropout(self.attend(self.norm_attention(tokens)))
            return tokens + self.dropout(self.feedforward(self.norm_feedforward(tokens)))
        tokens = self.norm_attention(tokens + self.dropout(self.attend(tokens)))
        return self.norm_feedforward(tokens + self.dropout(self.feedforward(tokens)))

    def attend(self, tokens: Tensor) -> Tensor:
        """Every token's mixture of all tokens of its clip: (B, N, width) -> (B, N, width)."""
        n_clips, length, width = tokens.shape
        split = self.query_key_value(tokens).view(n_clips, length, 3, self.n_attention_heads, -1)
        query, key, value = split.permute(2, 0, 3, 1, 4).contiguous()  # each (B, heads, N, width / heads)
        if self.rotary:
            query, key = turn(query), turn(key)
        dropout = self.attention_dropout.probability if self.training else 0.0
        if dropout and (tokens.device.type == "cpu" or draws_for_runs()):
            mixed = self._attend_in_steps(query.flatten(0, 1), key.flatten(0, 1), value.flatten(0, 1))
            mixed = mixed.view(query.shape)
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)
        return self.mix(mixed.transpose(1, 2).reshape(n_clips, length, width))  # from (B, heads, N, width / heads)

    def _attend_in_steps(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """What scaled_dot_product_attention gives with dropout, which on a CPU takes it twice the steps: (b, N, d)."""
        room = query.new_empty(len(query), query.shape[1], key.shape[1])  # beta=0 reads nothing of it
        fits = torch.baddbmm(room, query, key.transpose(1, 2), beta=0.0, alpha=query.shape[-1] ** -0.5)  # (b, N, N)
        return torch.bmm(self.attention_dropout(fits.softmax(-1)), value)


def turn(vectors: Tensor) -> Tensor:
    """Rotary positions: (..., N, d) with the pairs of numbers of token i turned by i times their angles.

    A product of two turned vectors depends on how far apart their tokens are, not on where they stand (Su et al.
    2021). Pair j of d / 2 has the angle 10000^(-2j / d); its two numbers stand d / 2 apart.
    """
    length, d = vectors.shape[-2:]
    angle = ROTARY_BASE ** (-torch.arange(0, d, 2, device=vectors.device).float() / d)  # (d / 2,)
    turns = torch.arange(length, device=vectors.device)[:, None] * angle  # (N, d / 2)
    cos, sin = turns.cos().to(vectors.dtype), turns.sin().to(vectors.dtype)
    first, second = vectors.chunk(2, dim=-1)
    return torch.cat([first * cos - second * sin, first * sin + second * cos], dim=-1)


class Transformer(nn.Module):
    """Encoder layers over downsampled tokens with learned or rotary positions.

    As many positions are learned as a clip has tokens; clips of another length get them stretched linearly. Rotary
    ones take any length. With a width other than ``dim`` a linear layer comes first.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        super().__init__()
        self.width = width = section.width or dim
        self.temporal_stride = section.temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        self.positions: nn.Parameter | None = None
        if section.positions == "learned":
            length = n_tokens(clip_frames, self.temporal_stride)
            self.positions = nn.Parameter(torch.empty(length, width).normal_(std=POSITION_SD))
        self.dropout = Dropout(section.dropout)
        self.layers = nn.Sequential(*(EncoderLayer(width, section) for _ in range(section.n_layers)))
        self.norm = nn.LayerNorm(width) if section.norm == "pre" else nn.Identity()

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, width)."""
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, width)
        if self.positions is not None:
            tokens = tokens + stretched(self.positions, tokens.shape[1])
        return self.norm(self.layers(self.dropout(tokens)))


def stretched(positions: Tensor, length: int) -> Tensor:
    """Learned positions (n, width) for ``length`` tokens: themselves, or stretched linearly to (length, width)."""
    if torch.onnx.is_in_onnx_export():
        return _stretched_in_steps(positions, length)
    if length == len(positions):
        return positions
    columns = positions.T.unsqueeze(0)  # interpolation wants (1, width, n)
    return F.interpolate(columns, size=length, mode="linear", align_corners=False)[0].T


def _stretched_in_steps(positions: Tensor, length: int) -> Tensor:
    """The same in plain steps without a choice by the length, so that an exported head takes any length."""
    n = len(positions)
    at = ((torch.arange(length, device=positions.device) + 0.5) * (n / length) - 0.5).clamp(0, n - 1)  # (length,)
    before = at.floor()
    share = (at - before)[:, None]
    index = before.long()
    return positions[index] * (1 - share) + positions[(index + 1).clamp(max=n - 1)] * share
