"""Whether stores are sound: everything that can be told from the files alone."""

import hashlib
from pathlib import Path

import h5py
import numpy as np

from ..disk import little_endian, path_hint, raise_if_system, reason_of
from ..errors import BallspotError
from ..terminal import ProgressLine
from .sets import find_sets, find_stores
from .store import DAMAGE, FeatureStore

READ_ROWS = 4096


def verify(path: Path) -> dict[Path, list[str]]:
    """Per store file at or below `path`, what is wrong with it: an empty list when nothing is."""
    files = [path] if path.is_file() else list(find_stores(path).values())
    if not files:
        what = "no store (*.h5) in it" if path.is_dir() else "no such file or folder"
        raise BallspotError(f"{path}: {what}{path_hint(path)}; give a store, a feature set or the folder of sets")
    problems: dict[Path, list[str]] = {}
    with ProgressLine("verify", len(files), unit="stores") as progress:
        for file in files:
            problems[file] = _problems(file)
            progress.advance()
    if path.is_dir():
        for place in find_sets(path):
            made_with = {file: _fingerprint(file) for file in problems if file.is_relative_to(place)}
            known = {text for text in made_with.values() if text}
            if len(known) > 1:
                for file in made_with:
                    problems[file].append(f"set {place.name} mixes {len(known)} extraction settings")
    return problems


def _problems(file: Path) -> list[str]:
    found = []
    try:
        with FeatureStore.open(file) as store:
            index = store.frame_index
            if np.any(np.diff(index) <= 0) or (len(index) and not 0 <= index[0] <= index[-1] < store.n_video_frames):
                found.append("frame indices do not increase, or lie outside the video")
            n_expected = -(-store.n_video_frames // store.spec.stride)
            if n_expected != store.n_rows or np.any(index != np.arange(store.n_rows) * store.spec.stride):
                found.append(f"{store.n_rows} rows, but {n_expected} frames were to be stored")
            found += _row_problems(store)
    except BallspotError as error:
        found.append(str(error))
    return found


def _row_problems(store: FeatureStore) -> list[str]:
    """Reads every row, which has HDF5 check the sums, and sees that none was left out and that all are as written."""
    found, digests = [], []
    for place, data in store.row_data().items():
        try:
            if not _has_all_chunks(data):
                found.append(f"{place}: chunks are missing, or without a checksum; remove the store and extract again")
            digest = hashlib.sha256()
            for start in range(0, store.n_rows, READ_ROWS):
                rows = data[start : start + READ_ROWS]
                digest.update(little_endian(rows))
                if not np.isfinite(rows).all():
                    row = start + int(np.flatnonzero(~np.isfinite(rows).all(axis=-1))[0])
                    found.append(f"{place}: row {row} is not finite")
                    break
            digests.append(digest.digest())
        except DAMAGE as error:
            raise_if_system(store.path, error)
            found.append(f"{place}: rows are damaged ({reason_of(error)}); remove the store and extract again")
    if not found and store.rows_sha256 and hashlib.sha256(b"".join(digests)).hexdigest() != store.rows_sha256:
        found.append("rows are not those that were written; remove the store and extract again")
    return found


def _has_all_chunks(data: h5py.Dataset) -> bool:
    """True when every row lies in a chunk with a checksum: HDF5 reads rows without a chunk as zeros."""
    if data.chunks is None or not data.fletcher32:
        return False
    places = set()
    for number in range(data.id.get_num_chunks()):
        chunk = data.id.get_chunk_info(number)
        if chunk.filter_mask == 0 and not any(chunk.chunk_offset[1:]) and chunk.chunk_offset[0] % data.chunks[0] == 0:
            places.add(chunk.chunk_offset[0])
    return len(places) == -(-len(data) // data.chunks[0])


def _fingerprint(file: Path) -> str | None:
    try:
        with FeatureStore.open(file) as store:
            return store.fingerprint
    except BallspotError:
        return None
