"""No module and no folder grows beyond what a reader takes in at once; and how `bench/house.py` counts."""

import ast
import importlib.util
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE_FOLDERS = {"cache", "evaluate", "extract", "temporal"}
MAX_LINES, MAX_MODULES = 500, 12
SPEC = importlib.util.spec_from_file_location("house", ROOT / "bench" / "house.py")
assert SPEC is not None and SPEC.loader is not None
house = importlib.util.module_from_spec(SPEC)
sys.modules["house"] = house  # its dataclass looks its module up
SPEC.loader.exec_module(house)

in_a_clone = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="only a clone knows which files are its own")


@pytest.fixture(scope="module")
def sources() -> list[Path]:
    line = ["git", "ls-files", "*.py"]
    listed = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    found = [Path(line) for line in listed.splitlines() if (ROOT / line).exists()]
    assert {path.parts[0] for path in found} >= PACKAGE_FOLDERS
    return found


@in_a_clone
def test_no_module_is_longer_than_500_lines(sources):
    lengths = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in sources}
    assert {path: n for path, n in lengths.items() if n > MAX_LINES} == {}


@in_a_clone
def test_no_folder_of_the_package_holds_more_than_12_modules(sources):
    modules = [path for path in sources if path.parts[0] in PACKAGE_FOLDERS and path.name != "__init__.py"]
    held = Counter(str(path.parent) for path in modules)
    assert {folder: n for folder, n in held.items() if n > MAX_MODULES} == {}


@in_a_clone
def test_every_name_of_a_face_is_imported_from_it_by_somebody(sources):
    taken = set()
    for path in sources:
        source = house.Source(path, "", False, 0, ast.parse((ROOT / path).read_text(encoding="utf-8")))
        for statement in house.imports(source.tree.body, type_checking=True):
            taken |= {(base, name) for base, name, _ in house.imported_names(source, statement)}
    faces = {name: face.gives for name, face in house.read_package(ROOT).items() if face.is_face and name}
    assert [f"{face}: {name}" for face, gives in faces.items() for name in gives if (face, name) not in taken] == []


def checkout(root: Path, files: dict[str, str]) -> Path:
    empty = dict.fromkeys([f"{name}__init__.py" for name in ("", "cache/", "evaluate/", "extract/", "temporal/")], "")
    contracts = '[[tool.importlinter.contracts]]\nignore_imports = ["ballspot.extract.a -> ballspot.temporal.**"]\n'
    for name, text in {**empty, "cli.py": "", "tests/test_a.py": "\n\n", "pyproject.toml": contracts, **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    return root


@pytest.fixture
def no_duplicates(monkeypatch):
    monkeypatch.setattr(house.shutil, "which", lambda name: None)


@pytest.mark.usefixtures("no_duplicates")
def test_levels_are_seen_through_faces_and_rooms_are_folders_and_loose_modules(tmp_path):
    files = {
        "extract/video/__init__.py": "from .probe import probe as look\nfrom .frames import frames\n",
        "extract/video/probe.py": "probe = 1\n",
        "extract/video/frames.py": "def frames():\n    from .probe import probe\n",
        "extract/rows/__init__.py": "",
        "extract/rows/job.py": "from ..video import look\n",  # from probe: two levels, and not frames below it
        "extract/demo.py": "import ballspot.extract.rows.job\n",
        "temporal/presets/__init__.py": "",  # a face alone is no room
        "temporal/heads.py": "from ..extract import rows\n",
    }
    numbers = house.numbers_of(checkout(tmp_path, files))
    assert numbers["folders"]["extract"] == {"modules": 4, "levels": 3, "rooms": 3, "room_levels": 3}
    assert numbers["folders"]["temporal"] == {"modules": 1, "levels": 1, "rooms": 1, "room_levels": 1}
    assert numbers["folders"]["cache"] == {"modules": 0, "levels": 0, "rooms": 0, "room_levels": 0}
    assert (numbers["modules"], numbers["fullest_folder"]) == (6, ["extract/video", 2])
    assert (numbers["package_lines"], numbers["test_lines"]) == (8, 2)
    assert numbers["module_circles"] == numbers["room_circles"] == []
    assert numbers["ignored_imports"] == ["ballspot.extract.a -> ballspot.temporal.**"]
    assert numbers["repeated_blocks"] is None


@pytest.mark.usefixtures("no_duplicates")
def test_circles_count_imports_in_functions_and_tell_those_of_type_checkers_apart(tmp_path):
    for_checkers = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .c import c\nelse:\n    c = 1\n"
    files = {
        "cache/a.py": "from .b import b\n",
        "cache/b.py": "def b():\n    if b:\n        from . import a\n",
        "cache/c.py": "from .d import c\n",
        "cache/d.py": for_checkers,
    }
    numbers = house.numbers_of(checkout(tmp_path, files))
    assert numbers["module_circles"] == [["cache.a", "cache.b"]]
    assert numbers["type_checking_circles"] == [["cache.c", "cache.d"]]
    assert numbers["room_circles"] == []
    assert numbers["folders"]["cache"]["levels"] == 2  # c on d; a and b are one level


@pytest.mark.usefixtures("no_duplicates")
def test_rooms_can_stand_in_a_circle_where_no_two_modules_do(tmp_path):
    files = {
        "evaluate/low/__init__.py": "",
        "evaluate/low/a.py": "from ..high.b import b\n",
        "evaluate/low/c.py": "c = 1\n",
        "evaluate/high/__init__.py": "",
        "evaluate/high/b.py": "from ..low.c import c as b\n",
    }
    numbers = house.numbers_of(checkout(tmp_path / "apart", files))
    assert numbers["module_circles"] == []
    assert numbers["room_circles"] == [["evaluate.high", "evaluate.low"]]
    faces = {**files, "evaluate/low/__init__.py": "from .a import b\n"}  # runs a before c
    numbers = house.numbers_of(checkout(tmp_path / "faces", faces))
    assert numbers["module_circles"] == [["evaluate.high.b", "evaluate.low", "evaluate.low.a"]]


@pytest.mark.usefixtures("no_duplicates")
def test_long_functions_and_many_parameters_are_listed_outside_commands(tmp_path):
    names = ", ".join(f"p{index}" for index in range(7))
    method = f"class A:\n    def f(self, {names}, *, last, **more): ...\n    def g(self, {names}, *last): ...\n"
    long = "@cached\ndef long():\n" + "    a = 1\n" * 60 + "def just():\n" + "    a = 1\n" * 59
    files = {"cache/a.py": method + long, "cache/commands/__init__.py": "", "cache/commands/stores.py": long}
    numbers = house.numbers_of(checkout(tmp_path, {**files, "cache/more_commands.py": long}))
    assert numbers["functions_with_many_parameters"] == [
        {"place": "cache/a.py:2", "function": "A.f", "lines": 1, "parameters": 9}
    ]
    assert numbers["long_functions"] == [{"place": "cache/a.py:5", "function": "long", "lines": 61, "parameters": 0}]


def test_the_script_prints_and_writes_the_same_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(house.shutil, "which", lambda name: None)
    root = checkout(tmp_path / "root", {"cache/a.py": "a = 1\n"})
    written = tmp_path / "numbers.json"
    monkeypatch.setattr(sys, "argv", ["house.py", str(root), "--json", str(written)])
    house.main()
    assert house.json.loads(written.read_text()) == house.numbers_of(root)
    assert "modules                               2\n" in capsys.readouterr().out
