"""The demonstration, on drawn matches of a few seconds, as one would call it."""

import subprocess
import sys

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.extract import demo


def ballspot(*words, cwd):
    line = [sys.executable, "-m", "ballspot.cli", *words]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, check=False, timeout=1800)


@pytest.mark.slow
def test_the_demo_runs_every_stage_and_says_where_to_look(tmp_path):
    drawn = ballspot("data", "synth", "drawn", "--matches", "3", "--minutes", "0.1", cwd=tmp_path)
    assert drawn.returncode == 0, drawn.stderr
    done = ballspot("demo", "--data", "drawn", "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = {path.name for path in (tmp_path / "out" / "runs").iterdir()}
    assert sum(name.startswith("pretrained-") for name in runs) == 3
    assert "pretrained-transformer-shuffled-labels" in runs
    assert all((tmp_path / "out" / "runs" / name / "metrics.json").is_file() for name in runs)
    assert all(list((tmp_path / "out" / "runs" / name / "predictions" / "test").rglob("*.json")) for name in runs)
    assert "pretrained-transformer-shuffled-labels: mAP@1" in done.stdout
    assert ("RANDOM weights" in done.stderr) == ("RANDOM weights" in done.stdout)


def test_without_the_repository_the_demo_asks_for_data(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "MATCHES", tmp_path / "none")
    with pytest.raises(BallspotError, match="not the package; give --data DATA"):
        demo.demo_matches()
