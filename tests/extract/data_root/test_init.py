"""Loose videos and label files become a data root; nothing is moved, nothing is left out without a word."""

import json
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset import DataSelection, find_matches, load_label_set
from ballspot.evaluate.dataset.splits import load_splits
from ballspot.evaluate.editing import Add, LabelBook, Reject, decisions_beside
from ballspot.extract.data_root import split_by_shares


@pytest.fixture
def loose(tmp_path: Path) -> Path:
    """Five videos of other names, with labels in four formats."""
    folder = tmp_path / "my"
    (folder / "cup" / "final").mkdir(parents=True)
    for name in ("a.mp4", "b.mp4", "c.mp4", "cup/d.mkv", "cup/final/224p.mp4"):
        (folder / name).write_bytes(b"no real video")
    entry = {"gameTime": "1 - 00:01", "label": "PASS", "position": "1000", "odd": 1}
    (folder / "a.json").write_text(json.dumps({"annotations": [entry], "by": "me"}))
    (folder / "all.csv").write_text("video,position_ms,label,team\nb,2000,OUT,left\nd,3000,SHOT,\nz,1,PASS,\n")
    osl = {"id": "cup/final", "inputs": [], "events": [{"head": "x", "label": "GOAL", "position_ms": 4000}]}
    (folder / "osl.json").write_text(json.dumps({"version": "2.0", "data": [osl]}))
    (folder / "cup" / "spots.json").write_text(json.dumps({"predictions": []}))
    (folder / "todo.json").write_text("{}")
    return folder


def invoke(*args: object) -> Result:
    return CliRunner().invoke(main, ["init", *map(str, args)])


def everything(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_videos_are_linked_labels_copied_and_the_rest_is_named(loose: Path, tmp_path: Path):
    before = everything(loose)
    told = invoke(loose)
    assert told.exit_code == 0, told.output
    root = tmp_path / "my-data"
    assert [match.name for match in find_matches(root)] == ["a", "b", "c", "cup/d", "cup/final"]
    assert (root / "cup" / "d" / "d.mkv").resolve() == (loose / "cup" / "d.mkv").resolve()
    assert (root / "a" / "Labels-ball.json").read_bytes() == (loose / "a.json").read_bytes()
    data = DataSelection(root)
    spots = {name: data.spots_of(data.matches[name]) for name in data.labelled()}
    assert {name: (one.label, one.position_ms, one.team) for name, (one,) in spots.items()} == {
        "a": ("PASS", 1000, None),
        "b": ("OUT", 2000, "left"),
        "cup/d": ("SHOT", 3000, None),
        "cup/final": ("GOAL", 4000, None),
    }
    for said in (
        "its labels of 'z' are of no video here",
        "spots.json: holds predictions, not labels; left out",
        "todo.json: no label file (",
        "1 of 5 matches have no labels",
        "5 matches",
    ):
        assert said in told.output
    splits = load_splits(root, find_matches(root))
    assert sorted(splits.part("all")) == ["a", "b", "cup/d", "cup/final"]
    assert min(map(len, splits.by_part.values())) == 1
    assert everything(loose) == before
    again = invoke(loose)
    assert again.exit_code == 1 and "already exists; choose another --out" in again.output


@pytest.mark.parametrize("how", ["copy", "hardlink"])
def test_videos_come_as_asked_and_a_dry_run_writes_nothing(loose: Path, tmp_path: Path, how: str):
    out = tmp_path / "data"
    assert invoke(loose, "--out", out, "--dry-run").exit_code == 0
    assert not out.exists()
    assert invoke(loose, "--out", out, "--how", how).exit_code == 0
    video = out / "a" / "a.mp4"
    assert not video.is_symlink() and video.samefile(loose / "a.mp4") == (how == "hardlink")
    assert [one.name for one in tmp_path.iterdir() if one.name.endswith(".tmp")] == []


def test_an_only_video_is_not_taken_for_a_second_half(tmp_path: Path):
    (tmp_path / "my" / "cup").mkdir(parents=True)
    for name in ("2.mp4", "2-1.mp4", "2nd.mp4", "cup/2_224p.mkv"):
        (tmp_path / "my" / name).write_bytes(b"no real video")
    assert invoke(tmp_path / "my").exit_code == 0
    names = {match.name: match.video.name for match in find_matches(tmp_path / "my-data") if match.video}
    assert names == {
        "2": "video-2.mp4", "2-1": "video-2-1.mp4", "2nd": "2nd.mp4", "cup/2_224p": "2_224p.mkv",
    }  # fmt: skip


def test_classes_that_no_set_has_make_a_label_set(loose: Path, tmp_path: Path):
    (loose / "a.json").write_text(
        json.dumps({"annotations": [{"gameTime": "1 - 0", "label": "CORNER", "position": 1}]})
    )
    told = invoke(loose)
    label_set = load_label_set(str(tmp_path / "my-data" / "labels.toml"))
    assert set(label_set.labels) == {"CORNER", "OUT", "SHOT", "GOAL"} and label_set.name == "my"
    assert f"--labels {tmp_path / 'my-data' / 'labels.toml'}" in told.output
    told = invoke(loose, "--labels", "ball-12", "--out", tmp_path / "x")
    assert told.exit_code == 1 and "unknown label 'CORNER' in label set 'ball-12'" in told.output
    told = invoke(loose, "--classes", "CORNER, OUT,SHOT,GOAL,NEW", "--out", tmp_path / "x")
    assert load_label_set(str(tmp_path / "x" / "labels.toml")).labels[-1] == "NEW"


def test_undo_and_rejections_come_along(loose: Path, tmp_path: Path):
    book = LabelBook(loose / "a.json", load_label_set(), match="a", root=loose)
    book.edit(Add("PASS", 5000), revision=0)
    book.edit(Reject("OUT", 7000), revision=1)
    invoke(loose)
    path = tmp_path / "my-data" / "a" / "Labels-ball.json"
    assert [one.label for one in decisions_beside(path).rejected] == ["OUT"]
    assert LabelBook(path, load_label_set(), match="a", root=path.parent).state().undoes == "reject OUT"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda folder: (folder / "a.mkv").write_bytes(b""), "a.mkv and a.mp4 are videos of one name"),
        (lambda folder: (folder / "b.json").write_text('{"annotations": []}'), "both hold labels of match 'b'"),
        (lambda folder: [one.unlink() for one in folder.rglob("*.m*")], "holds no video"),
    ],
)
def test_what_could_be_meant_in_two_ways_is_refused(loose: Path, tmp_path: Path, change: Callable, said: str):
    change(loose)
    told = invoke(loose)
    assert told.exit_code == 1 and re.search(said, told.output), told.output
    assert not (tmp_path / "my-data").exists()


SHARES = st.lists(st.sampled_from([0.0, 1.0, 15.0, 70.0]), min_size=3, max_size=3).filter(any)


@given(st.sets(st.text(min_size=1, max_size=3), max_size=30), SHARES, st.integers(0, 9))
def test_a_split_takes_every_match_once_and_no_part_is_empty_that_need_not_be(names: set, shares: list, seed: int):
    parts = split_by_shares(list(names), shares, seed)
    assert sorted(name for part in parts.values() for name in part) == sorted(names)
    asked = [part for part, share in zip(parts, shares, strict=True) if share > 0]
    assert all((len(parts[part]) == 0) == (part not in asked or asked.index(part) >= len(names)) for part in parts)
    for part, share in zip(parts, shares, strict=True):
        assert len(parts[part]) <= max(len(names) * share / sum(shares) + 1, 1)
    assert split_by_shares(sorted(names), shares, seed) == parts


@pytest.mark.parametrize("shares", ["", "1,2", "a,b,c", "-1,1,1", "0,0,0", "nan,1,1", "1,inf,1"])
def test_shares_that_are_none_are_refused(loose: Path, shares: str):
    told = invoke(loose, "--shares", shares)
    assert told.exit_code == 1 and "shares" in told.output


def test_toml_of_a_split_reads_back(loose: Path, tmp_path: Path):
    invoke(loose, "--shares", "1,1,0", "--seed", "3")
    table = tomllib.loads((tmp_path / "my-data" / "splits.toml").read_text())
    assert (len(table["train"]), len(table["valid"]), table["test"]) == (2, 2, [])
    with pytest.raises(BallspotError):
        load_splits(tmp_path / "my-data", find_matches(tmp_path / "my-data")).part("test")
