"""T-DEED's trunk as its own code computes it, for clips of one length.

Source: Xarles et al. 2024, "T-DEED: Temporal-Discriminability Enhancer Encoder-Decoder"; arturxe2/T-DEED at commit
ec1ad55, model/modules.py (EDSGPMIXERLayers, SGPBlock, SGPMixer) and model/model.py. Own code. The layers are those of
unet.py in the published form. What differs from head `tdeed`: an odd number of tokens is halved by maxima over windows
that overlap, coarse tokens are put back corner to corner, and the positions stand for one clip length only.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...cache.errors import BallspotError
from ..config import HeadSection
from .downsampling import downsample, n_tokens
from .dropout import Dropout
from .unet import N_GROUPS, SGPLayer, SGPMixer


class CornerMixer(SGPMixer):
    """An SGP-Mixer whose coarse tokens reach from the first of the finer ones to the last."""

    def spread(self, coarse: Tensor, length: int) -> Tensor:
        """(B, W, n) -> (B, W, length), linearly between tokens; corners lie on corners."""
        return F.interpolate(coarse, size=length, mode="linear", align_corners=True)


class SGPMixerNet(nn.Module):
    """SGP layers on ever fewer tokens, then mixers back up, an SGP layer after each: T-DEED's encoder-decoder.

    ``unet_levels`` (n_layers in T-DEED's settings), ``unet_kernel`` (sgp_ks) and ``unet_factor`` (sgp_r) size it. As
    published it has neither dropout nor a narrower width (``dropout`` 0, ``width`` 0) and every frame is a token
    (``temporal_stride`` 1). Its positions are those of a clip of ``clip_frames``: other lengths raise BallspotError.
    Raises ValueError for a width that 16 does not divide.
    """

    def __init__(self, dim: int, section: HeadSection, clip_frames: int) -> None:
        super().__init__()
        self.width = width = section.width or dim
        if width % N_GROUPS:
            raise ValueError(f"width {width} of head sgp-mixer does not divide by its {N_GROUPS} groups")
        self.clip_frames, self.temporal_stride = clip_frames, section.temporal_stride
        self.project = nn.Identity() if width == dim else nn.Linear(dim, width)
        length, n_levels = n_tokens(clip_frames, self.temporal_stride), section.unet_levels
        self.positions = nn.Parameter(torch.empty(length, width).normal_(std=1.0 / length))
        self.dropout = Dropout(section.dropout)
        self.down = nn.ModuleList(SGPLayer(width, section) for _ in range(n_levels))
        self.bottom = SGPLayer(width, section)
        self.up = nn.ModuleList(CornerMixer(width, section) for _ in range(n_levels))
        self.after = nn.ModuleList(SGPLayer(width, section) for _ in range(n_levels))

    def forward(self, frames: Tensor) -> Tensor:
        """frames (B, T, D), T the clip's frames -> tokens (B, N, width)."""
        if frames.shape[1] != self.clip_frames:
            raise BallspotError(
                f"head sgp-mixer: a clip of {frames.shape[1]} frames, where its positions are of {self.clip_frames}; "
                f"set clip_frames={self.clip_frames}"
            )
        tokens = self.project(downsample(frames, self.temporal_stride))  # (B, T, D) -> (B, N, W)
        tokens = self.dropout(tokens + self.positions).transpose(1, 2)  # (B, W, N)
        finer = []
        for layer in self.down:
            tokens = layer(tokens)
            finer.append(tokens)
            tokens = halved_by_maxima(tokens)  # (B, W, N) -> (B, W, ceil(N / 2))
        tokens = self.bottom(tokens)
        for mixer, layer in zip(self.up, self.after, strict=True):
            tokens = layer(mixer(tokens, finer.pop()))
        return tokens.transpose(1, 2)


def halved_by_maxima(tokens: Tensor) -> Tensor:
    """Adaptive max pooling to half as many, (B, W, N) -> (B, W, ceil(N / 2)), in plain pooling that can be exported.

    Of an even number two neighbours each; of an odd number, token i of the result is the maximum of 2 i - 1, 2 i and
    2 i + 1, as far as there are such.
    """
    if tokens.shape[-1] % 2:
        return F.max_pool1d(tokens, 3, stride=2, padding=1)
    return F.max_pool1d(tokens, 2)
