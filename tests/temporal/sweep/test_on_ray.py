"""What Ray does is what is done here: an extraction and a sweep, by one Ray, which takes longer to start than both."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cli import main

from ...processes import run_forked
from .found import numbers

SWEEP = """
preset = "fast"
seeds = 1
[set]
kind = "tcn"
clip_frames = 20
width = 16
n_layers = 1
n_epochs = 1
warmup_epochs = 0
epoch_frames = 400
[axes]
temporal_stride = [1, 2]
"""


def extract_words(drawn: Path, out: Path, *more: object) -> list[object]:
    chosen = [word for number in (1, 2) for word in ("--match", f"synth/drawn/match-0{number}")]
    words = ["extract", drawn, "--out", out, "--set", "s", "--weights", "random", "--size", "64x96", *chosen]
    return [*words, *more]


def sweep_words(season, out: Path, *more: object) -> list[object]:
    file = out.parent / "strides.toml"
    file.write_text(SWEEP)
    return ["sweep", file, season.features, "--data", season.data, "--out", out, "--device", "cpu", *more]


def here(*words: object) -> None:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.output + done.stderr


def stores(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in out.rglob("*.h5*")}


def test_an_extraction_and_a_sweep_on_ray_give_what_they_give_here(drawn, season, tmp_path, monkeypatch):
    pytest.importorskip("ray", reason="ray is not installed")
    for place in ("home", "here", "ray"):
        (tmp_path / place).mkdir()
    here(*extract_words(drawn, tmp_path / "here", "--workers", 1))
    here(*sweep_words(season, tmp_path / "here" / "sweep"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    extract = extract_words(drawn, tmp_path / "ray", "--on", "ray", "--workers", 2)
    sweep = sweep_words(season, tmp_path / "ray" / "sweep", "--on", "ray", "--jobs", 2)
    for _ in range(3):  # each in a process of its own, which ends with all that Ray has started
        ended = run_forked(*extract, then=[sweep])
        if "cannot be reached or started" not in ended.stderr:  # Ray gives its own processes 15 s to start
            break
    assert ended.code == 0, ended.stderr
    assert ended.stderr.count("ray: starting with 2 CPUs") == 1  # so it was one Ray that did both
    assert len(stores(tmp_path / "ray")) == 2 and stores(tmp_path / "ray") == stores(tmp_path / "here")
    found = numbers(tmp_path / "ray" / "sweep")
    assert len(found) == 2 and found == numbers(tmp_path / "here" / "sweep")
