"""Match folders and prediction files written by hand."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest


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
