"""Files are whole or absent, and unreadable ones are named."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.disk.files import is_begun, make_folder, read_json, whole_file, write_json, write_texts
from ballspot.cache.errors import BallspotError


def test_a_file_appears_with_its_content_and_nothing_is_left_beside_it(tmp_path):
    write_json(tmp_path / "deep" / "er" / "a.json", {"b": [1, "ü"]})
    assert json.loads((tmp_path / "deep/er/a.json").read_text(encoding="utf-8")) == {"b": [1, "ü"]}
    assert [path.name for path in (tmp_path / "deep" / "er").iterdir()] == ["a.json"]


def test_an_error_inside_the_block_keeps_the_old_content_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as temporary:
        temporary.write_text("half of the n")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_one_clear_line_and_keeps_the_old_content(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    expected = r"a\.txt: cannot be written \(No space left on device\); free space"
    with pytest.raises(BallspotError, match=expected), whole_file(path):
        raise OSError(28, os.strerror(28))
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_values_that_json_cannot_hold_write_nothing(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"ap": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way_of_a_folder_is_named(tmp_path):
    (tmp_path / "a").write_text("")
    with pytest.raises(BallspotError, match=r"a/b: cannot make this folder \(Not a directory\)"):
        make_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "not valid JSON"),
        (b'{"a": 1', "line 1"),
        (b"\xff\xfe", "not UTF-8 text"),
        (b"[" * 100_000, "cannot be held"),
        (b"1" * 5000, "cannot be held"),
    ],
)
def test_unreadable_json_is_one_line_that_names_the_file(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(BallspotError, match=reason) as caught:
        read_json(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BallspotError, match=r"a\.json: no such file"):
        read_json(tmp_path / "a.json")


@given(content=st.binary(max_size=200))
def test_any_bytes_are_json_or_a_ballspot_error(tmp_path_factory, content):
    path = Path(tmp_path_factory.getbasetemp()) / "any.json"
    path.write_bytes(content)
    try:
        read_json(path)
    except BallspotError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("letter", ["a", "é", "試", "🏟"])
def test_a_name_of_255_bytes_can_be_written(tmp_path, letter):
    name = letter * (255 // len(letter.encode()))
    write_json(tmp_path / name, 1)
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_only_a_part_of_the_very_same_texts_is_begun(tmp_path):
    texts = {tmp_path / "a": "ä\r\n", tmp_path / "b": "2"}
    assert not is_begun(texts)
    write_texts({tmp_path / "a": "ä\r\n"})
    assert is_begun(texts)
    assert not is_begun({**texts, tmp_path / "a": "another"})
    write_texts(texts)
    assert not is_begun(texts)
