"""Whose checkpoint a file is: each system's reader is asked in turn, the one with the most particular keys first."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ...cache.disk import read_json
from ...cache.errors import BallspotError
from ...extract.backbone import read_state_dict, unwrapped
from . import adaspot, course, e2espot, tdeed
from .found import Found

SETTINGS_FILE = "config.json"


class Reader(Protocol):
    """What each system's module has as ``read``."""

    def __call__(self, state: Mapping[str, Tensor], *, source: str, settings: Mapping[str, Any]) -> Found | None:
        """What the checkpoint holds, None for another system's; BallspotError for one that is nearly this system's.

        ``settings`` is what the system's own config.json says, empty where there is none.
        """
        ...


READERS: tuple[Reader, ...] = (adaspot.read, tdeed.read, e2espot.read, course.read)


def recognise_whole(path: Path, settings_file: Path | None = None) -> Found:
    """The whole model in a checkpoint, with the settings of ``settings_file`` or of a config.json beside it.

    Raises BallspotError for a file that cannot be read, is of no system that is known, or is nearly one of them.
    """
    state = _unwrapped(read_state_dict(path), source=str(path))
    settings = settings_of(path, settings_file)
    for reader in READERS:
        found = reader(state, source=str(path), settings=settings)
        if found is not None:
            return found
    first = next(iter(state), "")
    raise BallspotError(
        f"{path}: of no system that can be adopted (its first tensor is {first!r}); known are E2E-Spot, OSL, T-DEED, "
        "the 2025 kit, AdaSpot and the course baseline. A backbone alone is for `extract --weights`"
    )


def _unwrapped(state: Mapping[str, Tensor], *, source: str) -> dict[str, Tensor]:
    """The tensors without what wrappers of the whole network put before their names."""
    plain = {unwrapped(key): value for key, value in state.items()}
    if len(plain) < len(state):
        raise BallspotError(f"{source}: holds two tensors of one name, with a wrapper and without; give one model")
    return plain


def settings_of(path: Path, settings_file: Path | None) -> Mapping[str, Any]:
    """What the system's own settings file says: the one that is given, else config.json beside the checkpoint."""
    beside = path.parent / SETTINGS_FILE
    if settings_file is None and not beside.is_file():
        return {}
    chosen = settings_file or beside
    content = read_json(chosen)
    if not isinstance(content, dict):
        raise BallspotError(
            f"{chosen}: holds no JSON object ({json.dumps(content)[:40]}); give the system's config.json"
        )
    return content
