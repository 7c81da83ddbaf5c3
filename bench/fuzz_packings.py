"""Values inside containers of bytes, damaged: zip files, arrays, safetensors and HDF5 files; see `fuzz_damage`."""

import json
import random
import struct
import zipfile
from collections.abc import Callable
from io import BytesIO
from typing import Any

import h5py
import numpy as np
from fuzz_damage import ODD_VALUES, Packing, damage_bytes, damage_value

from ballspot.cache.disk.fingerprint import fingerprint

ODD_ARRAYS: tuple[Any, ...] = (
    np.zeros(()), np.zeros(0), np.zeros((3, 0)), np.zeros((2, 2, 2)), np.arange(9.0), np.arange(5),
    np.array([b"x"]), np.array(["a", "b"]), np.array([np.nan, np.inf]), np.array(2**63 - 1), np.array([1j]),
    np.array([2**64 - 1], np.uint64), np.array([True]), np.array([(1, 2.0)], dtype=[("a", "<i4"), ("b", "<f8")]),
    np.array(["2020-01-01"], "M8[D]"),
    np.array("text"), np.array(np.inf), np.array(-1), np.float16(1.0), np.array([""]), np.empty((1, 1), "S0"),
)  # fmt: skip
ODD_DESCRIPTIONS = ("<f4", "<i8", "|O", "<U999999999", "garbage", "<f3", "|S0", "<m8", "(", "[('a', '<f4')]", "|V8")
ODD_SHAPES = (
    "()",
    "(3,)",
    "(9999999999,)",
    "(99999999, 99999999)",
    "(-1,)",
    "(2, 3, 4)",
    "'x'",
    "(1.5,)",
    "(",
    "(0, 5)",
)
COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
ODD_SHAPES_OF_SETS = ((), (0,), (5,), (5, 3, 2), (0, 3), (5, 0), (10**12, 3), (7, 3))


def zip_members(draw: random.Random, content: bytes, damaged: Callable[[random.Random, bytes], bytes]) -> bytes:
    """A zip file with one of its members damaged, left out, renamed or there twice, packed anew."""
    if not zipfile.is_zipfile(BytesIO(content)):  # one of several samples of a reader of more than zips
        return damaged(draw, content)
    with zipfile.ZipFile(BytesIO(content)) as archive:
        members = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    at = draw.randrange(len(members))
    name, data = members[at]
    kind = draw.randrange(10)
    if kind == 0:
        del members[at]
    elif kind == 1:
        members[at] = (draw.choice(("", "../x", "a" * 300, f"{name}.", members[0][0])), data)
    else:
        members[at] = (name, damaged(draw, data))
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w", draw.choice((COMPRESSIONS[0], *COMPRESSIONS))) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data)
    return packed.getvalue()


def zip_bytes(draw: random.Random, content: bytes) -> bytes:
    """A zip file with the bytes of one of its members damaged."""
    return zip_members(draw, content, lambda draw, data: damage_bytes(draw, data, ()))


def npz_values(draw: random.Random, content: bytes) -> bytes:
    """An .npz file with one of its arrays replaced by an odd one, or its header or bytes damaged."""
    return zip_members(draw, content, npy_values)


def npy_values(draw: random.Random, content: bytes) -> bytes:
    """An .npy file: another array, another description of the same bytes, or damaged bytes."""
    kind = draw.randrange(3)
    if kind == 0:
        stream = BytesIO()
        np.save(stream, draw.choice(ODD_ARRAYS), allow_pickle=False)
        return stream.getvalue()
    if kind == 1:
        fields = f"'descr': {draw.choice(ODD_DESCRIPTIONS)!r}, 'fortran_order': {draw.choice(('False', 'True', '3'))}"
        head = f"{{{fields}, 'shape': {draw.choice(ODD_SHAPES)}, }}".encode().ljust(117) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + content[128:]
    return damage_bytes(draw, content, ())


def safetensors_values(key: str | None = None, seal: Callable[[Any], Any] = lambda said: said) -> Packing:
    """What damages values of a safetensors header: of the JSON text under ``key``, ``seal``ed anew, or the rest."""

    def damaged(draw: random.Random, content: bytes) -> bytes:
        n_bytes = int.from_bytes(content[:8], "little")
        header, data = json.loads(content[8 : 8 + n_bytes]), content[8 + n_bytes :]
        metadata = header.get("__metadata__", {})
        if key is not None and draw.random() < 0.75:
            metadata[key] = json.dumps(seal(damage_value(draw, json.loads(metadata[key]))))
        elif draw.random() < 0.5:
            header["__metadata__"] = damage_value(draw, metadata)
        elif draw.random() < 0.5:
            header = damage_value(draw, header)
        else:
            data = damage_bytes(draw, data, ())[: len(data)].ljust(len(data), b"\xff")
        head = json.dumps(header).encode()
        return len(head).to_bytes(8, "little") + head + data

    return damaged


def store_values(draw: random.Random, content: bytes) -> bytes:
    """A store with attributes or data sets replaced or removed; its digests are dropped most of the time.

    A store without digests is one from before there were any, and a reader takes it at its word.
    """
    stream = BytesIO(content)
    with h5py.File(stream, "r+") as file:
        for _ in range(draw.choice((1, 1, 2, 3))):
            (_damage_attribute if draw.random() < 0.7 else _damage_data_set)(draw, file)
        if draw.random() < 0.8:
            for name in ("rows_sha256", "header_sha256"):
                file.attrs.pop(name, None)
    return stream.getvalue()


def _damage_attribute(draw: random.Random, file: h5py.File) -> None:
    name = draw.choice(sorted(file.attrs))
    value = file.attrs[name]
    kind = draw.randrange(8)
    if kind == 0:
        del file.attrs[name]
    elif name in ("views", "extraction") and kind < 7:
        document = damage_value(draw, json.loads(str(value)))
        file.attrs[name] = json.dumps(document)
        if name == "extraction" and draw.random() < 0.9:
            file.attrs["fingerprint"] = fingerprint(document)
    elif kind < 4:
        file.attrs[name] = draw.choice(ODD_ARRAYS)
    else:
        odd = draw.choice(ODD_VALUES)
        file.attrs[name] = (
            np.int64(odd) if isinstance(odd, (bool, int)) else odd if odd is not None else h5py.Empty("i8")
        )


def _damage_data_set(draw: random.Random, file: h5py.File) -> None:
    name = draw.choice(("frame_index", "features", "views/hflip", "frame_time_us", "substituted"))
    if name in file:
        del file[name]
    kind = draw.randrange(7)
    dtype = draw.choice(
        (np.int64, np.float16, np.float32, np.float64, np.uint8, np.complex64, "S3", h5py.string_dtype())
    )
    if kind == 0:
        return
    if kind == 1:
        file.create_group(name)
    elif kind == 2:
        file[name] = draw.choice(
            (h5py.SoftLink("/frame_index"), h5py.SoftLink(f"/{name}"), h5py.ExternalLink("x.h5", "/"))
        )
    elif kind == 3:
        file[name] = draw.choice(ODD_ARRAYS[:-1])
    else:
        shape = draw.choice(ODD_SHAPES_OF_SETS)
        chunks = True if shape and kind == 4 and 0 not in shape else None
        if chunks is None and 10**12 in shape:
            shape = (5, 3)
        file.create_dataset(
            name, shape, dtype, chunks=chunks, compression="gzip" if chunks and draw.random() < 0.5 else None
        )
