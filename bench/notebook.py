"""Runs a notebook's cells in order and writes what they give into it: python bench/notebook.py examples/NAME.ipynb

Jupyter is not needed. Of a cell its printed text, the value of its last expression and a figure as PNG are kept, as
nbformat 4.5 has them. The first cell that fails ends it, and the file is left as it was.
"""

import argparse
import ast
import base64
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

from matplotlib.figure import Figure


def run_cells(document: dict[str, Any], names: dict[str, Any]) -> dict[str, Any]:
    """The notebook with the outputs of its code cells, which are run in ``names``."""
    cells, number = [], 0
    for cell in document["cells"]:
        if cell["cell_type"] == "code":
            number += 1
            outputs = run_cell("".join(cell["source"]), names, number)
            cell = {**cell, "execution_count": number, "outputs": outputs}
        cells.append(cell)
    return {**document, "cells": cells}


def run_cell(source: str, names: dict[str, Any], number: int) -> list[dict[str, Any]]:
    """The outputs of one cell: what it printed, and the value of its last line where that is an expression."""
    tree = ast.parse(source)
    *before, last = tree.body
    asked = last.value if isinstance(last, ast.Expr) else None
    tree.body = tree.body if asked is None else before
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, f"cell {number}", "exec"), names)
        value = None
        if asked is not None:
            value = eval(compile(ast.Expression(asked), f"cell {number}", "eval"), names)
    outputs: list[dict[str, Any]] = []
    if printed.getvalue():
        outputs.append(
            {"name": "stdout", "output_type": "stream", "text": printed.getvalue().splitlines(keepends=True)}
        )
    if value is not None:
        result = {"data": shown(value), "execution_count": number, "metadata": {}, "output_type": "execute_result"}
        outputs.append(result)
    return outputs


def shown(value: Any) -> dict[str, Any]:
    """A value as text and, where it is a figure, as a picture."""
    data: dict[str, Any] = {"text/plain": repr(value).splitlines(keepends=True)}
    if isinstance(value, Figure):
        picture = io.BytesIO()
        value.savefig(picture, format="png", metadata={"Software": None})
        data["image/png"] = base64.b64encode(picture.getvalue()).decode() + "\n"
        data["text/plain"] = [f"<Figure with {len(value.axes)} axes>"]
    return data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebook", type=Path)
    path = parser.parse_args().notebook
    done = run_cells(json.loads(path.read_text(encoding="utf-8")), {"__name__": "__main__"})
    path.write_text(json.dumps(done, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
