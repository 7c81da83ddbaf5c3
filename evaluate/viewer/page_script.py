"""The page's modules as one script: opened one by one they take longer than all else that the page does.

A browser asks for a module with a request of its own; 22 of them took half of the time until the spots were drawn. The
script holds each module as a function that gives what the module exports, a module behind those that it imports. It
exports the modules under their names: a test reaches one by ``import('/app.js')``.

What the page's modules may write is what is read here: ``import { a, b as c } from "./module.js"``, ``import
"./module.js"``, and ``export`` before const, function or class. Anything else is refused, and so is a circle.
"""

import re
from pathlib import Path

_IMPORT = re.compile(r'^import (?:\{([^}]*)\} from )?"\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(
    r"^export (?:(?:async )?function\*? (?P<function>[\w$]+)|class (?P<class>\w+)|const (?P<const>[\w$]+) ="
    r"|const \[(?P<several>[^\]]*)\] =)",
    re.MULTILINE,
)


def page_script(folder: Path, start: str = "app") -> str:
    """The module ``start`` of ``folder`` and all that it imports, as one module of JavaScript.

    Raises ValueError where a module imports or exports in another way, or, over others, itself.
    """
    parts: dict[str, str] = {}
    _add(folder, start, parts, ())
    names = ", ".join(f"{_scope(name)} as {name}" for name in parts)
    return "\n".join([*parts.values(), f"export {{ {names} }};\n"])


def _add(folder: Path, name: str, parts: dict[str, str], importers: tuple[str, ...]) -> None:
    """Puts the module ``name`` behind those that it imports."""
    if name in parts:
        return
    if name in importers:
        raise ValueError(f"{name}.js imports itself: {' -> '.join([*importers, name])}")
    text = (folder / f"{name}.js").read_text(encoding="utf-8")
    for found in _IMPORT.finditer(text):
        _add(folder, found[2], parts, (*importers, name))
    parts[name] = _scoped(name, text)


def _scoped(name: str, text: str) -> str:
    """A module as a function of its own that gives what it exports."""
    exported: list[str] = []
    for found in _EXPORT.finditer(text):
        one = found["function"] or found["class"] or found["const"]
        exported += [one] if one else [part.strip() for part in found["several"].split(",")]
    inner = _IMPORT.sub(_taken, text)
    inner = _EXPORT.sub(lambda found: found[0].removeprefix("export "), inner)
    left = re.search(r"^(?:import|export)\b.*", inner, re.MULTILINE)
    if left:
        raise ValueError(f"{name}.js: this way to import or export is not known: {left[0]}")
    return f"// {name}.js\nconst {_scope(name)} = (() => {{\n{inner}\nreturn {{ {', '.join(exported)} }};\n}})();\n"


def _taken(found: re.Match[str]) -> str:
    """What stands in place of an import: the names, taken from the function's result."""
    return f"const {{{found[1].replace(' as ', ': ')}}} = {_scope(found[2])};" if found[1] else ""


def _scope(name: str) -> str:
    return f"module_{name}"
