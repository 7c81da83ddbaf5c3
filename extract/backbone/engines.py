"""What computes a backbone's features from pictures: torch, or OpenVINO (extra `openvino`)."""

import copy
import sys
import warnings
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from threading import RLock
from typing import Any, Protocol, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from ...cache.machine import keep_freed_memory
from ...cache.stores import EngineSpec
from ..cuda import Graphed
from ..device import require_precision
from .fuse_convs import Normalised, fuse_convolutions
from .load import Backbone
from .weights import first_line

CPU_BATCH_ROWS = {"torch": 8, "openvino": 4}  # the fastest of 1 to 16 (docs/measurements/extraction.md)
CUDA_BATCH_ROWS = 64
KEPT_BYTES = 2**30
# How far features that were computed in halves lie from those of float32, at most, of a row's largest feature: what the
# documented backbones were off by, and as much again (docs/reference/extraction.md).
HALF_TOLERANCES = {"float16": 1.5e-2, "bfloat16": 6e-2}
Model = TypeVar("Model", bound=nn.Module)


class Engine(Protocol):
    """Pictures, uint8 or float32 (B, H, W, 3) of 0..255, of the backbone's size -> features float32 (B, D).

    `spec` says what computes: it goes into the store, and a part file is resumed by the same only, since the last bits
    differ. B must always be its `batch_rows`: rows then do not depend on what they are computed beside.
    """

    spec: EngineSpec

    def __call__(self, pictures: Tensor) -> np.ndarray: ...


class TorchEngine:
    """torch: channels last, batch norms folded; on a CPU fused for the batch's shape, on CUDA a graph for it.

    `precision` is `float32` (on CUDA without the shorter numbers that it multiplies by, TF32), `bfloat16`, or `auto`:
    float32 on a CPU, float16 on CUDA. In halves the weights are halves; a model that does not run so, or gives other
    features, keeps its weights and has them cast at each step, and `spec` says `autocast`. Where a model cannot be
    fused, or would give other features, it runs as it is, and `spec` says `unfused`.

    One thread computes at a time: who calls from several holds `lock`.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        batch_rows: int,
        device: torch.device,
        compiles: bool = False,
        precision: str = "auto",
    ) -> None:
        self.device, self.lock = device, RLock()
        self.number = number_of(precision, device)
        if device.type == "cuda" and self.number == torch.float32:
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        how = f"{torch.__version__} {device.type} {str(self.number).removeprefix('torch.')}"
        plain = normalised(backbone).to(device)
        example = drawn_pictures(batch_rows, backbone.spec.size).to(device)
        self.uses_autocast = False
        if self.number != torch.float32:
            halved = _halved_where_sound(plain, example, self.number)
            self.uses_autocast = halved is None
            plain = halved or plain
            how += " autocast" if halved is None else ""
        self.model: nn.Module = plain
        self._compiled_for: set[torch.dtype] | None = None
        if compiles:
            self.model = cast(Any, torch.compile(plain, options={"freezing": True} if device.type == "cpu" else None))
            self._compiled_for = set()
            how += " compiled"
            self.tensor(example)
        elif device.type == "cpu":
            keep_freed_memory(up_to=KEPT_BYTES)
            if not self.uses_autocast:
                self.model = fuse_convolutions(plain, example)
            how += " unfused" if self.model is plain else ""
        elif device.type == "cuda":
            self.model = Graphed(plain)
        self.spec = EngineSpec("torch", how, batch_rows)

    def __call__(self, pictures: Tensor) -> np.ndarray:
        return self.tensor(pictures).float().cpu().numpy()

    def tensor(self, pictures: Tensor) -> Tensor:
        """What the model gives for the pictures, where and in the type that it has it.

        Raises BallspotError where the model is to be compiled and torch cannot.
        """
        given = pictures.to(self.device, non_blocking=True)
        with torch.inference_mode(), self.casting():
            if self._compiled_for is not None and given.dtype not in self._compiled_for:
                return self._first_of_its_type(given, self._compiled_for)
            return self.model(given)

    def casting(self) -> AbstractContextManager[Any]:
        """What the model runs in: torch's autocast for one whose weights cannot be halves."""
        return torch.autocast(self.device.type, self.number) if self.uses_autocast else nullcontext()

    def _first_of_its_type(self, given: Tensor, compiled_for: set[torch.dtype]) -> Tensor:
        """The first batch of uint8 or of float32 pictures: torch compiles the model for each."""
        try:
            features = self.model(given)
        except Exception as error:
            raise BallspotError(
                f"--compile: torch cannot compile this backbone on the {self.device.type} here "
                f"({type(error).__name__}); leave it out"
            ) from error
        compiled_for.add(given.dtype)
        return features


@cache
def one_core() -> Any:
    """OpenVINO's core, one a process, which is never given up.

    Each core has a stack of its own for signals. Of two that go, the later one puts the earlier one's back, which is
    gone then, and the next signal, Ctrl-C too, ends the process with a segmentation fault (OpenVINO 2026).
    """
    return import_module("openvino").Core()


class OpenvinoEngine:
    """OpenVINO in float32 or bfloat16 on one thread of the CPU; the normalisation is part of its model."""

    def __init__(self, backbone: Backbone, *, batch_rows: int, precision: str = "float32") -> None:
        """Raises BallspotError when OpenVINO is not installed or cannot read the backbone."""
        # OpenVINO goes without it where it is missing. It sends usage statistics from processes of its own, which would
        # run beside the first thousand frames; what is computed on a user's machine is nobody else's business.
        sys.modules.setdefault("openvino_telemetry", cast(Any, None))
        try:
            self.openvino: Any = import_module("openvino")
        except ImportError as error:
            raise BallspotError("--engine openvino: not installed; pip install 'ballspot[openvino]'") from error
        self.number = str(number_of(precision, torch.device("cpu"))).removeprefix("torch.")
        how = f"{self.openvino.__version__.split('-')[0]} cpu {self.number}"
        self.spec, self.backbone = EngineSpec("openvino", how, batch_rows), backbone
        self._compiled: dict[torch.dtype, Any] = {}

    def __call__(self, pictures: Tensor) -> np.ndarray:
        if pictures.dtype not in self._compiled:
            self._compiled[pictures.dtype] = self._compile(pictures.dtype)
        request = self._compiled[pictures.dtype]
        return np.array(request.infer([pictures.contiguous().numpy()], share_inputs=True)[0])

    def _compile(self, dtype: torch.dtype) -> Any:
        ov, backbone = self.openvino, self.backbone
        example = torch.zeros(self.spec.batch_rows or 1, *backbone.spec.size, 3, dtype=dtype)
        module = normalised(backbone).eval()
        try:
            with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # of torch, about how OpenVINO reads its models
                model = ov.convert_model(module, example_input=example, input=[(tuple(example.shape))])
            settings = {
                "INFERENCE_NUM_THREADS": 1,
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": "bf16" if self.number == "bfloat16" else "f32",
                "ENABLE_CPU_PINNING": False,  # every process would take the same core
            }
            return one_core().compile_model(model, "CPU", settings).create_infer_request()
        except Exception as error:
            raise BallspotError(
                f"--engine openvino: cannot run {backbone.spec.name} ({first_line(error)}); give --engine torch"
            ) from error


def make_engine(
    backbone: Backbone,
    *,
    kind: str,
    batch_rows: int,
    device: torch.device,
    compiles: bool = False,
    precision: str = "auto",
) -> Engine:
    """The engine `torch` or `openvino` for batches of `batch_rows`, in the numbers that `precision` says.

    Raises BallspotError for one that cannot be had.
    """
    if kind == "openvino":
        if device.type != "cpu":
            raise BallspotError(f"--engine openvino: runs on the CPU, not on {device}; give --device cpu")
        return OpenvinoEngine(backbone, batch_rows=batch_rows, precision=precision)
    return TorchEngine(backbone, batch_rows=batch_rows, device=device, compiles=compiles, precision=precision)


def default_batch_rows(kind: str, device: str) -> int:
    """How many frames a batch has when nobody says: what the engine is fastest with."""
    return CUDA_BATCH_ROWS if device.startswith("cuda") else CPU_BATCH_ROWS[kind]


def normalised(backbone: Backbone) -> Normalised:
    """The backbone's model for pictures (B, H, W, 3) of 0..255, its normalisation in front."""
    return Normalised(backbone.model, *normalisation(backbone.mean, backbone.std))


def normalisation(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    """Scale and shift, float32 (1, 3, 1, 1): x / (255 std) - mean / std is (x / 255 - mean) / std in one step."""
    means, stds = (torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (mean, std))
    return (1 / (255 * stds)).float(), (-means / stds).float()


def number_of(precision: str, device: torch.device) -> torch.dtype:
    """The numbers that an engine computes in. Raises BallspotError for bfloat16 on a device without units for it."""
    require_precision(precision, str(device))
    if precision == "bfloat16":
        return torch.bfloat16
    return torch.float16 if precision == "auto" and device.type == "cuda" else torch.float32


def halved(model: Model, number: torch.dtype, *, shares: Sequence[object] = ()) -> Model:
    """A copy of the model with weights and buffers of the type `number`, which has the same `shares` inside."""
    return copy.deepcopy(model, {id(one): one for one in shares}).to(number)


def _halved_where_sound(plain: Normalised, example: Tensor, number: torch.dtype) -> Normalised | None:
    """The model with halves for weights; None where it does not run so, or its features differ from those of float32.

    The normalisation stays in float32: a picture's values and their mean nearly cancel.
    """
    with torch.inference_mode():
        expected = plain(example)
        try:
            half = Normalised(halved(plain.model, number), plain.scale, plain.shift, number=number)
            found = half(example).float()
        except (
            RuntimeError,
            TypeError,
        ):  # cannot be copied, or makes float32 numbers of its own, which do not go with halves
            return None
        off = (found - expected).abs().amax(1) / expected.abs().amax(1).clamp_min(1e-12)
    return half if float(off.max()) <= HALF_TOLERANCES[str(number).removeprefix("torch.")] else None


def drawn_pictures(n: int, size: tuple[int, int]) -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, *size, 3), dtype=torch.uint8, generator=drawn)
