"""The Transformer trunk: self-attention among all tokens of a clip."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .downsampling import downsample

POSITION_SD = 0.02


class EncoderLayer(nn.Module):
    """Self-attention and a two-layer perceptron with ReLU, each beside a residual path.

    Normalised before each part ("pre") or after the sum ("post", as Vaswani et al. 2017 and torch's own default).
    """

    def __init__(
        self,
        width: int,
        *,
        n_attention_heads: int,
        feedforward_factor: int,
        dropout: float,
        norm: Literal["pre", "post"],
    ) -> None:
        super().__init__()
        if width % n_attention_heads:
            raise ValueError(f"width {width} does not divide by {n_attention_heads} attention heads")
        self.n_attention_heads = n_attention_heads
        self.norm_first = norm == "pre"
        self.attention_dropout = dropout
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)
        self.feedforward = nn.Sequential(
            nn.Linear(width, feedforward_factor * width),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(feedforward_factor * width, width),
        )
        self.norm_attention = nn.LayerNorm(width)
        self.norm_feedforward = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

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
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each (B, heads, N, width / heads)
        dropout = self.attention_dropout if self.training else 0.0
        mixed = F.scaled_dot_product_attention(query, key, value, dropout_p=dropout)  # (B, heads, N, width / heads)
        return self.mix(mixed.transpose(1, 2).reshape(n_clips, length, width))


class Transformer(nn.Module):
    """Encoder layers over downsampled tokens with learned positions.

    ``max_tokens`` positions are learned; clips of another length get them stretched linearly. With ``width`` other
    than ``dim`` a linear layer comes first.
    """

    def __init__(
        self,
        dim: int,
        *,
        width: int,
        temporal_stride: int = 1,
        max_tokens: int,
        n_layers: int = 4,
        n_attention_heads: int = 8,
        feedforward_factor: int = 2,
        dropout: float = 0.1,
        norm: Literal["pre", "post"] = "pre",
    ) -> None:
        super().__init__()
        self.width = width
        self.temporal_stride = temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        self.positions = nn.Parameter(torch.empty(max_tokens, width).normal_(std=POSITION_SD))
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.Sequential(
            *(
                EncoderLayer(
                    width,
                    n_attention_heads=n_attention_heads,
                    feedforward_factor=feedforward_factor,
                    dropout=dropout,
                    norm=norm,
                )
                for _ in range(n_layers)
            )
        )
        self.norm = nn.LayerNorm(width) if norm == "pre" else nn.Identity()

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, width)."""
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, width)
        tokens = self.dropout(tokens + self.positions_for(tokens.shape[1]))
        return self.norm(self.layers(tokens))

    def positions_for(self, length: int) -> Tensor:
        """The learned positions stretched to ``length`` tokens: (length, width)."""
        if length == self.positions.shape[0]:
            return self.positions
        columns = self.positions.T.unsqueeze(0)  # interpolation wants (1, width, max_tokens)
        return F.interpolate(columns, size=length, mode="linear", align_corners=False)[0].T
