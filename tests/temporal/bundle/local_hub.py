"""A hub of one process: as much of the Hugging Face hub's HTTP as its real client needs to push and pull a model."""

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "a" * 40


class Hub:
    """What lies on the hub: repositories with their files and visibility, and the paths that were asked for."""

    def __init__(self) -> None:
        self.files: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.asked: list[str] = []
        self.tokens: set[str | None] = set()
        self.url = ""


def _handler(hub: Hub) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def json(self, value: Any, status: int = 200) -> None:
            self.answer(status, json.dumps(value).encode(), Content_Type="application/json")

        def body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") == "chunked":
                pieces = []
                while n := int(self.rfile.readline(), 16):
                    pieces.append(self.rfile.read(n))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(pieces)
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            hub.asked.append(f"{self.command} {path}")
            parts = path.strip("/").split("/")
            if parts == [""]:
                self.answer(200)
            elif parts[:2] == ["api", "models"] and "/".join(parts[2:4]) in hub.files:
                self.model("/".join(parts[2:4]), parts[4:])
            elif len(parts) > 4 and parts[2] == "resolve" and "/".join(parts[:2]) in hub.files:
                content = hub.files["/".join(parts[:2])].get("/".join(parts[4:]))
                if content is None:
                    self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
                else:
                    etag = hashlib.sha256(content).hexdigest()
                    self.answer(200, content, ETag=f'"{etag}"', X_Repo_Commit=COMMIT)
            else:
                self.answer(404, X_Error_Code="RepoNotFound")

        def model(self, repo: str, rest: list[str]) -> None:
            files = hub.files[repo]
            if rest[:1] == ["tree"]:
                self.json([{"type": "file", "path": name, "size": len(files[name]), "oid": "0"} for name in files])
                return
            siblings = [{"rfilename": name} for name in files]
            told = {"id": repo, "modelId": repo, "sha": COMMIT, "siblings": siblings, "tags": [], "downloads": 0}
            self.json({**told, "private": hub.private[repo], "likes": 0})

        def do_POST(self) -> None:
            path = urlsplit(self.path).path
            hub.asked.append(f"POST {path}")
            hub.tokens.add(self.headers.get("Authorization"))
            body = self.body()
            parts = path.strip("/").split("/")
            if path == "/api/validate-yaml":
                self.json({"errors": [], "warnings": []})
            elif path == "/api/repos/create":
                asked = json.loads(body)
                repo = f"{asked.get('organization') or 'me'}/{asked['name']}"
                if repo not in hub.files:
                    hub.files[repo] = {}
                    hub.private[repo] = bool(asked.get("private")) or asked.get("visibility") == "private"
                    self.json({"url": f"{hub.url}/{repo}", "name": repo})
                else:
                    self.json({"error": "exists", "url": f"{hub.url}/{repo}"}, 409)
            elif parts[4] == "preupload":
                files = json.loads(body)["files"]
                self.json(
                    {"files": [{"path": one["path"], "uploadMode": "regular", "shouldIgnore": False} for one in files]}
                )
            elif parts[4] == "commit":
                repo = "/".join(parts[2:4])
                for line in body.splitlines():
                    one = json.loads(line)
                    if one["key"] == "file":
                        hub.files[repo][one["value"]["path"]] = base64.b64decode(one["value"]["content"])
                self.json({"success": True, "commitOid": COMMIT, "commitUrl": f"{hub.url}/{repo}/commit/{COMMIT}"})
            else:
                self.answer(404)

    return Handler


@contextmanager
def running_hub() -> Iterator[Hub]:
    """A hub on a free port of this machine, until the block ends."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
