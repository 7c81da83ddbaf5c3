"""Feature arrays that others made, as the stores of a feature set, and the way back."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.lib.format import MAGIC_PREFIX

from ...cache.disk import make_folder, path_hint, plain_name, raise_if_system, reason_of, whole_file
from ...cache.errors import BallspotError
from ...cache.stores import Block, FeatureSet, FeatureSpec, FeatureStore, StoreHeader, store_path, write_store
from ...cache.times import LONGEST_S, nearest_common, usual_rate
from ...evaluate.dataset import brief

SUFFIXES = (".npy", ".npz", ".h5", ".hdf5", ".pt", ".pth")
OF_HALF = re.compile(r"([12])_(.+)")
RATES = (  # of published features, by the end of their files' names: SoccerNet's and Baidu's
    ("25fps_TF2", 25), ("25fps_TF2_PCA512", 25), ("5fps_TF2", 5), ("5fps_TF2_PCA512", 5),
    ("baidu_soccer_embeddings", 1), ("ResNET_TF2_PCA512", 2), ("ResNET_TF2", 2), ("ResNET_PCA512", 2),
    ("ResNET", 2), ("C3D_PCA512", 2), ("C3D", 2), ("I3D_PCA512", 2), ("I3D", 2),
)  # fmt: skip
FEATURES, TIMES, RATE = "features", "times", "fps"  # what `cache export` calls them
MOST_OF_STEP = 0.125  # times that lie nearer to a constant rate are regular
SLOWEST, FASTEST = Fraction(1, 10), Fraction(240)  # rates that a file can say by itself
PIECE_ROWS = 4096
MICROSECOND = Fraction(1, 1_000_000)


@dataclass(frozen=True)
class ArrayFile:
    """One file of features: ``match`` is the recording that they are of, ``kind`` what the file calls them."""

    path: Path
    match: str
    kind: str


@dataclass(frozen=True)
class Arrays:
    """The rows (n, d) of one recording as they are read, and their times in seconds (n,) and rate, or None."""

    rows: np.ndarray
    times_s: np.ndarray | None
    fps: Fraction | None


@dataclass(frozen=True)
class Recording:
    """The rows (n, d) of one recording at ``fps``, with the time of each where they are not evenly spaced from 0."""

    rows: np.ndarray
    fps: Fraction
    times_us: np.ndarray | None


@dataclass(frozen=True)
class Reading:
    """How arrays are read: the frames a second and the names of the arrays in a file, None for what the files say."""

    fps: Fraction | None = None
    key: str | None = None
    dtype: str = "float16"


def find_arrays(root: Path) -> list[ArrayFile]:
    """The feature files below ``root``, or that file itself, sorted by their recordings' names.

    ``MATCH/1_NAME.npy`` and ``MATCH/2_NAME.npy`` are the halves ``MATCH/1`` and ``MATCH/2``, as SoccerNet has them. Of
    other files each is a match by its own name, or by its folder's where all are called alike. Raises BallspotError
    where there is none, or where two are of one recording.
    """
    paths = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.suffix.lower() in SUFFIXES)
    if not paths:
        raise BallspotError(f"{root}: no features in it ({', '.join(SUFFIXES)}){path_hint(root)}; give another folder")
    above = root.parent if root.is_file() else root
    stems = {path.stem for path in paths if path.parent == above or OF_HALF.fullmatch(path.stem) is None}
    are_alike = stems == {FEATURES} or (len(stems) == 1 and len(paths) > 1)
    found: dict[str, ArrayFile] = {}
    for path in paths:
        folder = path.relative_to(above).parent
        half = OF_HALF.fullmatch(path.stem) if folder != Path() else None  # 1_a.npy by itself is a match
        if half is not None:
            name, kind = folder / half[1], half[2]
        else:
            name, kind = (folder, path.stem) if are_alike else (folder / path.stem, above.resolve().name)
        match = plain_name(name.as_posix())
        if match in found:
            raise BallspotError(f"{path}: is of {match!r}, as {found[match].path} is; give the folder of one kind only")
        found[match] = ArrayFile(path, match, kind)
    return sorted(found.values(), key=lambda one: one.match)


def import_arrays(files: Sequence[ArrayFile], set_path: Path, reading: Reading, *, kind: str) -> Iterator[FeatureStore]:
    """Writes the store of each file into the set and yields it, open; stores of the same rows are kept.

    ``kind`` names the features: sets of one kind, rate, width and type have one fingerprint. Raises BallspotError for
    a file that is no two-dimensional array of finite numbers, for one whose rate is not known, for one whose rows are
    wider or narrower than those of the first file, and for a set of others or a store of other rows.
    """
    first: tuple[Path, int] | None = None
    for file in files:
        path = store_path(set_path, file.match)
        arrays = read_arrays_of(file.path, reading)
        recording = Recording(arrays.rows, *_timed(file, arrays, reading.fps))
        if not path.is_file():
            _write(file, path, recording, reading, kind, first)
        with FeatureStore.open(path) as store:
            _require_same(store, file, recording, reading, kind)
            first = first or (file.path, store.header.dim)
            yield store


def export_arrays(features: FeatureSet, out: Path, *, as_npz: bool) -> Iterator[Path]:
    """Writes each store of a set as ``out/MATCH.npz`` (features, times in seconds, fps) or its rows alone as .npy."""
    for name in features.stores:
        with features.open(name) as store:
            rate = store.fps / (int(store.frame_index[1] - store.frame_index[0]) if store.n_rows > 1 else 1)
            arrays = {
                FEATURES: store.read(),
                TIMES: store.axis.frame_times_us(store.frame_index) / 1e6,
                RATE: np.array([rate.numerator, rate.denominator]),
            }
        path = out / f"{name}{'.npz' if as_npz else '.npy'}"
        make_folder(path.parent)
        with whole_file(path) as temporary, temporary.open("wb") as stream:
            if as_npz:
                np.savez(stream, **arrays)
            else:
                np.save(stream, arrays[FEATURES])
        yield path


def rate_of_kind(kind: str) -> Fraction | None:
    """The frames a second of features that are published under this name, None for others."""
    return next((Fraction(rate) for name, rate in RATES if kind.endswith(name)), None)


def read_arrays_of(path: Path, reading: Reading) -> Arrays:
    """The features in a file, of several arrays the one that is asked for. BallspotError for what is none."""
    suffix = path.suffix.lower()
    try:
        if suffix == ".npy":
            _require_npy(path)
            return Arrays(_rows(path, np.load(path, mmap_mode="r", allow_pickle=False)), None, None)
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as archive:
                return _of_several(path, {name: archive[name] for name in archive.files}, reading)
        if suffix in (".h5", ".hdf5"):
            return _of_several(path, _of_hdf5(path), reading)
        return _of_several(path, _of_torch(path), reading)
    except BallspotError:
        raise
    except Exception as error:  # whatever a library says of a file that is not its own
        raise_if_system(path, error)
        why = f"cannot be read as {suffix} ({reason_of(error)[:120]})"
        raise BallspotError(f"{path}: {why}; give arrays of numbers") from error


def _require_npy(path: Path) -> None:
    """Raises BallspotError for a file that NumPy would take for a pickle, and whose trust it would ask for."""
    with path.open("rb") as stream:
        begins = stream.read(len(MAGIC_PREFIX))
    if begins != MAGIC_PREFIX:
        raise BallspotError(f"{path}: is not a NumPy array; it begins with {begins!r}; write it with numpy.save")


def _of_hdf5(path: Path) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def visit(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu":
            found[name] = item[...]

    with h5py.File(path, "r", locking=False) as file:
        file.visititems(visit)
    return found


def _of_torch(path: Path) -> dict[str, np.ndarray]:
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    named = content if isinstance(content, Mapping) else {FEATURES: content}
    kept = (torch.float64, torch.int64)  # float32 would take digits from times
    numbers = {str(name): np.asarray(value) for name, value in named.items() if isinstance(value, (int, float))}
    tensors = {str(name): value.detach() for name, value in named.items() if isinstance(value, torch.Tensor)}
    return numbers | {name: (one if one.dtype in kept else one.float()).numpy() for name, one in tensors.items()}


def _of_several(path: Path, arrays: Mapping[str, np.ndarray], reading: Reading) -> Arrays:
    if not arrays:
        raise BallspotError(f"{path}: holds no array of numbers by itself or by a name; give one of features")
    wide = [name for name, value in arrays.items() if value.ndim >= 2]
    chosen = reading.key or (FEATURES if FEATURES in arrays else wide[0] if len(wide) == 1 else None)
    if chosen is None or chosen not in arrays:
        there = ", ".join(sorted(arrays)) or "none"
        raise BallspotError(f"{path}: has the arrays {there}; say with --key which holds the features")
    times, rate = arrays.get(TIMES), arrays.get(RATE)
    fps = None if rate is None or reading.fps is not None else _rate_of(path, rate)
    rows = _rows(path, arrays[chosen])
    if times is not None and (times.ndim == 0 or max(times.shape) != len(rows) or times.size != len(rows)):
        raise BallspotError(
            f"{path}: has {TIMES} of shape {times.shape} for {len(rows)} rows; give one for each row, in seconds"
        )
    return Arrays(rows, None if times is None else times.astype(np.float64).reshape(-1), fps)


def _rate_of(path: Path, said: np.ndarray) -> Fraction:
    """The rate that an array `fps` says: one number, or numerator and denominator."""
    numbers = np.ravel(said).tolist()
    is_rate = said.dtype.kind in "fiu" and len(numbers) in (1, 2) and all(0 < one < np.inf for one in numbers)
    top, under = ([*map(Fraction, map(str, numbers)), Fraction(1)] if is_rate else [Fraction(0), Fraction(1)])[:2]
    if not SLOWEST <= top / under <= FASTEST:
        raise BallspotError(f"{path}: its {RATE} is {brief(numbers)}, not {_limits()} rows a second; give --fps")
    return nearest_common(top / under)


def _rows(path: Path, array: np.ndarray) -> np.ndarray:
    narrow = tuple(size for place, size in enumerate(array.shape) if place in (0, array.ndim - 1) or size != 1)
    if array.dtype.kind not in "fiu" or len(narrow) != 2 or 0 in narrow:
        raise BallspotError(
            f"{path}: is an array of {array.dtype} and shape {array.shape}; give numbers, a row for each moment (n, d)"
        )
    return array.reshape(narrow)


def _write(
    file: ArrayFile, path: Path, recording: Recording, reading: Reading, kind: str, first: tuple[Path, int] | None
) -> None:
    n_rows, dim = recording.rows.shape
    if first is not None and dim != first[1]:
        raise BallspotError(
            f"{file.path}: has {dim} numbers per row, and {first[0]} has {first[1]}; import them into sets of their own"
        )
    make_folder(path.parent)
    said = {"imported": kind, "rate": str(recording.fps), "width": int(dim), "dtype": reading.dtype}
    header = StoreHeader(
        match=file.match,
        fps=recording.fps,
        n_video_frames=n_rows,
        n_rows=n_rows,
        dim=int(dim),
        spec=FeatureSpec.read(said),
        video_name=file.path.name,
        video_bytes=file.path.stat().st_size,
    )
    blocks = list(_blocks(file, recording.rows, header))
    write_store(path, header=header, blocks=blocks, frame_time_us=recording.times_us)


def _blocks(file: ArrayFile, rows: np.ndarray, header: StoreHeader) -> Iterator[Block]:
    for start in range(0, len(rows), PIECE_ROWS):
        piece = np.asarray(rows[start : start + PIECE_ROWS])
        with np.errstate(over="ignore"):
            stored = piece.astype(header.row_dtype)
        bad = np.flatnonzero(~np.isfinite(stored).all(axis=1))
        if len(bad):
            is_large = np.isfinite(piece[bad[0]].astype(np.float64)).all()
            remedy = "scale the features" if header.row_dtype == np.float32 else "give --dtype float32"
            why = f"does not fit {header.dtype}; {remedy}" if is_large else "is not finite; correct the file"
            raise BallspotError(f"{file.path}: a feature of row {start + int(bad[0])} {why}")
        yield Block(np.arange(start, start + len(piece), dtype=np.int64), {"original": stored})


def _timed(file: ArrayFile, arrays: Arrays, asked: Fraction | None) -> tuple[Fraction, np.ndarray | None]:
    """The rate of a file's rows and, where they are not evenly spaced from 0, their times in microseconds."""
    if arrays.times_s is None:
        fps = asked or arrays.fps or rate_of_kind(file.kind)
        if fps is None:
            raise BallspotError(f"{file.path}: does not say how many rows per second it has; give --fps")
        return fps, None
    times_s = arrays.times_s
    if not ((times_s >= 0) & (times_s < LONGEST_S)).all() or np.any(np.diff(times_s) < 0):  # NaN is neither
        raise BallspotError(f"{file.path}: its {TIMES} are not seconds that grow from 0 on; correct the file")
    times_us = np.rint(times_s * 1e6).astype(np.int64)
    fps, told = asked or arrays.fps, len(times_us) > 1 and times_us[-1] > times_us[0]
    if fps is not None and told and not 0.9 < float(usual_rate(times_us, MICROSECOND) / fps) < 1.1:
        found = float(usual_rate(times_us, MICROSECOND))
        raise BallspotError(
            f"{file.path}: its {TIMES} are {found:.4g} a second, not {float(fps):.4g}; give --fps, or correct the file"
        )
    if fps is None:
        if len(times_us) < 2 or times_us[-1] == times_us[0]:
            raise BallspotError(f"{file.path}: a single time gives no rate; give --fps")
        fps = usual_rate(times_us, MICROSECOND)
        if not SLOWEST <= fps <= FASTEST:
            raise BallspotError(
                f"{file.path}: its {TIMES} are {float(fps):.4g} a second, not {_limits()}; give seconds, or --fps"
            )
    step_us = 1e6 / float(fps)
    is_regular = np.abs(times_us - np.arange(len(times_us)) * step_us).max() <= MOST_OF_STEP * step_us
    return fps, None if is_regular else times_us


def _limits() -> str:
    return f"{float(SLOWEST):g} to {float(FASTEST):g}"


def _require_same(store: FeatureStore, file: ArrayFile, recording: Recording, reading: Reading, kind: str) -> None:
    said = store.spec.as_json()
    for name, value in {"imported": kind, "dtype": reading.dtype, "rate": str(recording.fps)}.items():
        if said.get(name) != value:
            raise BallspotError(f"{store.path}: has {name} {said.get(name)}, not {value}; import into another --set")
    if not _holds(store, recording):
        raise BallspotError(f"{store.path}: was made of other rows than {file.path} has now; import into another --set")


def _holds(store: FeatureStore, recording: Recording) -> bool:
    """Whether a store holds the rows of a recording, as far as its number type tells them apart, at their times."""
    rows, dtype = recording.rows, store.header.row_dtype
    stored_us, times_us = ([] if one is None else one.tolist() for one in (store.frame_time_us, recording.times_us))
    if (store.n_rows, store.header.dim) != rows.shape or stored_us != times_us:
        return False
    # An int8 row is up to half of one of 254 steps from what it was made of.
    spread = rows.max(axis=0).astype(np.float64) - rows.min(axis=0).astype(np.float64)
    most_apart = spread / 500 if store.header.dtype == "int8" else 0.0
    for start in range(0, len(rows), PIECE_ROWS):
        with np.errstate(over="ignore"):
            given = np.asarray(rows[start : start + PIECE_ROWS]).astype(dtype).astype(np.float64)
        if not (np.abs(store.read(start, start + PIECE_ROWS) - given) <= most_apart).all():
            return False
    return True
