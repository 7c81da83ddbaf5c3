"""A model's work as a CUDA graph: some hundred launches of small kernels become one."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

N_WARM_UPS = 3  # torch's advice: what libraries set up at their first calls must not be recorded
REPLAY_TOLERANCE = 1e-2  # of the largest feature; a replay that computes something else is off by more


class Graphed(nn.Module):
    """The same model for tensors on a GPU; each shape and type of them is recorded once and replayed from then on.

    What cannot be recorded, since it waits for the GPU or decides by numbers, or comes out otherwise when it is
    replayed, runs as it is. A result is the caller's own: the next call leaves it alone.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.replays: dict[tuple[Any, ...], Callable[[Tensor], Tensor] | None] = {}

    def forward(self, given: Tensor) -> Tensor:
        kind = (given.dtype, *given.shape)
        if kind not in self.replays:
            with torch.cuda.device(given.device):
                self.replays[kind] = _recorded(self.model, given)
        replay = self.replays[kind]
        return self.model(given) if replay is None else replay(given)


def _recorded(model: nn.Module, given: Tensor) -> Callable[[Tensor], Tensor] | None:
    """What copies a tensor to the recorded place and replays; None where the model cannot be recorded."""
    place, device = given.clone(), given.device
    aside = torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        expected = model(place)
        for _ in range(N_WARM_UPS - 1):
            expected = model(place)
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    try:
        # Other threads may copy pictures meanwhile: what they call does not end the recording of this one.
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = model(place)
        graph.replay()
        off = (result.float() - expected.float()).abs().max() / expected.float().abs().max().clamp_min(1e-12)
        if not float(off) <= REPLAY_TOLERANCE:
            return None
    except RuntimeError:
        return None

    def replay(given: Tensor) -> Tensor:
        place.copy_(given)
        graph.replay()
        return result.clone()

    return replay
