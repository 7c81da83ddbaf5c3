"""The examples of docs/reference/python.md, run as they stand, and the notebook."""

import base64
import doctest
import importlib.util
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ballspot

ROOT = Path(ballspot.__file__).parent
PAGE = ROOT / "docs" / "reference" / "python.md"
NOTEBOOK = ROOT / "examples" / "features_to_plot.ipynb"
SPEC = importlib.util.spec_from_file_location("notebook", ROOT / "bench" / "notebook.py")
assert SPEC and SPEC.loader
notebook = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(notebook)


@pytest.fixture
def beside_data(shared, video: Path, tmp_path: Path) -> Iterator[Path]:
    """A working folder with the data root, the features, the run and the video that the page names."""
    for name, target in {
        "DATA": shared.data,
        "features/SET": shared.plain,
        "runs/first": shared.plain_run,
        "my-match.mp4": video,
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(target)
    before = Path.cwd()
    os.chdir(tmp_path)
    yield tmp_path
    os.chdir(before)


def examples() -> str:
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(blocks)


def test_the_examples_of_the_page_give_what_it_says(beside_data: Path) -> None:
    parsed = doctest.DocTestParser().get_doctest(examples(), {}, "python.md", str(PAGE), 0)
    report: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(parsed, out=report.append)
    assert result.attempted > 25 and not result.failed, "".join(report)


def test_every_public_name_has_an_example() -> None:
    shown = examples()
    for name in set(ballspot.__all__) - {"__version__"}:
        assert f"ballspot.{name}" in shown, name


def outputs_of(document: dict) -> list[tuple[str, list[str]]]:
    """What each output of a notebook is: its type and the kinds of its data."""
    given = [output for cell in document["cells"] for output in cell.get("outputs", [])]
    return [(output["output_type"], sorted(output.get("data", {}))) for output in given]


def test_the_notebook_runs_from_features_to_a_plot_and_was_committed_with_what_it_gives() -> None:
    committed = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert NOTEBOOK.stat().st_size < 300_000 and committed["nbformat"] == 4
    names: dict = {}
    done = notebook.run_cells(committed, names)
    assert outputs_of(done) == outputs_of(committed)
    assert [cell.get("execution_count") for cell in done["cells"]] == [
        cell.get("execution_count") for cell in committed["cells"]
    ]
    assert names["found"].result.mean_ap > 0.8  # each event raises one of the features to four times the noise
    for document in (done, committed):
        last = document["cells"][-1]["outputs"][-1]["data"]
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(last["image/png"]))).convert("RGB"))
        assert picture.shape[0] > 200 and len(np.unique(picture.reshape(-1, 3), axis=0)) > 50  # lines, not a blank page
