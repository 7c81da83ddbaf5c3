"""Match folders, prediction files and runs written by hand, and a browser."""

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from ballspot.cache.runs.run import RunFolder
from ballspot.evaluate.dataset.labelsets import BALL_12

from .viewer.viewing import PATIENCE_S


def annotation(label: str, position_ms: int, **more: object) -> dict[str, object]:
    return {"gameTime": "1 - 00:00", "label": label, "position": str(position_ms), "visibility": "visible", **more}


def prediction(label: str, position_ms: int, confidence: float, **more: object) -> dict[str, object]:
    entry = {"gameTime": "1 - 00:00", "label": label, "position": str(position_ms), "half": "1"}
    return {**entry, "confidence": str(confidence), **more}


@pytest.fixture
def label_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes annotations, tuples or ready entries, to DATA/<match>/Labels-ball.json and gives its path."""

    def write(match: str, entries: Sequence, *, root: str = "data") -> Path:
        path = tmp_path / root / match / "Labels-ball.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        annotations = [annotation(*entry) if isinstance(entry, tuple) else entry for entry in entries]
        path.write_text(json.dumps({"UrlLocal": match, "annotations": annotations}))
        return path

    return write


@pytest.fixture
def spot_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes predictions, tuples or ready entries, to ROOT/<match>/results_spotting.json and gives its path."""

    def write(match: str, entries: Sequence, *, root: str = "predictions") -> Path:
        path = tmp_path / root / match / "results_spotting.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        predictions = [prediction(*entry) if isinstance(entry, tuple) else entry for entry in entries]
        path.write_text(json.dumps({"UrlLocal": match, "predictions": predictions}))
        return path

    return write


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Path]:
    """Writes a finished run: its record, configuration and metrics, with ``record`` and ``metrics`` changes."""

    def write(name: str, config: dict, *, record: dict | None = None, metrics: dict | None = None) -> Path:
        folder = RunFolder(tmp_path / "runs" / name)
        whole: dict[str, Any] = {
            "version": "1",
            "seed": 0,
            "shuffle_labels": False,
            "features": {"set": "plain", "fingerprint": "f" * 64},
            "data": str(tmp_path / "data"),
            "splits": {"train": ["a"], "valid": ["b"], "test": ["m"]},
            "label_set": "ball-12",
            "labels": list(BALL_12.labels),
        }
        folder.prepare(key=name, record={**whole, **(record or {})}, config=config)
        numbers = {
            "split": "valid",
            "metric": "at1",
            "fps": 25,
            "mean_ap": 0.25,
            "headline_ap": 0.3,
            "per_class": {
                label: {"ap": index / 100, "n_truth": 5 + index} for index, label in enumerate(BALL_12.labels)
            },
        }
        folder.finish({**numbers, **(metrics or {})})
        return folder.path

    return write


@pytest.fixture(scope="session")
def browser() -> Iterator:
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed (extra: dev)")
    with playwright.sync_playwright() as driver:
        own = Path(driver.chromium.executable_path)  # of `playwright install chromium`, if that was run
        found = map(shutil.which, (str(own), "chromium", "chromium-browser", "google-chrome"))
        chromium = next(filter(None, found), None)
        if chromium is None:
            pytest.skip("no Chromium on this machine")
        running = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox"], timeout=1000 * PATIENCE_S)
        yield running
        running.close()


@pytest.fixture
def opened(browser) -> Iterator[Callable]:
    """Opens an address at a size and waits for its counts; what goes to the console as an error fails the test."""
    troubles: list[str] = []
    contexts = []

    def open_page(url: str, width: int = 1366, height: int = 768):
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, accept_downloads=True))
        contexts[-1].set_default_timeout(1000 * PATIENCE_S)
        page = contexts[-1].new_page()
        page.on("console", lambda message: message.type == "error" and troubles.append(message.text))
        page.on("pageerror", lambda error: troubles.append(str(error)))
        page.goto(url)
        page.wait_for_selector("#counts tr.total")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert troubles == []
