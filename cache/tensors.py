"""Tensors on disk: safetensors files that are whole or absent."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from .files import whole_file


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
