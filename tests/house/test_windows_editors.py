"""Whatever a person may write by hand is read alike after a Windows editor has saved it: marked, with its line ends."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12, load_label_set
from ballspot.evaluate.dataset.matches import Match
from ballspot.evaluate.dataset.splits import load_splits
from ballspot.evaluate.dataset.spots import read_spots
from ballspot.temporal.config.load import load_config
from ballspot.temporal.decoding.postprocessing import POSTPROCESSING_FORMAT, read_postprocessing
from ballspot.temporal.sweep.file import read_sweep_file

ANNOTATION = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1080", "team": "left", "visibility": "visible"}
PREDICTION = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1080", "half": "1", "confidence": "0.9"}
DECODING = {"suppression": "hard", "window_s": 1.0, "smoothing_s": 0.0, "score_floor": 0.1}
MATCHES = [Match(name, Path(name), None, Path(name)) for name in ("l/a", "l/b", "l/c")]
READERS: dict[str, tuple[str, Callable[[Path], object]]] = {
    "preset": ("[head]\nkind = 'gru'\n", lambda path: load_config(str(path))),
    "sweep": ("seeds = 2\n[axes]\nn_epochs = [3, 4]\n", read_sweep_file),
    "label set": ('labels = ["GOAL", "SHOT"]\n', lambda path: load_label_set(str(path))),
    "splits": (
        'train = ["l/a"]\nvalid = ["l/b"]\ntest = ["l/c"]\n',
        lambda path: load_splits(path.parent, MATCHES, splits_file=path),
    ),
    "post-processing": (
        json.dumps({"format": POSTPROCESSING_FORMAT, "classes": {"PASS": DECODING}}, indent=1),
        read_postprocessing,
    ),
    "labels": (json.dumps({"annotations": [ANNOTATION]}, indent=1), lambda path: read_labels(path, BALL_12)),
    "predictions": (json.dumps({"predictions": [PREDICTION]}, indent=1), read_spots),
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("name", READERS)
def test_a_file_is_read_alike_after_a_windows_editor_saved_it(tmp_path: Path, name: str, encoding: str) -> None:
    text, read = READERS[name]
    path = tmp_path / "file"
    path.write_bytes(text.encode())
    expected = read(path)
    path.write_bytes(text.replace("\n", "\r\n").encode(encoding))
    assert read(path) == expected
