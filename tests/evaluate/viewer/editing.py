"""What the tests of `ballspot view --edit` share: a data root to write in, a server that writes, requests to it."""

import http.client
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ballspot.evaluate.dataset import DataSelection, LabelSet
from ballspot.evaluate.viewer import EditDesk, ViewServer, find_view, open_sides, resources_of

from .viewing import LABELS, PATIENCE_S


def edit_server(data: Path, *predictions: Path, label_set: LabelSet = LABELS, port: int = 0) -> ViewServer:
    view = find_view(open_sides(predictions, split=None), DataSelection(data, label_set), fps=25.0)
    desk = EditDesk(view, data)
    return ViewServer(resources_of(view, desk), port=port, writes=desk.writes())


@contextmanager
def editing(data: Path, *predictions: Path, label_set: LabelSet = LABELS) -> Iterator[ViewServer]:
    with edit_server(data, *predictions, label_set=label_set) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def headers_of(port: int, token: str) -> dict[str, str]:
    return {
        "Host": f"127.0.0.1:{port}",
        "Origin": f"http://127.0.0.1:{port}",
        "Content-Type": "application/json",
        "X-Ballspot-Token": token,
    }


def send(port: int, path: str, body: bytes, headers: dict[str, str], *, method: str = "POST") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    got = answer.status, answer.read()
    connection.close()
    return got


def edit(server: ViewServer, address: str, action: Any, *, revision: int) -> tuple[int, Any]:
    assert server.writes is not None
    body = json.dumps({"revision": revision, "client": "c", "action": action}).encode()
    status, answer = send(server.server_port, address, body, headers_of(server.server_port, server.writes.token))
    return status, json.loads(answer) if answer.startswith(b"{") else answer.decode()
