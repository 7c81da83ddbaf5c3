"""`ballspot view` from the line that is typed to the page that is fetched, and how it ends."""

import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ballspot.cli import main
from ballspot.evaluate.commands import view as command
from ballspot.evaluate.queue import Question, Queue, write_queue
from ballspot.evaluate.viewer.server import ViewServer


def view(*words: object) -> Result:
    return CliRunner().invoke(main, ["view", *map(str, words)])


@pytest.fixture
def visited(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a browser that is opened finds; the server then ends as if Ctrl-C had been pressed."""
    found: dict[str, Any] = {}
    served = ViewServer.serve_forever
    come = threading.Event()

    def opened(url: str) -> None:
        with urllib.request.urlopen(url, timeout=60) as page:
            found.update(url=url, status=page.status, page=page.read().decode())
        come.set()

    def serve(server: ViewServer) -> None:
        thread = threading.Thread(target=served, args=(server,), daemon=True)
        thread.start()
        if found.get("opens", True):
            assert come.wait(60)
        server.shutdown()
        thread.join()
        raise KeyboardInterrupt

    monkeypatch.setattr(command.webbrowser, "open", opened)
    monkeypatch.setattr(ViewServer, "serve_forever", serve)
    return found


def test_the_page_is_opened_told_and_ended_without_a_trace(
    tmp_path: Path, label_file: Callable, spot_file: Callable, visited: dict[str, Any]
) -> None:
    label_file("m1", [("PASS", 1000)])
    spot_file("m1", [("PASS", 1040, 0.5)])
    done = view(tmp_path / "predictions", "--data", tmp_path / "data")
    assert done.exit_code == 0, done.output + done.stderr
    assert visited["status"] == 200 and "<html" in visited["page"].lower()
    assert done.stdout.strip() == visited["url"]
    assert "1 match; Ctrl-C ends" in done.stderr and done.stderr.rstrip().endswith("ended")
    assert not (tmp_path / "data" / "m1" / ".ballspot").exists()  # nothing is written


def test_no_browser_is_opened_where_that_is_asked_for(
    tmp_path: Path, label_file: Callable, visited: dict[str, Any]
) -> None:
    for name in ("m1", "m2"):
        label_file(name, [("PASS", 1000)])
    visited["opens"] = False
    done = view("--data", tmp_path / "data", "--no-open", "--edit")
    assert done.exit_code == 0, done.output + done.stderr
    assert "url" not in visited and "2 matches; Ctrl-C ends" in done.stderr
    assert done.stdout.startswith("http://127.0.0.1:")


def queue_of(path: Path, match: str) -> Path:
    write_queue(path, Queue((Question(match, 1, 1000, "PASS", (0.5,), 0.5, "doubt"),), ("head",)))
    return path


def test_a_queue_is_for_editing_the_matches_that_it_asks_about(
    tmp_path: Path, label_file: Callable, visited: dict[str, Any]
) -> None:
    label_file("m1", [("PASS", 1000)])
    visited["opens"] = False
    queue, other = queue_of(tmp_path / "q.json", "m1"), queue_of(tmp_path / "other.json", "m9")
    data = ("--data", tmp_path / "data", "--no-open")
    asked = view(*data, "--queue", queue)
    assert asked.exit_code == 2 and "--queue asks for answers: give --edit, too" in asked.stderr
    asked = view(*data, "--edit", "--queue", other)
    assert asked.exit_code == 1
    assert f"{other}: asks about none of the matches that are shown; give --split or --data of its own" in asked.stderr
    assert view(*data, "--edit", "--queue", queue).exit_code == 0


def test_a_loose_video_is_shown_with_the_labels_beside_it(tmp_path: Path, video: Path, visited: dict[str, Any]) -> None:
    (tmp_path / "my.mp4").symlink_to(video)
    visited["opens"] = False
    done = view(tmp_path / "my.mp4", "--no-open")
    assert done.exit_code == 0 and "1 match; Ctrl-C ends" in done.stderr
