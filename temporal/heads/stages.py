"""Trunks of several stages, each of which looks again at what the one before answered: MS-TCN and ASFormer.

MS-TCN (Farha, Gall, CVPR 2019): stages of dilated convolutions beside residual paths. ASFormer (Yi, Wen, Jiang, BMVC
2021): an encoder and decoders of dilated convolutions and attention within sliding windows. Both in the form in which
E2E-Spot (Hong et al., ECCV 2022) has them, written from its facts. A stage's class logits, through a softmax, are all
that the next one reads of it; in ASFormer its tokens are besides the values of the next one's attention. The class
layer of the head stands on the last stage.
"""

from abc import ABC, abstractmethod
from math import exp

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import HeadSection
from .downsampling import downsample
from .dropout import Dropout

MOST_LAYERS = 12  # a layer sees twice as far as the one before: the twelfth 2,048 tokens either side
FADING = 3.0  # ASFormer's decoder s adds exp(-3 s) times what its attention found
MASKED = 1e-6  # the weight of a place outside the window before it is taken away
NORM_EPSILON = 1e-5


class StagedTrunk(nn.Module, ABC):
    """Base: tokens through the stages, each later one beginning with the class answers of the one before.

    ``n_logits`` counts the class logits with background. `answers` are the class layers of the stages before the last,
    `from_answers` the layers that bring their softmax back to the width. A width of 0 is the features' own.
    """

    def __init__(self, dim: int, section: HeadSection, *, n_later: int, n_logits: int) -> None:
        super().__init__()
        if section.n_layers > MOST_LAYERS:
            raise ValueError(f"n_layers {section.n_layers}: windows double with each, {MOST_LAYERS} at most")
        self.width = width = section.width or dim
        self.temporal_stride = section.temporal_stride
        self.enter = nn.Conv1d(dim, width, 1)
        self.answers = nn.ModuleList(nn.Conv1d(width, n_logits, 1) for _ in range(n_later))
        self.from_answers = nn.ModuleList(nn.Conv1d(n_logits, width, 1) for _ in range(n_later))
        self.stages = nn.ModuleList(
            nn.ModuleList(self.layer(section, stage=stage, dilation=2**depth) for depth in range(section.n_layers))
            for stage in range(1 + n_later)
        )

    @abstractmethod
    def layer(self, section: HeadSection, *, stage: int, dilation: int) -> nn.Module:
        """A layer of a stage (0: the first), (B, W, N) and the tokens of the stage before, or None -> (B, W, N)."""

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D) -> tokens (B, N, width) of the last stage."""
        tokens = self.enter(downsample(frames, self.temporal_stride).transpose(1, 2))  # convolutions want (B, W, N)
        before: Tensor | None = None
        for stage, layers in enumerate(self.stages):
            if stage:
                before = tokens
                tokens = self.from_answers[stage - 1](self.answers[stage - 1](before).softmax(1))
            for layer in layers:  # pyright: ignore[reportGeneralTypeIssues]  # a ModuleList holds lists of layers
                tokens = layer(tokens, before)
        return tokens.transpose(1, 2)


class DilatedLayer(nn.Module):
    """A dilated convolution with ReLU and one over single tokens, beside a residual path."""

    def __init__(self, width: int, section: HeadSection, dilation: int) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(width, width, section.kernel_size, padding="same", dilation=dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = Dropout(section.dropout)

    def forward(self, tokens: Tensor, before: Tensor | None) -> Tensor:
        """(B, W, N) -> (B, W, N); what an earlier stage found is not asked."""
        del before
        return tokens + self.dropout(self.mix(torch.relu(self.dilated(tokens))))


class MSTCN(StagedTrunk):
    """Multi-stage temporal convolutions: ``n_stages`` stages of ``n_layers`` layers with dilations 1, 2, 4, ...

    E2E-Spot has 3 stages of 5 layers, width 256, kernel 3. Clips of any length have the same layers.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int, *, n_logits: int) -> None:
        """``clip_frames`` is not needed. Raises ValueError for more than 12 layers."""
        super().__init__(dim, section, n_later=section.n_stages - 1, n_logits=n_logits)

    def layer(self, section: HeadSection, *, stage: int, dilation: int) -> DilatedLayer:
        """A layer of any stage."""
        return DilatedLayer(self.width, section, dilation)


class SlidingAttention(nn.Module):
    """Each token's mixture of the ``block`` tokens around it, queries, keys and values of half the width.

    Tokens lie in blocks. The one at place i of its block hears of the places i to i + block - 1 of the block widened
    by half a block on both sides, so of as many before as after, give or take one.
    """

    window: Tensor

    def __init__(self, width: int, block: int) -> None:
        super().__init__()
        half = width // 2
        self.query, self.key, self.value = (nn.Conv1d(width, half, 1) for _ in range(3))
        self.mix = nn.Conv1d(half, width, 1)
        self.block, self.margin = block, block // 2
        place = torch.arange(block + 2 * self.margin) - torch.arange(block)[:, None]
        self.register_buffer("window", (place >= 0) & (place < block), persistent=False)  # (block, block + 2 margins)

    def forward(self, tokens: Tensor, values: Tensor) -> Tensor:
        """Normalised tokens (B, W, N), which ask and are asked, and values (B, W, N) -> (B, W, N)."""
        length = tokens.shape[-1]
        n_blocks = (length + self.block - 1) // self.block
        over = n_blocks * self.block - length  # zeros that fill the last block
        first = torch.arange(n_blocks, device=tokens.device)[:, None] * self.block
        place = first + torch.arange(self.window.shape[1], device=tokens.device)  # (blocks, block + 2 margins)
        query = F.pad(self.query(tokens), (0, over)).unflatten(-1, (n_blocks, self.block))  # (B, h, blocks, block)
        around = (self.margin, over + self.margin)
        key = F.pad(self.key(tokens), around)[..., place]  # (B, h, blocks, block + 2 margins)
        value = F.pad(self.value(values), around)[..., place]
        is_token = (place >= self.margin) & (place < self.margin + length)
        heard = (self.window & is_token[:, None]).to(tokens.dtype)  # (blocks, block, block + 2 margins)
        fits = torch.einsum("bhnq,bhnk->bnqk", query, key) * key.shape[1] ** -0.5
        weights = (fits + torch.log(heard + MASKED)).softmax(-1) * heard
        mixed = torch.einsum("bnqk,bhnk->bhnq", weights, value).flatten(2)[..., :length]
        return self.mix(torch.relu(mixed))


class AttentionLayer(nn.Module):
    """A dilated convolution with ReLU, ``share`` times attention added to it, and a layer over single tokens; residual.

    Tokens are normalised before attention, each feature over its clip. In the first stage they are the values, too;
    later the tokens of the stage before are.
    """

    def __init__(self, width: int, section: HeadSection, *, dilation: int, share: float) -> None:
        super().__init__()
        self.dilated = nn.Conv1d(width, width, section.kernel_size, padding="same", dilation=dilation)
        self.attention = SlidingAttention(width, dilation)
        self.mix = nn.Conv1d(width, width, 1)
        self.dropout = Dropout(section.dropout)
        self.share = share

    def forward(self, tokens: Tensor, before: Tensor | None) -> Tensor:
        """(B, W, N) and the tokens of the stage before, or None -> (B, W, N)."""
        found = torch.relu(self.dilated(tokens))
        normed = _over_clip(found)
        found = found + self.share * self.attention(normed, normed if before is None else before)
        return tokens + self.dropout(self.mix(found))


class ASFormer(StagedTrunk):
    """An encoder and ``n_stages`` decoders of ``n_layers`` layers, whose windows and dilations are 1, 2, 4, ... tokens.

    E2E-Spot has 3 decoders, 5 layers, width 64, kernel 3. Clips of any length have the same layers.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int, *, n_logits: int) -> None:
        """``clip_frames`` is not needed. Raises ValueError for an odd width and for more than 12 layers."""
        if (section.width or dim) % 2:
            raise ValueError(f"width {section.width or dim} is odd: queries, keys and values have half of it")
        super().__init__(dim, section, n_later=section.n_stages, n_logits=n_logits)

    def layer(self, section: HeadSection, *, stage: int, dilation: int) -> AttentionLayer:
        """A layer of the encoder (stage 0) or of a decoder."""
        share = exp(-FADING * (stage - 1)) if stage else 1.0
        return AttentionLayer(self.width, section, dilation=dilation, share=share)


def _over_clip(tokens: Tensor) -> Tensor:
    """Each feature of (B, W, N) to mean 0 and variance 1 over its clip; a clip of one token becomes zeros."""
    deviation = tokens - tokens.mean(-1, keepdim=True)
    return deviation * (deviation.square().mean(-1, keepdim=True) + NORM_EPSILON).rsqrt()
