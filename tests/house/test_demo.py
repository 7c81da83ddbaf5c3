"""The demonstration, on drawn matches of a few seconds, and what it says at its end."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cli import main
from ballspot.extract import demo


def test_the_shared_features_are_whole_small_and_fit_their_labels_and_splits():
    repository = demo.find_repository()
    shared = repository / demo.SHARED
    splits = demo.read_toml(shared / "data" / "splits.toml", remedy="")
    stores = {path.relative_to(shared / "features" / demo.SET).with_suffix("").as_posix(): path
              for path in (shared / "features").rglob("*.h5")}  # fmt: skip
    assert set(stores) == {*splits["train"], *splits["valid"]}
    assert not set(stores) & set(splits["test"])  # what is tried was never trained on
    assert all((shared / "data" / match / "Labels-ball.json").is_file() for match in stores)
    assert all((repository / demo.VIDEOS / match / "224p.mp4").is_file() for match in splits["test"])
    assert sum(path.stat().st_size for path in stores.values()) < 15e6
    listed = CliRunner().invoke(main, ["cache", "list", str(shared / "features"), "--json"])
    assert listed.exit_code == 0, listed.output


@pytest.mark.slow
def test_the_demo_runs_every_stage_says_where_to_look_and_takes_up_what_is_done(tmp_path, monkeypatch, capfd):
    command = CliRunner().invoke
    drawn = ["data", "synth", str(tmp_path / "drawn"), "--matches", "4", "--minutes", "0.1", "--size", "64x96"]
    assert command(main, drawn).exit_code == 0
    names = sorted(path.parent.relative_to(tmp_path / "drawn").as_posix() for path in tmp_path.rglob("*.mp4"))
    monkeypatch.setattr(demo, "VIDEOS", Path("drawn"))
    monkeypatch.setattr(demo, "SHARED", Path("shared"))
    monkeypatch.setattr(demo, "BACKBONE", ("--backbone", "regnety_002", "--weights", "random:0", "--size", "64x64"))
    monkeypatch.setattr(demo, "TRAINING", ("--preset", "fast", "--set", "n_epochs=1"))
    parts = dict(zip(("train", "valid", "test"), (names[:2], names[2:3], names[3:]), strict=True))
    for name in names[:3]:
        labels = tmp_path / "shared" / "data" / name / "Labels-ball.json"
        labels.parent.mkdir(parents=True)
        labels.write_bytes((tmp_path / "drawn" / name / "Labels-ball.json").read_bytes())
    lines = [f"{part} = {json.dumps(matches)}\n" for part, matches in parts.items()]
    (tmp_path / "shared" / "data" / "splits.toml").write_text("".join(lines))
    made = ["extract", str(tmp_path / "drawn"), "--out", str(tmp_path / "shared" / "features"), "--set", demo.SET]
    chosen = [word for name in names[:3] for word in ("--match", name)]
    assert command(main, [*made, *demo.BACKBONE, *demo.STORED, *chosen, "--workers", "1"]).exit_code == 0
    said = demo.Demo(tmp_path / "out", "cpu", repository=tmp_path).run()
    assert f"ballspot view {tmp_path / 'out' / 'runs' / 'head'}" in said and "mAP@1, all 12 classes" in said
    assert (tmp_path / "out" / "report.html").is_file()
    assert list((tmp_path / "out" / "runs" / "control" / "predictions" / "test").rglob("results_spotting.json"))
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").rglob("best.safetensors")}
    # Each command was a process of its own; what is found done says so in this one, too.
    monkeypatch.setattr(demo, "exit_code", lambda *words: command(main, list(map(str, words))).exit_code)
    demo.Demo(tmp_path / "out", "cpu", repository=tmp_path).run()
    assert len(stamps) == 2 and all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())


def test_the_last_words_say_whether_the_intervals_are_apart():
    control = {"mean_ap": 0.08, "interval": [0.05, 0.12], "difference_to_first": None}
    gain = {"value": 0.12, "interval": [0.04, 0.2]}
    head = {"mean_ap": 0.2, "interval": [0.15, 0.3], "difference_to_first": gain}
    assert demo.verdict("mAP", [control, head]) == [
        "mAP",
        "  head      20.0  [15.0, 30.0]",
        "  control    8.0  [5.0, 12.0]   the intervals are apart",
        "  better by +12.0  [+4.0, +20.0], on the same minutes",
    ]
    assert "overlap" in demo.verdict("mAP", [control, {**head, "interval": [0.11, 0.3]}])[2]
    unknown = {"value": 0.12, "interval": [None, None]}
    few = demo.verdict("mAP", [control, {**head, "interval": [None, None], "difference_to_first": unknown}])
    assert few[1:] == ["  head      20.0", "  control    8.0  [5.0, 12.0]"]


def test_an_installed_demo_finds_the_checkout_that_one_is_in_and_asks_for_one_elsewhere(tmp_path, monkeypatch):
    checkout = demo.find_repository()
    monkeypatch.setattr(demo, "__file__", str(tmp_path / "site-packages" / "ballspot" / "extract" / "demo.py"))
    monkeypatch.chdir(checkout)
    assert demo.find_repository() == checkout
    monkeypatch.chdir(tmp_path)
    refused = CliRunner().invoke(main, ["demo", "--out", "out"])
    assert refused.exit_code == 1 and "come with the repository, not the package" in refused.output
    assert not (tmp_path / "out").exists()
