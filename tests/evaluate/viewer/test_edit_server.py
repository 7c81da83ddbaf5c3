"""What `ballspot view --edit` writes, for whom, and what it turns away."""

import json
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cli import main
from ballspot.evaluate.dataset import load_label_set, read_labels
from ballspot.evaluate.editing import LabelBook
from ballspot.evaluate.viewer.guard import MOST_BYTES
from ballspot.evaluate.viewer.server import ViewServer

from .editing import edit, edit_server, editing, headers_of, send
from .viewing import LABELS, ask, listed, serving

ADD = {"do": "add", "label": "PASS", "position_ms": 5000}
HOSTILE = "</script><script>alert(1)</script>\u2028\"'`${1}"


@pytest.fixture
def data(tmp_path: Path, label_file: Callable) -> Path:
    label_file("league/m1", [("PASS", 1000), ("OUT", 2000)])
    return tmp_path / "data"


@pytest.fixture
def server(data: Path) -> Iterator[ViewServer]:
    with editing(data) as running:
        yield running


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def address(server: ViewServer) -> str:
    return listed(server)["matches"][0]["edit"]


def test_an_edit_is_on_the_disk_when_it_is_answered(server: ViewServer, data: Path):
    status, state = edit(server, address(server), ADD, revision=0)
    assert (status, state["revision"], state["undo"]) == (200, 1, "add PASS")
    spots = read_labels(data / "league/m1/Labels-ball.json", LABELS)
    assert [(one.label, one.position_ms) for one in spots] == [("PASS", 1000), ("OUT", 2000), ("PASS", 5000)]
    assert state["truth"]["ms"] == [1000, 2000, 5000] and state["entry"] == [0, 1, 2]
    assert state["n_labels"] == len(LABELS)  # a page that knows fewer classes opens itself again
    assert state["digest"] == sha256((data / "league/m1/Labels-ball.json").read_bytes()).hexdigest()


@pytest.mark.parametrize(("digest", "status"), [("", 409), ("0" * 64, 409), (5, 400)])
def test_an_edit_of_a_file_with_another_digest_is_not_done(server: ViewServer, data: Path, digest: object, status: int):
    assert server.writes is not None
    before = everything(data)
    body = json.dumps({"revision": 0, "digest": digest, "client": "c", "action": ADD}).encode()
    headers = headers_of(server.server_port, server.writes.token)
    assert send(server.server_port, address(server), body, headers)[0] == status
    assert everything(data) == before


def test_the_second_of_two_writers_gets_the_labels_as_they_are(server: ViewServer):
    edit(server, address(server), ADD, revision=0)
    status, state = edit(server, address(server), {"do": "delete", "entry": 0}, revision=0)
    assert status == 409 and state["revision"] == 1 and "somebody else" in state["said"]
    assert state["truth"]["ms"] == [1000, 2000, 5000]


def test_windows_on_one_file_are_counted(server: ViewServer):
    assert server.writes is not None
    headers = headers_of(server.server_port, server.writes.token)
    told = []
    for client in ("a", "b", "a"):
        body = json.dumps({"revision": 0, "client": client, "action": None}).encode()
        told.append(json.loads(send(server.server_port, address(server), body, headers)[1])["others"])
    assert told == [0, 1, 1]


def test_without_edit_there_is_no_way_to_write(data: Path, spot_file: Callable, tmp_path: Path):
    spot_file("league/m1", [("PASS", 1040, 0.5)])
    before = everything(tmp_path)
    with serving(tmp_path / "predictions", data=data) as reading:
        assert "edit" not in listed(reading)["matches"][0]
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer, _ = ask(reading, "/", method=method)
            assert answer.status == 405 and answer.headers["Allow"] == "GET, HEAD"
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Origin": None}, 403),
        ({"Origin": "http://localhost:{port}"}, 403),  # another origin than the Host's
        ({"Host": "evil.example"}, 403),
        ({"Host": "127.0.0.1"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"X-Ballspot-Token": None}, 403),
        ({"X-Ballspot-Token": ""}, 403),
        ({"X-Ballspot-Token": "x" * 32}, 403),
        ({"X-Ballspot-Token": "\u00e9"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": None}, 415),
        ({"Content-Length": None}, 411),
        ({"Content-Length": "-1"}, 411),
        ({"Content-Length": "1e3"}, 411),
        ({"Transfer-Encoding": "chunked"}, 411),
        ({"Content-Length": str(50 * 2**20)}, 413),
        ({"Content-Length": "9" * 40}, 413),
        ({"Content-Length": str(MOST_BYTES + 1)}, 413),
    ],
)
def test_a_request_that_is_not_the_page_s_own_writes_nothing(
    server: ViewServer, data: Path, changed: dict, status: int
):
    assert server.writes is not None
    before = everything(data)
    body = json.dumps({"revision": 0, "client": "c", "action": ADD}).encode()
    headers = {**headers_of(server.server_port, server.writes.token), "Content-Length": str(len(body))}
    for name, value in changed.items():
        headers.pop(name, None)
        if value is not None:
            headers[name] = value.replace("{port}", str(server.server_port))
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=60)
    connection.putrequest("POST", address(server), skip_host=True, skip_accept_encoding=True)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()  # it is answered before the body is sent
    assert answer.status == status and answer.headers["Connection"] == "close"
    connection.close()
    assert everything(data) == before


@pytest.mark.parametrize(
    "path",
    ["/", "/view.json", "/edit/", "/edit/../edit/x", "/edit/%2e%2e/Labels-ball.json", "/edit/0000000000000000",
     "/../../league/m1/Labels-ball.json", "//league/m1"],
)  # fmt: skip
def test_only_addresses_that_stand_for_a_label_file_are_written_to(server: ViewServer, data: Path, path: str):
    assert server.writes is not None
    before = everything(data)
    body = json.dumps({"revision": 0, "client": "c", "action": ADD}).encode()
    headers = headers_of(server.server_port, server.writes.token)
    assert send(server.server_port, path, body, headers)[0] == 404
    assert send(server.server_port, f"{address(server)}?x=1", body, headers)[0] == 404
    for method in ("PUT", "DELETE", "OPTIONS", "PATCH"):
        assert send(server.server_port, address(server), body, headers, method=method)[0] == 405
    assert everything(data) == before


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[" * 100_000, b"null", b"[]", b"\xff\xfe", b'{"revision": 0, "client": "c"}',
     b'{"revision": true, "client": "c", "action": null}', b'{"revision": 0, "client": 1, "action": null}',
     b'{"revision": 0, "client": "c", "action": {"do": "write", "path": "/etc/passwd"}}',
     b'{"revision": 0, "client": "c", "action": {"do": "add", "label": "PASS", "position_ms": 1, "match": "../x"}}',
     b'{"revision": 1' + b"0" * 5000 + b', "client": "c", "action": null}'],
)  # fmt: skip
def test_json_that_is_no_edit_is_refused_in_a_line(server: ViewServer, data: Path, body: bytes):
    assert server.writes is not None
    before = everything(data)
    status, said = send(server.server_port, address(server), body, headers_of(server.server_port, server.writes.token))
    assert status == 400 and said.count(b"\n") == 1
    assert everything(data) == before


def test_hostile_texts_are_data(server: ViewServer, data: Path):
    edit(server, address(server), {"do": "note", "entry": 0, "text": HOSTILE}, revision=0)
    status, state = edit(server, address(server), {"do": "team", "entry": 0, "team": HOSTILE[:60]}, revision=1)
    assert status == 200 and state["notes"] == {"0": HOSTILE}
    answer, body = ask(server, address(server))
    assert answer.headers["Content-Type"] == "application/json" and body.isascii()
    entry = json.loads((data / "league/m1/Labels-ball.json").read_text())["annotations"][0]
    assert (entry["note"], entry["team"]) == (HOSTILE, HOSTILE[:60])


def test_a_label_file_that_is_a_link_out_of_the_root_is_not_written(tmp_path: Path, label_file: Callable):
    there = label_file("league/m1", [("PASS", 1)], root="outside")
    label_file("league/m2", [("PASS", 1)])
    (tmp_path / "data" / "league" / "m1").mkdir()
    (tmp_path / "data" / "league" / "m1" / "Labels-ball.json").symlink_to(there)
    before = everything(tmp_path / "outside")
    with editing(tmp_path / "data") as server:
        status, said = edit(server, address(server), ADD, revision=0)
        assert status == 400 and "leads out of" in said
        assert ask(server, address(server))[0].status == 500
    assert everything(tmp_path / "outside") == before


def test_a_burst_of_requests_writes_what_was_asked_once_each(server: ViewServer, data: Path):
    """Four hundred requests at once: half without the token, half that all add a label at revision 0."""
    assert server.writes is not None
    where, token = address(server), server.writes.token
    statuses: list[int] = []

    def work(number: int) -> None:
        for turn in range(20):
            action = {"do": "add", "label": "SHOT", "position_ms": 10_000 + 100 * number + turn}
            body = json.dumps({"revision": 0, "client": str(number), "action": action}).encode()
            given = token if number % 2 else "wrong"
            statuses.append(send(server.server_port, where, body, headers_of(server.server_port, given))[0])

    threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(set(statuses)) == [200, 403, 409]
    assert (statuses.count(200), statuses.count(403)) == (1, 200)
    assert len(read_labels(data / "league/m1/Labels-ball.json", LABELS)) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_server_that_is_killed_between_action_and_answer_loses_nothing_it_acknowledged(data: Path):
    """SIGKILL at twenty random moments, then the next server on the same files."""
    path, chance, acknowledged = data / "league/m1/Labels-ball.json", random.Random(5), 2
    for turn in range(20):
        started = edit_server(data)
        child = os.fork()
        if child == 0:
            try:
                started.serve_forever(0.01)
            finally:
                os._exit(1)
        started.socket.close()
        killer = threading.Timer(0.02 + 0.2 * chance.random(), os.kill, (child, signal.SIGKILL))
        assert started.writes is not None
        headers = headers_of(started.server_port, started.writes.token)
        where, number = next(one for one in started.writes.table), 0
        revision = LabelBook(path, LABELS, match="m", root=data).state().revision
        killer.start()
        while True:
            action = {"do": "add", "label": "SHOT", "position_ms": 10_000 + 1000 * turn + number}
            body = json.dumps({"revision": revision, "client": "c", "action": action}).encode()
            try:
                status, _ = send(started.server_port, where, body, headers)
            except OSError:
                break
            except Exception:  # noqa: BLE001  http.client's, of an answer that was cut
                break
            assert status == 200
            revision, number, acknowledged = revision + 1, number + 1, acknowledged + 1
        killer.join()
        os.waitpid(child, 0)
        json.loads(path.read_text())
        n_labels = len(LabelBook(path, load_label_set(), match="m", root=data).state().spots)
        assert n_labels in (acknowledged, acknowledged + 1)
        acknowledged = n_labels
    assert acknowledged > 10
    assert [one.name for one in path.parent.iterdir() if one.name.endswith(".tmp")] == []


def test_an_edit_of_3000_labels_computes_for_under_a_fifth_of_a_second(tmp_path: Path, label_file: Callable):
    """The bar is issue 23's, here for the computing of page and server; other work on the machine only adds to it."""
    label_file("league/m1", [("PASS", 1800 * number) for number in range(3000)])
    with editing(tmp_path / "data") as server:
        where, took = address(server), []
        ask(server, where)
        for turn in range(5):
            start = time.process_time()
            status, _ = edit(server, where, {"do": "move", "entry": 7, "position_ms": turn}, revision=turn)
            took.append(time.process_time() - start)
            assert status == 200
    assert min(took) < 0.2


def test_edit_wants_to_know_where_it_writes(data: Path, tmp_path: Path, spot_file: Callable):
    spot_file("league/m1", [("PASS", 1040, 0.5)])
    told = CliRunner().invoke(main, ["view", str(tmp_path / "predictions"), "--edit"])
    assert told.exit_code == 2 and "name their data root with --data, or give their videos" in told.output
    told = CliRunner().invoke(main, ["view"])
    assert told.exit_code == 2 and "give predictions, a run, a video, or --data" in told.output
    told = CliRunner().invoke(main, ["view", str(tmp_path / "none.mp4"), "--edit"])
    assert told.exit_code == 1 and "none.mp4: no such video; check the path" in told.output
