"""How weights move: AdamW, steps towards flat minima, clipped gradients, and an average of the weights on the way."""

import math
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ...cache.machine import has_bfloat16_units
from ..config import Config, TrainingSection


def make_optimizer(head: nn.Module, config: Config) -> torch.optim.AdamW:
    """AdamW over all parameters; the rate is set step by step.

    Fused where torch has it: one pass over the weights instead of a dozen, a third of the time on a CPU, and as
    repeatable (every number is computed by itself).
    """
    section = config.training
    return torch.optim.AdamW(
        head.parameters(), lr=section.learning_rate, weight_decay=section.weight_decay, fused=can_fuse(head)
    )


def can_fuse(model: nn.Module) -> bool:
    """Whether torch has fused optimizers for where a model's parameters are."""
    return all(parameter.device.type in ("cpu", "cuda") for parameter in model.parameters())


def computes_in_bfloat16(section: TrainingSection, device: torch.device) -> bool:
    """Whether a training with ``precision`` bfloat16 (or ``amp``, on a GPU) computes so on a device.

    It does where a unit multiplies bfloat16 numbers: elsewhere they are slower than float32. Weights, optimizer and
    losses stay float32 in any case.
    """
    if device.type == "cuda":
        is_asked = section.precision == "bfloat16"
        return section.amp or (is_asked and torch.cuda.is_bf16_supported(including_emulation=False))
    return section.precision == "bfloat16" and device.type == "cpu" and has_bfloat16_units()


def precision_remark(section: TrainingSection, device: torch.device) -> str:
    """Why a training with ``precision`` bfloat16 computes in float32 on a device, "" where it does as it says."""
    if section.precision == "float32" or computes_in_bfloat16(section, device):
        return ""
    return f"precision bfloat16: {device} has no unit for it; heads are computed in float32"


def computing(section: TrainingSection, device: torch.device) -> AbstractContextManager[Any]:
    """The context in which a head computes in training."""
    if not computes_in_bfloat16(section, device):
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def descend(
    head: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss: Callable[[], Tensor],
    *,
    sam_rho: float = 0.0,
    gradient_clip: float = 0.0,
) -> Tensor:
    """One step down the gradient of ``loss``; the loss before it, detached.

    With ``sam_rho`` the gradient is taken ``sam_rho`` uphill from where the weights stand (sharpness-aware
    minimisation, Foret et al. 2021), at twice the cost. ``gradient_clip`` bounds the norm of the gradient.
    """
    optimizer.zero_grad(set_to_none=True)
    before = loss()
    before.backward()
    if sam_rho:
        valley = _climb(head.parameters(), sam_rho)
        optimizer.zero_grad(set_to_none=True)
        loss().backward()
        with torch.no_grad():
            for parameter, value in valley:
                parameter.copy_(value)
    if gradient_clip:
        nn.utils.clip_grad_norm_(head.parameters(), gradient_clip)
    optimizer.step()
    return before.detach()


class WeightAverage:
    """The moving average of a head's weights: after every step decay * average + (1 - decay) * weights.

    Early on the decay is (1 + steps) / (10 + steps), if less, so that the first weights do not linger. How far it has
    come follows from the number of steps done, so the average alone is enough to go on.
    """

    def __init__(self, head: nn.Module, decay: float, *, kept: dict[str, Tensor] | None = None) -> None:
        self.decay = decay
        state = kept or head.state_dict()
        device = next(head.parameters()).device
        self.weights = {name: value.detach().to(device, copy=True) for name, value in state.items()}

    def update(self, head: nn.Module, *, n_steps_done: int) -> None:
        """Takes in the weights after a step, ``n_steps_done`` of the whole training before it."""
        self.take(head.state_dict(), n_steps_done=n_steps_done)

    @torch.no_grad()
    def take(self, state: Mapping[str, Tensor], *, n_steps_done: int) -> None:
        """As `update`, with the tensors of a head, or those of several stacked."""
        decay = min(self.decay, (1 + n_steps_done) / (10 + n_steps_done))
        moving = [name for name, value in state.items() if value.is_floating_point()]
        average = get_ema_multi_avg_fn(decay)  # all at once: on a GPU one operation instead of one a tensor
        average([self.weights[name] for name in moving], [state[name] for name in moving], 0)
        for name in state.keys() - set(moving):  # what counts, such as the batches that a norm has seen
            self.weights[name].copy_(state[name])


Model = TypeVar("Model", bound=nn.Module)


@dataclass
class Learner(Generic[Model]):
    """A model in training with its optimizer; ``forward`` stands for the model where it was compiled or wrapped."""

    model: Model
    optimizer: torch.optim.Optimizer
    average: WeightAverage | None = None
    forward: Any = None

    def set_rate(self, rate: float) -> None:
        """Sets the learning rate; a group of parameters that has a "factor" gets so many times as much."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group.get("factor", 1.0)

    @property
    def kept_weights(self) -> dict[str, Tensor]:
        """The weights that are validated and kept: the average where there is one."""
        return self.model.state_dict() if self.average is None else self.average.weights


def _climb(parameters: Iterable[nn.Parameter], rho: float) -> list[tuple[nn.Parameter, Tensor]]:
    """Moves the parameters by ``rho`` along their gradient, all together, and says where each came from."""
    moving = [(parameter, parameter.grad) for parameter in parameters if parameter.grad is not None]
    norm = torch.stack([gradient.norm() for _, gradient in moving]).norm()
    with torch.no_grad():
        valley = [(parameter, parameter.clone()) for parameter, _ in moving]
        for parameter, gradient in moving:
            parameter.add_(gradient * (rho / (norm + 1e-12)))
    return valley


def scheduled_rate(section: TrainingSection, n_done: int, *, n_steps: int) -> float:
    """The learning rate after ``n_done`` steps of a training with ``n_steps`` an epoch.

    It goes from ``warmup_start`` of its peak straight up, then along a cosine to the final rate at the last step.
    """
    peak, final = section.learning_rate, section.final_learning_rate
    n_warmup_steps = round(section.warmup_epochs * n_steps)
    if n_done < n_warmup_steps:
        return peak * (section.warmup_start + (1.0 - section.warmup_start) * n_done / n_warmup_steps)
    n_cosine_steps = max(section.n_epochs * n_steps - 1 - n_warmup_steps, 1)
    progress = min((n_done - n_warmup_steps) / n_cosine_steps, 1.0)
    return final + (peak - final) * 0.5 * (1.0 + math.cos(math.pi * progress))
