"""A copy of a store for others, which does not say where things lie on this machine."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py

from ..disk import whole_file
from .attributes import fixed, header_digest, text_of
from .store import FeatureStore

DIGEST = "header_sha256"


def share_store(source: Path, out: Path, *, said: Callable[[str], str]) -> None:
    """Writes the store at ``source`` to ``out``, whole or not at all, with ``said`` of what it says of its weights.

    All is written anew, byte for byte but for the header: HDF5 leaves the text of an attribute that is only changed in
    the file. Raises BallspotError as `FeatureStore.open` for what is no sound store.
    """
    with FeatureStore.open(source) as store:
        header = replace(store.header, weights=said(store.header.weights))
    with (
        whole_file(out) as temporary,
        h5py.File(source, "r", locking=False) as old,
        h5py.File(temporary, "w", libver="earliest", locking=False) as new,
    ):
        for name in old:
            old.copy(name, new)
        changed = {"weights": fixed(header.weights)} if "weights" in old.attrs else {}
        if DIGEST in old.attrs:
            changed[DIGEST] = fixed(header_digest(header, text_of(old, "rows_sha256") or "", new))
        for name, value in old.attrs.items():
            if name in changed:
                new.attrs.create(name, changed[name])
            else:
                new.attrs.create(name, value, dtype=old.attrs.get_id(name).dtype)
