"""How many small faults the tests find: puts one after the other into a copy of the package and runs its tests.

    python bench/mutate.py [--number 50] [--seed 0] [--contexts .coverage] [--minutes 5] [--first 1]
        [--only MODULE:LINE ...]

Lines are drawn evenly from those that can hold a fault (see mutations.py), one fault a line. With a coverage file that
`make coverage` left, the tests of a fault are the file that imports its module by the fewest steps, and the functions
that run its statement; of a line that no test's own code runs (imports, fixtures, processes started by tests) the six
nearest files. They stop at the first failure; the test that failed is run again without the fault, and only one that
then passes counts. Prints a line a fault, a table, and the difference of every survivor.
"""

import argparse
import ast
import difflib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mutations import Mutation, mutations_of

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("cache", "evaluate", "temporal", "extract")
MOST_TESTS = 60
MOST_FILES = 6
KILLED, SURVIVED, TIMED_OUT, UNTESTED, UNCLEAR = "killed", "survived", "timed out", "no test", "unclear"


@dataclass(frozen=True)
class Fault:
    """A mutation in a module, its path below the root."""

    path: Path
    mutation: Mutation

    def difference(self) -> str:
        """The lines that change, as a unified diff without context."""
        source = (ROOT / self.path).read_bytes()
        old, new = (text.decode().splitlines() for text in (source, self.mutation.apply(source)))
        return "\n".join(difflib.unified_diff(old, new, str(self.path), str(self.path), n=1, lineterm=""))


def tracked(*patterns: str) -> list[Path]:
    listed = subprocess.run(["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=True)
    return [Path(line) for line in listed.stdout.splitlines()]


def draw_faults(number: int, seed: int, only: Sequence[str] = ()) -> list[Fault]:
    """``number`` faults on different lines, drawn evenly over lines; or one on each line of ``only``."""
    chance = random.Random(seed)
    by_line: dict[tuple[Path, int], list[Fault]] = {}
    for path in sorted(path for path in tracked("*.py") if path.parts[0] in PACKAGES):
        for mutation in mutations_of((ROOT / path).read_bytes()):
            by_line.setdefault((path, mutation.line), []).append(Fault(path, mutation))
    print(f"{sum(map(len, by_line.values()))} faults on {len(by_line)} lines", file=sys.stderr)
    if only:
        places = [(Path(path), int(line)) for path, _, line in (one.rpartition(":") for one in only)]
        return [fault for place in places for fault in by_line[place]]
    return [chance.choice(by_line[place]) for place in chance.sample(sorted(by_line), min(number, len(by_line)))]


def imported(path: Path) -> set[str]:
    """Names that a file may import, inside functions too: "cache.stores.store" for that module by any way.

    `cli.py` names its commands' modules in strings; any "extract.commands" in it counts.
    """
    tree, names = ast.parse((ROOT / path).read_bytes()), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = path.parent.parts[: len(path.parent.parts) - node.level + 1] if node.level else ()
            module = ".".join([*base, *filter(None, [node.module])]).removeprefix("ballspot.")
            names |= {module, *(f"{module}.{alias.name}".removeprefix("ballspot.") for alias in node.names)}
        elif isinstance(node, ast.Import):
            names |= {alias.name.removeprefix("ballspot.") for alias in node.names}
        elif path == Path("cli.py") and isinstance(node, ast.Constant) and isinstance(node.value, str):
            names.add(node.value)
    return names


class Importers:
    """Which tests reach a module by imports, and by how many."""

    def __init__(self) -> None:
        sources = [path for path in tracked("*.py") if path.parts[0] not in ("bench", "docs", "examples")]
        names = {".".join(path.with_suffix("").parts): path for path in sources}
        self.importers: dict[Path, set[Path]] = {}
        for path in sources:
            for name in imported(path) & names.keys():
                self.importers.setdefault(names[name], set()).add(path)

    def nearest(self, path: Path) -> list[str]:
        """Test files, those that import the module by the fewest steps first."""
        seen, edge, tests = {path}, {path}, []
        while edge and len(tests) < MOST_FILES:
            edge = {user for one in edge for user in self.importers.get(one, ())} - seen
            seen |= edge
            found = sorted(user for user in edge if user.name.startswith("test_"))
            tests += sorted(found, key=lambda user: (path.stem not in user.stem, user.parent.name != path.parts[0]))
        return [str(test) for test in tests[:MOST_FILES]]


class Contexts:
    """Which tests ran a line, from a coverage file with a context a test function."""

    def __init__(self, file: Path) -> None:
        from coverage import CoverageData

        self.data: Any = CoverageData(str(file))
        self.data.read()
        self.lines: dict[Path, dict[int, list[str]]] = {}

    def tests(self, fault: Fault) -> list[str]:
        """Node ids of the tests that ran the statement up to the fault's line, those of the module's own file first."""
        path, places = fault.path, (fault.mutation.line, fault.mutation.statement)
        if path not in self.lines:
            self.lines[path] = self.data.contexts_by_lineno(str(ROOT / path))
        wanted = (context for line in places for context in self.lines[path].get(line, ()))
        functions = dict.fromkeys(one for one in wanted if one.startswith("tests."))
        nodes = (f"{name.replace('.', '/')}.py::{test}" for name, _, test in (one.rpartition(".") for one in functions))
        return sorted(nodes, key=lambda node: (path.stem not in node, f"/{path.parts[0]}/" not in node))[:MOST_TESTS]


class Copy:
    """A scratch copy of the tree in which faults are put, tried and taken out."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "ballspot"
        for path in tracked():
            (self.root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / path, self.root / path)
        (self.root / ".typing").mkdir()
        (self.root / ".typing" / "ballspot").symlink_to("..")
        if (ROOT.parent / "shared").is_dir():
            (folder / "shared").symlink_to((ROOT.parent / "shared").resolve())
        # Without byte code: a fault of the same length within the same second would not be seen.
        self.environment = {**os.environ, "PYTHONPATH": str(self.root / ".typing"), "PYTHONDONTWRITEBYTECODE": "1"}

    def run(self, tests: Iterable[str], limit_s: float) -> tuple[int | None, str]:
        """pytest's exit code, None past the limit, and what it printed."""
        line = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "-p", "no:cacheprovider", *tests]
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                line, cwd=self.root, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end(process)
            output.seek(0)
            return code, output.read().decode(errors="replace")

    def try_fault(self, fault: Fault, tests: Sequence[str], limit_s: float) -> tuple[str, str]:
        """What became of a fault, and the test that found it or the last line printed."""
        if not tests:
            return UNTESTED, ""
        source = (ROOT / fault.path).read_bytes()
        (self.root / fault.path).write_bytes(fault.mutation.apply(source))
        try:
            code, output = self.run(tests, limit_s)
        finally:
            (self.root / fault.path).write_bytes(source)
        if code in (0, None):
            return (SURVIVED if code == 0 else TIMED_OUT), f"{len(tests)} tests or files"
        failed = re.search(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", output, re.MULTILINE)  # names may hold spaces
        again, _ = self.run([failed[1]] if failed else tests[:1], limit_s)
        last = (output.strip().splitlines() or [""])[-1]
        return (KILLED, failed[1] if failed else last) if again == 0 else (UNCLEAR, last)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ends what a test run left, by its process group."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()


def table(outcomes: Sequence[tuple[Fault, str]]) -> str:
    """A Markdown table: a row a package."""
    kinds = (KILLED, SURVIVED, TIMED_OUT, UNTESTED, UNCLEAR)
    lines = [f"| package | faults | {' | '.join(kinds)} |", "|---" * (len(kinds) + 2) + "|"]
    for package in (*PACKAGES, "all"):
        counts = Counter(outcome for fault, outcome in outcomes if package in (fault.path.parts[0], "all"))
        lines.append(f"| {package} | {counts.total()} | {' | '.join(str(counts[kind]) for kind in kinds)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=50, help="faults to try (50)")
    parser.add_argument("--seed", type=int, default=0, help="decides which (0)")
    parser.add_argument("--contexts", type=Path, help="coverage file of the whole suite; none: by imports alone")
    parser.add_argument("--minutes", type=float, default=5.0, help="limit of one fault's tests, minutes (5)")
    parser.add_argument("--first", type=int, default=1, help="begin with the fault of this number (1): go on")
    parser.add_argument("--only", nargs="+", default=[], metavar="MODULE:LINE", help="every fault of these lines")
    options = parser.parse_args()
    faults = draw_faults(options.number, options.seed, options.only)
    contexts = Contexts(options.contexts.resolve()) if options.contexts else None
    importers, outcomes = Importers(), []
    with tempfile.TemporaryDirectory(prefix="mutate-") as folder:
        copy = Copy(Path(folder))
        for number, fault in list(enumerate(faults, 1))[options.first - 1 :]:
            begun = time.monotonic()
            tests = importers.nearest(fault.path)
            if contexts and (nodes := contexts.tests(fault)):
                tests = tests[:1] + [node for node in nodes if node.partition("::")[0] not in tests[:1]]
            outcome, told = copy.try_fault(fault, tests, 60 * options.minutes)
            outcomes.append((fault, outcome))
            place = f"{fault.path}:{fault.mutation.line}"
            print(f"{number:3} {outcome:9} {place}  {told}  {time.monotonic() - begun:.0f} s", flush=True)
            if outcome != KILLED:
                print(fault.difference(), flush=True)
    print(table(outcomes))


if __name__ == "__main__":
    main()
