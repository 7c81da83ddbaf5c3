"""What decides a feature set, and what can be told from it."""

from collections.abc import Mapping
from typing import Any

from ..disk import fingerprint


def parent_dtype(extraction: Mapping[str, Any]) -> str:
    """The number type of the rows that a set's components were applied to: the one that gives the parent's fingerprint.

    "" without components, and for components of components.
    """
    pca = extraction.get("pca")
    if not isinstance(pca, Mapping):
        return ""
    kept = {key: value for key, value in extraction.items() if key != "pca"}
    types = ("float16", "float32", "int8")
    return next((one for one in types if fingerprint({**kept, "dtype": one}) == pca.get("parent")), "")
