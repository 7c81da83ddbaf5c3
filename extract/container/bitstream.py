"""What the bytes of an H.264 packet say that a container does not: whether decoding can really begin there."""

import re
from collections.abc import Iterator

IDR_SLICE, EXTRA_INFORMATION = 5, 6
RECOVERY_POINT = 6


def is_gradual(packet: bytes, *, length_bytes: int) -> bool:
    """True for a packet from which the picture only comes about over the next frames (periodic intra refresh).

    Containers and demuxers call it a key frame as well. `length_bytes` are those of the length before each unit, 0 for
    start codes between them (ITU-T H.264, annexes B and D.1.8: a recovery point whose frame count is not zero).
    """
    gradual = False
    for unit in _units(packet, length_bytes):
        kind = unit[0] & 31 if unit else 0
        if kind == IDR_SLICE:
            return False
        if kind == EXTRA_INFORMATION:
            gradual = (
                gradual
                or any(
                    number == RECOVERY_POINT and payload and not payload[0] & 0x80  # a first bit of 1 stands for zero
                    for number, payload in _messages(unit[1:])
                )
            )
    return gradual


def length_bytes_of(extradata: bytes | None) -> int:
    """How many bytes of length stand before each unit, by a stream's extra data; 0 where start codes do instead."""
    return (extradata[4] & 3) + 1 if extradata and len(extradata) > 4 and extradata[0] == 1 else 0


def _units(packet: bytes, length_bytes: int) -> Iterator[bytes]:
    if length_bytes == 0:
        yield from re.split(b"\x00\x00\x01", packet)[1:]
        return
    at = 0
    while at + length_bytes < len(packet):
        begin = at + length_bytes
        at = begin + int.from_bytes(packet[at:begin], "big")
        yield packet[begin:at]


def _messages(unit: bytes) -> Iterator[tuple[int, bytes]]:
    """Number and payload of each message of a unit of supplemental information."""
    at = 0
    while at + 2 < len(unit):
        values = []
        for _ in range(2):  # both numbers go on while a byte is 255
            value = 0
            while at < len(unit) and unit[at] == 255:
                value, at = value + 255, at + 1
            if at < len(unit):
                value, at = value + unit[at], at + 1
            values.append(value)
        number, n_bytes = values
        yield number, unit[at : at + n_bytes]
        at += n_bytes
