"""NumPy's own files, read so that whatever is wrong with them is one line."""

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import BallspotError
from .faults import raise_if_system

# Of one array: 2.8 million frames of 12 classes in float64; a small file can unpack to more than fits.
MOST_BYTES = 2**28


def read_arrays(path: Path, *, what: str, remedy: str, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """The arrays of an .npz file by name, or the only one of an .npy file under "". Nothing pickled is read.

    Of an .npz file those of ``names`` that it has, None meaning all. Raises BallspotError, saying that it holds no
    ``what`` and ending in ``remedy``, for any other file.
    """
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if any(entry.file_size > MOST_BYTES for entry in archive.infolist()):
                    raise ValueError(f"an array of over {MOST_BYTES // 2**20} MB")
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"": loaded}
        with loaded:
            arrays = {name: loaded[name] for name in loaded.files if names is None or name in names}
        for name, array in arrays.items():
            if not isinstance(array, np.ndarray):
                raise ValueError(f"{name[:40]!r} is not an array")
            _require_letters(name, array)
        return arrays
    except Exception as error:
        raise_if_system(path, error)
        raise BallspotError(f"{path}: holds no {what} ({error or type(error).__name__}); {remedy}") from error


def _require_letters(name: str, array: np.ndarray) -> None:
    """Raises ValueError for text of numbers that are no letters, which Python cannot hold or cannot write again."""
    if array.dtype.kind == "U" and array.nbytes:
        letters = np.ascontiguousarray(array).reshape(-1).view(np.dtype(np.uint32).newbyteorder(array.dtype.byteorder))
        if letters.max() > 0x10FFFF or ((letters >= 0xD800) & (letters < 0xE000)).any():
            raise ValueError(f"{name[:40]!r} holds something that is not text")


def whole_number(arrays: dict[str, np.ndarray], name: str) -> int:
    """A single whole number. Raises KeyError or ValueError when it is not there or something else."""
    array = arrays[name]
    if array.shape != () or array.dtype.kind not in "iu":
        raise ValueError(f"{name} is not a whole number")
    return int(array)


def frame_numbers(arrays: dict[str, np.ndarray]) -> np.ndarray:
    """``frame_index`` int64 (n,), increasing from 0 or later. Raises KeyError or ValueError for anything else."""
    array = arrays["frame_index"]
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ValueError(f"frame_index is {array.dtype} {array.shape}, not whole numbers (n,)")
    frames = array.astype(np.int64)
    if len(frames) and (frames[0] < 0 or np.any(np.diff(frames) < 1)):
        raise ValueError("frame_index does not increase from 0 or later")
    return frames
