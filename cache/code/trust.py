"""Whether code that somebody else may have written can run: what was named here before, or is allowed by its user.

Naming a file in a command runs it, so its digest is remembered: a copy of it in a run, a feature set or a bundle then
runs, too, wherever that was moved. All other code that such a folder or file brings or names waits for `--trust-code`.
"""

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

TRUST_VARIABLE = "BALLSPOT_TRUST_CODE"
MEMORY = "own-code.txt"
_seen: set[str] = set()


def may_run(digest: str) -> bool:
    """Whether code of that digest may run without having been named in this command."""
    return is_allowed() or digest in _seen or digest in _remembered()


def named_code() -> frozenset[str]:
    """The digests that were named in this process: what a process that works for it is to `take_over`."""
    return frozenset(_seen)


def take_over(digests: Iterable[str]) -> None:
    """Lets code run in this process that was named in the one that it works for; nothing is written down."""
    _seen.update(digests)


def is_allowed() -> bool:
    """Whether the user allows all code that comes with what is read: `--trust-code`."""
    return os.environ.get(TRUST_VARIABLE) == "1"


def remember(digest: str) -> None:
    """Takes the digest as that of this user's own code, for later commands where the home folder can be written."""
    if digest in _seen:
        return
    _seen.add(digest)
    if digest in _remembered():
        return
    with suppress(OSError, RuntimeError):
        path = _memory()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="ascii") as stream:
            stream.write(f"{digest}\n")


def _remembered() -> frozenset[str]:
    with suppress(OSError, RuntimeError, ValueError):
        return frozenset(re.findall(r"^[0-9a-f]{64}$", _memory().read_text(encoding="ascii"), re.MULTILINE))
    return frozenset()


def _memory() -> Path:
    """The file of the digests, in the folder that the system has for what a program remembers."""
    folder = os.environ.get("XDG_STATE_HOME") or os.environ.get("LOCALAPPDATA")
    return (Path(folder) if folder else Path.home() / ".local" / "state") / "ballspot" / MEMORY
