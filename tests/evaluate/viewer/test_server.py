"""The local server of `ballspot view`, over real sockets."""

import http.client
import json
import re
import socket
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.viewer.server import PAGE, ViewServer, parse_range

from .viewing import PATIENCE_S, ask, listed, serving, video_of

VIDEO = bytes(range(256)) * 40
ODD = "a \"b\" <script>alert(1)</script> 'ü' " + "long" * 30


@pytest.fixture
def server(tmp_path: Path, label_file: Callable, spot_file: Callable) -> Iterator[ViewServer]:
    label_file("league/m1", [("PASS", 1000)])
    (tmp_path / "data" / "league" / "m1" / "224p.mp4").write_bytes(VIDEO)
    (tmp_path / "data" / "league" / "m1" / "secret.txt").write_text("secret")
    spot_file("league/m1", [("PASS", 1040, 0.5), ("OUT", 10, 0.25)])
    with serving(tmp_path / "predictions", data=tmp_path / "data") as running:
        yield running


def test_the_page_of_one_match_asks_for_its_spots_at_once(server: ViewServer):
    (match,) = listed(server)["matches"]
    page = ask(server, "/")[1].decode()
    assert f'<link rel="preload" href="{match["spots"]}" as="fetch" crossorigin>\n</head>' in page
    assert page.replace(page[page.index('<link rel="preload" href="/spots') : page.index("</head>")], "") == (
        PAGE / "index.html"
    ).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=2-5", (2, 6)),
        ("bytes=2-", (2, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=0-99", (0, 10)),
        ("bytes=9-9", (9, 10)),
        ("bytes=10-", ()),
        ("bytes=-0", ()),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=1-2,4-5", None),
        ("bytes=a-b", None),
        ("bytes=--3", None),
        ("rows=1-2", None),
        ("bytes=1-" + "9" * 30, None),
    ],
)
def test_a_range_header_names_these_of_ten_bytes(header: str, expected: object):
    assert parse_range(header, 10) == expected


@given(st.integers(0, 60), st.integers(0, 60), st.integers(0, 50))
def test_a_range_is_never_outside_the_file(first: int, last: int, n_bytes: int):
    for header in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        part = parse_range(header, n_bytes)
        assert not part or 0 <= part[0] < part[1] <= n_bytes


@pytest.mark.parametrize(
    ("wanted", "start", "end"), [("bytes=0-", 0, 10240), ("bytes=100-199", 100, 200), ("bytes=-5", 10235, 10240)]
)
def test_a_part_of_a_video_is_sent_as_206(server: ViewServer, wanted: str, start: int, end: int):
    answer, body = ask(server, video_of(server), Range=wanted)
    assert (answer.status, body) == (206, VIDEO[start:end])
    assert answer.headers["Content-Range"] == f"bytes {start}-{end - 1}/{len(VIDEO)}"
    assert answer.headers["Content-Type"] == "video/mp4"


def test_a_video_without_a_range_is_sent_whole_and_says_that_it_takes_ranges(server: ViewServer):
    answer, body = ask(server, video_of(server))
    assert (answer.status, body, answer.headers["Accept-Ranges"]) == (200, VIDEO, "bytes")


def test_a_range_beyond_the_end_is_416_with_the_size(server: ViewServer):
    answer, body = ask(server, video_of(server), Range="bytes=99999-")
    assert (answer.status, body, answer.headers["Content-Range"]) == (416, b"", f"bytes */{len(VIDEO)}")


def test_a_part_of_another_version_of_the_video_is_not_sent(server: ViewServer):
    tag = ask(server, video_of(server))[0].headers["ETag"]
    assert ask(server, video_of(server), Range="bytes=1-2", If_Range=tag)[0].status == 206
    assert ask(server, video_of(server), Range="bytes=1-2", If_Range='"other"')[0].status == 200


def test_head_has_the_headers_of_get_and_no_body(server: ViewServer):
    for path in ("/", "/view.json", video_of(server)):
        (got, body), (head, nothing) = ask(server, path), ask(server, path, method="HEAD")
        assert (head.status, nothing) == (200, b"")
        assert head.headers["Content-Length"] == got.headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"])
def test_other_methods_are_refused(server: ViewServer, method: str):
    answer, _ = ask(server, "/view.json", method=method)
    assert (answer.status, answer.headers["Allow"]) == (405, "GET, HEAD")


@pytest.mark.parametrize(
    "path",
    [
        "/../pyproject.toml",
        "/..%2f..%2fetc/passwd",
        "//etc/passwd",
        "/etc/passwd",
        "/app.js/../viewer.py",
        "/./app.js",
        "/%61pp.js",
        "/app.js%00",
        "/viewer_page/app.js",
        "/league/m1/secret.txt",
        "/video/",
        "/spots/0000000000000000",
        "/index.html",
        "http://evil.example/view.json",
        "/\\..\\app.js",
    ],
)
def test_no_path_leads_out_of_the_table(server: ViewServer, path: str):
    answer, body = ask(server, path, Host=f"127.0.0.1:{server.server_port}")
    assert (answer.status, body) == (404, b"nothing here\n")


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{port}", ""]
)
def test_another_host_is_refused_everywhere(server: ViewServer, host: str):
    for path in ("/", "/view.json", video_of(server)):
        assert ask(server, path, Host=host.format(port=server.server_port))[0].status == 403


def test_localhost_with_the_port_is_this_host(server: ViewServer):
    assert ask(server, "/", Host=f"LocalHost:{server.server_port}")[0].status == 200


def test_two_host_headers_or_none_are_refused(server: ViewServer):
    here = f"Host: 127.0.0.1:{server.server_port}\r\n"
    for hosts in ("", here + "Host: evil.example\r\n"):
        with socket.create_connection(("127.0.0.1", server.server_port), timeout=PATIENCE_S) as raw:
            raw.sendall(f"GET /view.json HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n".encode())
            assert raw.recv(100).startswith(b"HTTP/1.1 403 ")


def test_every_answer_forbids_sniffing_and_scripts_from_elsewhere(server: ViewServer):
    kinds = {"/": "text/html", "/app.js": "text/javascript", "/style.css": "text/css", "/view.json": "application/json"}
    for path, kind in {**kinds, "/nothing": "text/plain", video_of(server): "video/mp4"}.items():
        headers = ask(server, path)[0].headers
        assert headers["Content-Type"].startswith(kind)
        assert headers["X-Content-Type-Options"] == "nosniff"
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self';" in policy
        assert "unsafe" not in policy


def test_every_file_of_the_page_is_shipped_and_served(server: ViewServer):
    root = Path(__file__).resolve().parents[3]
    files = [path for path in PAGE.iterdir() if path.name != "index.html"]
    assert len(files) > 5
    script = ask(server, "/app.js")[1].decode()
    for path in files:
        if path.suffix == ".js":
            assert script.count(f"\n// {path.name}\n") == 1 or script.startswith(f"// {path.name}\n")
        else:
            assert ask(server, f"/{path.name}")[1] == path.read_bytes()
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    assert "page/*" in project["tool"]["setuptools"]["package-data"]["ballspot.evaluate.viewer"]


def test_the_page_asks_for_one_script(server: ViewServer):
    assert re.findall(r"[\w./]+\.js\b", ask(server, "/")[1].decode()) == ["app.js"]
    assert ask(server, "/clock.js")[0].status == 404


def test_an_answer_on_an_open_connection_comes_at_once(server: ViewServer):
    connection, took = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=PATIENCE_S), []
    for _ in range(30):
        started = time.monotonic()
        connection.request("GET", "/app.js")
        connection.getresponse().read()
        took.append(time.monotonic() - started)
    connection.close()
    assert median(took) < 0.03  # 0.04 where the body waits until the head is confirmed


def test_the_server_listens_on_this_machine_alone(server: ViewServer):
    assert server.server_address[0] == "127.0.0.1"


def test_a_port_that_is_taken_is_a_users_error(server: ViewServer):
    with pytest.raises(BallspotError, match=f"port {server.server_port} is not available"):
        ViewServer({}, port=server.server_port)


def test_a_video_that_was_removed_is_404_and_the_server_lives_on(server: ViewServer, tmp_path: Path):
    url = video_of(server)
    (tmp_path / "data" / "league" / "m1" / "224p.mp4").unlink()
    assert ask(server, url)[0].status == 404
    assert ask(server, "/")[0].status == 200


def test_odd_names_come_through_as_json_text(tmp_path: Path, label_file: Callable, spot_file: Callable):
    for number, name in enumerate((ODD.replace("/", ""), "tr\u2028ès\t1", "日本語")):
        label_file(
            f"league/{name}",
            [
                (
                    "PASS",
                    1000 + number,
                )
            ],
        )
        spot_file(
            f"league/{name}",
            [
                (
                    "PASS",
                    1040,
                    0.5,
                ),
                (ODD, 10, 0.25),
            ],
        )
    with serving(tmp_path / "predictions", data=tmp_path / "data") as server:
        shown = listed(server)["matches"]
        assert len(shown) == 3
        assert f"league/{ODD.replace('/', '')}" in [match["name"] for match in shown]
        for match in shown:
            answer, body = ask(server, match["spots"])
            assert answer.headers["Content-Type"] == "application/json"
            record = json.loads(body)
            assert record["runs"][0]["spots"]["ms"] == [1040]
            assert ODD in record["runs"][0]["notes"][0]


def test_scores_are_two_bytes_a_frame_of_one_class(tmp_path: Path, label_file: Callable, spot_file: Callable):
    label_file("m1", [("PASS", 1000)])
    spot_file("m1", [("PASS", 1040, 0.5)])
    scores = np.array([[0.0, 1.0], [0.5, 2.0], [np.nan, -1.0]], dtype=np.float32)
    more = {"frame_index": np.arange(3) * 2, "labels": np.array(["PASS", "OUT"]), "fps": 25.0}
    np.savez(tmp_path / "predictions" / "m1" / "scores.npz", scores=scores, **more)
    with serving(tmp_path / "predictions", data=tmp_path / "data") as server:
        match = listed(server)["matches"][0]
        curves = json.loads(ask(server, match["spots"])[1])["runs"][0]["curves"]
        assert (curves["first_frame"], curves["step"], curves["fps"], sum(curves["labels"])) == (0, 2, 25.0, 2)
        bodies = [ask(server, address)[1] for address in match["scores"][0]]
    assert np.frombuffer(bodies[0], "<u2").tolist() == [0, 32768, 0]
    assert np.frombuffer(bodies[4], "<u2").tolist() == [65535, 65535, 0]
    assert bodies[1] == b""


def test_two_halves_have_a_video_each(tmp_path: Path, label_file: Callable, spot_file: Callable):
    folder = label_file("m1", [("PASS", 1000)]).parent
    for name in ("1_224p.mkv", "1_720p.mkv", "2_720p.mkv", "2_224p.mkv"):
        (folder / name).write_bytes(b"x")
    spot_file("m1", [("PASS", 1040, 0.5)])
    with serving(tmp_path / "predictions", data=tmp_path / "data") as server:
        videos = listed(server)["matches"][0]["videos"]
    assert {half: video["name"] for half, video in videos.items()} == {"1": "1_224p.mkv", "2": "2_224p.mkv"}
