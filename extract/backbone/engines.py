"""What computes a backbone's features from pictures: torch, or OpenVINO (extra `openvino`)."""

import ctypes
import sys
import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, Protocol, cast

import numpy as np
import torch
from torch import Tensor, nn

from ...cache.errors import BallspotError
from ...cache.stores import EngineSpec
from .fuse_convs import Normalised, fuse_convolutions
from .load import Backbone
from .weights import first_line

CPU_BATCH_ROWS = {"torch": 8, "openvino": 4}  # the fastest of 1 to 16 (docs/measurements/extraction.md)
CUDA_BATCH_ROWS = 64


class Engine(Protocol):
    """Pictures, uint8 or float32 (B, H, W, 3) of 0..255, of the backbone's size -> features float32 (B, D).

    `spec` says what computes: it goes into the store, and a part file is resumed by the same only, since the last bits
    differ. B must always be its `batch_rows`: rows then do not depend on what they are computed beside.
    """

    spec: EngineSpec

    def __call__(self, pictures: Tensor) -> np.ndarray: ...


class TorchEngine:
    """torch: channels last, batch norms folded; on a CPU fused for the batch's shape, on CUDA float16 by autocast.

    Where the model cannot be fused, or would give other features, it runs as it is, and `spec` says `unfused`.

    With `is_exact` it is float32 on CUDA, too, without the shorter numbers that it multiplies by (TF32).
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        batch_rows: int,
        device: torch.device,
        compiles: bool = False,
        is_exact: bool = False,
    ) -> None:
        self.device = device
        self.uses_autocast = device.type == "cuda" and not is_exact
        if device.type == "cuda" and is_exact:
            torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        kind = "float16 autocast" if self.uses_autocast else "float32"
        how = f"{torch.__version__} {device.type} {kind}"
        plain = normalised(backbone).to(device)
        self.model: nn.Module = plain
        example = _drawn_pictures(batch_rows, backbone.spec.size).to(device)
        if compiles:
            self.model = _compiled(plain, example)
            how += " compiled"
        elif device.type == "cpu":
            keep_freed_memory()
            self.model = fuse_convolutions(plain, example)
            how += " unfused" if self.model is plain else ""
        self.spec = EngineSpec("torch", how, batch_rows)

    def __call__(self, pictures: Tensor) -> np.ndarray:
        return self.tensor(pictures).float().cpu().numpy()

    def tensor(self, pictures: Tensor) -> Tensor:
        """What the model gives for the pictures, where and in the type that it has it."""
        given = pictures.to(self.device, non_blocking=True)
        with torch.inference_mode(), torch.autocast(self.device.type, torch.float16, enabled=self.uses_autocast):
            return self.model(given)


class OpenvinoEngine:
    """OpenVINO in float32 on one thread of the CPU; the normalisation is part of its model."""

    def __init__(self, backbone: Backbone, *, batch_rows: int) -> None:
        """Raises BallspotError when OpenVINO is not installed or cannot read the backbone."""
        # OpenVINO goes without it where it is missing. It sends usage statistics from processes of its own, which would
        # run beside the first thousand frames; what is computed on a user's machine is nobody else's business.
        sys.modules.setdefault("openvino_telemetry", cast(Any, None))
        try:
            self.openvino: Any = import_module("openvino")
        except ImportError as error:
            raise BallspotError("--engine openvino: not installed; pip install 'ballspot[openvino]'") from error
        how = f"{self.openvino.__version__.split('-')[0]} cpu float32"
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
            core = ov.Core()
            settings = {
                "INFERENCE_NUM_THREADS": 1,
                "NUM_STREAMS": 1,
                "INFERENCE_PRECISION_HINT": "f32",
                "ENABLE_CPU_PINNING": False,  # every process would take the same core
            }
            return core.compile_model(model, "CPU", settings).create_infer_request()
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
    is_exact: bool = False,
) -> Engine:
    """The engine `torch` or `openvino` for batches of `batch_rows`; `is_exact`: float32 wherever it computes.

    Raises BallspotError for one that cannot be had.
    """
    if kind == "openvino":
        if device.type != "cpu":
            raise BallspotError(f"--engine openvino: runs on the CPU, not on {device}; give --device cpu")
        return OpenvinoEngine(backbone, batch_rows=batch_rows)
    return TorchEngine(backbone, batch_rows=batch_rows, device=device, compiles=compiles, is_exact=is_exact)


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


def _compiled(model: nn.Module, example: Tensor) -> nn.Module:
    compiled: Any = torch.compile(model, options={"freezing": True} if example.device.type == "cpu" else None)
    try:
        with torch.inference_mode():
            compiled(example)
    except Exception as error:
        raise BallspotError(f"--compile: torch cannot compile here ({type(error).__name__}); leave it out") from error
    return compiled


def _drawn_pictures(n: int, size: tuple[int, int]) -> Tensor:
    drawn = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (n, *size, 3), dtype=torch.uint8, generator=drawn)


M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # malloc.h of glibc
KEPT_BYTES = 2**30
LARGEST_BLOCK = 2**25  # glibc takes no more on 64 bits


def keep_freed_memory() -> None:
    """Makes glibc keep what is freed, up to a gigabyte, instead of giving it back at once; elsewhere does nothing.

    The feature maps of a batch are freed and wanted again some hundred times a second. Every time that they are given
    back, the system must clear them, page by page, when they are wanted: a sixth of all time at batches of 8. The most
    that the process ever holds does not change.
    """
    with suppress(AttributeError, OSError, TypeError):  # no glibc here
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(M_MMAP_THRESHOLD, LARGEST_BLOCK)
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
