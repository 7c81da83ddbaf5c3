"""The one answer to `--device` and `--threads`."""

from typing import TYPE_CHECKING

from ..cache.errors import BallspotError

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
        raise BallspotError(f"device {name!r} cannot be used here ({reason}); give auto or cpu") from error
    return device


def use_threads(n_threads: int | None, *, spare: int = 0) -> None:
    """Lets torch compute with so many threads on the CPU; with None one a core, less ``spare`` cores for other work."""
    import torch

    torch.set_num_threads(n_threads or max(torch.get_num_threads() - spare, 1))
