"""What the fuzzers read: stores, feature sets, part files, and the requests that the viewer's server answers."""

import random
from contextlib import redirect_stderr
from fractions import Fraction
from io import BytesIO, StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from fuzz_damage import Target, in_turn, json_line_values
from fuzz_packings import store_values

from ballspot.cache.stores.journal import Journal, Segment, read_header, read_journals
from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.sets import find_sets, open_feature_set
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import FeatureStore, write_store
from ballspot.cache.stores.verify import verify
from ballspot.evaluate.viewer.server import HEADERS, Resource, ViewHandler

VIDEO = bytes(range(256)) * 4
SECRET = b"what lies beside the video"
REQUEST = b'GET /video/1?x=1 HTTP/1.1\r\nHost: 127.0.0.1:80\r\nRange: bytes=2-5\r\nIf-Range: "a"\r\n\r\n'
LIST = b"HEAD /view.json HTTP/1.1\r\nHost: localhost:80\r\nConnection: close\r\n\r\n"
ODD_WORDS = (
    b"GET", b"HEAD", b"POST", b"", b" ", b"HTTP/1.0", b"HTTP/0.9", b"HTTP/9.9", b"HTTP/1.1.1", b"/", b"/secret.txt",
    b"/../secret.txt", b"/video/%31", b"//video/1", b"http://127.0.0.1:80/video/1", b"*", b"\xff", b"\x00", b"\r\n",
    b"\r\n\r\n", b"Host: evil", b"Host: 127.0.0.1:80", b"Range: bytes=-0", b"Range: bytes=99999999999999999999-",
    b"Range: bytes=5-2", b"Range: bytes=0-0,2-3", b"Range: \xb2", b"Expect: 100-continue", b"Content-Length: 5",
    b"A" * 70000, b"a: b\r\n" * 150,
)  # fmt: skip


def store_targets(folder: Path) -> dict[str, Target]:
    """A store alone, as part of its set, and what `cache verify` says of it; part files."""
    blocks = [Block(np.arange(5), {view: np.ones((5, 3), np.float16) for view in ("original", "hflip")}, np.array([2]))]
    extraction = {"backbone": "b", "stride": 1, "size": [64, 96], "dtype": "float16", "views": {"hflip": {}}}
    header = StoreHeader(
        "m", Fraction(25), 5, 5, 3, FeatureSpec.read(extraction), ("original", "hflip"), video_name="v.mp4"
    )
    samples = []
    for dtype in ("float16", "int8", "float32"):
        kind = np.dtype(np.float16 if dtype == "float16" else np.float32)
        rows = [
            Block(one.frame_index, {v: r.astype(kind) for v, r in one.features.items()}, one.substituted)
            for one in blocks
        ]
        path = folder / f"{dtype}.h5"
        of_type = StoreHeader(**{**vars(header), "spec": FeatureSpec.read({**extraction, "dtype": dtype})})
        write_store(path, header=of_type, blocks=rows, frame_time_us=np.arange(5))
        samples.append(path.read_bytes())
    part = folder / "m.h5.part"
    with Journal.open(part, header) as journal:
        for start in (0, 3):
            rows = {view: np.ones((min(3, 5 - start), 3), np.float16) for view in header.views}
            journal.append(Block(np.arange(start, min(start + 3, 5)), rows))
    stores = tuple(samples)

    def read_part(path: Path) -> None:
        def take_up() -> None:
            Journal.open(path, header, segment=Segment(0, 5)).close()

        in_turn(
            lambda: read_header(path),
            lambda: list(read_journals([path])),
            lambda: list(find_sets(path.parent)),
            take_up,
        )

    return {
        "store": Target(stores, folder / "one" / "m.h5", _read_store, store_values),
        "feature set": Target(
            stores, folder / "set" / "m.h5", lambda path: open_feature_set(path.parent), store_values
        ),
        "verify": Target(stores, folder / "verified" / "m.h5", _verify, store_values),
        "part file": Target((part.read_bytes(),), folder / "parts" / "m.h5.part", read_part, json_line_values),
    }


def _read_store(path: Path) -> None:
    with FeatureStore.open(path) as store:
        if store.frame_index.shape != (store.n_rows,):
            raise ValueError(f"frame_index {store.frame_index.shape}")
        for view in store.views:
            if store.read(1, 4, view=view).shape != (3, store.dim) and store.n_rows >= 4:
                raise ValueError(f"view {view!r}: rows of another shape")


def _verify(path: Path) -> object:
    with redirect_stderr(StringIO()):
        return verify(path.parent)


def request_targets(folder: Path) -> dict[str, Target]:
    """Raw requests, as they come over a connection."""
    video = folder / "video.mp4"
    video.write_bytes(VIDEO)
    (folder / "secret.txt").write_bytes(SECRET)
    resources = {
        "/video/1": Resource("video/mp4", path=video),
        "/gone": Resource("video/mp4", path=folder / "gone.mp4"),
        "/view.json": Resource("application/json", make=lambda: b"{}"),
    }
    server: Any = SimpleNamespace(resources=resources, hosts={"127.0.0.1:80", "localhost:80"}, writes=None)

    def answer(path: Path) -> None:
        connection: Any = _Connection(path.read_bytes())
        ViewHandler(connection, ("127.0.0.1", 1), server)
        _check_answer(connection.sent.getvalue())

    return {"requests": Target((REQUEST, LIST, LIST + REQUEST), folder / "request", answer, _request_words)}


class _Connection:
    """A socket that a whole request came in by, and that keeps what is sent."""

    def __init__(self, received: bytes) -> None:
        self.received, self.sent = BytesIO(received), BytesIO()

    def makefile(self, mode: str, _size: int = -1) -> BytesIO:
        return self.received if "r" in mode else self.sent

    def sendall(self, data: bytes) -> None:
        self.sent.write(data)

    def settimeout(self, _seconds: float) -> None: ...

    def setsockopt(self, *_option: int) -> None: ...


def _check_answer(sent: bytes) -> None:
    """Raises ValueError unless nothing was sent, or an answer that is whole and what it says."""
    if SECRET in sent:
        raise ValueError("a file that stands in no table was sent")
    if not sent.startswith(b"HTTP/"):
        if sent not in VIDEO and sent != b"{}" and b"\n" not in sent[-1:] and b"<" not in sent[:9]:
            raise ValueError(f"an answer without a head: {sent[:60]!r}")
        return
    head, _, body = sent.partition(b"\r\n\r\n")
    fields = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    status = int(head.split(b" ", 2)[1])
    if status in (200, 206) and any(fields.get(name.encode()) != value.encode() for name, value in HEADERS.items()):
        raise ValueError(f"a header is missing: {head!r}")
    if status == 206:
        start, end = (int(part) for part in fields[b"Content-Range"].split(b"/")[0].split()[1].split(b"-"))
        if not body.startswith(VIDEO[start : end + 1]) or int(fields[b"Content-Length"]) != end + 1 - start:
            raise ValueError(f"other bytes than those of {head!r}")


def _request_words(draw: random.Random, content: bytes) -> bytes:
    """A request with some of its words or lines replaced, repeated or removed."""
    parts = content.replace(b"\r\n", b" \r\n ").split(b" ")
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(len(parts))
        kind = draw.randrange(4)
        parts[at : at + (kind > 0)] = [] if kind == 1 else [draw.choice(ODD_WORDS)]
        parts = parts or [b""]
    return b" ".join(parts).replace(b" \r\n ", b"\r\n")
