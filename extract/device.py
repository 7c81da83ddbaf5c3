"""The one answer to `--device`, `--threads` and `--precision`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..cache.errors import BallspotError
from ..cache.machine import cpu_name, has_bfloat16_units
from ..cache.terminal import note
from ..cache.workers import Executor, require_place

if TYPE_CHECKING:
    import torch


def pick_device(name: str) -> "torch.device":
    """The torch device of that name; "auto" is the first GPU if there is one. BallspotError when it cannot be used."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise BallspotError(f"--device {name}: cannot be used here ({reason}); give auto, cpu, cuda or mps") from error
    return device


def pick_devices(name: str, *, on: str | None = None) -> list[str]:
    """The devices that workers are dealt: every GPU there is for "auto" and "cuda", else the CPU, else that one.

    ``on`` is the cluster where the work is done, None for this machine. There a device is a kind, "cuda" or "cpu", and
    this machine needs none: which GPU a task gets is the cluster's to say. Raises BallspotError for no such place.
    """
    require_place(on or "local")
    import torch

    if on not in (None, "local"):
        kind = name.partition(":")[0]
        if kind == "auto":
            kind = "cuda" if torch.cuda.is_available() else "cpu"
            note(
                f"--device auto: tasks are asked for a {'GPU' if kind == 'cuda' else 'CPU'}, as there is one here; "
                "--device cuda or cpu asks for either"
            )
        if kind not in ("cuda", "cpu"):
            raise BallspotError(f"--device {name}: is not for clusters; give cuda or cpu")
        return [kind]
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    return [str(pick_device(name))]


def use_threads(n_threads: int | None, *, spare: int = 0) -> None:
    """Lets torch compute with so many threads on the CPU; with None one a core, less ``spare`` cores for other work."""
    import torch

    torch.set_num_threads(n_threads or max(torch.get_num_threads() - spare, 1))


def pick_precision(asked: str, device: str, *, on: str | None = None, tell: Callable[[str], None] = note) -> str:
    """What features are computed in where `asked` was: `bfloat16` only on a device that has units for it.

    A CPU or GPU without them computes in float32, and says so in one line; any other word is given back. On other
    machines (`on`) it is they that must have them, which is seen there.
    """
    if asked != "bfloat16" or Executor.is_elsewhere(on) or computes_bfloat16(device):
        return asked
    tell(f"--precision bfloat16: {_without_units(device)}; features are computed in float32")
    return "float32"


def require_precision(precision: str, device: str) -> None:
    """Raises BallspotError for bfloat16 on a device without units for it: what is computed must be what is said."""
    if precision == "bfloat16" and not computes_bfloat16(device):
        raise BallspotError(
            f"--precision bfloat16: {_without_units(device)}; give a machine that has them, or --precision float32"
        )


def computes_bfloat16(device: str) -> bool:
    """Whether the device has units of its own for bfloat16: AMX, AVX512-BF16, or those of a GPU from Ampere on."""
    kind = device.partition(":")[0]
    if kind == "cuda":
        import torch

        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    return kind == "cpu" and has_bfloat16_units()


def _without_units(device: str) -> str:
    if device.startswith("cpu"):
        return f"this CPU ({cpu_name() or 'unknown'}) has no units for it (AMX or AVX512-BF16)"
    return f"{device} has no units for it"
