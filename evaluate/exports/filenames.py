"""Names of files that every system takes, made of matches and classes that may hold anything."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable

MAX_LETTERS = 80
FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]')  # Windows, and what shows as nothing
RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9\u00b9\u00b2\u00b3]|lpt[0-9\u00b9\u00b2\u00b3])(\..*)?", re.IGNORECASE)


def safe_part(text: str) -> str:
    """One part of a path: no letter that Windows forbids, no device's name, no dot or space at an end, 80 letters."""
    name = FORBIDDEN.sub("_", text)[:MAX_LETTERS].strip(" .").replace(" ", "_")
    while len(name.encode()) > 2 * MAX_LETTERS:
        name = name[:-1]
    return f"_{name}" if not name or RESERVED.fullmatch(name) else name


def safe_names(texts: Iterable[str]) -> dict[str, str]:
    """A different name for each text: its parts between ``/`` made safe; a digest is added where two would be one.

    Letters of either case count as one, since they do on Windows and macOS.
    """
    unique = sorted(set(texts))
    names = {text: "/".join(safe_part(part) for part in text.strip("/").split("/")) for text in unique}
    shared = Counter(name.casefold() for name in names.values())
    return {
        text: name if shared[name.casefold()] == 1 else f"{name}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
        for text, name in names.items()
    }
