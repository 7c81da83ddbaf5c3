"""Where own code lies now: at the place that was recorded, in the copy that a run or set keeps, or in a bundle.

A folder keeps copies in `code/`, and in `code/places.json` where each came from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

from ..disk import is_file, read_json, whole_file, write_json
from ..errors import BallspotError
from .reference import SHOWN_DIGITS, Reference, installed_file, is_reference, parse_reference, portable, read_code
from .trust import is_allowed, may_run

CODE_FOLDER, PLACES_FILE = "code", "places.json"
_held: dict[str, tuple[str, bytes]] = {}  # by digest: code that may run in this process, whatever file it came from


def code_folder(folder: Path) -> Path:
    """Where a run or a feature set keeps its copies."""
    return folder / CODE_FOLDER


def kept_copy(folder: Path, found: Reference) -> Path:
    """The place of the copy of a name's file that ``folder`` keeps, whether it is there or not."""
    stem = found.base.removesuffix(".py").replace(".", "_")
    return code_folder(folder) / f"{stem}-{found.digest[:SHOWN_DIGITS]}.py"


def keep_code(texts: Iterable[object], folder: Path) -> None:
    """Copies the file of each name among ``texts`` into ``folder``, and writes down where it lay.

    Raises BallspotError for a file that has changed since it was named.
    """
    places: dict[str, str] = {}
    for text in texts:
        if not isinstance(text, str) or not is_reference(text) or not (found := parse_reference(text)).digest:
            continue
        copy, content = kept_copy(folder, found), source_of(found)[1]
        if not copy.is_file() or copy.read_bytes() != content:
            with whole_file(copy) as temporary:
                temporary.write_bytes(content)
        if _is_placed(found):
            places[found.digest] = found.file
    path = code_folder(folder) / PLACES_FILE
    there = _places(folder)
    if places and there != {**there, **places}:
        write_json(path, {**there, **places})


def copy_code(old: Path, new: Path) -> None:
    """Gives the folder ``new`` the copies that ``old`` keeps, and what it says of their places, if there are any."""
    for file in sorted(code_folder(old).glob("*")):
        target = code_folder(new) / file.name
        if not target.exists():
            with whole_file(target) as temporary:
                temporary.write_bytes(file.read_bytes())


def hold(found: Reference, content: bytes, *, source: str) -> None:
    """Lets code of a bundle, or of a copy, run in this process; ``source`` names it in errors."""
    _held[found.digest] = (source, content)


def allow_code(text: str, content: bytes | None, *, owner: str) -> None:
    """Lets a name's code run in this process from ``content``, the bytes of its file that ``owner`` carries.

    Raises BallspotError where they are not of its digest, and for code that this user neither named before nor allows.
    """
    found = parse_reference(text)
    path, source = _own_path(found), f"{found.base} of {owner}"
    if path is not None and _digest(path) == found.digest:
        content, source = path.read_bytes(), str(path)
    if content is None or sha256(content).hexdigest() != found.digest:
        raise BallspotError(f"{owner}: does not hold the code of its {found.short}; export it again")
    if not may_run(found.digest):
        raise _never_named(found, f"{owner}: brings Python code of its own, ", ", which ")
    hold(found, content, source=source)


def source_of(found: Reference) -> tuple[str, bytes]:
    """The name of the file of a name with a digest, and its bytes.

    Raises BallspotError where its file has another digest, is gone and no copy of it was allowed to run, or is there
    and neither named by this user nor allowed: whoever writes a record can find out the digests of public files.
    """
    path = _own_path(found)
    if path is not None:
        content = path.read_bytes()
        if sha256(content).hexdigest() == found.digest:
            if found.digest not in _held and not may_run(found.digest):
                raise _never_named(found)
            return str(path), content
    elif found.digest in _held:
        return _held[found.digest]
    raise _unlike(found, path, None)


def settle_code(text: str, *, near: Path, owner: str) -> str:
    """A recorded name as it can be loaded now; ``near`` is the folder of the run or set that recorded it.

    The file at its recorded place is taken where it is the same; where it is gone, the copy that ``near`` keeps: both
    only if this user has named that code before or allows it. ``owner`` names, in errors, whose code it is. Raises
    BallspotError where the file has changed, and for code that may not run. Other texts are given back.
    """
    if not is_reference(text) or not (found := parse_reference(text)).digest:
        return text
    recorded = _places(near).get(found.digest, "")
    if not _is_placed(found) and is_reference(f"{recorded}:{found.name}"):
        found = replace(found, file=recorded)
    path, copy = _own_path(found), kept_copy(near, found)
    if path is not None and _digest(path) == found.digest:
        if not may_run(found.digest):
            raise _never_named(found, f"{owner}: its code ")
        hold(found, path.read_bytes(), source=str(path))
        return str(found)
    if path is None and found.digest in _held:
        return str(found)
    has_copy = is_file(copy) and sha256(read_code(copy, owner)).hexdigest() == found.digest
    if not has_copy or not (is_allowed() if path is not None else may_run(found.digest)):
        raise _unlike(found, path, copy if has_copy else None, owner=owner)
    hold(found, copy.read_bytes(), source=str(copy))
    return str(found) if path is None else portable(text)


def held_source(text: str) -> tuple[Reference, bytes] | None:
    """A name and the bytes of its file where that may run in this process, None for other texts."""
    if not is_reference(text) or not (found := parse_reference(text)).digest:
        return None
    if found.digest in _held:
        return found, _held[found.digest][1]
    path = _own_path(found)
    return (found, path.read_bytes()) if path is not None and _digest(path) == found.digest else None


def _digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def _is_placed(found: Reference) -> bool:
    return not found.is_file or Path(found.file).is_absolute()


def _own_path(found: Reference) -> Path | None:
    """The file at the place that a name says, None where there is none.

    A place that leads elsewhere by links is none: a record could reach the working folder so.
    """
    if not found.is_file:
        return installed_file(found.file)
    path = Path(found.file)
    return path if path.is_absolute() and is_file(path) and path.resolve() == path else None


def _never_named(found: Reference, what: str = "", joint: str = " ") -> BallspotError:
    """The error for code that this user neither named before nor allows, wherever its file lies."""
    return BallspotError(
        f"{what}{found.short} (digest {found.digest[:SHOWN_DIGITS]}){joint}was never named here; give --trust-code to "
        "run it, where you trust who made it"
    )


def _unlike(found: Reference, path: Path | None, copy: Path | None, *, owner: str = "") -> BallspotError:
    """The error for code that is not what was recorded, or came from elsewhere: both files, and what to do."""
    what = f"{owner}: its code {found.short}" if owner else found.short
    asked = f"{found.digest[:SHOWN_DIGITS]}"
    kept = "" if copy is None else f", kept as {copy}"
    if path is not None:
        digest = _digest(path)[:SHOWN_DIGITS]
        text = f"was recorded with digest {asked}{kept}, and {path} has changed since (digest {digest}); "
        text += "bring that file back, or train or extract again with the new one"
    else:
        text = f"(digest {asked}{kept}) is not at {found.file} any more; bring the file back"
    return BallspotError(f"{what} {text}" + ("" if copy is None else ", or give --trust-code to run the kept copy"))


def _places(folder: Path) -> Mapping[str, str]:
    path = code_folder(folder) / PLACES_FILE
    if not path.is_file():
        return {}
    found = read_json(path)
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise BallspotError(f"{path}: does not say where code came from; remove it")
    return found
