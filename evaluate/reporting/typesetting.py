"""Tables for papers, pages and spreadsheets: Markdown, LaTeX (booktabs) and CSV."""

import csv
import io
from collections.abc import Sequence
from dataclasses import replace

from .tables import TextTable

WIDEST = 60  # letters of all headers but the first that an A4 page holds beside it
LATEX_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
}


def as_markdown(tables: Sequence[TextTable]) -> str:
    """The tables in Markdown, each below its title; the first column to the left, the others to the right."""
    parts = []
    for table in tables:
        lines = [f"**{table.title}**", ""]
        if table.rows:
            lines.append(_piped(table.headers))
            lines.append("|" + "|".join(["---", *["--:"] * (len(table.headers) - 1)]) + "|")
            lines += [_piped(row) for row in _bold(table, "**{}**")]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def as_latex(tables: Sequence[TextTable]) -> str:
    r"""The tables as LaTeX `table` environments, each with a label; they want ``\usepackage{booktabs}``."""
    parts = []
    for table in tables:
        if not table.rows:
            continue
        table, keys = _narrowed(table)
        lines = [r"\begin{table}", r"\centering", rf"\caption{{{_latex(table.title)}}}"]
        lines += [rf"\label{{tab:{table.name}}}"] if table.name else []
        lines += [rf"\begin{{tabular}}{{l{'r' * (len(table.headers) - 1)}}}", r"\toprule"]
        rows = _bold(replace(table, rows=[[_latex(cell) for cell in row] for row in table.rows]), r"\textbf{{{}}}")
        head, *rows = (" & ".join(row) + r" \\" for row in (map(_latex, table.headers), *rows))
        lines += [head, r"\midrule", *rows, r"\bottomrule"]
        lines += [rf"\multicolumn{{{len(table.headers)}}}{{l}}{{{_latex(key)}}} \\" for key in keys]
        parts.append("\n".join([*lines, r"\end{tabular}", r"\end{table}"]))
    return "\n\n".join(parts)


def _narrowed(table: TextTable) -> tuple[TextTable, list[str]]:
    """A table whose long headers are numbers, and what these stand for; the table itself where a page holds it."""
    headers = list(table.headers)
    if sum(len(header) for header in headers[1:]) <= WIDEST or not table.has_names:
        return table, []
    n_fixed = len(headers) - table.has_names
    numbered = [*headers[:n_fixed], *(str(number + 1) for number in range(table.has_names))]
    keys = [f"{number}: {name}" for number, name in zip(numbered[n_fixed:], headers[n_fixed:], strict=True)]
    return replace(table, headers=numbered), keys


def as_csv(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """One table as CSV with a line of headers; None is an empty field."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headers)
    writer.writerows(rows)
    return stream.getvalue().rstrip("\n")


def _bold(table: TextTable, how: str) -> list[list[str]]:
    """The rows, what is best in them in bold; ``how`` has a place for the text."""
    return [
        [how.format(cell) if (at, column) in table.best else cell for column, cell in enumerate(row)]
        for at, row in enumerate(table.rows)
    ]


def _piped(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"


def _latex(text: str) -> str:
    return "".join(LATEX_SIGNS.get(sign, sign) for sign in text).replace("..", "--")
