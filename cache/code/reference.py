"""Names of a user's own code: `heads.py:MyHead` as it is asked for, and the same with its file's digest.

A name is `FILE.py:NAME` or `MODULE:NAME`, with options in brackets where NAME takes some: `heads.py:MyHead(depth=3)`.
What is recorded has the place and the SHA-256 of the file in it, `/folder/heads.py:MyHead@5f0c...`, so that another
file is never taken for it. A loss that judges every class by itself ends with `#sigmoid`: scores hang on that.
"""

import ast
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, Literal

from ..disk import is_file, is_utf8, nearest_name, path_hint
from ..errors import BallspotError
from .trust import remember

Kind = Literal["class", "function"]
MARK = "#sigmoid"
FORM = re.compile(
    r"(?P<file>[^\x00-\x1f\x7f]+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*)(?P<options>\(.*\))?"
    rf"(?:@(?P<digest>[0-9a-f]{{64}})(?P<mark>{MARK})?)?"
)
MOST_TEXT = 1000
MOST_BYTES = 2**20  # of a file of code: a bundle holds it in its header
SHOWN_DIGITS = 8


@dataclass(frozen=True)
class Reference:
    """The parts of a name: file or module, what it is called there, options as text, digest and mark, "" for none."""

    file: str
    name: str
    options: str = ""
    digest: str = ""
    mark: str = ""

    def __str__(self) -> str:
        return f"{self.file}:{self.name}{self.options}" + (f"@{self.digest}{self.mark}" if self.digest else "")

    @property
    def is_file(self) -> bool:
        """Whether a file is named, not a module that is installed."""
        return self.file.endswith(".py")

    @property
    def short(self) -> str:
        """The name as one says it: without folders, options and digest."""
        return f"{self.base}:{self.name}"

    @property
    def base(self) -> str:
        """The file's name without its folders; a module's whole name."""
        return re.split(r"[/\\]", self.file)[-1] if self.is_file else self.file

    def values(self) -> dict[str, Any]:
        """The options by their names. Raises BallspotError for what is no list of `name=value` with plain values."""
        try:
            call = ast.parse(f"f{self.options or '()'}", mode="eval").body
            if not isinstance(call, ast.Call) or call.args or any(one.arg is None for one in call.keywords):
                raise ValueError(self.options)
            return {str(one.arg): ast.literal_eval(one.value) for one in call.keywords}
        except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError) as error:
            raise BallspotError(
                f"{self.short}: options {self.options} are not name=value with plain values; write e.g. "
                f"{self.name}(depth=3)"
            ) from error


def is_reference(text: object) -> bool:
    """Whether a value names own code: `FILE.py:NAME` or `MODULE:NAME`."""
    return isinstance(text, str) and len(text) <= MOST_TEXT and FORM.fullmatch(text) is not None


def parse_reference(text: str) -> Reference:
    """The parts of a name. Raises BallspotError for what is none."""
    found = FORM.fullmatch(text) if len(text) <= MOST_TEXT else None
    if found is None:
        raise BallspotError(f"{text[:80]}: names no code; write FILE.py:NAME or MODULE:NAME")
    return Reference(**{name: value or "" for name, value in found.groupdict().items()})


def portable(text: str) -> str:
    """A name that means the same wherever the file lies: without its folders. Other texts as they are."""
    if not is_reference(text):
        return text
    found = parse_reference(text)
    return str(replace(found, file=found.base))


def shown(text: str) -> str:
    """A name as tables show it: without folders, the digest shortened. Other texts as they are."""
    if not is_reference(text):
        return text
    found = parse_reference(text)
    return f"{found.short}{found.options}" + (f"@{found.digest[:SHOWN_DIGITS]}" if found.digest else "")


def portable_table(table: Mapping[str, Any]) -> dict[str, Any]:
    """Nested tables with every name of own code `portable`: what decides a result, wherever its files lie."""
    return _each(table, portable)


def moved_table(table: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Nested tables as a file in ``folder`` holds them, its own code looked for beside it, then where one works."""

    def beside(text: str) -> str:
        found = parse_reference(text) if is_reference(text) else None
        if found is None or not found.is_file or not is_file(folder / found.file):
            return text
        return str(replace(found, file=str((folder / found.file).absolute())))

    return _each(table, beside)


def _each(table: Mapping[str, Any], change: Any) -> dict[str, Any]:
    def changed(value: Any) -> Any:
        if isinstance(value, Mapping):
            return _each(value, change)
        return change(value) if isinstance(value, str) else value

    return {key: changed(value) for key, value in table.items()}


def pin_code(text: str, *, where: str, kind: Kind) -> str:
    """The name with the place and digest that its file has now; nothing is run.

    A name that has a digest already stays as it is; without a folder its file must be of that digest. Such a name is a
    record of somebody's: only one without a digest says that the file is this user's own (`trust`).

    ``where`` says, in errors, who asked for it. A file is looked for in the working folder, a module there and then
    among what is installed. Raises BallspotError for a file that is missing, no Python, or does not define the name.
    """
    found = parse_reference(text)
    if found.digest and (not found.is_file or Path(found.file).is_absolute()):
        return text
    found.values()
    path, is_installed = _find(found.file, where)
    content = read_code(path, where)
    defined = definition(found, path, content, where)
    if kind == "function" and not isinstance(defined, ast.FunctionDef):
        raise BallspotError(f"{where}: {path}: {found.name} is not a function; write `def {found.name}(...)`")
    digest = sha256(content).hexdigest()
    if found.digest not in ("", digest):
        raise BallspotError(
            f"{where}: {path}: its digest is {digest[:SHOWN_DIGITS]}, not {found.digest[:SHOWN_DIGITS]}; bring that "
            "file back, or leave @... out"
        )
    if not found.digest:
        remember(digest)
    mark = MARK if kind == "function" and _takes(defined, "labels") else ""
    place = found.file if is_installed else str(path.resolve())
    return str(replace(found, file=place, digest=digest, mark=mark))


def read_code(path: Path, where: str) -> bytes:
    """The bytes of a file of code. Raises BallspotError where it is missing, unreadable or far too large."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BallspotError(f"{where}: {path}: cannot be read ({error.strerror}); check the path") from error
    if not is_utf8(content):
        raise BallspotError(f"{where}: {path}: is not UTF-8 text; save it as UTF-8")
    if len(content) > MOST_BYTES:
        raise BallspotError(f"{where}: {path}: {len(content)} bytes, above {MOST_BYTES}; keep the code in a small file")
    return content


def _find(file: str, where: str) -> tuple[Path, bool]:
    """The file of a name, and whether it is an installed module's."""
    if file.endswith(".py"):
        path = Path(file)
        if not is_file(path):
            raise BallspotError(f"{where}: {file}: no such file{path_hint(path)}; give FILE.py:NAME, or MODULE:NAME")
        return path, False
    here = Path(*file.split("."))
    for path in (here.with_suffix(".py"), here / "__init__.py"):
        if is_file(path):
            return path, False
    installed = installed_file(file)
    if installed is None:
        raise BallspotError(
            f"{where}: {file}: no module {here.with_suffix('.py')} in the working folder, and none installed; give "
            "FILE.py:NAME, or install it"
        )
    return installed, True


def installed_file(module: str) -> Path | None:
    """The source file of an installed module, None where there is none; no package is imported to find it."""
    folders: list[str] | None = [path for path in sys.path if path]
    spec = None
    for depth, _ in enumerate(module.split("."), start=1):
        spec = PathFinder.find_spec(".".join(module.split(".")[:depth]), folders)
        if spec is None:
            return None
        folders = list(spec.submodule_search_locations or [])
    path = Path(spec.origin) if spec is not None and spec.origin else None
    return path if path is not None and path.suffix == ".py" and is_file(path) else None


def definition(found: Reference, path: Path | str, content: bytes, where: str) -> ast.stmt:
    """The statement at the top level of a file that makes a name: a class, a function, or what a call gives.

    An import, or another name for something imported, is none. Raises BallspotError where there is no such statement.
    """
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line, why = "", str(error)
        if isinstance(error, SyntaxError) and error.lineno:
            line, why = f", line {error.lineno}", error.msg
        raise BallspotError(f"{where}: {path}{line}: is not Python ({why}); correct it") from error
    names: dict[str, ast.stmt] = {}
    for statement in tree.body:
        if isinstance(statement, (ast.ClassDef, ast.FunctionDef)):
            names[statement.name] = statement
        elif isinstance(statement, ast.Assign) and _makes(statement.value, names):
            names |= {target.id: statement for target in statement.targets if isinstance(target, ast.Name)}
        elif isinstance(statement, (ast.Import, ast.ImportFrom)) and _imports(statement, found.name):
            raise BallspotError(f"{where}: {path}: only imports {found.name}; name the file or module that defines it")
    if found.name not in names:
        near = nearest_name(found.name, names)
        hint = f"did you mean {near}?" if near else f"it defines {', '.join(names) or 'nothing'}"
        raise BallspotError(f"{where}: {path}: does not define {found.name}; {hint}")
    return names[found.name]


def _makes(value: ast.expr, names: Mapping[str, ast.stmt]) -> bool:
    return isinstance(value, (ast.Call, ast.Lambda)) or (isinstance(value, ast.Name) and value.id in names)


def _imports(statement: ast.Import | ast.ImportFrom, name: str) -> bool:
    return any((one.asname or one.name) == name for one in statement.names)


def _takes(defined: ast.stmt, name: str) -> bool:
    if not isinstance(defined, ast.FunctionDef):
        return False
    given = defined.args
    return any(one.arg == name for one in (*given.posonlyargs, *given.args, *given.kwonlyargs))
