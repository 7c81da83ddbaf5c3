"""The numbers of the house: how big the package is, how its modules stand on one another, what still repeats.

    python bench/house.py                          this checkout
    python bench/house.py ROOT --json numbers.json another one, and the numbers and lists as JSON too

Works on any checkout, with modules flat in `cache`, `evaluate`, `extract` and `temporal` or in rooms (folders below
these). It reads the source with `ast` and imports nothing of it. How it counts:

- A module is a Python file of the package other than an `__init__.py`, which is the face of its folder. Lines are
  lines of the file, with blank lines and comments.
- An import counts wherever it stands, in a function too, unless it stands under `if TYPE_CHECKING`. Names of modules
  in strings (`import_module`, the command's table) are not seen.
- Import levels are the modules on the longest chain of imports inside one folder, a circle counting once. A name that
  is imported from a face leads to the module that the face has it from, so that faces add no level.
- A room is a folder below one of the four, with all that is in it; a module that stands beside such folders is a room
  of its own, and a flat folder is one room.
- A circle is a set of modules, or of rooms, that reach one another by imports. Here faces do count, and so does the
  face that Python runs before a module below it. Circles that only the imports of type checkers close are told apart.
- A function's lines run from its `def` to its end. Its parameters leave out `self` and `cls`. Functions in commands
  (modules in a folder `commands`, or with a name that ends in `commands`) are not listed, as click decides their shape.
- Repeated blocks are the pairs that the command `duplicates` counts, where it is on the PATH; a pair is two places
  that share six lines or more, to the letter or in their shape.
"""

import argparse
import ast
import json
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

PACKAGE = "ballspot"
FOLDERS = ("cache", "evaluate", "extract", "temporal")
MAX_LINES, MAX_PARAMETERS = 60, 8
DUPLICATES_S = 120

Graph = dict[str, set[str]]
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass
class Source:
    """A Python file of the package. Its name is dotted and starts below the package: `extract.video.probe`."""

    path: Path
    name: str
    is_face: bool
    n_lines: int
    tree: ast.Module
    gives: dict[str, tuple[str, str]] = field(default_factory=dict)
    """For a face: the name that it hands on -> the module that it imports it from, and the name there."""

    @property
    def is_command(self) -> bool:
        return "commands" in self.path.parts[:-1] or self.path.stem.endswith("commands")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("root", type=Path, nargs="?", default=Path(__file__).resolve().parents[1])
    parser.add_argument("--json", type=Path, help="a file to write the numbers to")
    options = parser.parse_args()
    if not all((options.root / folder).is_dir() for folder in FOLDERS):
        parser.error(f"{options.root} is no checkout of {PACKAGE}: give a folder that holds {', '.join(FOLDERS)}")
    numbers = numbers_of(options.root)
    print("\n".join(as_text(numbers)))
    if options.json:
        options.json.write_text(json.dumps(numbers, indent=2) + "\n", encoding="utf-8")


def numbers_of(root: Path) -> dict[str, Any]:
    """Every number of a checkout, with the places where a number is a list of them."""
    sources = read_package(root)
    modules = [source for source in sources.values() if not source.is_face]
    held = Counter(str(source.path.parent) for source in modules)
    fullest = max(held, key=lambda folder: held[folder])
    uses, runs = import_graphs(sources)
    _, checked = import_graphs(sources, type_checking=True)
    rooms = rooms_of(sources)
    room_graph = grouped(runs, rooms)
    functions = [found for source in modules if not source.is_command for found in functions_of(source)]
    return {
        "modules": len(modules),
        "median_lines": median(source.n_lines for source in modules),
        "longest_module": max([source.n_lines, str(source.path)] for source in modules),
        "fullest_folder": [fullest, held[fullest]],
        "folders": {folder: figures_of(folder, modules, uses, rooms, room_graph) for folder in FOLDERS},
        "package_lines": sum(source.n_lines for source in sources.values()),
        "long_functions": places(functions, lambda found: found["lines"], MAX_LINES),
        "functions_with_many_parameters": places(functions, lambda found: found["parameters"], MAX_PARAMETERS),
        "ignored_imports": ignored_imports(root),
        "module_circles": circles(runs),
        "room_circles": circles(room_graph),
        "type_checking_circles": [part for part in circles(checked) if part not in circles(runs)],
        "test_lines": sum(n_lines(path) for path in python_files(root / "tests")),
        "repeated_blocks": repeated_blocks(root),
    }


def figures_of(
    folder: str, modules: list[Source], uses: Graph, rooms: Mapping[str, str], room_graph: Graph
) -> dict[str, int]:
    """Modules and import levels of one of the four folders, and the rooms below it and their levels."""
    inside = [source.name for source in modules if source.path.parts[0] == folder]
    inner_rooms = {rooms[name] for name in inside}
    return {
        "modules": len(inside),
        "levels": levels(below(uses, folder), inside),
        "rooms": len(inner_rooms),
        "room_levels": levels(below(room_graph, folder), inner_rooms),
    }


def as_text(numbers: dict[str, Any]) -> Iterator[str]:
    longest, (fullest, held) = numbers["longest_module"], numbers["fullest_folder"]
    blocks = numbers["repeated_blocks"]
    long, many = numbers["long_functions"], numbers["functions_with_many_parameters"]
    yield f"modules                               {numbers['modules']}"
    yield f"median lines of a module              {numbers['median_lines']:g}"
    yield f"longest module                        {longest[0]} lines ({longest[1]})"
    yield f"modules in the fullest folder         {held} ({fullest})"
    yield f"lines of package code in Python       {numbers['package_lines']}"
    yield f"lines of tests                        {numbers['test_lines']}"
    yield f"functions above {MAX_LINES} lines              {len(long)}, outside commands"
    yield f"functions above {MAX_PARAMETERS} parameters          {len(many)}, outside commands"
    yield f"ignored imports in the contracts      {len(numbers['ignored_imports'])}"
    yield f"circles of modules                    {len(numbers['module_circles'])}"
    yield f"circles of rooms                      {len(numbers['room_circles'])}"
    yield f"circles for type checkers only        {len(numbers['type_checking_circles'])}"
    yield f"repeated blocks of six lines or more  {'not counted' if blocks is None else blocks}"
    yield ""
    yield f"{'folder':10}{'modules':>9}{'levels':>8}{'rooms':>7}{'levels of rooms':>17}"
    for folder, row in numbers["folders"].items():
        room_levels = row["room_levels"] if row["rooms"] > 1 else "-"
        yield f"{folder:10}{row['modules']:9}{row['levels']:8}{row['rooms']:7}{room_levels:>17}"
    yield from listed(f"functions above {MAX_LINES} lines, outside commands", map(told, long))
    yield from listed(f"functions above {MAX_PARAMETERS} parameters, outside commands", map(told, many))
    yield from listed("ignored imports", numbers["ignored_imports"])
    yield from listed("circles of modules", map(", ".join, numbers["module_circles"]))
    yield from listed("circles of rooms", map(", ".join, numbers["room_circles"]))
    yield from listed("circles for type checkers only", map(", ".join, numbers["type_checking_circles"]))


def told(found: dict[str, Any]) -> str:
    return f"{found['place']} {found['function']}: {found['lines']} lines, {found['parameters']} parameters"


def listed(title: str, rows: Iterable[str]) -> Iterator[str]:
    found = list(rows)
    if found:
        yield from ("", f"{title}:", *(f"  {row}" for row in found))


# the files


def read_package(root: Path) -> dict[str, Source]:
    """The package's sources by name; the root's own `__init__` is named ''."""
    paths = [root / "__init__.py", root / "cli.py", *(path for name in FOLDERS for path in python_files(root / name))]
    sources = {}
    for path in paths:
        text = path.read_text(encoding="utf-8")
        inside = path.relative_to(root)
        is_face = inside.name == "__init__.py"
        name = ".".join(inside.parent.parts if is_face else inside.with_suffix("").parts)
        sources[name] = Source(inside, name, is_face, len(text.splitlines()), ast.parse(text, str(path)))
    for source in sources.values():
        if source.is_face:
            for statement in imports(source.tree.body, type_checking=True):
                for base, name, alias in imported_names(source, statement):
                    source.gives[alias or name] = (base, name)
    return sources


def python_files(folder: Path) -> list[Path]:
    found = folder.rglob("*.py")
    return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))


def n_lines(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


# the imports


def import_graphs(sources: dict[str, Source], type_checking: bool = False) -> tuple[Graph, Graph]:
    """Whose names a module uses, seen through faces; and what has to run for it, faces with it."""
    uses: Graph = {name: set() for name in sources}
    runs: Graph = {name: set() for name in sources}
    for source in sources.values():
        own = faces_above(source.name)  # Python has begun these before the module itself
        for statement in imports(source.tree.body, type_checking):
            for base, name, _ in imported_names(source, statement):
                if base not in sources:
                    continue
                home = home_of(sources, base, name)
                uses[source.name].add(home)
                runs[source.name] |= {home, *faces_above(home), *faces_above(base)} - own
                if home != below_face(base, name):
                    runs[source.name].add(base)  # the name stands in it, so it has to have run up to there
        uses[source.name].discard(source.name)
        runs[source.name].discard(source.name)
    return uses, runs


def imports(body: Iterable[ast.AST], type_checking: bool = False) -> Iterator[ast.Import | ast.ImportFrom]:
    """Import statements at any depth, but for those that only a type checker sees unless they are asked for."""
    for node in body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield node
        elif isinstance(node, ast.If) and not type_checking and is_type_checking(node.test):
            yield from imports(node.orelse)
        else:
            yield from imports(ast.iter_child_nodes(node), type_checking)


def is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else test.id if isinstance(test, ast.Name) else ""
    return name == "TYPE_CHECKING"


def imported_names(source: Source, statement: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str | None]]:
    """(the module it is taken from, the name taken or '', its alias) for all that is taken from the package."""
    if isinstance(statement, ast.Import):
        for alias in statement.names:
            if alias.name.split(".")[0] == PACKAGE:
                yield alias.name[len(PACKAGE) + 1 :], "", alias.asname
        return
    if statement.level:
        folder = source.path.parent.parts[: len(source.path.parent.parts) - statement.level + 1]
        base = ".".join([*folder, *(statement.module or "").split(".")]).strip(".")
    elif (statement.module or "").split(".")[0] == PACKAGE:
        base = (statement.module or "")[len(PACKAGE) + 1 :]
    else:
        return
    for alias in statement.names:
        yield base, alias.name, alias.asname


def home_of(sources: dict[str, Source], base: str, name: str) -> str:
    """The module a name comes from: a module of that name, or what the face has it from, or the base itself."""
    seen = set()
    while name and (base, name) not in seen:
        seen.add((base, name))
        if below_face(base, name) in sources:
            return below_face(base, name)
        if not sources[base].is_face or name not in sources[base].gives:
            return base
        given = sources[base].gives[name]
        if given[0] not in sources:
            return base
        base, name = given
    return base


def below_face(face: str, name: str) -> str:
    return f"{face}.{name}".strip(".")


def faces_above(name: str) -> set[str]:
    parts = name.split(".")
    return {".".join(parts[:depth]) for depth in range(1, len(parts))}


def rooms_of(sources: dict[str, Source]) -> dict[str, str]:
    """Source -> its room. A folder that holds nothing but a face (presets, say) is no room."""
    folders = {source.path.parent.parts for source in sources.values() if not source.is_face}
    rooms = {parts[:2] for parts in folders if len(parts) > 1}
    divided = {parts[0] for parts in rooms}
    found = {}
    for name, source in sources.items():
        parts = source.path.parent.parts
        if parts[:2] in rooms:
            found[name] = ".".join(parts[:2])
        elif parts and parts[0] in divided and not source.is_face:
            found[name] = name
        else:
            found[name] = parts[0] if parts else name
    return found


def grouped(graph: Graph, groups: Mapping[str, str]) -> Graph:
    found: Graph = {group: set() for group in groups.values()}
    for name, targets in graph.items():
        found[groups[name]] |= {groups[target] for target in targets} - {groups[name]}
    return found


def below(graph: Graph, folder: str) -> Graph:
    inside = {name for name in graph if name.split(".")[0] == folder}
    return {name: graph[name] & inside for name in inside}


# the graphs


def levels(graph: Graph, counted: Iterable[str]) -> int:
    """The most levels on a chain of imports; a circle is one level, and what is not counted (a face) is none."""
    weighed = set(counted)
    height: dict[str, int] = {}
    for part in components(graph):  # those that others import come first
        under = max((height[target] for name in part for target in graph[name] - part), default=0)
        height |= dict.fromkeys(part, under + bool(part & weighed))
    return max(height.values(), default=0)


def circles(graph: Graph) -> list[list[str]]:
    return sorted(sorted(part) for part in components(graph) if len(part) > 1)


def components(graph: Graph) -> list[set[str]]:
    """Strongly connected components, each after all that it reaches (Tarjan)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[set[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in sorted(graph[name]):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            cut = stack.index(name)
            found.append(set(stack[cut:]))
            del stack[cut:]

    for name in sorted(graph):
        if name not in index:
            visit(name)
    return found


# the functions, the contracts, the repeats


def functions_of(source: Source) -> Iterator[dict[str, Any]]:
    """Each function and method of a module, nested ones too, with its lines and parameters."""
    for node in ast.walk(source.tree):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, Function):
                yield {
                    "place": f"{source.path}:{child.lineno}",
                    "function": f"{node.name}.{child.name}" if isinstance(node, ast.ClassDef) else child.name,
                    "lines": (child.end_lineno or child.lineno) - child.lineno + 1,
                    "parameters": n_parameters(child, isinstance(node, ast.ClassDef)),
                }


def n_parameters(function: Function, is_method: bool) -> int:
    arguments = function.args
    named = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    is_static = any(isinstance(mark, ast.Name) and mark.id == "staticmethod" for mark in function.decorator_list)
    return len(named) + bool(arguments.vararg) + bool(arguments.kwarg) - (is_method and not is_static)


def places(functions: list[dict[str, Any]], size: Callable[[dict[str, Any]], int], most: int) -> list[dict[str, Any]]:
    return sorted(
        (found for found in functions if size(found) > most), key=lambda found: (-size(found), found["place"])
    )


def ignored_imports(root: Path) -> list[str]:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    contracts = project.get("tool", {}).get("importlinter", {}).get("contracts", [])
    return [row for contract in contracts for row in contract.get("ignore_imports", [])]


def repeated_blocks(root: Path) -> str | None:
    """The line in which `duplicates` counts its pairs; None where there is no such command."""
    if not shutil.which("duplicates"):
        return None
    line = ["duplicates", "--most", "200", "--seconds", str(DUPLICATES_S), "--repo", str(root)]
    told = subprocess.run(line, capture_output=True, text=True, check=True).stdout.splitlines()
    return "; ".join([*told[:1], *(row for row in told if row.startswith("incomplete:"))])


if __name__ == "__main__":
    main()
