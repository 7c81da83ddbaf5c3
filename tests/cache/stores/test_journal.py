import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.journal import Journal, Segment, part_path, read_header, read_journals
from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store

N_ROWS, DIM = 40, 3
VALUES = np.random.default_rng(1).normal(size=(N_ROWS, DIM)).astype(np.float16)
HEADER = StoreHeader(
    match="m",
    fps=Fraction(25),
    n_video_frames=N_ROWS,
    n_rows=N_ROWS,
    dim=DIM,
    spec=FeatureSpec.read({"backbone": "b"}),
    decoder="decord",
)


def block(start: int, stop: int) -> Block:
    return Block(np.arange(start, stop), {"original": VALUES[start:stop]})


def fill(path: Path, *, stop: int = N_ROWS, step: int = 8) -> None:
    with Journal.open(path, HEADER) as journal:
        for start in range(journal.next_row, stop, step):
            journal.append(block(start, min(start + step, stop)))


def rows_in(*paths: Path) -> np.ndarray:
    return np.concatenate([one.features["original"] for one in read_journals(list(paths))])


def test_rows_come_back_as_they_were_appended(tmp_path: Path) -> None:
    fill(tmp_path / "a.part")
    np.testing.assert_array_equal(rows_in(tmp_path / "a.part"), VALUES)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_anywhere_and_resumed_it_gives_the_same_store(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("kill")
    fill(folder / "whole.part")
    write_store(folder / "whole.h5", header=HEADER, blocks=read_journals([folder / "whole.part"]))
    content = (folder / "whole.part").read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    (folder / "cut.part").write_bytes(content[:cut] + data.draw(st.binary(max_size=30)))
    fill(folder / "cut.part")
    write_store(folder / "cut.h5", header=HEADER, blocks=read_journals([folder / "cut.part"]))
    assert (folder / "cut.h5").read_bytes() == (folder / "whole.h5").read_bytes()


def test_resuming_keeps_whole_records_and_goes_on_after_them(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    fill(path, stop=24)
    path.write_bytes(path.read_bytes()[:-1])  # the third record of 8 rows is torn
    with Journal.open(path, HEADER) as journal:
        assert journal.next_row == 16


def test_a_changed_byte_drops_its_record_and_all_after_it(tmp_path: Path) -> None:
    path = tmp_path / "a.part"
    fill(path)
    content = bytearray(path.read_bytes())
    record_bytes = 20 + 8 * (8 + 2 * DIM)
    content[len(content) - 4 * record_bytes + 30] ^= 1
    path.write_bytes(bytes(content))
    with Journal.open(path, HEADER) as journal:
        assert journal.next_row == 8


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"spec": FeatureSpec(backbone="c")}, "other extraction settings"),
        ({"video_sha256": "f"}, "another video"),
        ({"match": "n"}, "another match"),
    ],
)
def test_a_part_file_of_something_else_is_refused(tmp_path: Path, change: dict[str, object], what: str) -> None:
    fill(tmp_path / "a.part", stop=8)
    with pytest.raises(BallspotError, match=f"part file of {what}.*give the options it was begun with"):
        Journal.open(tmp_path / "a.part", replace(HEADER, **change))


def test_a_resumed_journal_keeps_the_decoder_it_was_begun_with(tmp_path: Path) -> None:
    fill(tmp_path / "a.part", stop=8)
    with Journal.open(tmp_path / "a.part", replace(HEADER, decoder="pyav")) as journal:
        assert (journal.header.decoder, journal.next_row) == ("decord", 8)


@pytest.mark.skipif(os.name == "nt", reason="no file locks there")
def test_a_second_writer_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "a.part", HEADER), pytest.raises(BallspotError, match="another process is extracting"):
        Journal.open(tmp_path / "a.part", HEADER)
    with Journal.open(tmp_path / "a.part", HEADER) as journal:
        assert journal.next_row == 0


def test_segments_are_put_together_in_row_order(tmp_path: Path) -> None:
    store = tmp_path / "m.h5"
    paths = []
    for segment in (Segment(25, 40), Segment(0, 25)):
        paths.append(part_path(store, segment))
        with Journal.open(paths[-1], HEADER, segment=segment) as journal:
            journal.append(block(segment.start, segment.stop))
            assert journal.next_row == segment.stop
    assert sorted(path.name for path in paths) == ["m.h5.0-25.part", "m.h5.25-40.part"]
    np.testing.assert_array_equal(rows_in(*paths), VALUES)
    with pytest.raises(BallspotError, match="rows from 0 on are missing"):
        rows_in(paths[0])


@pytest.mark.parametrize(
    "rows",
    [
        block(0, 0),
        Block(np.arange(41), {"original": np.zeros((41, DIM), np.float16)}),
        Block(np.arange(2), {"original": np.zeros((2, DIM + 1), np.float16)}),
        Block(np.arange(2), {"original": np.full((2, DIM), np.inf, np.float16)}),
    ],
    ids=["none", "too many", "too wide", "not finite"],
)
def test_rows_that_do_not_fit_are_not_written(tmp_path: Path, rows: Block) -> None:
    with Journal.open(tmp_path / "a.part", HEADER) as journal:
        size = journal.path.stat().st_size
        with pytest.raises(ValueError, match=r"a\.part"):
            journal.append(rows)
        assert (journal.path.stat().st_size, journal.next_row) == (size, 0)


def test_a_missing_or_empty_part_file_has_no_header(tmp_path: Path) -> None:
    assert read_header(tmp_path / "a.part") is None
    (tmp_path / "a.part").touch()
    assert read_header(tmp_path / "a.part") is None
    fill(tmp_path / "a.part", stop=8)
    assert read_header(tmp_path / "a.part") == HEADER


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BallspotError, match="file"):
        Journal.open(tmp_path / "file" / "a.part", HEADER)
