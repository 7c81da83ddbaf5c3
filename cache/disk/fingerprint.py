"""Digests that say whether two things were made the same way."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np


def canonical_json(value: Mapping[str, Any]) -> str:
    """JSON with sorted keys and no spaces: equal settings give equal text, whatever order they were written in."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def fingerprint(value: Mapping[str, Any]) -> str:
    """The sha256 of the canonical JSON of ``value``, 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """The sha256 of a file's bytes, 64 hexadecimal digits, read in pieces."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def content_digest(texts: Mapping[str, str | int], arrays: Mapping[str, np.ndarray]) -> str:
    """The sha256 over named texts and numbers, sorted, one a line, and then over the bytes of named arrays, sorted."""
    digest = hashlib.sha256("".join(f"{name}={value}\n" for name, value in sorted(texts.items())).encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"{name}\n".encode())
        digest.update(little_endian(values))
    return digest.hexdigest()


def little_endian(values: np.ndarray) -> bytes:
    """The bytes of an array, row by row, lowest byte first on every machine."""
    return values.astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
