"""Tables in a terminal: everything that they hold can be read, however narrow it is."""

import io
import re
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.terminal import print_table
from ballspot.cache.terminal.console import fitted_headings, narrowest

RUNS = [f"head.kind={kind},temporal_stride={stride}" for kind in ("transformer", "tcn") for stride in (2, 4)]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def printed(monkeypatch: pytest.MonkeyPatch, headers, rows, *, columns: int) -> list[str]:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", str(columns))
    print_table(headers, rows)
    return re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()


def test_headings_that_begin_alike_are_numbered_with_a_key(monkeypatch):
    lines = printed(monkeypatch, ["", "truths", *RUNS], [["PASS", "21", "19.1", "15.9", "3.1", "4.4"]], columns=80)
    assert lines[0].split() == ["truths", "1", "2", "3", "4"]
    assert [line.split() for line in lines[-4:]] == [[str(n), name] for n, name in enumerate(RUNS, start=1)]
    assert all(len(line) <= 80 for line in lines)


def test_headings_that_fit_stay_and_break_between_words(monkeypatch):
    assert fitted_headings(["class", "original protocol"], [["PASS", "1"]], 20) == (["class", "original protocol"], [])
    lines = printed(monkeypatch, ["", *RUNS], [["PASS", "19.1", "15.9", "3.1", "4.4"]], columns=200)
    assert all(name in lines[0] for name in RUNS)


def test_a_table_that_just_fits_breaks_headings_between_words_and_no_word(monkeypatch):
    headers = ["setting", "seeds", "mean", "95 %", "difference", "95 %", "P(better)", "p, Holm"]
    rows = [["k" * 57, "1", "10.76", "-", "-11.44", "-", "-", "-"]]
    lines = printed(monkeypatch, headers, rows, columns=120)
    assert "difference" in "".join(lines) and "P(better)" in "".join(lines)
    assert all(len(line.rstrip()) <= 120 for line in lines)


def test_a_long_first_cell_is_folded_not_cut(monkeypatch):
    name = "z" * 150
    lines = printed(monkeypatch, ["setting", "mean"], [[name, "19.10"]], columns=60)
    assert "".join(lines).count("z") == 150 and "19.10" in "".join(lines)


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=30), min_size=1, max_size=9))
def test_numbered_headings_stand_for_each_heading_once(names):
    headers, rows = ["", *names], [["PASS", *("1.00" for _ in names)]]
    shown, key = fitted_headings(headers, rows, 40)
    numbered = [(header, one) for header, one in zip(headers, shown, strict=True) if header != one]
    assert [(int(one), header) for header, one in numbered] == [(n, name) for n, name in key if str(n) != name]
    assert narrowest(shown, rows) <= narrowest(headers, rows)
