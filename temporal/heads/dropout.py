"""Dropout whose masks are quick to draw on a CPU, where drawing them would else be a fifth of a small head's step."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

LEVELS = 2**16
_generators: list[torch.Generator] = []  # of runs that are trained at once, in their order


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
        if draws_for_runs():
            return numbers * _RunMasks.apply(numbers.detach(), self.n_dropped)
        if numbers.device.type != "cpu":
            return functional.dropout(numbers, self.probability)
        return numbers * _mask(numbers.shape, self.n_dropped, numbers.device)

    def extra_repr(self) -> str:
        """What it shows of itself."""
        return f"{self.probability}"


@contextmanager
def masks_of_runs(generators: Sequence[torch.Generator]) -> Iterator[None]:
    """Lets the heads of several runs, computed at once by `torch.vmap`, draw masks each from its own generator.

    A run then has the masks that it has by itself, as long as its generator began alike.
    """
    _generators[:] = generators
    try:
        yield
    finally:
        _generators.clear()


def draws_for_runs() -> bool:
    """Whether masks are drawn for several runs at once."""
    return bool(_generators)


class _RunMasks(torch.autograd.Function):
    """The masks of all runs: what `vmap` asks for in place of one operation on a batch of tensors."""

    @staticmethod
    def forward(numbers: Tensor, n_dropped: int) -> Tensor:
        raise RuntimeError("masks of several runs are drawn under vmap alone")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.mark_non_differentiable(output)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[None, None]:
        return None, None

    @staticmethod
    def vmap(info: Any, in_dims: tuple[int | None, ...], *args: Any) -> tuple[Tensor, int]:
        """Of numbers with the runs at ``in_dims[0]`` the masks (K, ...)."""
        numbers, n_dropped = args
        shape = list(numbers.shape)
        if in_dims[0] is not None:
            del shape[in_dims[0]]
        return torch.stack([_mask(shape, n_dropped, numbers.device, generator) for generator in _generators]), 0


def _mask(
    shape: Sequence[int], n_dropped: int, device: torch.device, generator: torch.Generator | None = None
) -> Tensor:
    """0 where a number is dropped, else what keeps the mean, float32 of a shape."""
    size = torch.Size(shape).numel()
    drawn = torch.empty(-(-size // 4), dtype=torch.int64, device=device).random_(-(2**63), None, generator=generator)
    levels = drawn.view(torch.int16)[:size].view(shape)  # each of 2^16 values equally likely
    # In place and without a bool tensor, whose conversion torch does number by number.
    kept = levels.float().ge_(n_dropped - LEVELS // 2)  # 1 or 0
    return kept.mul_(LEVELS / max(LEVELS - n_dropped, 1))
