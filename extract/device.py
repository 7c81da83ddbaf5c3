"""The one answer to `--device`."""

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
