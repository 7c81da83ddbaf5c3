"""What a store holds: its header, its rows in blocks, and where they lie in the file."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from ..times import require_length
from .spec import MOST_STRIDE, FeatureSpec

FLIPPED_VIEW = "hflip"  # the view whose left and right have changed places
CHUNK_ROWS = 256
ORIGINAL = "original"


@dataclass(frozen=True)
class StoreHeader:
    """What a store says of itself beside its rows; a part file carries the same, so that it can be resumed.

    `spec` is all that decides a feature, the file's `extraction`; its digest is the fingerprint. The video and the
    decoder stand beside it: all decoders give the same pixels, those that players show after `video_turn` ("" where
    pictures are shown as they are stored). Where rows were chosen by time among the pictures of a folder, `picture_fps`
    is how many of these are shown a second, as a fraction.
    """

    match: str
    fps: Fraction
    n_video_frames: int
    n_rows: int
    dim: int
    spec: FeatureSpec
    views: tuple[str, ...] = (ORIGINAL,)
    video_name: str = ""
    video_bytes: int = 0
    video_sha256: str = ""
    decoder: str = ""
    decoder_version: str = ""
    engine: str = ""
    weights: str = ""
    video_turn: str = ""
    picture_fps: str = ""

    @property
    def dtype(self) -> str:
        """The number type of the stored features: `float16`, `float32` or `int8`."""
        return self.spec.dtype

    @property
    def row_dtype(self) -> np.dtype:
        """The type of rows before they are stored and after they are read: float16, float32 for the other two."""
        return np.dtype(np.float16 if self.dtype == "float16" else np.float32)

    @property
    def fingerprint(self) -> str:
        """The sha256 of `extraction`: equal for all stores of one feature set."""
        return self.spec.fingerprint

    def as_json(self) -> dict[str, Any]:
        """The header as plain JSON values; `header_from_json` reads it back."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("fps", "spec")}
        for name in ("video_turn", "picture_fps"):
            if not values[name]:
                del values[name]  # so that the headers of most videos are as they always were
        fps = [self.fps.numerator, self.fps.denominator]
        return {**values, "fps": fps, "extraction": self.spec.as_json(), "views": list(self.views)}


def header_from_json(value: Mapping[str, Any]) -> StoreHeader:
    """The header that `StoreHeader.as_json` wrote.

    Raises KeyError, TypeError, ValueError or ZeroDivisionError when it is not one.
    """
    numerator, denominator = value["fps"]
    if type(numerator) is not int or type(denominator) is not int:  # Fraction takes text, too, of any power of ten
        raise ValueError(f"fps {value['fps']!r}")
    others = {name: said for name, said in value.items() if name != "extraction"}
    typed = {"fps": Fraction(numerator, denominator), "views": tuple(value["views"])}
    header = StoreHeader(**{**others, **typed}, spec=FeatureSpec.read(value["extraction"]))
    check_header(header)
    return header


def check_header(header: StoreHeader) -> None:
    """Raises ValueError or TypeError unless every field of a header that was read is what its type says."""
    for name, field_of in header.__dataclass_fields__.items():
        value = getattr(header, name)
        if field_of.type is str and not isinstance(value, str):
            raise ValueError(f"{name} {value!r} is not text")
        if field_of.type is int and (type(value) is not int or not 0 <= value < 2**63):
            raise ValueError(f"{name} {value!r} is not a count")
    require_length(header.fps, header.n_video_frames)
    if header.n_video_frames > (header.n_rows + 1) * MOST_STRIDE:  # memory is taken for the times of so many
        raise ValueError(f"{header.n_rows} rows of {header.n_video_frames} frames")
    if not header.views or not all(isinstance(view, str) and view for view in header.views):
        raise ValueError(f"views {header.views!r}")
    _ = header.fingerprint  # ValueError for what canonical JSON cannot hold


@dataclass(frozen=True)
class Block:
    """Consecutive rows: `frame_index` int64 (n,) and, of every view, `features[view]` (n, dim), float16 or float32.

    `substituted` int64 are those of the frame indices whose row is of another frame, since theirs was damaged.
    """

    frame_index: np.ndarray
    features: Mapping[str, np.ndarray] = field(default_factory=dict)
    substituted: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.frame_index)


def rows_of_chunks(blocks: Iterable[Block], n_rows: int) -> Iterator[Block]:
    """The same rows in blocks of exactly `n_rows`, the last one shorter."""
    waiting: list[Block] = []
    n_waiting = 0
    for block in blocks:
        waiting.append(block)
        n_waiting += len(block)
        while n_waiting >= n_rows:
            whole = _join(waiting)
            yield _cut(whole, 0, n_rows)
            rest = _cut(whole, n_rows, len(whole))
            waiting, n_waiting = [rest], len(rest)
    if n_waiting:
        yield _join(waiting)


def view_path(view: str, dtype: str = "float16") -> str:
    """The place of a view's data set inside the file; int8 has its own, where readers of 1.0 do not misread it."""
    if dtype == "int8":
        return f"quantised/{view}"
    return "features" if view == ORIGINAL else f"views/{view}"


def scale_path(view: str) -> str:
    """The place of what an int8 view's rows are multiplied by and what is then added, float32 (2, d)."""
    return f"quantised_scale/{view}"


def _join(blocks: list[Block]) -> Block:
    if len(blocks) == 1:
        return blocks[0]
    views = {view: np.concatenate([block.features[view] for block in blocks]) for view in blocks[0].features}
    substituted = np.concatenate([block.substituted for block in blocks])
    return Block(np.concatenate([block.frame_index for block in blocks]), views, substituted)


def _cut(block: Block, start: int, stop: int) -> Block:
    index = block.frame_index[start:stop]
    features = {view: rows[start:stop] for view, rows in block.features.items()}
    return Block(index, features, block.substituted[np.isin(block.substituted, index)])
