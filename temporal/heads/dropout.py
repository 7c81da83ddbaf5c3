"""Dropout whose masks are quick to draw on a CPU, where drawing them would else be a fifth of a small head's step."""

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 2**16


class Dropout(nn.Module):
    """As `nn.Dropout`: in training each number is zero with ``probability``, the others are scaled to keep the mean.

    On a CPU one 64-bit random number serves four of them, so the probability is rounded to a multiple of 2^-16. The
    masks hang on torch's default generator alone. Other devices draw them in a kernel of their own.
    """

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability
        self.n_dropped = min(round(probability * LEVELS), LEVELS)

    def forward(self, numbers: Tensor) -> Tensor:
        """Any shape -> the same shape."""
        if not self.training or not self.n_dropped:
            return numbers
        if numbers.device.type != "cpu":
            return functional.dropout(numbers, self.probability)
        drawn = torch.empty(-(-numbers.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
        levels = drawn.view(torch.int16)[: numbers.numel()].view(numbers.shape)  # each of 2^16 values equally likely
        # In place and without a bool tensor, whose conversion torch does number by number.
        kept = levels.float().ge_(self.n_dropped - LEVELS // 2)  # 1 or 0
        return numbers * kept.mul_(LEVELS / max(LEVELS - self.n_dropped, 1))

    def extra_repr(self) -> str:
        """What it shows of itself."""
        return f"{self.probability}"
