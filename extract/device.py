"""The one answer to `--device` and `--threads`."""

from typing import TYPE_CHECKING

from ..cache.errors import BallspotError
from ..cache.terminal import note
from ..cache.workers import require_place

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
