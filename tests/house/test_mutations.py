"""The faults that `bench/mutate.py` puts into the package."""

import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SPEC = importlib.util.spec_from_file_location("mutations", ROOT / "bench" / "mutations.py")
assert SPEC is not None and SPEC.loader is not None
mutations = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(mutations)


def mutants(source: str) -> list[str]:
    encoded = source.encode()
    return [one.apply(encoded).decode() for one in mutations.mutations_of(encoded)]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a < b <= c", ["a <= b <= c", "a < b < c", "pass"]),
        ("x = a is not b", ["x = a is b"]),
        ("x = (a) not in (\n    b)", ["x = (a) in (\n    b)"]),
        ("x = a and b or not c", ["x = a and b and not c", "x = a or b or not c", "x = a and b or c"]),
        ("x += 2", ["x -= 2", "x += 3", "x += (1)"]),
        ("x = 'ü' + y", ["x = 'ü' - y"]),
        ("x = 0.5 if t else 0.0", ["x = 0.5 if (not (t)) else 0.0", "x = 1.0 if t else 0.0", "x = 0.5 if t else 1.0"]),
        ("x = min(a.argmax())", ["x = max(a.argmax())", "x = min(a.argmin())"]),
        ("def f():\n    return True", ["def f():\n    return None", "def f():\n    return False"]),
        ("a.b = c", ["pass"]),
        ("while a: break", ["while (not (a)): break", "while a: continue"]),
        ("x = a  # < b\nx = [y for y in z if y]", ["x = a  # < b\nx = [y for y in z if (not (y))]"]),
    ],
)
def test_these_are_all_faults_of_a_line(source: str, expected: list[str]):
    assert sorted(mutants(source)) == sorted(expected)


@pytest.mark.parametrize(
    "source",
    ["'text'", "def f(x: int | None = None) -> int | None: ...", "@d(1)\ndef f(): ...", "x = f'{1 + 1}'", "import a"],
)
def test_texts_types_decorators_and_imports_are_left_alone(source: str):
    assert mutants(source) == []


def test_a_fault_knows_the_lines_of_its_statement():
    (found,) = mutations.mutations_of(b"x = [\n    a <\n    b]")
    assert (found.line, found.statement) == (2, 1)
