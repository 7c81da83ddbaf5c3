"""Streams, events and graphs of the CUDA device that is not there (`pretend`), for code that computes no gradients.

Streams do their work at once. A graph runs again what was recorded of it, with the tensors that it was recorded with,
and nothing else. Casts on the device are written down. No stand-ins for the runtime are needed: autograd alone asks it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten

from .pretend import PretendedTensor, aten, computed, pretended_cuda


@dataclass
class Log:
    """What was done on the device since it was last cleared."""

    casts: list[tuple[torch.dtype, torch.dtype]] = field(default_factory=list)
    n_replays: int = 0

    def clear(self) -> None:
        self.casts.clear()
        self.n_replays = 0


log = Log()
recording: list[list[tuple[Any, ...]]] = []


class _Recording(TorchDispatchMode):
    """Writes down what is computed on the device, and casts."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if not any(isinstance(one, PretendedTensor) for one in tree_flatten((args, kwargs))[0]):
            return func(*args, **kwargs)  # for the mode below
        if func is aten._to_copy.default and kwargs.get("dtype") not in (None, args[0].dtype):
            log.casts.append((args[0].dtype, kwargs["dtype"]))
        return _written_down(func, args, kwargs)


def _written_down(func: Any, args: Any, kwargs: Any) -> Any:
    found = computed(func, args, kwargs)
    if recording:
        recording[-1].append((func, args, kwargs, found))
    return found


class _Reading(TorchFunctionMode):
    """Numbers that Python asks for, and copies: torch would ask the driver for the device first."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.__float__, torch.Tensor.item) and isinstance(args[0], PretendedTensor):
            PretendedTensor.counts["syncs"] += 1
            return args[0].held.item()
        if func is torch.Tensor.copy_ and any(isinstance(one, PretendedTensor) for one in args):
            return _written_down(aten.copy_.default, args, kwargs or {})
        return func(*args, **(kwargs or {}))


class Graph:
    """What was done while it was recorded, done again by `replay`."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, ...]] = []

    def replay(self) -> None:
        log.n_replays += 1
        for func, args, kwargs, found in self.steps:
            again = computed(func, args, kwargs)
            if func._schema.is_mutable:
                continue
            for old, new in zip(tree_flatten(found)[0], tree_flatten(again)[0], strict=True):
                if isinstance(old, PretendedTensor):
                    old.held.copy_(new.held)


@contextmanager
def _recorded(graph: Graph, **how: object) -> Iterator[None]:
    recording.append(graph.steps)
    try:
        yield
    finally:
        recording.pop()


class Stream:
    def __init__(self, device: object = None) -> None: ...
    def synchronize(self) -> None: ...
    def wait_stream(self, other: object) -> None: ...
    def wait_event(self, event: object) -> None: ...
    def record_event(self) -> "Event":
        return Event()


class Event:
    def record(self, stream: object = None) -> None: ...
    def synchronize(self) -> None: ...


@contextmanager
def pretended_gpu() -> Iterator[Log]:
    """A GPU with streams and graphs while this lasts; its log comes back."""
    stands = {
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": _recorded,
        "stream": lambda stream: nullcontext(),
        "device": lambda device: nullcontext(),
        "current_stream": lambda device=None: Stream(),
        "cudart": lambda: SimpleNamespace(cudaHostRegister=lambda *place: 0, cudaHostUnregister=lambda place: 0),
    }
    with ExitStack() as stack:
        for name, stand_in in stands.items():
            stack.enter_context(patch.object(torch.cuda, name, stand_in))
        stack.enter_context(patch.object(PretendedTensor, "record_stream", lambda tensor, stream: None, create=True))
        stack.enter_context(pretended_cuda())
        stack.enter_context(_Recording())
        stack.enter_context(_Reading())
        log.clear()
        yield log
