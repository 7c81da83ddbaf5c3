import csv
import io

from ballspot.evaluate.reporting.tables import TextTable
from ballspot.evaluate.reporting.typesetting import as_csv, as_latex, as_markdown

TABLE = TextTable("AP in %, first_try", ["setting", "mean", "95 %"], [["a|b_c", "12.30", "10.1..13.0"]])


def test_markdown_has_a_title_a_rule_and_escaped_cells():
    assert as_markdown([TABLE]) == (
        "**AP in %, first_try**\n\n| setting | mean | 95 % |\n|---|--:|--:|\n| a\\|b_c | 12.30 | 10.1..13.0 |"
    )


def test_latex_is_booktabs_with_escaped_signs_and_dashes_for_spans():
    text = as_latex([TABLE, TextTable("nothing differs", [], [])])
    assert text.count(r"\begin{table}") == text.count(r"\end{table}") == 1
    assert r"\caption{AP in \%, first\_try}" in text
    assert r"\begin{tabular}{lrr}" in text
    assert r"a|b\_c & 12.30 & 10.1--13.0 \\" in text
    assert [text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == sorted(
        text.index(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")
    )


def test_latex_escapes_every_sign_that_would_break_it():
    text = as_latex([TextTable("t", ["h"], [["\\ & % $ # _ { } ~ ^"]])])
    assert r"\textbackslash{} \& \% \$ \# \_ \{ \} \textasciitilde{} \textasciicircum{}" in text


def test_long_names_above_columns_of_latex_become_numbers_with_a_key_below():
    names = [f"temporal_stride={n},offsets=True" for n in (1, 2, 4)]
    table = TextTable("t", ["", "truths", *names], [["PASS", "3", "1.0", "2.0", "3.0"]], has_names=3)
    text = as_latex([table])
    assert r" & truths & 1 & 2 & 3 \\" in text
    assert text.index(r"\bottomrule") < text.index(r"\multicolumn{5}{l}{2: temporal\_stride=2,offsets=True} \\")
    short = TextTable("t", ["", "truths", "gru", "tcn"], [["PASS", "3", "1.0", "2.0"]], has_names=2)
    assert r" & truths & gru & tcn \\" in as_latex([short])


def test_csv_is_read_back_as_it_was():
    rows = [["a,b", 0.1, None], ['say "x"', 1e-9, "y"]]
    read = list(csv.reader(io.StringIO(as_csv(["name", "value", "more"], rows))))
    assert read == [["name", "value", "more"], ["a,b", "0.1", ""], ['say "x"', "1e-09", "y"]]
