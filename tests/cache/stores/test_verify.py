"""A byte that changes anywhere in a store is found, or changes nothing that can be read."""

import os
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import FeatureStore, write_store
from ballspot.cache.stores.verify import verify

N_ROWS, DIM = 300, 4
N_BYTES = int(os.environ.get("BALLSPOT_CHANGED_BYTES", "100"))  # 250, or more, for a longer search
VIEWS = ("original", "hflip")


def written(path: Path, dtype: str = "float16") -> Path:
    """A store with everything that one can have: two views, frame times, substituted frames, two chunks of rows."""
    rng = np.random.default_rng(0)
    kind = np.float16 if dtype == "float16" else np.float32
    header = StoreHeader(
        match="league/match",
        fps=Fraction(25),
        n_video_frames=N_ROWS,
        n_rows=N_ROWS,
        dim=DIM,
        spec=FeatureSpec.read({"backbone": "b", "stride": 1, "dtype": dtype}),
        views=VIEWS,
        video_name="224p.mp4",
        video_bytes=123_456,
        video_sha256="ab" * 32,
        decoder="pyav",
        decoder_version="18.1.0",
        engine="torch",
        weights="hub",
    )
    features = {view: rng.normal(size=(N_ROWS, DIM)).astype(kind) for view in VIEWS}
    block = Block(np.arange(N_ROWS), features, np.array([3, 4]))
    write_store(path, header=header, blocks=[block], frame_time_us=40_000 * np.arange(N_ROWS))
    return path


def content(path: Path) -> list[object]:
    with FeatureStore.open(path) as store:
        arrays = [store.frame_index, store.frame_time_us, store.substituted, *(store.read(view=v) for v in VIEWS)]
        return [store.header, *(None if one is None else one.tobytes() for one in arrays)]


def problems(path: Path) -> list[str]:
    return verify(path)[path]


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_changed_byte_anywhere_is_found_or_changes_nothing(tmp_path: Path, dtype: str) -> None:
    path = written(tmp_path / "a.h5", dtype)
    whole, expected = path.read_bytes(), content(path)
    assert problems(path) == []
    n_found = 0
    for at in np.random.default_rng(1).choice(len(whole), N_BYTES, replace=False):
        changed = bytearray(whole)
        changed[at] ^= 1 << (at % 8)
        path.write_bytes(changed)
        if problems(path):
            n_found += 1
        else:
            assert content(path) == expected, at
    assert n_found > N_BYTES / 5


@pytest.mark.parametrize("text", [b"224p.mp4", b"18.1.0", b"ab" * 32, b"league/match"])
def test_a_changed_byte_of_an_attribute_is_refused_when_the_store_is_opened(tmp_path: Path, text: bytes) -> None:
    path = written(tmp_path / "a.h5")
    changed = bytearray(path.read_bytes())
    changed[changed.index(text) + 3] ^= 1
    path.write_bytes(changed)
    with pytest.raises(BallspotError, match="header"):
        FeatureStore.open(path)


@pytest.mark.parametrize("name", ["fps_numerator", "n_video_frames", "video_bytes"])
def test_a_changed_number_is_refused_when_the_store_is_opened(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        file.attrs[name] = np.int64(int(file.attrs[name]) + 1)
    with pytest.raises(BallspotError, match="its header is not what was written"):
        FeatureStore.open(path)


@pytest.mark.parametrize("name", ["frame_time_us", "quantised_scale/hflip"])
def test_a_changed_value_outside_the_rows_is_refused_when_the_store_is_opened(tmp_path: Path, name: str) -> None:
    path = written(tmp_path / "a.h5", "int8")
    with h5py.File(path, "a") as file:
        data = file[name]
        assert isinstance(data, h5py.Dataset)
        data[0] = data[1]
    with pytest.raises(BallspotError, match="its header is not what was written"):
        FeatureStore.open(path)


def test_rows_that_were_written_over_are_found_though_their_checksums_are_right(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        data = file["features"]
        assert isinstance(data, h5py.Dataset)
        data[7] = 0
    assert problems(path) == ["rows are not those that were written; remove the store and extract again"]


def test_rows_whose_chunk_is_lost_do_not_pass_for_zeros(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    whole = written(tmp_path / "b.h5")
    with h5py.File(whole) as old, h5py.File(path, "w") as new:
        for name, value in old.attrs.items():
            if name not in ("rows_sha256", "header_sha256"):
                new.attrs.create(name, value)
        for name in ("frame_index", "frame_time_us", "substituted", "views"):
            old.copy(name, new)
        data = new.create_dataset("features", (N_ROWS, DIM), np.float16, chunks=(256, DIM), fletcher32=True)
        data[:256] = old["features"][:256]
    assert problems(path) == ["features: chunks are missing, or without a checksum; remove the store and extract again"]


def test_rows_that_were_written_over_are_found_when_all_are_read_in_order(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        data = file["features"]
        assert isinstance(data, h5py.Dataset)
        data[7] = 0
    with FeatureStore.open(path) as store:
        assert len(store.read(100, 120)) == 20  # a part of the rows alone cannot be told
        for start in range(0, N_ROWS, 100):
            store.read(start, start + 100)
        with pytest.raises(BallspotError, match="not those that were written"):
            for start in range(0, N_ROWS, 100):
                store.read(start, start + 100, view="hflip")
