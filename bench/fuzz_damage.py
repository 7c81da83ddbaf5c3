"""How the fuzzers damage a valid file: in its bytes, or in the values that it holds, whatever it packs them in."""

import copy
import json
import random
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomli_w

from ballspot.cache.errors import BallspotError

Packing = Callable[[random.Random, bytes], bytes]  # a file of one kind with values of it damaged


@dataclass(frozen=True)
class Target:
    """One reader: ``samples`` are valid files, ``place`` is where a damaged one goes, ``read`` is given that place.

    ``read`` may return or raise BallspotError; whatever else comes of it is a finding.
    """

    samples: tuple[bytes, ...]
    place: Path
    read: Callable[[Path], object]
    packing: Packing | None = None


def in_turn(*reads: Callable[[], object]) -> None:
    """Does every one of ``reads``, whatever the others refuse; raises the last refusal."""
    refusal = None
    for read in reads:
        try:
            read()
        except BallspotError as error:
            refusal = error
    if refusal is not None:
        raise refusal


ODD_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 3, 10**13, -(10**30), 2**63, 1e308, -0.0, 0.5, "", " ", "0", "-5", "1e5", "1.5", "nan",
    "inf", "١٢", "1 - ", "3 - 00:00", "2 - 99:99", "left", "not shown", "PASS", "pass", "\ud800", "\x00", "a\nb",
    "a" * 5000, "../x", "/", [], {}, [[]], [None], [1, 1], {"label": 1}, {"predictions": []}, [1, "2", {}],
)  # fmt: skip
ODD_BYTES = (
    b"[" * 3000, b"9" * 5000, b"0x" + b"f" * 5000, b"a." * 1200, b"1979-05-27", b"inf", b"\xff\xfe", b"\x00", b"NaN",
    b"-", b'"', b",", b"\r", b"\n", b"=", b"[", b"{",
)  # fmt: skip
ODD_TOML = {  # what TOML can say and JSON cannot, or cannot be held: texts that stand for it until all is written
    "@hex": "0x" + "f" * 5000,
    "@digits": "9" * 5000,
    "@deep": "[" * 3000 + "]" * 3000,
    "@dotted": "{" + "a." * 1200 + "a = 1}",
    "@date": "1979-05-27",
    "@nan": "nan",
    "@minus": "-inf",
}


def damage(draw: random.Random, content: bytes, others: Sequence[bytes], packing: Packing | None) -> bytes:
    """A valid file damaged: in its values where ``packing`` knows how, else, and now and then, in its bytes."""
    if packing is not None and draw.random() < 0.7:
        try:
            return packing(draw, content)
        except Exception:  # noqa: BLE001  a value that its format cannot hold, or content that is no such file
            pass
    return damage_bytes(draw, content, others)


def damage_bytes(draw: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """The bytes cut, flipped, repeated, spliced with ``others`` or with odd texts, once to five times."""
    data = bytearray(content)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at, length = draw.randrange(len(data) + 1), draw.randrange(1, 40)
        kind = draw.randrange(6)
        if kind == 0:
            data = data[:at]
        elif kind == 1 and data:
            data[at % len(data)] = draw.randrange(256)
        elif kind == 2:
            data[at : at + length] = b""
        elif kind == 3:
            data[at:at] = data[at : at + length] * draw.choice((1, 3, 200))
        elif kind == 4 and others:
            other = draw.choice(others)
            data[at:at] = other[draw.randrange(len(other)) :][: length * 4]
        else:
            data[at:at] = draw.choice(ODD_BYTES)
    return bytes(data)


def damage_value(draw: random.Random, document: Any, odd: Sequence[Any] = ODD_VALUES) -> Any:
    """The document with one to three of its values, at any depth, replaced by an ``odd`` one, removed or repeated."""
    document = copy.deepcopy(document)
    for _ in range(draw.choice((1, 1, 2, 3))):
        places = list(_places(document))
        if not places:
            return draw.choice(odd)
        holder, key = draw.choice(places)
        kind = draw.randrange(6)
        if kind == 0:
            del holder[key]
        elif kind == 1 and isinstance(holder, list):
            holder.insert(0, copy.deepcopy(holder[key]))
        elif kind == 2:
            holder[key] = copy.deepcopy(draw.choice(places)[0])
        else:
            holder[key] = copy.deepcopy(draw.choice(odd))
    return document


def _places(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    for key in list(value) if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ():
        found += [(value, key), *_places(value[key])]
    return found


def json_values(draw: random.Random, content: bytes) -> bytes:
    """A JSON file with values of it damaged."""
    return json.dumps(damage_value(draw, json.loads(content))).encode()


def json_line_values(draw: random.Random, content: bytes) -> bytes:
    """A file of a JSON value a line, one of which is damaged; bytes that are no text may follow the first line."""
    lines = content.split(b"\n")
    at = draw.randrange(len([line for line in lines if line[:1] == b"{"]))
    lines[at] = json_values(draw, lines[at])
    return b"\n".join(lines)


def toml_values(draw: random.Random, content: bytes) -> bytes:
    """A TOML file with values of it damaged."""
    table = damage_value(draw, tomllib.loads(content.decode()), (*ODD_VALUES, *ODD_TOML))
    text = tomli_w.dumps(table)
    for stand_in, raw in ODD_TOML.items():
        text = text.replace(f'"{stand_in}"', raw)
    return text.encode()
