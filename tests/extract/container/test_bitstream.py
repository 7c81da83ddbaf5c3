"""Whether an H.264 packet is a picture by itself. Bytes by hand, after ITU-T H.264, annexes B and D."""

import pytest

from ballspot.extract.container.bitstream import is_gradual, length_bytes_of

IDR, SLICE = bytes([0x65, 0x88]), bytes([0x41, 0x9A])


def supplement(number: int, payload: bytes) -> bytes:
    """A unit of supplemental information (6) with one message and its closing bit."""
    return bytes([6, number, len(payload)]) + payload + b"\x80"


@pytest.mark.parametrize(
    ("units", "gradual"),
    [
        ([IDR], False),
        ([supplement(6, b"\xc0"), SLICE], False),  # first bit 1: recovered at once
        ([supplement(6, b"\x40"), SLICE], True),  # 010: after one frame
        ([supplement(6, b"\x21"), SLICE], True),  # 00100: after three, with its last bit set
        ([supplement(6, b"\x40"), IDR], False),  # a picture by itself, whatever is said of it
        ([supplement(5, b"\x40"), SLICE], False),  # another kind of message
        ([SLICE], False),
    ],
)
@pytest.mark.parametrize("length_bytes", [0, 2, 4])
def test_a_packet_is_gradual_where_its_recovery_takes_frames(units: list[bytes], gradual: bool, length_bytes: int):
    if length_bytes:
        packet = b"".join(len(unit).to_bytes(length_bytes, "big") + unit for unit in units)
    else:
        packet = b"".join(b"\x00\x00\x01" + unit for unit in units)
    assert is_gradual(packet, length_bytes=length_bytes) is gradual


def test_the_length_of_lengths_is_in_the_extra_data_of_version_1_alone():
    assert [length_bytes_of(one) for one in (None, b"", b"\x00\x00\x00\x01\x67", b"\x01\x64\x00\x1f\xff")] == [
        0,
        0,
        0,
        4,
    ]
