from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.matches import find_matches, halves_by_match, resolve_match
from ballspot.evaluate.dataset.splits import load_splits


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"")


def test_matches_are_found_at_any_depth_sorted_by_name(tmp_path: Path):
    touch(tmp_path, "b/224p.mp4", "a/2026/m2/Labels-ball.json", "a/2026/m1/720p.mp4", "notes/read.txt", "splits.toml")
    matches = find_matches(tmp_path)
    assert [match.name for match in matches] == ["a/2026/m1", "a/2026/m2", "b"]
    assert [match.video is None for match in matches] == [False, True, False]
    assert [match.labels_path is None for match in matches] == [True, False, True]
    assert matches[1].labels_path == matches[1].folder / "Labels-ball.json"


@pytest.mark.parametrize(
    ("videos", "chosen"),
    [
        (["720p.mp4", "224p.mp4", "other.mkv"], "224p.mp4"),
        (["a.mkv", "720p.mp4"], "720p.mp4"),
        (["only.MKV"], "only.MKV"),
        (["._224p.mp4", "only.mkv"], "only.mkv"),  # a hidden file as macOS leaves them
    ],
)
def test_the_small_video_is_preferred_then_the_large_then_the_only_one(tmp_path: Path, videos: list[str], chosen: str):
    touch(tmp_path, *(f"m/{video}" for video in videos))
    (match,) = find_matches(tmp_path)
    assert match.video == tmp_path / "m" / chosen


def test_two_videos_of_other_names_are_an_error_that_names_both(tmp_path: Path):
    touch(tmp_path, "m/1_224p.mkv", "m/high.mkv")
    with pytest.raises(BallspotError, match=r"several videos \(1_224p.mkv, high.mkv\)"):
        find_matches(tmp_path)


def test_videos_of_two_halves_are_two_recordings_of_one_match(tmp_path: Path):
    touch(tmp_path, "a/m/1_720p.mkv", "a/m/1_224p.mkv", "a/m/2_224p.mkv", "a/m/Labels-v2.json", "a/n/224p.mp4")
    touch(tmp_path, "a/n/1_HQ.mkv", "a/n/2_HQ.mkv", "a/o/1_224p.mkv")
    found = find_matches(tmp_path, labels_file="Labels-v2.json")
    assert [(match.name, match.whole, match.half) for match in found] == [
        ("a/m/1", "a/m", 1), ("a/m/2", "a/m", 2), ("a/n", "a/n", None), ("a/o", "a/o", None),
    ]  # fmt: skip
    assert [match.video.name for match in found if match.video] == [
        "1_224p.mkv", "2_224p.mkv", "224p.mp4", "1_224p.mkv",
    ]  # fmt: skip
    whole = find_matches(tmp_path, labels_file="Labels-v2.json", one_video=False)
    assert [(match.name, match.half) for match in whole] == [("a/m", None), ("a/n", None), ("a/o", None)]
    assert halves_by_match(found) == {"a/m": ("a/m/1", "a/m/2")}


def test_clips_that_are_numbered_are_no_halves(tmp_path: Path):
    touch(tmp_path, "m/1_kick.mp4", "m/1_pass.mp4", "m/2_pass.mp4")
    with pytest.raises(BallspotError, match="several videos"):
        find_matches(tmp_path)


def test_a_folder_with_labels_of_another_task_alone_is_no_match_beside_others(tmp_path: Path):
    touch(tmp_path, "bas/m/Labels-ball.json", "epl/game/Labels-v2.json")
    assert [match.name for match in find_matches(tmp_path)] == ["bas/m"]
    (tmp_path / "bas/m/Labels-ball.json").unlink()
    assert [(match.name, match.labels_path) for match in find_matches(tmp_path)] == [("epl/game", None)]


def test_a_split_names_whole_matches_and_its_parts_are_their_recordings(tmp_path: Path):
    touch(tmp_path, *(f"m{n}/{half}_224p.mkv" for n in (1, 2, 3) for half in (1, 2)))
    (tmp_path / "splits.toml").write_text('train = ["m1"]\nvalid = ["m2"]\ntest = ["m3"]\n')
    for splits in (
        load_splits(tmp_path, find_matches(tmp_path)),
        load_splits(tmp_path, find_matches(tmp_path), leave_out="m3"),
    ):
        assert splits.part("test") == ("m3/1", "m3/2")
        assert splits.by_match["test"] == ("m3",)
    with pytest.raises(BallspotError, match="is not a match: 'm1/1'"):
        (tmp_path / "splits.toml").write_text('train = ["m1/1"]\nvalid = ["m1/2"]\ntest = ["m3"]\n')
        load_splits(tmp_path, find_matches(tmp_path))


def test_linked_folders_are_followed_and_loops_end(tmp_path: Path):
    touch(tmp_path, "elsewhere/m/224p.mp4")
    root = tmp_path / "root"
    root.mkdir()
    (root / "league").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "m" / "back").symlink_to(root)
    assert [match.name for match in find_matches(root)] == ["league/m"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "does not exist"),
        (lambda root: root.write_text(""), "is a file"),
        (lambda root: root.mkdir(), "no match below"),
        (lambda root: touch(root, "224p.mp4"), "is itself a match folder"),
    ],
)
def test_a_root_without_matches_is_an_error_with_a_remedy(tmp_path: Path, make, message: str):
    root = tmp_path / "root"
    make(root)
    with pytest.raises(BallspotError, match=message) as caught:
        find_matches(root)
    assert str(root) in str(caught.value)


def test_a_match_is_meant_by_its_whole_name_or_by_a_last_folder_that_only_it_has():
    names = ["x/a", "y/a", "y/b", "a"]
    assert [resolve_match(name, names, which="to take") for name in ("y/a", "b", "a")] == ["y/a", "y/b", "a"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a", "match 'a' in DATA could be x/a or y/a; give its whole name"),
        ("y/bb", "no match 'y/bb' in DATA; did you mean 'y/b'?"),
        ("match-02", "no match 'match-02' in DATA; did you mean 'league/season/match-01'?"),
        ("?", "no match '?' in DATA; there are 4, the first is 'x/a'"),
    ],
)
def test_a_name_of_several_matches_or_of_none_is_told_with_what_may_be_meant(name: str, message: str):
    with pytest.raises(BallspotError) as caught:
        resolve_match(name, ["x/a", "y/a", "y/b", "league/season/match-01"], which="in DATA")
    assert str(caught.value) == message


def test_where_there_is_no_match_at_all_none_is_suggested():
    with pytest.raises(BallspotError, match="no match 'a' to leave out; there is none"):
        resolve_match("a", [], which="to leave out")
