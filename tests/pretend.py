"""A CUDA device that is not there, for tests on machines without one.

A `PretendedTensor` says that it lies on cuda:0, holds its numbers on the CPU, computes with them, and refuses what CUDA
refuses: operations on tensors of both devices, a CPU generator for a CUDA tensor. What would make the CPU wait for the
GPU is counted. Autograd asks the CUDA runtime for streams and events: a library of stand-ins, built by gcc and loaded
before torch, answers. So a test starts a process of its own with `run_pretended`; the script there opens
`pretended_cuda`. What it does not show: cuDNN, NCCL, kernels' own numbers and speed.

`reason` says why a machine cannot: torch without CUDA in it, or no gcc.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from shutil import which
from tempfile import gettempdir
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

LIBRARIES = Path(torch.__file__).parent / "lib"
ASKING = ("libc10_cuda.so", "libtorch_cuda.so", "libtorch_python.so")
LIMIT_S = 600.0
# Functions of the runtime that hand something back; every other one answers 0, which means success.
STAND_INS = """
typedef int E; typedef void *P; typedef unsigned long N;
extern P malloc(N); extern void free(P);
static long handle = 0x1000;
E cudaGetDeviceCount(int *n) { *n = 1; return 0; }
E cudaGetDevice(int *d) { *d = 0; return 0; }
E cudaDriverGetVersion(int *v) { *v = 13000; return 0; }
E cudaRuntimeGetVersion(int *v) { *v = 13000; return 0; }
E cudaDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 9 : 0; return 0; }
E cudaDeviceGetStreamPriorityRange(int *a, int *b) { *a = 0; *b = -1; return 0; }
E cudaStreamCreate(P *s) { *s = (P)(handle += 16); return 0; }
E cudaStreamCreateWithFlags(P *s, unsigned f) { return cudaStreamCreate(s); }
E cudaStreamCreateWithPriority(P *s, unsigned f, int p) { return cudaStreamCreate(s); }
E cudaStreamGetPriority(P s, int *p) { *p = 0; return 0; }
E cudaStreamIsCapturing(P s, int *c) { *c = 0; return 0; }
E cudaStreamGetCaptureInfo(P s, int *c) { *c = 0; return 0; }
E cudaStreamGetCaptureInfo_v2(P s, int *c) { *c = 0; return 0; }
E cudaStreamGetCaptureInfo_v3(P s, int *c) { *c = 0; return 0; }
E cudaEventCreate(P *e) { *e = (P)(handle += 16); return 0; }
E cudaEventCreateWithFlags(P *e, unsigned f) { return cudaEventCreate(e); }
E cudaEventElapsedTime(float *ms, P a, P b) { *ms = 0; return 0; }
E cudaPointerGetAttributes(int *a, const void *p) { a[0] = 0; a[1] = 0; return 0; }
E cudaMemGetInfo(N *a, N *b) { *a = *b = 80ul << 30; return 0; }
E cudaMalloc(P *p, N n) { *p = malloc(n); return 0; }
E cudaMallocHost(P *p, N n) { *p = malloc(n); return 0; }
E cudaHostAlloc(P *p, N n, unsigned f) { *p = malloc(n); return 0; }
E cudaFreeHost(P p) { free(p); return 0; }
E cudaHostGetDevicePointer(P *d, P h, unsigned f) { *d = h; return 0; }
E cudaGetDeviceProperties(char *p, int d) { for (int i = 0; i < 700; i++) p[i] = 0; p[0] = 'p'; return 0; }
E cudaDeviceCanAccessPeer(int *c, int a, int b) { *c = 0; return 0; }
E cudaDeviceGetDefaultMemPool(P *m, int d) { *m = (P)1; return 0; }
E cudaLaunchHostFunc(P s, void (*f)(P), P d) { f(d); return 0; }
E cudaThreadExchangeStreamCaptureMode(int *m) { return 0; }
E cuInit(unsigned f) { return 0; }
E cuDevicePrimaryCtxGetState(int d, unsigned *f, int *a) { *f = 0; *a = 1; return 0; }
E cuGetErrorString(E e, const char **s) { *s = "no error"; return 0; }
E cuGetProcAddress_v2(const char *s, P *p, int v, N f, int *r) {
    extern P dlsym(P, const char *);
    *p = dlsym(0, s);
    if (r) *r = 0;
    return *p ? 0 : 500;
}
const char *cudaGetErrorString(E e) { return "no error"; }
const char *cudaGetErrorName(E e) { return "none"; }
"""


@cache
def reason() -> str:
    """Why no CUDA can be pretended here, "" where it can."""
    if torch.version.cuda is None or not (LIBRARIES / ASKING[0]).is_file():
        return "this wheel of torch has no CUDA in it"
    missing = [tool for tool in ("gcc", "nm") if which(tool) is None]
    return f"no {missing[0]}: the stand-ins of the CUDA runtime cannot be built" if missing else ""


def run_pretended(script: Path, *words: object) -> str:
    """Runs a script with the stand-ins loaded and returns what it printed; raises AssertionError where it failed."""
    tests = Path(__file__).parent
    environment = {
        **os.environ,
        "LD_PRELOAD": str(_library()),
        "LD_LIBRARY_PATH": os.pathsep.join([str(_library().parent), os.environ.get("LD_LIBRARY_PATH", "")]),
        "PYTHONPATH": os.pathsep.join([str(tests), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "OMP_NUM_THREADS": "1",
    }
    line = [sys.executable, str(script), *map(str, words)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 0, f"{script.name} {words}: {done.returncode}\n{done.stdout}\n{done.stderr[-6000:]}"
    return done.stdout


@cache
def _library() -> Path:
    """The stand-ins as a library, built once for a version of torch."""
    folder = Path(gettempdir()) / f"ballspot-pretend-{os.getuid()}-{torch.__version__}"
    library = folder / "stand_ins.so"
    if not library.is_file():
        folder.mkdir(mode=0o700, exist_ok=True)
        asked: set[str] = set()
        for name in ASKING:
            line = ["nm", "-D", "--undefined-only", str(LIBRARIES / name)]
            found = subprocess.run(line, capture_output=True, text=True, check=True).stdout
            asked |= set(re.findall(r" U (cuda[A-Za-z0-9_]+)", found))
        given = set(re.findall(r"(cuda[A-Za-z0-9_]+)\(", STAND_INS))
        source = folder / f"stand_ins-{os.getpid()}.c"
        rest = "".join(f"E {name}(void) {{ return 0; }}\n" for name in sorted(asked - given))
        source.write_text(STAND_INS + rest)
        built = source.with_suffix(".so")
        subprocess.run(["gcc", "-shared", "-fPIC", "-w", "-o", str(built), str(source)], check=True)
        driver = folder / f"libcuda-{os.getpid()}"
        driver.symlink_to(library.name)
        driver.replace(folder / "libcuda.so.1")  # the driver's, which torch opens by this name
        built.replace(library)
        source.unlink()
    return library


# --- in the process that pretends ---

CUDA = torch.device("cuda:0")
aten = torch.ops.aten
ACROSS = {aten.copy_.default, aten._to_copy.default, aten.set_.source_Tensor}  # what may touch both devices
INDEXING = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
WAITING = {  # what gives the CPU a number, or a shape that hangs on numbers
    aten._local_scalar_dense.default,
    aten.nonzero.default,
    aten.masked_select.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.repeat_interleave.Tensor,
    aten._unique2.default,
}


class MixedDevicesError(RuntimeError):
    """An operation that CUDA would refuse."""


class PretendedTensor(Tensor):
    """A tensor that says it lies on cuda:0; ``held`` has its numbers on the CPU."""

    held: Tensor
    counts: ClassVar[Counter[str]] = Counter()
    generators: ClassVar[dict[int, torch.Generator]] = {}
    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore  as torch says for such classes

    @staticmethod
    def __new__(cls, held: Tensor) -> "PretendedTensor":
        made = Tensor._make_wrapper_subclass(  # pyright: ignore  which the stubs do not have
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            layout=held.layout,
            device=CUDA,
        )
        made.held = held
        return made

    def __repr__(self) -> str:  # pyright: ignore  Tensor's has an argument more
        return f"PretendedTensor({self.held})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return computed(func, args, kwargs or {})


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """What an operation gives, on the device where CUDA would have it. Raises MixedDevicesError where it refuses."""
    tensors = _tensors(args, kwargs)
    on = [one for one in tensors if isinstance(one, PretendedTensor)]
    wanted = kwargs.get("device")
    to_device = bool(on) if wanted is None else torch.device(wanted).type == "cuda"
    _require_one_device(func, args, kwargs, tensors, to_device=to_device)
    _count(func, args, kwargs, on, to_device=to_device)
    plain_args, plain = _changed(_held, args), _changed(_held, kwargs)
    if plain.get("device") is not None:
        plain["device"] = torch.device("cpu")
    if "pin_memory" in plain:
        plain["pin_memory"] = None
    if isinstance(plain.get("generator"), torch.Generator):
        plain["generator"] = _generator(plain["generator"])
    found = func(*plain_args, **plain)
    name = func._schema.name.partition("::")[2]
    if func._schema.is_mutable and args and isinstance(args[0], Tensor) and name.endswith("_"):
        return args[0]
    if not to_device:
        return found
    return _changed(_pretended, found)


def _tensors(*of: Any) -> list[Tensor]:
    """All tensors in arguments, in order; torch's own walk over them takes longer than what it is asked for."""
    found: list[Tensor] = []
    for one in of:
        if isinstance(one, Tensor):
            found.append(one)
        elif isinstance(one, (tuple, list)):
            found += _tensors(*one)
        elif isinstance(one, dict):
            found += _tensors(*one.values())
    return found


def _changed(change: Callable[[Any], Any], one: Any) -> Any:
    """The same with each leaf changed."""
    if isinstance(one, (tuple, list)):
        return type(one)([_changed(change, part) for part in one])
    if isinstance(one, dict):
        return {name: _changed(change, part) for name, part in one.items()}
    return change(one)


def _held(one: Any) -> Any:
    return one.held if isinstance(one, PretendedTensor) else one


def _pretended(one: Any) -> Any:
    return PretendedTensor(one) if isinstance(one, Tensor) and not isinstance(one, PretendedTensor) else one


def _generator(generator: torch.Generator) -> torch.Generator:
    """The CPU generator that stands for one of the GPU."""
    if generator.device.type == "cpu":
        return generator
    known = PretendedTensor.generators
    return known.setdefault(id(generator), torch.Generator().manual_seed(generator.initial_seed()))


def _require_one_device(func: Any, args: Any, kwargs: Any, tensors: list[Tensor], *, to_device: bool) -> None:
    on = [one for one in tensors if isinstance(one, PretendedTensor)]
    off = [one for one in tensors if not isinstance(one, PretendedTensor)]
    generator = kwargs.get("generator")
    if to_device and generator is not None and generator.device.type == "cpu":
        raise MixedDevicesError(f"{func}: a CPU generator for a CUDA tensor")
    if on and "mkldnn" in str(func):
        raise MixedDevicesError(f"{func}: oneDNN for a CUDA tensor")
    if not on or not off or func in ACROSS:
        return
    if func in INDEXING and isinstance(args[0], PretendedTensor):
        return  # an index from the CPU is copied, which `_count` sees
    places = ("index_select", "gather", "scatter", "index_add", "searchsorted", "embedding")
    if any(one.dim() for one in off) or func in INDEXING or any(word in str(func) for word in places):
        shapes = [(tuple(one.shape), "cuda" if isinstance(one, PretendedTensor) else "cpu") for one in tensors]
        raise MixedDevicesError(f"{func}: tensors of both devices {shapes}")


def _count(func: Any, args: Any, kwargs: Any, on: list[Tensor], *, to_device: bool) -> None:
    """Counts waits ("syncs") and copies from the CPU ("uploads")."""
    counts = PretendedTensor.counts
    waits = func in WAITING and bool(on)
    if func in INDEXING and on:
        indices = [one for one in args[1] if one is not None]
        waits = any(one.dtype in (torch.bool, torch.uint8) for one in indices) and func is aten.index.Tensor
        waits = waits or any(not isinstance(one, PretendedTensor) for one in indices)
    if func is aten._to_copy.default:
        crosses = isinstance(args[0], PretendedTensor) != to_device
        waits = crosses and not (to_device and kwargs.get("non_blocking"))
        counts["uploads"] += crosses and to_device
    if func is aten.copy_.default:
        target, source = (isinstance(one, PretendedTensor) for one in args[:2])
        non_blocking = kwargs.get("non_blocking") or (len(args) > 2 and args[2])
        waits = source != target and args[1].dim() > 0 and not (target and non_blocking)
        counts["uploads"] += target and not source
    counts["syncs"] += waits
    counts["operations"] += bool(on)


class _Dispatching(TorchDispatchMode):
    """Sees what is made on the device from nothing, which has no tensor to ask."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is aten.record_stream.default:  # memory of the CPU is nobody's stream's
            return None
        wanted = kwargs.get("device")
        if wanted is not None and torch.device(wanted).type == "cuda":
            return computed(func, args, kwargs)
        if any(isinstance(one, PretendedTensor) for one in _tensors(args, kwargs)):
            return computed(func, args, kwargs)
        if func in (aten._pin_memory.default, aten.pin_memory.default):
            return args[0].clone()
        if kwargs.get("pin_memory"):
            kwargs = {**kwargs, "pin_memory": None}
        return func(*args, **kwargs)


class _Calling(TorchFunctionMode):
    """What reaches into a tensor's memory before any operation is dispatched."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor and kwargs.get("device") is not None and torch.device(kwargs["device"]).type == "cuda":
            PretendedTensor.counts["uploads"] += 1
            return PretendedTensor(torch.tensor(*args, **{**kwargs, "device": "cpu"}))
        if func is Tensor.tolist and isinstance(args[0], PretendedTensor):
            PretendedTensor.counts["syncs"] += 1
            return args[0].held.detach().tolist()
        if func is Tensor.__setitem__ and isinstance(args[0], PretendedTensor):
            index = _changed(_held, args[1])
            if isinstance(args[2], Tensor) and not isinstance(args[2], PretendedTensor) and args[2].dim():
                PretendedTensor.counts["uploads"] += 1
                PretendedTensor.counts["syncs"] += 1
            args[0].held[index] = _held(args[2])
            return None
        if func is Tensor.pin_memory:
            return args[0]
        return func(*args, **kwargs)


class _NoGrad(torch.no_grad):
    """Stands for inference mode, whose tensors no subclass may wrap."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__()


def pretend_in_this_thread() -> None:
    """The same for another thread than the one that opened `pretended_cuda`: modes are a thread's own."""
    _Dispatching().__enter__()
    _Calling().__enter__()


@contextmanager
def pretended_cuda(*, n_devices: int = 1, free_gb: float = 80.0) -> Iterator[Counter[str]]:
    """A GPU while this lasts; gives the counts of "syncs", "uploads" and "operations", which the caller may clear.

    Only in a process that `run_pretended` started.
    """
    counts = PretendedTensor.counts
    free = int(free_gb * 1e9)
    stands: dict[str, Callable[..., Any]] = {
        "_lazy_init": lambda: None,
        "is_available": lambda: True,
        "device_count": lambda: n_devices,
        "current_device": lambda: 0,
        "mem_get_info": lambda device=None: (free, free),
        "max_memory_allocated": lambda device=None: 0,
        "is_bf16_supported": lambda *args, **kwargs: True,
        "get_rng_state": lambda device=0: torch.get_rng_state(),
        "set_rng_state": lambda state, device=0: None,
        "manual_seed_all": lambda seed: None,
        "synchronize": lambda device=None: counts.update(syncs=1),
    }
    kept = {name: getattr(torch.cuda, name) for name in stands}
    inference, overwrite = torch.inference_mode, torch.__future__.get_overwrite_module_params_on_conversion()
    with ExitStack() as stack:
        for name, stand_in in stands.items():
            setattr(torch.cuda, name, stand_in)
            stack.callback(setattr, torch.cuda, name, kept[name])
        torch.inference_mode = _NoGrad  # pyright: ignore  a stand-in of another class
        stack.callback(setattr, torch, "inference_mode", inference)
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        stack.callback(torch.__future__.set_overwrite_module_params_on_conversion, overwrite)
        stack.enter_context(_Dispatching())
        stack.enter_context(_Calling())
        counts.clear()
        yield counts
