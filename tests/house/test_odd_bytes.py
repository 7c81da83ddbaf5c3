"""Stores, part files, arrays, checkpoints and requests of odd content: read, or refused in one line."""

import json
import struct
from fractions import Fraction
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from ballspot.cache.disk.arrays import read_arrays
from ballspot.cache.disk.fingerprint import fingerprint
from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.journal import Journal, read_header, read_journals
from ballspot.cache.stores.layout import Block, StoreHeader, header_from_json
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import FeatureStore, write_store
from ballspot.cache.stores.verify import verify
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.evaluate.dataset.predictions import Predictions
from ballspot.evaluate.viewer.curves import read_curves
from ballspot.temporal.config.sections import Config, HeadSection
from ballspot.temporal.decoding.scores import SavedScores, open_scores, read_scores, write_scores
from ballspot.temporal.heads.checkpoints import HeadDescription, Progress, read_checkpoint, write_checkpoint

from .odd_values import VALUES, altered, is_read

EXTRACTION = {"backbone": "b", "stride": 1, "size": [64, 96], "dtype": "float16", "views": {"hflip": {}}}
HEADER = StoreHeader(
    "m", Fraction(25), 5, 5, 3, FeatureSpec.read(EXTRACTION), ("original", "hflip"), video_name="v.mp4"
)
ROWS = {view: np.ones((5, 3), np.float16) for view in HEADER.views}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
# Settings of later versions: hypothesis draws the package's own words, too, and those have values of their kind.
UNKNOWN = TEXT.filter(lambda name: name not in FeatureSpec.model_fields)
LABELS = LabelSet("two", ("PASS", "GOAL"))
ARRAYS = st.sampled_from(
    [np.zeros(()), np.zeros(0), np.zeros((3, 0)), np.zeros((2, 2, 2)), np.arange(9), np.arange(9)[::-1], np.array("m"),
     np.array(["a", "b"]), np.array(["a", "a"]), np.array([b"x"]), np.array([np.nan, np.inf]), np.array(2**63 - 1),
     np.array(-1), np.array(0), np.array(np.inf), np.array([1j]), np.array([2**64 - 1], np.uint64),
     np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]), np.array(["2020-01-01"], "M8[D]"),
     np.full((9, 2), np.nan, np.float32), np.ones((9, 2), bool)]
)  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("store") / "m.h5"
    write_store(path, header=HEADER, blocks=[Block(np.arange(5), ROWS)])
    return path.read_bytes()


def odd_store(path: Path, content: bytes, attributes: dict) -> Path:
    """A store of these attributes from before there were digests, its fingerprint that of its settings."""
    path.write_bytes(content)
    with h5py.File(path, "r+") as file:
        for name in ("rows_sha256", "header_sha256"):
            del file.attrs[name]
        for name, value in attributes.items():
            file.attrs[name] = json.dumps(value) if name in ("views", "extraction") else value
        if "extraction" in attributes:
            file.attrs["fingerprint"] = fingerprint(attributes["extraction"])
    return path


ATTRIBUTES = ("match", "fps_numerator", "fps_denominator", "n_video_frames", "n_rows", "video_bytes", "decoder")
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats() | ARRAYS.filter(lambda array: array.dtype.kind in "if")


@given(values=st.dictionaries(st.sampled_from(ATTRIBUTES), NUMBERS | st.text("ab/. é", max_size=4), min_size=1))
def test_a_store_with_any_attribute_is_read_or_refused(tmp_path_factory, store, values):
    path = odd_store(tmp_path_factory.mktemp("odd") / "m.h5", store, values)
    if is_read(lambda: FeatureStore.open(path).close()):
        with FeatureStore.open(path) as found:
            assert found.read().shape == (5, 3) and found.fps > 0
    assert verify(path) is not None


@given(
    extraction=altered(EXTRACTION, VALUES.filter(lambda value: value == value)), views=altered(["original", "hflip"])
)
def test_a_store_with_any_settings_is_read_or_refused(tmp_path_factory, store, extraction, views):
    try:
        path = odd_store(tmp_path_factory.mktemp("odd") / "m.h5", store, {"extraction": extraction, "views": views})
    except ValueError:
        return  # what canonical JSON cannot hold
    is_read(lambda: FeatureStore.open(path).close())
    assert verify(path) is not None


@pytest.mark.parametrize("shape", [(), (5,), (5, 3, 1), (4, 3), (5, 2), (0, 3), (10**12, 3)])
@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int64, "S3"])
def test_a_store_whose_rows_are_of_another_kind_is_refused_in_little_memory(tmp_path, store, shape, dtype):
    path = odd_store(tmp_path / "m.h5", store, {"n_rows": shape[0] if shape else 5})
    with h5py.File(path, "r+") as file:
        del file["features"]
        file.create_dataset("features", shape, dtype, chunks=(256, *shape[1:]) if max(shape, default=0) > 9 else None)
    with pytest.raises(BallspotError, match=r"m\.h5: .*extract again"):
        FeatureStore.open(path)


@given(
    header=st.builds(
        StoreHeader,
        match=TEXT,
        fps=st.fractions(min_value=Fraction(1, 1000), max_value=1000),
        n_video_frames=st.integers(0, 10**6),
        n_rows=st.integers(100, 2**40),
        dim=st.integers(1, 10**6),
        spec=st.dictionaries(UNKNOWN, st.integers() | TEXT).map(
            lambda one: FeatureSpec.read({**one, "dtype": "float32"})
        ),
        views=st.lists(st.text("abc:1", min_size=1, max_size=4), min_size=1).map(tuple),
        video_name=TEXT,
        engine=TEXT,
    )
)
def test_a_header_comes_back_from_its_json(header):
    assert header_from_json(json.loads(json.dumps(header.as_json()))) == header


def part_file(path: Path) -> tuple[dict, bytes]:
    with Journal.open(path, HEADER) as journal:
        journal.append(Block(np.arange(5), ROWS))
    head, _, records = path.read_bytes().partition(b"\n")
    return json.loads(head), records


@given(data=st.data())
def test_any_value_in_the_head_of_a_part_file_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("part") / "m.h5.part"
    head, records = part_file(path)
    path.write_bytes(json.dumps(data.draw(altered(head) | VALUES)).encode() + b"\n" + records)
    if read_header(path) is not None:
        is_read(lambda: list(read_journals([path])))
    is_read(lambda: Journal.open(path, HEADER).close())


def test_a_part_file_that_claims_more_than_it_holds_takes_no_memory_for_it(tmp_path):
    path = tmp_path / "m.h5.part"
    head, records = part_file(path)
    head["header"] |= {"dim": 2**40, "n_rows": 2**31}
    head["rows"] = [0, 2**31]
    record = struct.pack("<4sIQI", b"ROWS", 2**31 - 1, 0, 0)
    path.write_bytes(json.dumps(head).encode() + b"\n" + record + records)
    with pytest.raises(BallspotError, match="rows from 0 on are missing"):
        list(read_journals([path]))


OF_SCORES = ("scores", "frame_index", "labels", "fps", "fps_numerator", "fps_denominator", "n_video_frames", "match")


@given(
    changes=st.dictionaries(
        st.sampled_from((*OF_SCORES, "right_share", "x")), ARRAYS | st.none(), min_size=1, max_size=2
    )
)
def test_any_array_in_a_file_of_scores_is_read_or_refused(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("scores")
    path = folder / "m" / "scores.npz"
    write_scores(path, SavedScores(np.ones((9, 2), np.float32), np.arange(9), LABELS.labels, Fraction(25), 9, "m"))
    arrays = {**read_arrays(path, what="scores", remedy=""), **changes}
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    if is_read(lambda: read_scores(path)):
        saved = read_scores(path)
        write_scores(folder / "again.npz", saved)
        assert read_scores(folder / "again.npz").labels == saved.labels
    if is_read(lambda: read_curves(path)):
        assert len(read_curves(path).as_bytes("PASS")) in (0, 2 * len(arrays["frame_index"]))
    (folder / "m" / "results_spotting.json").touch()
    is_read(lambda: Predictions(folder, None).video_length("m", fps=25.0))
    is_read(lambda: open_scores(folder, "m", LABELS, rows_a_second=Fraction(25)))


@pytest.mark.parametrize("changes", [{"fps_denominator": 2**62}, {"frame_index": 10**15 + np.arange(9)}])
def test_scores_of_a_video_that_lasts_too_long_are_refused(tmp_path, changes):
    # Found by bench/fuzz_readers.py: their positions did not fit 64 bits.
    path = tmp_path / "scores.npz"
    write_scores(path, SavedScores(np.ones((9, 2), np.float32), np.arange(9), LABELS.labels, Fraction(25), 9, "m"))
    np.savez(path, **{**read_arrays(path, what="scores", remedy=""), **changes})
    with pytest.raises(BallspotError, match=r"scores\.npz: holds no scores \(\d+ frames at .* a second\)"):
        read_scores(path)


@given(content=st.binary(max_size=200))
def test_bytes_that_are_no_arrays_are_refused(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("bytes") / "a.npz"
    for start in (b"", b"\x93NUMPY\x01\x00", b"PK\x03\x04"):
        path.write_bytes(start + content)
        is_read(lambda: read_arrays(path, what="arrays", remedy="save it again"))


@pytest.mark.parametrize("letter", [0x110000, 2**32 - 1, 0xD800, 0xDFFF])
@pytest.mark.parametrize("order", "<>")
def test_text_of_numbers_that_are_no_letters_is_refused(tmp_path, letter, order):
    # Found by bench/fuzz_readers.py: NumPy raises SystemError where it makes a str of them.
    for code, is_sound in ((letter, False), (0x10FFFF, True)):
        np.savez(tmp_path / "a.npz", match=np.array([77, code], f"{order}u4").view(f"{order}U2"))
        read = is_read(lambda: read_arrays(tmp_path / "a.npz", what="scores", remedy="predict again"))
        assert read == is_sound


def test_an_array_that_would_not_fit_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999, 99999999), }".ljust(117) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    with pytest.raises(BallspotError, match=r"a\.npy: holds no arrays"):
        read_arrays(path, what="arrays", remedy="save it again")
    monkeypatch.setattr("ballspot.cache.disk.arrays.MOST_BYTES", 2**20)
    np.savez_compressed(tmp_path / "b.npz", a=np.zeros(2**20 + 1, np.uint8))
    with pytest.raises(BallspotError, match="an array of over 1 MB"):
        read_arrays(tmp_path / "b.npz", what="arrays", remedy="save it again")


@settings(max_examples=60)
@given(data=st.data())
def test_any_value_in_the_header_of_a_checkpoint_is_loaded_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("head") / "best.safetensors"
    description = HeadDescription(Config(head=HeadSection(kind="tcn", width=4)), LABELS, (6,), "f" * 64)
    head = description.build()
    write_checkpoint(path, description=description, head=head, progress=Progress(3, 2), scaling=None)
    said = {
        "format": "ballspot-head/3", "config": {"head": {"kind": "tcn", "width": 4}}, "dims": [6],
        "label_set": LABELS.as_record(), "features_fingerprint": "f" * 64,
        "progress": {"n_epochs_done": 3, "best_epoch": 2, "best_mean_ap": 0.5, "train_s": 1.0},
    }  # fmt: skip
    changed = data.draw(altered(said) | VALUES)
    tensors = {f"head.{name}": value for name, value in head.state_dict().items()}
    save_file(tensors, path, metadata={"ballspot": json.dumps(changed)})
    if is_read(lambda: read_checkpoint(path)):
        is_read(lambda: read_checkpoint(path).load("cpu"))


def test_a_checkpoint_that_asks_for_more_than_its_tensors_is_refused_before_it_is_built(tmp_path):
    path = tmp_path / "best.safetensors"
    small = HeadDescription(Config(head=HeadSection(kind="transformer", width=8)), LABELS, (6,), "f" * 64)
    write_checkpoint(path, description=small, head=small.build(), progress=Progress(), scaling=None)
    tensors = {f"head.{name}": value for name, value in read_checkpoint(path).head.items()}
    for changes in ({"n_layers": 10**9}, {"width": 10**8}):
        large = HeadDescription(
            Config(head=HeadSection(kind="transformer", **{"width": 8, **changes})), LABELS, (6,), "f" * 64
        )
        said = {"format": "ballspot-head/3", "config": large.config.model_dump(mode="json"), "dims": [6],
                "label_set": LABELS.as_record(), "features_fingerprint": "f" * 64, "progress": {}}  # fmt: skip
        save_file(tensors, path, metadata={"ballspot": json.dumps(said)})
        with pytest.raises(BallspotError, match="train the run again"):
            read_checkpoint(path).load(torch.device("cpu"))
