import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from ballspot.cache.stores.sets import open_feature_set
from ballspot.cache.stores.verify import verify
from ballspot.cache.times.axis import frame_of
from ballspot.evaluate.dataset.labels import read_labels
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.splits import load_splits

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def full_size(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location("full_size", BENCH / "full_size.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "full_size", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_the_drawn_data_is_a_sound_data_root_whose_events_show(tmp_path: Path, full_size: ModuleType):
    place = full_size.write_data(tmp_path, times=1, scale=0.01)
    matches = find_matches(place.data)
    splits = load_splits(place.data, matches)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [4, 1, 2]
    assert verify(place.features) == {path: [] for path in open_feature_set(place.features).stores.values()}
    counts = dict.fromkeys(BALL_12.labels, 0)
    rows, passes = [], []
    for match in matches:
        assert match.labels_path is not None
        spots = read_labels(match.labels_path, BALL_12)
        for spot in spots:
            counts[spot.label] += 1
        passes.append([frame_of(spot.position_ms, full_size.FPS) for spot in spots if spot.label == "PASS"])
        with open_feature_set(place.features).open(match.name) as store:
            assert (store.fps, store.n_video_frames) == (25, len(store.frame_index))
            rows.append(store.read().astype(np.float64))
    # A hundredth of SN-BAS: 47 of its 4,703 passes, 41 of 4,067 drives; at least one of each class.
    assert (counts["PASS"], counts["DRIVE"], counts["GOAL"]) == (47, 41, 1)
    # The mean pass of the first match tells the passes of the others from their other frames.
    a_pass = rows[0][passes[0]].mean(axis=0)
    likeness = [of_match @ a_pass for of_match in rows[1:]]
    of_passes = np.concatenate([each[at] for each, at in zip(likeness, passes[1:], strict=True)])
    assert of_passes.mean() > np.concatenate(likeness).mean() + 0.5


def test_a_growth_with_the_square_is_said_to_be_one(full_size: ModuleType):
    assert full_size.exponent([1, 2, 4], [3.0, 12.0, 48.0]) == pytest.approx(2.0)
    # Ten seconds of starting up hide it in the one number, not in the other.
    assert full_size.exponent([1, 2, 4], [13.0, 22.0, 58.0]) < 1.1
    assert full_size.exponent_beside_start([1, 2, 4], [13.0, 22.0, 58.0]) == pytest.approx(2.0)


@pytest.mark.skipif(sys.platform != "linux", reason="bench/measured.py reads /proc")
def test_what_a_command_took_counts_processes_that_outlive_it(tmp_path: Path):
    # The child of the command holds 200 MB and 0.3 s of CPU after its parent has ended.
    child = (
        "import time; held = b'x' * 200_000_000; end = time.process_time() + 0.3\n"
        "while time.process_time() < end: pass\n"
        "time.sleep(2.5)"
    )
    command = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}]); print('done'); sys.exit(3)"
    out = tmp_path / "measured.json"
    program = [sys.executable, BENCH / "measured.py", out, sys.executable, "-c", command]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (3, "done")
    took = json.loads(out.read_text())
    assert took["cpu_s"] >= 0.3
    assert 200 < took["largest_mb"] < 300
    assert 200 < took["together_mb"] < 300 and took["mapped_mb"] < took["together_mb"]
