"""JSON text in and out, with errors that name the file."""

import json
from typing import Any

from ...cache.errors import BallspotError


def parse_json(text: str, source: str) -> Any:
    """The value that ``text`` holds. BallspotError naming ``source`` for what is no JSON, too deep or too long."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"{error.msg} at line {error.lineno}, column {error.colno}"
        raise BallspotError(f"{source}: not valid JSON ({where}); restore or rewrite the file") from error
    except (RecursionError, ValueError) as error:  # nested too deeply, or a number of thousands of digits
        raise BallspotError(f"{source}: JSON that cannot be held ({error}); restore or rewrite the file") from error


def to_json(value: Any) -> str:
    """Indented JSON text; NaN is a mistake of the caller (ValueError)."""
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
