"""A GPU that is not there: tensors that say they are on cuda:0, hold their numbers on the CPU, and refuse what CUDA
refuses. Streams do their work at once; a graph runs again what was recorded of it, and nothing else.

It shows that all that computes is on the device, how many casts and copies a batch takes, and that what is replayed is
what was meant; it shows neither speed nor the GPU's own rounding.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda:0")
aten = torch.ops.aten
CROSSING = (aten.copy_.default, aten._to_copy.default)  # what may take tensors of both devices


class MixedDevicesError(RuntimeError):
    """One operation was given tensors of the CPU and of the GPU."""


class Pretended(torch.Tensor):
    """A tensor on cuda:0 by its own account; `inner` holds its numbers."""

    inner: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Pretended":
        made = torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=CUDA,
        )
        made.inner = inner
        return made

    def __repr__(self) -> str:
        return f"Pretended({self.inner})"

    def record_stream(self, stream: object) -> None:
        """Nothing to remember."""

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


@dataclass
class Log:
    """What was done since it was last cleared."""

    casts: list[tuple[torch.dtype, torch.dtype, tuple[int, ...]]] = field(default_factory=list)
    n_uploads: int = 0
    n_downloads: int = 0
    n_waits: int = 0
    n_replays: int = 0
    recording: list[tuple[Any, Any, Any, Any]] | None = None

    def clear(self) -> None:
        self.__init__()


log = Log()


def inner_of(value: Any) -> Any:
    """The numbers of a pretended tensor; anything else as it is."""
    return value.inner if isinstance(value, Pretended) else value


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Does an operation on the CPU, as the GPU would take or refuse it."""
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
    there = [one for one in tensors if isinstance(one, Pretended)]
    asked = kwargs.get("device")
    on_gpu = bool(there) if asked is None else torch.device(asked).type == "cuda"
    if there and func not in CROSSING and any(one.dim() and not isinstance(one, Pretended) for one in tensors):
        raise MixedDevicesError(f"{func}: {[(str(one.device), tuple(one.shape)) for one in tensors]}")
    if there and "mkldnn" in str(func):
        raise MixedDevicesError(f"{func}: oneDNN on a GPU")
    _note(func, args, there, on_gpu)
    given, named = tree_map(inner_of, args), tree_map(inner_of, kwargs)
    if named.get("device") is not None and on_gpu:
        named["device"] = torch.device("cpu")
    named.pop("pin_memory", None)
    out = func(*given, **named)
    if func._schema.is_mutable and args and isinstance(args[0], torch.Tensor):
        result = args[0]
    else:
        result = tree_map(lambda one: Pretended(one) if on_gpu and isinstance(one, torch.Tensor) else one, out)
    if log.recording is not None and there:
        log.recording.append((func, args, kwargs, result))
    return result


def _note(func: Any, args: Any, there: list[Any], on_gpu: bool) -> None:
    if func is aten._local_scalar_dense.default and there:
        log.n_waits += 1
    if func is aten._to_copy.default:
        was_there = isinstance(args[0], Pretended)
        log.n_uploads += on_gpu and not was_there
        log.n_downloads += was_there and not on_gpu
    if func is aten.copy_.default and isinstance(args[0], Pretended) and not isinstance(args[1], Pretended):
        log.n_uploads += 1


class Mode(TorchDispatchMode):
    """Sends to `run` whatever is or shall be on the GPU."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        asked = kwargs.get("device")
        is_there = any(isinstance(one, Pretended) for one in tree_flatten((args, kwargs))[0])
        if func is aten._to_copy.default and is_there:
            before, after = args[0].dtype, kwargs.get("dtype") or args[0].dtype
            if before != after:
                log.casts.append((before, after, tuple(args[0].shape)))
        if is_there or (asked is not None and torch.device(asked).type == "cuda"):
            return run(func, args, kwargs)
        return func(*args, **kwargs)


class Event:
    def __init__(self, **how: object) -> None: ...
    def record(self, stream: object = None) -> None: ...
    def synchronize(self) -> None: ...


class Stream:
    def __init__(self, device: object = None, **how: object) -> None: ...
    def synchronize(self) -> None: ...
    def wait_stream(self, other: object) -> None: ...
    def wait_event(self, event: object) -> None: ...
    def record_event(self, event: object = None) -> Event:
        return Event()


class Graph:
    """What was done while it was recorded, done again by `replay` with the same tensors."""

    def __init__(self) -> None:
        self.steps: list[tuple[Any, Any, Any, Any]] = []

    def replay(self) -> None:
        log.n_replays += 1
        for func, args, kwargs, result in self.steps:
            named = {name: "cpu" if name == "device" else value for name, value in tree_map(inner_of, kwargs).items()}
            again = func(*tree_map(inner_of, args), **named)
            if func._schema.is_mutable:
                continue
            pairs = zip(tree_flatten(result)[0], tree_flatten(again)[0], strict=True)
            for old, new in pairs:
                if isinstance(old, Pretended):
                    old.inner.copy_(new)


@contextmanager
def recorded(graph: Graph, **how: object) -> Iterator[None]:
    log.recording = graph.steps
    try:
        yield
    finally:
        log.recording = None


def no_gradients(mode: bool = True) -> Any:
    """In the place of inference mode, which has no such tensors."""
    return torch.no_grad() if mode else nullcontext()


def pretend(patch: pytest.MonkeyPatch, *, device_count: int = 1) -> Callable[[], Any]:
    """Puts the GPU in the place of torch's own; in the context that comes back tensors can be on it."""
    for name, value in {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: device_count,
        "current_device": lambda: 0,
        "is_bf16_supported": lambda *args, **how: True,
        "Stream": Stream,
        "Event": Event,
        "CUDAGraph": Graph,
        "graph": recorded,
        "stream": lambda stream: nullcontext(),
        "device": lambda device: nullcontext(),
        "current_stream": lambda device=None: Stream(),
        "cudart": lambda: SimpleNamespace(cudaHostRegister=lambda *place: 0, cudaHostUnregister=lambda place: 0),
    }.items():
        patch.setattr(torch.cuda, name, value)
    patch.setattr(torch, "inference_mode", no_gradients)
    log.clear()

    @contextmanager
    def there() -> Iterator[None]:
        before = torch.__future__.get_overwrite_module_params_on_conversion()
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        try:
            with ExitStack() as stack:
                stack.enter_context(Mode())
                yield
        finally:
            torch.__future__.set_overwrite_module_params_on_conversion(before)

    return there
