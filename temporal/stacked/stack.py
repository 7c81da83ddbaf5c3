"""Heads of one shape as one: every parameter (K, ...), of which each run's own head, optimizer and average see a part.

`torch.func.functional_call` under `torch.vmap` computes all heads in one operation each (Bradbury et al. 2018, JAX;
torch.func's "Model ensembling"). The optimizer works number by number, so one over the stacked parameters does what K
would. What a run keeps (checkpoints, resume, validation) goes through its own head, whose tensors are views.
"""

import copy
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..config import TrainingSection
from ..heads import HeadOutput, SpottingHead
from ..training import Learner, WeightAverage, can_fuse
from .fit import PACE

MOMENTS = ("exp_avg", "exp_avg_sq")
SMALLEST_NORM = 1e-12
CLIP_MARGIN = 1e-6  # of torch's clip_grad_norm_


class Stack:
    """The heads of K learners stacked; from here on their tensors are views of the stack's.

    All must have made as many steps. ``sections`` say the learning rate and weight decay of each: where they are alike
    one optimizer moves all, else each its own.
    """

    def __init__(self, learners: Sequence[Learner[SpottingHead]], sections: Sequence[TrainingSection]) -> None:
        self.learners, self.sections = tuple(learners), tuple(sections)
        heads = [learner.model for learner in learners]
        self.skeleton = copy.deepcopy(heads[0]).to("meta")
        self.parameters = {name: nn.Parameter(_joined(heads, name)) for name, _ in heads[0].named_parameters()}
        self.buffers = {name: _joined(heads, name) for name, _ in heads[0].named_buffers()}
        self.averages = self._stack_averages()
        self.kept = [name for name in heads[0].state_dict() if name in self.parameters or name in self.buffers]
        self.rates_are_alike = len({tuple(getattr(section, name) for name in PACE) for section in sections}) == 1
        if self.rates_are_alike:
            self.optimizer = self._stack_optimizers()
        else:
            self.optimizer = None
            self._part_steps()
        for place, head in enumerate(heads):
            for name, parameter in head.named_parameters():
                parameter.data = self.parameters[name].data[place]
            for name, _ in list(head.named_buffers()):
                owner, _, leaf = name.rpartition(".")
                head.get_submodule(owner)._buffers[leaf] = self.buffers[name][place]

    def __len__(self) -> int:
        return len(self.learners)

    def train(self) -> None:
        """All heads in training mode."""
        for head in (self.skeleton, *(learner.model for learner in self.learners)):
            head.train()

    def forward(self, parameters: dict[str, Tensor], buffers: dict[str, Tensor], frames: Tensor) -> HeadOutput:
        """What one head says, by its own part of the parameters: the function that `vmap` maps."""
        return functional_call(self.skeleton, (parameters, buffers), (frames,))

    def set_rates(self, rates: Sequence[float]) -> None:
        """The learning rate of every run."""
        for learner, rate in zip(self.learners, rates, strict=True):
            learner.set_rate(rate)
        if self.optimizer is not None:
            self.optimizer.param_groups[0]["lr"] = rates[0]

    def descend(self, loss: Callable[[], Tensor]) -> None:
        """One step of every run down its own ``loss`` (K,); SAM and clipping by each run's own norm."""
        section = self.sections[0]
        loss().sum().backward()
        if section.sam_rho:
            valley = self._climb(section.sam_rho)
            self._forget_gradients()
            loss().sum().backward()
            with torch.no_grad():
                for parameter, value in valley:
                    parameter.copy_(value)
        if section.gradient_clip:
            share = (section.gradient_clip / (self._norms() + CLIP_MARGIN)).clamp(max=1.0)
            for _, gradient in self._moving():
                gradient.mul_(_over(share, gradient))
        self._step()
        self._forget_gradients()

    def average(self, *, n_steps_done: int) -> None:
        """Takes the weights into the averages, where the runs have such."""
        if self.averages is not None:
            stacked = {**self.parameters, **self.buffers}
            self.averages.take({name: stacked[name].data for name in self.kept}, n_steps_done=n_steps_done)

    def _stack_averages(self) -> WeightAverage | None:
        averages = [learner.average for learner in self.learners if learner.average is not None]
        if not averages:
            return None
        stacked = copy.copy(averages[0])
        stacked.weights = {
            name: torch.stack([average.weights[name] for average in averages]) for name in averages[0].weights
        }
        for place, average in enumerate(averages):
            average.weights = {name: value[place] for name, value in stacked.weights.items()}
        return stacked

    def _stack_optimizers(self) -> torch.optim.AdamW:
        section, first = self.sections[0], self.learners[0].optimizer
        optimizer = torch.optim.AdamW(
            self.parameters.values(),
            lr=section.learning_rate,
            weight_decay=section.weight_decay,
            fused=can_fuse(self.learners[0].model),
        )
        heads = [dict(learner.model.named_parameters()) for learner in self.learners]
        for name, parameter in self.parameters.items():
            own = [learner.optimizer.state[head[name]] for learner, head in zip(self.learners, heads, strict=True)]
            fresh = torch.zeros((), device=parameter.device if first.defaults.get("fused") else "cpu")
            state = optimizer.state[parameter]
            state["step"] = own[0]["step"].clone() if own[0] else fresh
            for moment in MOMENTS:
                nothing = torch.zeros_like(parameter[0])
                state[moment] = torch.stack([one.get(moment, nothing) for one in own]).detach()
            for place, one in enumerate(own):
                one["step"] = state["step"]
                one.update({moment: state[moment][place] for moment in MOMENTS})
        return optimizer

    def _part_steps(self) -> None:
        """Gives each optimizer a count of its own: those of an earlier stack, whose one optimizer counted, share it."""
        for learner in self.learners:
            for state in learner.optimizer.state.values():
                state["step"] = state["step"].clone()

    def _step(self) -> None:
        if self.optimizer is not None:
            self.optimizer.step()
            return
        for place, learner in enumerate(self.learners):
            for name, parameter in learner.model.named_parameters():
                gradient = self.parameters[name].grad
                parameter.grad = None if gradient is None else gradient[place]
            learner.optimizer.step()
            learner.optimizer.zero_grad(set_to_none=True)

    def _forget_gradients(self) -> None:
        for parameter in self.parameters.values():
            parameter.grad = None

    def _moving(self) -> list[tuple[nn.Parameter, Tensor]]:
        """The parameters that have a gradient, with it."""
        return [(parameter, parameter.grad) for parameter in self.parameters.values() if parameter.grad is not None]

    def _norms(self) -> Tensor:
        """The norm of each run's gradient, (K,)."""
        return torch.stack([gradient.flatten(1).norm(dim=1) for _, gradient in self._moving()]).norm(dim=0)

    @torch.no_grad()
    def _climb(self, rho: float) -> list[tuple[nn.Parameter, Tensor]]:
        """Moves each run's parameters by ``rho`` along its gradient, and says where they came from."""
        reach = rho / (self._norms() + SMALLEST_NORM)
        valley = [(parameter, parameter.clone()) for parameter, _ in self._moving()]
        for parameter, gradient in self._moving():
            parameter.add_(gradient * _over(reach, gradient))
        return valley


def _joined(heads: Sequence[SpottingHead], name: str) -> Tensor:
    """A parameter or buffer of all heads, (K, ...), apart from theirs."""
    owner, _, leaf = name.rpartition(".")
    return torch.stack([getattr(head.get_submodule(owner), leaf).detach() for head in heads])


def _over(values: Tensor, stacked: Tensor) -> Tensor:
    """Values (K,) in a shape that meets ``stacked`` (K, ...)."""
    return values.view(-1, *([1] * (stacked.ndim - 1)))
