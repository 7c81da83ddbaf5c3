from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.cache.disk.fingerprint import fingerprint
from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.layout import CHUNK_ROWS, Block, StoreHeader, header_from_json
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import FeatureStore, write_store

KEPT = Path(__file__).parents[1] / "data" / "store-1.0.h5"


def header_of(n_rows: int, dim: int = 4, **changes: object) -> StoreHeader:
    header = StoreHeader(
        match="league/match",
        fps=Fraction(25),
        n_video_frames=n_rows,
        n_rows=n_rows,
        dim=dim,
        spec=FeatureSpec.read({"backbone": "b", "stride": 1}),
    )
    return replace(header, **changes)


def blocks_of(features: np.ndarray, *cuts: int) -> list[Block]:
    index = np.arange(len(features))
    bounds = [0, *cuts, len(features)]
    return [Block(index[a:b], {"original": features[a:b]}) for a, b in pairwise(bounds)]


def numbers(n_rows: int, dim: int = 4) -> np.ndarray:
    return np.random.default_rng(n_rows).normal(size=(n_rows, dim)).astype(np.float16)


def test_a_file_of_format_1_0_is_read_as_it_was_written() -> None:
    # Written once, when the format was released: row k is (3k, 3k + 1, 3k + 2) / 4, and hflip its negative.
    with FeatureStore.open(KEPT) as store:
        assert (store.match, store.fps, store.n_video_frames) == ("league/season/match-01", Fraction(30000, 1001), 12)
        assert (store.n_rows, store.dim, store.views) == (6, 3, ("original", "hflip"))
        assert store.frame_index.tolist() == [0, 2, 4, 6, 8, 10]
        assert store.spec.size == (224, 398)
        assert store.fingerprint == fingerprint(store.spec.as_json())
        assert store.header.decoder == "decord"
        assert store.read(4).tolist() == [[3.0, 3.25, 3.5], [3.75, 4.0, 4.25]]
        assert store.read(0, 1, view="hflip").tolist() == [[0.0, -0.25, -0.5]]


@pytest.mark.parametrize("n_rows", [1, 15, CHUNK_ROWS - 1, CHUNK_ROWS, CHUNK_ROWS + 1, 3 * CHUNK_ROWS + 7])
def test_what_is_written_is_read(tmp_path: Path, n_rows: int) -> None:
    features = numbers(n_rows)
    write_store(tmp_path / "a.h5", header=header_of(n_rows), blocks=blocks_of(features))
    with FeatureStore.open(tmp_path / "a.h5") as store:
        np.testing.assert_array_equal(store.read(), features)
        np.testing.assert_array_equal(store.frame_index, np.arange(n_rows))
        assert store.read().dtype == np.float16 and store.read().flags.c_contiguous
        assert store.read(n_rows, n_rows + 5).shape == (0, 4)


@settings(max_examples=25, deadline=None)
@given(cuts=st.sets(st.integers(1, 599), max_size=12), start=st.integers(0, 600), length=st.integers(0, 300))
def test_how_rows_were_cut_leaves_no_trace_in_the_file(
    tmp_path_factory: pytest.TempPathFactory, cuts: set[int], start: int, length: int
) -> None:
    folder, features = tmp_path_factory.mktemp("cut"), numbers(600)
    write_store(folder / "whole.h5", header=header_of(600), blocks=blocks_of(features))
    write_store(folder / "cut.h5", header=header_of(600), blocks=blocks_of(features, *sorted(cuts)))
    assert (folder / "whole.h5").read_bytes() == (folder / "cut.h5").read_bytes()
    with FeatureStore.open(folder / "cut.h5") as store:
        np.testing.assert_array_equal(store.read(start, start + length), features[start : start + length])


def test_data_sets_are_laid_out_as_the_format_says(tmp_path: Path) -> None:
    write_store(tmp_path / "a.h5", header=header_of(600), blocks=blocks_of(numbers(600)))
    with h5py.File(tmp_path / "a.h5") as file:
        for name, chunks in {"features": (256, 4), "frame_index": (256,)}.items():
            data = file[name]
            assert isinstance(data, h5py.Dataset)
            assert (data.chunks, data.compression, data.fletcher32) == (chunks, None, True)
        assert file.attrs["complete"] == 1


def test_a_header_survives_json() -> None:
    header = header_of(5, fps=Fraction(30000, 1001), views=("original", "hflip"), video_name="ü.mp4")
    assert header_from_json(header.as_json()) == header


@pytest.mark.parametrize(
    "changes",
    [
        {"n_video_frames": 10**13},  # the times of as many frames would take 73 TiB
        {"n_video_frames": 110_001},
        {"fps": Fraction(1, 10**12)},  # ten frames take longer than any video
        {"fps": Fraction(1001)},
        {"fps": Fraction(0)},
    ],
)
def test_a_header_that_no_video_has_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"a second|10 rows of"):
        header_from_json(header_of(10, **changes).as_json())


@pytest.mark.parametrize(
    ("blocks", "n_rows"),
    [
        (blocks_of(numbers(9)), 10),
        (blocks_of(numbers(11)), 10),
        (blocks_of(numbers(10, dim=5)), 10),
        ([Block(np.zeros(10, dtype=np.int64), {"original": numbers(10)})], 10),
        (blocks_of(np.full((10, 4), np.nan, dtype=np.float16)), 10),
        (blocks_of(numbers(10).astype(np.float32)), 10),
    ],
    ids=["too few", "too many", "wrong width", "index stands still", "not finite", "wrong type"],
)
def test_rows_that_are_not_those_promised_leave_no_file(tmp_path: Path, blocks: list[Block], n_rows: int) -> None:
    with pytest.raises(ValueError, match=r"a\.h5"):
        write_store(tmp_path / "a.h5", header=header_of(n_rows), blocks=blocks)
    assert list(tmp_path.iterdir()) == []


def written(path: Path, n_rows: int = 300) -> Path:
    write_store(path, header=header_of(n_rows), blocks=blocks_of(numbers(n_rows)))
    return path


def set_text(path: Path, name: str, text: str) -> None:
    with h5py.File(path, "a") as file:
        file.attrs[name] = text


def test_a_store_of_a_newer_major_version_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    set_text(path, "format_version", "2.0")
    with pytest.raises(BallspotError, match=r"version 2\.0 is newer .* upgrade ballspot"):
        FeatureStore.open(path)


def test_a_newer_minor_version_with_unknown_content_is_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    set_text(path, "format_version", "1.7")
    set_text(path, "flavour", "new")
    with h5py.File(path, "a") as file:
        file.create_dataset("times", data=np.arange(3))
    with FeatureStore.open(path) as store:
        assert store.n_rows == 300


def test_a_store_without_the_complete_mark_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        del file.attrs["complete"]
    with pytest.raises(BallspotError, match="half-written"):
        FeatureStore.open(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "not an HDF5 file"), (b"some text\n", "not an HDF5 file"), (None, "no such store")],
    ids=["empty", "text", "missing"],
)
def test_what_is_no_hdf5_file_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "a.h5"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BallspotError, match=message) as caught:
        FeatureStore.open(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95, 0.999])
def test_a_truncated_store_is_refused(tmp_path: Path, share: float) -> None:
    path = written(tmp_path / "a.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(BallspotError, match=r"a\.h5"):
        FeatureStore.open(path)


def test_a_foreign_hdf5_file_is_no_store(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["features"] = np.zeros((3, 2))
    with pytest.raises(BallspotError, match="not a ballspot store"):
        FeatureStore.open(tmp_path / "a.h5")


def test_changed_settings_do_not_keep_the_old_fingerprint(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    set_text(path, "extraction", '{"backbone":"other","stride":1}')
    with pytest.raises(BallspotError, match="fingerprint"):
        FeatureStore.open(path)


def test_a_byte_changed_in_the_rows_is_noticed_when_they_are_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.h5")
    rows = numbers(300).tobytes()
    content = bytearray(path.read_bytes())
    content[content.index(rows[:64]) + 5] ^= 1
    path.write_bytes(bytes(content))
    with (
        FeatureStore.open(path) as store,
        pytest.raises(BallspotError, match="rows 0 to 10 of view 'original' are damaged"),
    ):
        store.read(0, 10)


def test_a_view_that_is_not_there_is_named_with_those_that_are() -> None:
    with (
        FeatureStore.open(KEPT) as store,
        pytest.raises(BallspotError, match="no view 'photo:1', only original, hflip"),
    ):
        store.read(view="photo:1")
