"""A store's header as it stands in the attributes of its HDF5 file, and the digest that guards it."""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from ..disk import canonical_json, content_digest, raise_if_system
from ..errors import BallspotError
from .layout import StoreHeader, check_header, scale_path, view_path
from .spec import FeatureSpec

STORE_FORMAT = "ballspot-store"
STORE_VERSION = (1, 1)


def header_attributes(header: StoreHeader) -> dict[str, str | int]:
    """The attributes that say what a header says, and of what format the file is."""
    texts = {
        "format": STORE_FORMAT,
        "format_version": ".".join(map(str, STORE_VERSION)),
        "match": header.match,
        "video_name": header.video_name,
        "video_sha256": header.video_sha256,
        "decoder": header.decoder,
        "decoder_version": header.decoder_version,
        "engine": header.engine,
        "weights": header.weights,
        "extraction": canonical_json(header.spec.as_json()),
        "fingerprint": header.fingerprint,
        "views": json.dumps(list(header.views)),
    }
    numbers = {
        "fps_numerator": header.fps.numerator,
        "fps_denominator": header.fps.denominator,
        "n_video_frames": header.n_video_frames,
        "n_rows": header.n_rows,
        "video_bytes": header.video_bytes,
    }
    of_odd_videos = {"video_turn": header.video_turn, "picture_fps": header.picture_fps}
    texts |= {name: text for name, text in of_odd_videos.items() if text}
    # The name of a file need not be UTF-8, as attributes are.
    return {name: text.encode("utf-8", "backslashreplace").decode() for name, text in texts.items()} | numbers


def fixed(value: str | int) -> Any:
    """A value as an attribute: an int64, or fixed-length text: a heap of other text has a layout of its own."""
    if isinstance(value, int):
        return np.int64(value)
    return np.array(value.encode(), dtype=h5py.string_dtype("utf-8", max(1, len(value.encode()))))


def header_digest(header: StoreHeader, rows_sha256: str, file: h5py.File) -> str:
    """The sha256 over all attributes but those of the format, and over the data sets without checksums of their own."""
    texts = {name: value for name, value in header_attributes(header).items() if not name.startswith("format")}
    scales = [scale_path(view) for view in header.views] if header.dtype == "int8" else []
    small = [name for name in ("frame_time_us", "substituted") if name in file]
    arrays = {name: np.asarray(data_set(file, name)[...]) for name in [*small, *scales]}
    return content_digest(texts | {"rows_sha256": rows_sha256}, arrays)


def header_of(path: Path, file: h5py.File) -> StoreHeader:
    """The header of an open store. Raises BallspotError when it is not there, or not that of the file's data sets."""
    try:
        views = tuple(json.loads(text_of(file, "views") or ""))
        spec = FeatureSpec.read(json.loads(text_of(file, "extraction") or ""))
        places = [view_path(view, spec.dtype) for view in views]
        header = StoreHeader(
            match=text_of(file, "match") or "",
            fps=Fraction(_number(file, "fps_numerator"), _number(file, "fps_denominator")),
            n_video_frames=_number(file, "n_video_frames"),
            n_rows=_number(file, "n_rows"),
            dim=int(data_set(file, places[0]).shape[1]),
            spec=spec,
            views=views,
            video_name=text_of(file, "video_name") or "",
            video_bytes=_number(file, "video_bytes"),
            video_sha256=text_of(file, "video_sha256") or "",
            decoder=text_of(file, "decoder") or "",
            decoder_version=text_of(file, "decoder_version") or "",
            engine=text_of(file, "engine") or "",
            weights=text_of(file, "weights") or "",
            video_turn=text_of(file, "video_turn") or "",
            picture_fps=text_of(file, "picture_fps") or "",
        )
        check_header(header)
        kinds = {"frame_index": ("int64", ()), **dict.fromkeys(places, (spec.dtype, (header.dim,)))}
        lengths = {name: _n_rows(path, data_set(file, name), *kind) for name, kind in kinds.items()}
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise_if_system(path, error)  # HDF5 tells a read that failed by a KeyError, too
        raise BallspotError(f"{path}: a store without its header ({error}); extract again") from error
    if set(lengths.values()) != {header.n_rows}:
        raise BallspotError(f"{path}: holds {lengths} rows, its header says {header.n_rows}; extract again")
    if header.fingerprint != text_of(file, "fingerprint"):
        raise BallspotError(f"{path}: its fingerprint is not the one of its extraction settings; extract again")
    return header


def data_set(file: h5py.File, name: str) -> h5py.Dataset:
    """The data set of that name. Raises KeyError when there is none."""
    found = file[name]
    if not isinstance(found, h5py.Dataset):
        raise KeyError(f"{name} is not a data set")
    return found


def numbers_of(path: Path, file: h5py.File, name: str) -> np.ndarray | None:
    """The int64 numbers of a data set that may be there, (n,). Raises ValueError when it holds something else."""
    if name not in file:
        return None
    data = data_set(file, name)
    _n_rows(path, data, "int64", ())
    return np.asarray(data[...], np.int64)


def _n_rows(path: Path, data: h5py.Dataset, dtype: str, row: tuple[int, ...]) -> int:
    """The rows of a data set. ValueError unless it is of that type and shape, and the file large enough for it."""
    if len(data.shape) != 1 + len(row) or data.shape[1:] != row or data.dtype.newbyteorder("=") != np.dtype(dtype):
        raise ValueError(f"{data.name} is {data.dtype} {data.shape}, not {dtype} {('n', *row)}")
    if data.nbytes > path.stat().st_size:  # HDF5 would make up the rest
        raise ValueError(f"{data.name} claims {data.nbytes} bytes, more than the file has")
    return data.shape[0]


def _number(file: h5py.File, name: str) -> int:
    value = np.asarray(file.attrs[name]).item()
    if not isinstance(value, int):
        raise ValueError(f"{name} {value!r} is not a whole number")
    return value


def text_of(file: h5py.File, name: str) -> str | None:
    """The text of an attribute, None when it is not there or no text."""
    value = file.attrs.get(name)
    if isinstance(value, bytes):
        return value.decode()
    return value if isinstance(value, str) else None
