"""Text as Windows editors, macOS and spreadsheets save it."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.disk.files import parse_json, parse_toml, read_json, read_toml
from ballspot.cache.disk.text import decode_text, existing_path, is_utf8, plain_name
from ballspot.cache.errors import BallspotError

ENCODINGS = ["utf-8", "utf-8-sig", "utf-16", "utf-32"]


# Not with NUL: a text in UTF-16 that begins with it has the mark of UTF-32.
@pytest.mark.parametrize("encoding", ENCODINGS)
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\ufeff\0"), min_size=1))
def test_every_mark_is_understood_and_left_out(encoding: str, text: str) -> None:
    assert decode_text(text.encode(encoding), "f") == text


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_and_toml_are_read_alike_however_they_were_saved(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "a.json").write_bytes('{"é": [1]}\r\n'.encode(encoding))
    (tmp_path / "a.toml").write_bytes('"é" = [1]\r\n'.encode(encoding))
    assert read_json(tmp_path / "a.json") == {"é": [1]} == read_toml(tmp_path / "a.toml", remedy="r")


def test_a_mark_that_was_read_as_a_letter_is_left_out_as_well() -> None:
    assert parse_json("\ufeff[1]", "f") == [1] == parse_json(b"\xef\xbb\xbf[1]", "f")
    assert parse_toml("\ufeffa = 1") == {"a": 1}


@pytest.mark.parametrize(("content", "place"), [(b"caf\xe9", 3), (b"\xef\xbb\xbfcaf\xe9", 6), (b"\xff\xfe", 0)])
def test_other_bytes_are_named_unless_there_is_a_fallback(content: bytes, place: int) -> None:
    with pytest.raises(BallspotError, match=rf"f: not UTF-8 text \(byte {place}\); save it as UTF-8"):
        decode_text(content, "f")
    assert not is_utf8(content)
    if content == b"caf\xe9":
        assert decode_text(content, "f", fallback="cp1252") == "café"


@given(st.text())
def test_plain_names_are_one_for_both_forms(text: str) -> None:
    assert plain_name(unicodedata.normalize("NFD", text)) == plain_name(unicodedata.normalize("NFC", text))


def test_a_path_that_is_there_in_another_form_is_found(tmp_path: Path) -> None:
    composed, apart = (unicodedata.normalize(form, "Köln/Málaga.h5") for form in ("NFC", "NFD"))
    assert composed != apart
    assert existing_path(tmp_path, composed) == tmp_path / composed  # nothing is there
    (tmp_path / apart).parent.mkdir()
    (tmp_path / apart).write_text("x")
    assert existing_path(tmp_path, composed).read_text() == "x"
    assert existing_path(tmp_path, composed.replace(".h5", ".npz")).parent.name == Path(apart).parent.name


def test_what_the_system_refuses_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(BallspotError, match="no such file"):
        read_json(tmp_path / "a.json")
    with pytest.raises(BallspotError, match=r"cannot be read \(Is a directory\); check the path"):
        read_toml(tmp_path, remedy="r")
    with pytest.raises(BallspotError, match="no such splits file"):
        read_toml(tmp_path / "s.toml", what="splits file", remedy="r")
