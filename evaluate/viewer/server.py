"""The local server behind `ballspot view`: a fixed table of addresses, for this machine only.

An address is looked up whole in the table; no part of it is ever taken for a path. What it shows lies behind random
ids, so that a page of another origin cannot guess it. Writing has a table of its own, which is empty but for
`ballspot view --edit`, and asks for a token, the page's own origin and JSON (guard.py).
"""

import json
import os
import re
import secrets
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ...cache.disk import parse_json
from ...cache.errors import BallspotError
from .curves import Curves
from .desk import EditDesk
from .guard import READ_WITHIN_S, Refusal, Writes, body_length, check_request
from .page_script import page_script
from .view import View, ViewedMatch, curves_of, match_record

PAGE = Path(__file__).parent / "page"

PAGE_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

VIDEO_TYPES = {
    ".avi": "video/x-msvideo",
    ".m4v": "video/mp4",
    ".mkv": "video/x-matroska",
    ".mov": "video/quicktime",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mpg": "video/mpeg",
    ".mts": "video/mp2t",
    ".ts": "video/mp2t",
    ".webm": "video/webm",
}

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}

CHUNK_BYTES = 2**18
REMEMBERED_CURVES = 4  # score files whose arrays stay in memory: two sides of a match and of the one before


@dataclass(frozen=True)
class Resource:
    """What stands at one address: a file, sent with ranges, or bytes made when they are asked for."""

    content_type: str
    path: Path | None = None
    make: Callable[[], bytes] = bytes


class ViewServer(ThreadingHTTPServer):
    """Serves ``resources`` at 127.0.0.1 to requests that name this host; ``port`` 0 takes a free one.

    Raises BallspotError when the port cannot be had.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, resources: Mapping[str, Resource], *, port: int = 0, writes: Writes | None = None) -> None:
        self.resources = dict(resources)
        self.writes = writes
        try:
            super().__init__(("127.0.0.1", port), ViewHandler)
        except OSError as error:
            raise BallspotError(
                f"port {port} is not available ({error.strerror}); give another --port, or none"
            ) from error

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Nothing where the browser went away, between two requests or within one; else the traceback."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)

    @property
    def url(self) -> str:
        """Where the page is; with the token of those who may write, where that is possible."""
        page = f"http://127.0.0.1:{self.server_port}/"
        return page if self.writes is None else f"{page}?token={self.writes.token}"

    @property
    def hosts(self) -> set[str]:
        """What the Host header may say: another name that leads here belongs to a page of somebody else."""
        names = ("127.0.0.1", "localhost")
        return {f"{name}:{self.server_port}" for name in names} | (set(names) if self.server_port == 80 else set())


class ViewHandler(BaseHTTPRequestHandler):
    """Answers GET and HEAD, and POST where the server has something to write."""

    server: ViewServer  # pyright: ignore[reportIncompatibleVariableOverride]
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "ballspot", ""
    disable_nagle_algorithm = True  # else a body waits, 40 ms, until the browser has confirmed the head before it

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def parse_request(self) -> bool:
        """Reads the head of a request; False, after an answer, where it is malformed or of another method."""
        if not super().parse_request():
            return False
        known = ("GET", "HEAD") if self.server.writes is None else ("GET", "HEAD", "POST")
        if self.command in known:
            return True
        self.close_connection = True  # a body may follow, which is not read
        said = f"only {', '.join(known[:-1])} and {known[-1]}\n".encode()
        self._send(HTTPStatus.METHOD_NOT_ALLOWED, said, more={"Allow": ", ".join(known)})
        return False

    def do_POST(self) -> None:
        writes = self.server.writes
        assert writes is not None  # noqa: S101  parse_request let it pass
        closes, self.close_connection = self.close_connection, True  # until the body is read
        try:
            check_request(self.headers, hosts=self.server.hosts, token=writes.token)
            write = writes.table.get(self.path)
            if write is None:
                raise Refusal(HTTPStatus.NOT_FOUND, "nothing here")
            body = self._read(body_length(self.headers))
            self.close_connection = closes
            status, record = write(parse_json(body, "the request"))
        except Refusal as refusal:
            self._send(refusal.status, f"{refusal}\n".encode("utf-8", "replace"))
        except BallspotError as error:
            self._send(HTTPStatus.BAD_REQUEST, f"{error}\n".encode("utf-8", "replace"))
        except ConnectionError:
            self.close_connection = True
        else:
            self._send(status, _json_bytes(record), content_type="application/json")

    def _read(self, n_bytes: int) -> bytes:
        """The body of a request. Raises Refusal where it does not come whole and in time."""
        self.connection.settimeout(READ_WITHIN_S)
        try:
            body = self.rfile.read(n_bytes)
        except OSError as error:
            raise Refusal(HTTPStatus.REQUEST_TIMEOUT, "the request did not come whole") from error
        finally:
            self.connection.settimeout(None)
        if len(body) < n_bytes:
            raise Refusal(HTTPStatus.BAD_REQUEST, "the request was cut short")
        return body

    def _answer(self, *, with_body: bool) -> None:
        try:
            if [host.lower() for host in self.headers.get_all("Host", [])] not in [[one] for one in self.server.hosts]:
                self._send(HTTPStatus.FORBIDDEN, b"this host is not served here\n", with_body=with_body)
                return
            resource = self.server.resources.get(self.path.partition("?")[0])
            if resource is None:
                self._send(HTTPStatus.NOT_FOUND, b"nothing here\n", with_body=with_body)
            elif resource.path is not None:
                self._send_file(resource, resource.path, with_body=with_body)
            else:
                self._send_made(resource, with_body=with_body)
        except ConnectionError:  # the browser has what it wants of a video, or the page was left
            self.close_connection = True

    def _send_made(self, resource: Resource, *, with_body: bool) -> None:
        try:
            body = resource.make()
        except BallspotError as error:
            self._send(HTTPStatus.INTERNAL_SERVER_ERROR, f"{error}\n".encode("utf-8", "replace"), with_body=with_body)
            return
        self._send(HTTPStatus.OK, body, content_type=resource.content_type, with_body=with_body)

    def _send_file(self, resource: Resource, path: Path, *, with_body: bool) -> None:
        try:
            stream = path.open("rb")
        except OSError:
            self._send(HTTPStatus.NOT_FOUND, b"the file is gone\n", with_body=with_body)
            return
        with stream:
            state = os.fstat(stream.fileno())
            tag = f'"{state.st_mtime_ns:x}-{state.st_size:x}"'
            more = {"Accept-Ranges": "bytes", "ETag": tag}
            wanted = self.headers.get("Range")
            part = None
            if with_body and wanted is not None and self.headers.get("If-Range", tag) == tag:  # HEAD knows no ranges
                part = parse_range(wanted, state.st_size)
            if part == ():
                more["Content-Range"] = f"bytes */{state.st_size}"
                self._send(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, b"", more=more)
                return
            start, end = part or (0, state.st_size)
            if part:
                more["Content-Range"] = f"bytes {start}-{end - 1}/{state.st_size}"
            status = HTTPStatus.PARTIAL_CONTENT if part else HTTPStatus.OK
            self._head(status, end - start, resource.content_type, more)
            stream.seek(start)
            while with_body and start < end:
                chunk = stream.read(min(CHUNK_BYTES, end - start))
                if not chunk:  # the file was cut meanwhile: what was promised cannot come
                    self.close_connection = True
                    return
                self.wfile.write(chunk)
                start += len(chunk)

    def _send(
        self,
        status: HTTPStatus,
        body: bytes,
        *,
        content_type: str = "text/plain; charset=utf-8",
        with_body: bool = True,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self._head(status, len(body), content_type, more or {})
        if with_body:
            self.wfile.write(body)

    def _head(self, status: HTTPStatus, n_bytes: int, content_type: str, more: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": content_type, "Content-Length": str(n_bytes), **HEADERS, **more}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the terminal is for the address and for errors."""


def parse_range(header: str, n_bytes: int) -> tuple[int, int] | tuple[()] | None:
    """The bytes [start, end) that a Range header asks for, of a file of ``n_bytes``.

    ``bytes=2-5`` gives (2, 6), ``bytes=2-`` the rest, ``bytes=-3`` the last three; () where it holds no such byte
    (416). None, the whole file, for several ranges and for what is no range: a server may ignore them (RFC 9110, 14.2).
    """
    found = re.fullmatch(r"bytes=[ \t]*([0-9]{0,18})-([0-9]{0,18})[ \t]*", header, flags=re.IGNORECASE)
    if found is None or found[1] == found[2] == "":
        return None
    if not found[1]:
        start, end = max(n_bytes - int(found[2]), 0), n_bytes
    else:
        start, end = int(found[1]), min(int(found[2]) + 1, n_bytes) if found[2] else n_bytes
        if found[2] and int(found[2]) < start:
            return None
    return (start, end) if start < end else ()


def resources_of(view: View, desk: EditDesk | None = None) -> dict[str, Resource]:
    """The table of addresses: the page's files, the list of matches, and their spots, scores and videos.

    With a ``desk``, the addresses of the labels that it corrects, too.
    """
    table = {
        f"/{path.name}": Resource(PAGE_TYPES[path.suffix], path=path)
        for path in sorted(PAGE.iterdir())
        if path.suffix in PAGE_TYPES and path.suffix != ".js"
    }
    table["/app.js"] = Resource(PAGE_TYPES[".js"], make=lambda: page_script(PAGE).encode())
    table["/"] = table.pop("/index.html")
    curves = lru_cache(maxsize=REMEMBERED_CURVES)(partial(_curves, view))
    listed = []
    for match_index, match in enumerate(view.matches):
        spots = f"/spots/{secrets.token_hex(8)}"
        table[spots] = Resource("application/json", make=partial(_record_bytes, view, match))
        scores = []
        for place in range(len(view.sides)):
            scores.append([f"/scores/{secrets.token_hex(8)}" for _ in view.label_set.labels])
            for label, address in zip(view.label_set.labels, scores[-1], strict=True):
                make = partial(_curve_bytes, curves, match_index, place, label)
                table[address] = Resource("application/octet-stream", make=make)
        videos = {}
        for half, path in match.videos.items():
            address = f"/video/{secrets.token_hex(8)}"
            kind = VIDEO_TYPES.get(path.suffix.lower(), "application/octet-stream")
            table[address] = Resource(kind, path=path)
            videos[half] = {"url": address, "name": path.name}
        listed.append({"name": match.name, "spots": spots, "scores": scores, "videos": videos})
        if desk is not None:
            address = listed[-1]["edit"] = desk.address(match)
            table[address] = Resource("application/json", make=partial(_desk_bytes, desk, match))
    record = {
        "fps": view.fps,
        "label_set": view.label_set.name,
        "labels": list(view.label_set.labels),
        "sides": [side.name for side in view.sides],
        "threshold": view.threshold,
        "matches": listed,
        **({} if desk is None else desk.facts()),
    }
    table["/view.json"] = Resource("application/json", make=partial(_json_bytes, record))
    if len(listed) == 1:  # which match is opened is known: its spots come beside the page's script, not after it
        early = [str(listed[0][name]) for name in ("spots", "edit") if name in listed[0]]
        table["/"] = Resource(PAGE_TYPES[".html"], make=partial(_start_bytes, early))
    return table


def _start_bytes(early: list[str]) -> bytes:
    """The start page, which asks for the addresses ``early`` at once."""
    links = "".join(f'<link rel="preload" href="{address}" as="fetch" crossorigin>\n' for address in early)
    return (PAGE / "index.html").read_text(encoding="utf-8").replace("</head>", f"{links}</head>", 1).encode()


def _curves(view: View, match_index: int, place: int) -> Curves | None:
    return curves_of(view, view.matches[match_index], place)


def _curve_bytes(curves: Callable[[int, int], Curves | None], match_index: int, place: int, label: str) -> bytes:
    found = curves(match_index, place)
    return b"" if found is None else found.as_bytes(label)


def _record_bytes(view: View, match: ViewedMatch) -> bytes:
    return _json_bytes(match_record(view, match))


def _desk_bytes(desk: EditDesk, match: ViewedMatch) -> bytes:
    return _json_bytes(desk.look(match))


def _json_bytes(record: Any) -> bytes:
    return json.dumps(record, allow_nan=False, separators=(",", ":")).encode("ascii")  # odd letters are escaped
