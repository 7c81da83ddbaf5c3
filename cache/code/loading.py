"""Own code as objects: its file run once, what it defines called with what it asks for, its errors in one line."""

import importlib
import inspect
import linecache
import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from ..errors import BallspotError
from .places import source_of
from .reference import Reference, definition, installed_file, parse_reference

LONGEST = 160


def load_code(text: str) -> Any:
    """What a name with a digest stands for. Its file is run once in a process, under a module name of its own.

    Raises BallspotError where the file is not the one of the digest or may not run, cannot be run, or does not itself
    define the name: a record could else call whatever a trusted file imports.
    """
    found = parse_reference(text)
    if not found.digest:
        raise BallspotError(f"{found.short}: has no digest; name it with --head, --set or --backbone")
    file, content = source_of(found)
    _require_definition(found, file, content)
    module = sys.modules.get(_module_name(found)) or _run(found, file, content)
    try:
        return getattr(module, found.name)
    except AttributeError as error:
        raise BallspotError(f"{file}: has no {found.name} after it was run; define it at the top level") from error


def wanted_names(text: str, target: Callable[..., Any]) -> dict[str, bool]:
    """The parameters of a class or function that can be given by name, and whether each must be given.

    Raises BallspotError for one that takes a parameter by its place alone.
    """
    short = parse_reference(text).short
    try:
        parameters = inspect.signature(target).parameters.values()
    except (TypeError, ValueError) as error:
        raise BallspotError(f"{short}: cannot be called ({error}); name a class or a function") from error
    names = {}
    for one in parameters:
        if one.kind is one.POSITIONAL_ONLY:
            raise BallspotError(f"{short}: takes {one.name!r} by its place alone; leave out the `/`")
        if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY):
            names[one.name] = one.default is one.empty
        elif one.kind is one.VAR_KEYWORD:
            names["**"] = False
    return names


def called(text: str, offered: Mapping[str, Any], *, when: str = "when it was made") -> Any:
    """What the class or function of that name gives, called with what it asks for of ``offered``, and its options.

    An option goes before what is offered under its name; ``when`` says, in errors, at what time it was called.

    Raises BallspotError for a parameter that nothing gives, an option that it does not take, and whatever it raises.
    """
    found, target = parse_reference(text), load_code(text)
    names, options = wanted_names(text, target), found.values()
    unknown = [name for name in options if name not in names and "**" not in names]
    if unknown:
        takes = ", ".join(name for name in names if name != "**") or "none"
        raise BallspotError(f"{found.short}: has no parameter {unknown[0]!r}; it takes {takes}")
    missing = [name for name, must in names.items() if must and name not in options and name not in offered]
    if missing:
        raise BallspotError(
            f"{found.short}: asks for {missing[0]!r}, which is neither given nor an option; give it a default, or "
            f"write {found.name}({missing[0]}=...); given are {', '.join(offered)}"
        )
    given = {name: offered[name] for name in names if name in offered}
    try:
        return target(**{**given, **options})
    except Exception as error:
        if is_memory(error):
            raise
        raise blamed(text, error, when) from error


def blamed(text: str, error: BaseException, when: str) -> BallspotError:
    """The error in own code as one line: its file, line, kind and text, and ``when`` it came."""
    found = parse_reference(text)
    file, line, trace = str(found.file), None, error.__traceback__
    own = {getattr(sys.modules.get(_module_name(found)), "__file__", None), file}
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in own:
            file, line = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next
    said = " ".join(str(error).split())[:LONGEST]
    place = f"{file}, line {line}" if line else file
    return BallspotError(f"{place}: {found.name} {when}: {type(error).__name__}: {said or 'no text'}; correct the code")


def is_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, which the command line tells in its own way."""
    return (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error)
    )


@lru_cache(maxsize=64)
def _require_definition(found: Reference, file: str, content: bytes) -> None:
    definition(found, file, content, found.short)  # losses are loaded at every step: read once


def _module_name(found: Reference) -> str:
    return f"ballspot_own_{found.digest[:32]}"


def _run(found: Reference, file: str, content: bytes) -> ModuleType:
    name = _module_name(found)
    if not found.is_file and installed_file(found.file) == Path(file):
        try:
            module = importlib.import_module(found.file)
        except Exception as error:
            raise blamed(str(found), error, "when its module was imported") from error
        sys.modules[name] = module
        return module
    module = ModuleType(name)
    module.__file__ = file
    sys.modules[name] = module  # dataclasses and typing look their module up
    lines = content.decode(errors="replace").splitlines(keepends=True)
    linecache.cache[file] = (len(content), None, lines, file)
    try:
        exec(compile(content, file, "exec"), module.__dict__)
    except (Exception, SystemExit) as error:
        raised = blamed(str(found), error, "when its file was run")
        del sys.modules[name]
        hint = "; one file holds it all, and imports only what is installed" if isinstance(error, ImportError) else ""
        raise BallspotError(str(raised).removesuffix("; correct the code") + (hint or "; correct the code")) from error
    return module
