"""The checks of a machine with a GPU run to their end at toy size on a CPU, and leave what they found."""

import importlib.util
import sys
import time
from fractions import Fraction
from pathlib import Path
from types import ModuleType

import pytest

from ballspot.evaluate.dataset.matches import find_matches
from ballspot.evaluate.dataset.splits import load_splits
from ballspot.extract.data_root.synth import synthesize

BENCH = Path(__file__).resolve().parents[2] / "bench"


def bench(name: str, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A script of bench/, imported."""
    monkeypatch.syspath_prepend(str(BENCH))
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("sections", "found"),
    [
        (("environment", "copies", "backbone"), ("RGB, pageable", "autocast, batch 2", "GB/s", "needs CUDA")),
        (("correctness", "head step"), ("tcn: 2 steps", "2 stacked, one step of all", "2 steps of fine-tuning")),
        (("decoding", "fine-tuning step"), ("PyAV 224p, best", "forward and backward", "a clip, decoded ahead")),
        (("ballspot extract",), ("ballspot extract, start to end",)),
    ],
)
def test_every_section_runs_to_its_end(
    sections: tuple[str, ...], found: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu = bench("gpu", monkeypatch)
    words = ["--toy", "--device", "cpu", "--out", str(tmp_path / "gpu.md"), "--only", *sections]
    code = gpu.main(words)
    table = (tmp_path / "gpu.md").read_text()
    assert code == 0, table
    assert all(text in table for text in found), table
    assert "not run" not in table and "failed" not in table and "not finished" not in table
    assert table.count("seconds of the section") == len(sections)
    assert table.count("not measured here") == 3  # the decisions are those of a GPU


def test_what_was_measured_stays_when_a_section_lacks_something_or_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    gpu = bench("gpu", monkeypatch)
    out, seen = tmp_path / "gpu.md", []

    def measured(check) -> None:
        check.add("speed", 50.0, "frames/s", ceiling=200.0)

    def lacks(check) -> None:
        seen.append(out.read_text())
        raise ModuleNotFoundError("No module named 'av'", name="av")

    def hangs(check) -> None:
        give_up = time.monotonic() + 60
        while time.monotonic() < give_up:
            pass

    def fails(check) -> None:
        raise ZeroDivisionError("division by zero")

    sections = {"a": (5.0, measured), "b": (5.0, lacks), "c": (0.1, hangs), "d": (5.0, fails), "e": (5.0, measured)}
    check = gpu.Check(torch.device("cpu"), True, tmp_path, None)
    assert gpu.run(check, sections, out) == ["d"]
    assert "| a | speed | 50 | frames/s | 200 (25 %) |" in seen[0]  # there before the second section began
    table = out.read_text()
    for line in (
        "| b | not run | needs av |",
        "| c | not finished | stopped after 0 s |",
        "ZeroDivisionError",
        "| e | speed",
    ):
        assert line in table


def test_decisions_come_from_the_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    gpu = bench("gpu", monkeypatch)
    check = gpu.Check(torch.device("cpu"), False, tmp_path, None)
    check.section = "backbone"
    check.add("half + graph, batch 64", 41.0)
    check.add("autocast, batch 64", 20.0)
    check.section = "head step"
    check.add("one head, eager", 2.0)
    check.add("8 stacked, one step of all", 7.0)
    said = gpu.decisions(check)
    assert "2.05 times (worth it" in said[2] and "not measured" in said[3]
    assert said[4].endswith("(several processes instead)")  # eight at once take 3.5 times as long as one


def test_fine_tuned_against_frozen_runs_to_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesize(tmp_path / "data", n_matches=3, minutes=2 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    script = bench("gpu_finetune", monkeypatch)
    words = [str(tmp_path / "data"), "--out", str(tmp_path / "out"), "--toy", "--device", "cpu"]
    assert script.main(words) == 0
    table = (tmp_path / "out" / "table.md").read_text()
    for stage in ("tried", "fine-tuned", "extracted twice", "gru on frozen", "gru on tuned", "best on tuned", "all"):
        assert f"- {stage}: " in table


def test_packed_matches_stay_within_their_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synthesize(tmp_path / "data", n_matches=5, minutes=1 / 60, fps=Fraction(25), size=(64, 96), seed=1)
    script = bench("gpu_finetune", monkeypatch)
    every = find_matches(tmp_path / "data")
    sizes = [sum(path.stat().st_size for path in match.folder.iterdir()) for match in every]
    monkeypatch.setattr(script, "MOST_BYTES", int(sum(sizes) * 0.85))
    script.main([str(tmp_path / "data"), "--pack", str(tmp_path / "small")])
    packed = find_matches(tmp_path / "small")
    assert 3 <= len(packed) < 5
    splits = load_splits(tmp_path / "small", packed)
    assert splits.train and splits.valid and splits.test
    there = sum(path.stat().st_size for path in (tmp_path / "small").rglob("match-*/*"))
    assert there <= script.MOST_BYTES


def test_the_start_is_timed_to_the_first_rows(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    start = bench("start", monkeypatch)
    start.write_root(video, tmp_path / "data", 3)
    found = find_matches(tmp_path / "data")
    assert len({match.video.read_bytes() for match in found if match.video is not None}) == 3
    assert start.first_frame_s(tmp_path / "data", tmp_path / "out", None, n_videos=3) > 0
