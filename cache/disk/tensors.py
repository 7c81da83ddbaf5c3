"""Tensors on disk: safetensors files that are whole or absent."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from safetensors import SafetensorError

from .files import whole_file

Tensor = TypeVar("Tensor")


def write_tensors(
    path: Path, tensors: Mapping[str, Any], *, save: Callable[..., None], metadata: Mapping[str, str]
) -> None:
    """Writes tensors by ``save``, safetensors' `save_file` of their kind, whole or not at all.

    Raises BallspotError where the disk does not take them, which safetensors tells in an error of its own.
    """
    with whole_file(path) as temporary:
        try:
            save(dict(tensors), temporary, metadata=dict(metadata))
        except SafetensorError as error:
            raise OSError(str(error).rpartition("I/O error: ")[2]) from error


def below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin with ``prefix``, without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
