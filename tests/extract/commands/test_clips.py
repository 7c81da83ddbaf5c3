"""`ballspot clips` as one calls it: a folder of clips with its index, gone on with, and what it refuses."""

import csv
import json
from pathlib import Path

import av
import pytest
from click.testing import CliRunner, Result

from ballspot.cli import main
from ballspot.evaluate.dataset import given_predictions, videos_selection
from ballspot.evaluate.viewer import find_view, sides_of

from ..barcoded import corrupted, plain, read_number

M1, M2 = "league/m1", "league/m2"
SPOTS = [("PASS", 4020, 0.9), ("PASS", 8020, 0.8), ("PASS", 20, 0.6), ("SHOT", 9980, 0.55), ("PASS", 6000, 0.2)]


def entry(label: str, position_ms: int, confidence: float, **more: object) -> dict[str, object]:
    fields = {"gameTime": "1 - 00:00", "label": label, "position": str(position_ms), "half": "1"}
    return {**fields, "confidence": str(confidence), **more}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video of 250 frames, 25 a second, a key frame every 12."""
    return plain(tmp_path_factory.mktemp("source") / "a.mp4")


@pytest.fixture
def folder(tmp_path: Path, source: Path) -> Path:
    for match in (M1, M2):
        (tmp_path / "data" / match).mkdir(parents=True)
        (tmp_path / "data" / match / "224p.mp4").write_bytes(source.read_bytes())
    write(tmp_path, M1, [entry(*one) for one in SPOTS])
    write(tmp_path, M2, [entry("PASS", 2020, 0.7, team="left"), entry('SHOT: <"x">?*|/..', 2020, 0.7)])
    return tmp_path


def write(folder: Path, match: str, entries: list) -> None:
    path = folder / "predictions" / match / "results_spotting.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"predictions": entries}))


def clips(folder: Path, *words: str, out: str = "out") -> Result:
    places = [str(folder / "predictions"), "--data", str(folder / "data"), "--out", str(folder / out)]
    return CliRunner().invoke(main, ["clips", *places, "--before", "1", "--after", "0.4", *words])


def rows(folder: Path, out: str = "out") -> list[dict[str, str]]:
    with (folder / out / "clips.csv").open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def first_number(path: Path) -> int | None:
    with av.open(str(path)) as container:
        return read_number(next(container.decode(video=0)).to_ndarray(format="rgb24"))


@pytest.mark.parametrize("how", ["keyframe", "exact"])
def test_the_index_says_what_each_clip_shows(folder: Path, how: str) -> None:
    result = clips(folder, "--cut", how)
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{folder / 'out' / 'clips.csv'}: 6 clips of 2 matches\n"
    found = rows(folder)
    # Frames by hand: the spot's is its milliseconds over 40, the wanted one 25 before it, a key frame every 12.
    wanted = [(0, 0), (100, 75), (200, 175), (249, 224), (50, 25), (50, 25)]
    keys = {0: 0, 75: 72, 175: 168, 224: 216, 25: 24}
    assert [(int(row["spot_frame"]), int(row["wanted_frame"])) for row in found] == wanted
    for row, (spot, start) in zip(found, wanted, strict=True):
        begins = keys[start] if how == "keyframe" else start
        assert int(row["start_frame"]) == begins == first_number(folder / "out" / row["file"])
        assert float(row["spot_s"]) == (spot - begins) / 25
        assert int(row["n_frames"]) >= min(spot + 11, 250) - begins
        assert (row["cut"], int(row["position_ms"]) // 40) == (how, spot)
    assert [row["label"] for row in found] == ["PASS", "PASS", "PASS", "SHOT", "PASS", 'SHOT: <"x">?*|/..']
    assert [row["team"] for row in found] == ["", "", "", "", "left", ""]
    on_disk = sorted(path.relative_to(folder / "out").as_posix() for path in (folder / "out").rglob("*.mp4"))
    assert on_disk == sorted(row["file"] for row in found)
    assert found[1]["file"] == "league/m1/PASS-000m04s020.mp4"
    assert not any(set(row["file"]) & set('<>:"\\|?* ') for row in found)


def test_a_second_run_keeps_whole_clips_and_cuts_what_is_missing(folder: Path) -> None:
    clips(folder)
    files = [folder / "out" / row["file"] for row in rows(folder)]
    index = (folder / "out/clips.csv").read_bytes()
    times = {path: path.stat().st_mtime_ns for path in files}
    files[2].unlink()
    (folder / "out/clips.csv").unlink()  # as after a kill: the index is written last
    result = clips(folder)
    assert "6 clips (5 were there) of 2 matches" in result.stdout
    assert [path for path in files if path.stat().st_mtime_ns != times[path]] == [files[2]]
    assert (folder / "out/clips.csv").read_bytes() == index
    assert not list((folder / "out").rglob("*.tmp"))


def test_a_limit_takes_the_surest_of_each_class_of_all_matches(folder: Path) -> None:
    assert clips(folder, "--limit", "2", "--classes", "PASS,SHOT").exit_code == 0
    assert [(row["label"], row["position_ms"]) for row in rows(folder)] == [
        ("PASS", "4020"),
        ("PASS", "8020"),
        ("SHOT", "9980"),
    ]


def test_spots_beyond_the_end_have_no_clip_and_are_noted(folder: Path) -> None:
    write(folder, M1, [entry("PASS", 9999, 0.9), entry("PASS", 10_000, 0.9), entry("PASS", 999_000, 0.9)])
    result = clips(folder, "--match", "m1")
    assert result.exit_code == 0 and [row["spot_frame"] for row in rows(folder)] == ["249"]
    assert "note: league/m1: 2 spots lie beyond its 250 frames and have no clip" in result.stderr


def test_a_match_that_was_not_predicted_is_not_cut_at_the_spots_of_another(folder: Path, source: Path) -> None:
    (folder / "data/old" / M1).mkdir(parents=True)
    (folder / "data/old" / M1 / "224p.mp4").write_bytes(source.read_bytes())
    (folder / "s.toml").write_text(f'test = ["{M1}", "old/{M1}"]\n')
    result = clips(folder, "--splits", str(folder / "s.toml"), "--split", "test")
    assert result.exit_code == 1 and f"no predictions for match 'old/{M1}'" in result.stderr


def test_where_no_spot_is_sure_enough_the_highest_score_is_named(folder: Path) -> None:
    write(folder, M1, [entry("PASS", 4020, 0.37), entry("PASS", 6020, 0.2)])
    result = clips(folder, "--match", "m1", "--threshold", "0.5")
    assert result.exit_code == 0 and "0 clips of 1 matches" in result.stdout
    assert "note: no spot reaches --threshold 0.5: the highest score is 0.37; give --threshold 0.3" in result.stderr
    assert "1 clips of 1 matches" in clips(folder, "--match", "m1", "--threshold", "0.3").stdout


def test_of_two_spots_of_one_class_and_time_the_surer_one_is_listed(folder: Path) -> None:
    write(folder, M1, [entry("PASS", 4020, 0.6), entry("PASS", 4020, 0.9)])
    assert clips(folder, "--match", "m1").exit_code == 0
    assert [row["confidence"] for row in rows(folder)] == ["0.9"]


def test_a_clip_that_fails_is_named_and_the_others_are_cut(folder: Path) -> None:
    corrupted(folder / "data" / M1 / "224p.mp4", at=0.5, n_bytes=200)  # near frame 125
    write(folder, M1, [entry("PASS", 2020, 0.9), entry("SHOT", 5980, 0.9), entry("PASS", 9020, 0.9)])
    result = clips(folder, "--cut", "exact", "--match", "m1", "--before", "2")
    assert [row["position_ms"] for row in rows(folder)] == ["2020", "9020"]
    assert result.exit_code == 1
    assert "Error: 1 of 3 clips could not be cut; the first:" in result.stderr and "224p.mp4: frame" in result.stderr
    assert not list((folder / "out").rglob("*SHOT*"))


def test_other_settings_another_video_or_other_files_are_refused(folder: Path) -> None:
    clips(folder, "--match", "m1")
    before = sorted((folder / "out").rglob("*"))
    for words, error in (
        (["--cut", "exact"], "holds clips with cut 'keyframe', not 'exact'; give another --out"),
        (["--after", "2"], "holds clips with after_s 0.4, not 2.0"),
    ):
        result = clips(folder, *words)
        *notes, last = result.stderr.splitlines()
        assert result.exit_code == 1 and error in last and all(line.startswith("note: ") for line in notes)
    with (folder / "data" / M1 / "224p.mp4").open("ab") as stream:
        stream.write(bytes(8))
    assert "holds clips of another video of match 'league/m1'" in clips(folder).stderr
    assert sorted((folder / "out").rglob("*")) == before
    (folder / "full").mkdir()
    (folder / "full/notes.txt").touch()
    assert "is not empty and holds no clips.json" in clips(folder, out="full").stderr


def test_a_missing_video_match_or_class_is_named_before_anything_is_cut(folder: Path) -> None:
    (folder / "data" / M2 / "224p.mp4").rename(folder / "data" / M2 / "Labels-ball.json")
    assert "no video of match 'league/m2'; put it there" in clips(folder).stderr
    assert "no class 'PAS' in --classes; did you mean 'PASS'?" in clips(folder, "--classes", "PAS").stderr
    write(folder, "league/m3", [entry("PASS", 1000, 0.9)])
    assert "match 'league/m3' has predictions, but is not in --data" in clips(folder, "--match", "m3").stderr
    write(folder, M1, [entry("PASS", 1000, 0.9, half="2")])
    assert "is of half 2, but the match is one video" in clips(folder, "--match", "m1").stderr
    assert not (folder / "out").exists()


@pytest.mark.parametrize("words", [["--before", "-1"], ["--limit", "0"], ["--cut", "roughly"]])
def test_bad_options_are_usage_errors(folder: Path, words: list[str]) -> None:
    assert clips(folder, *words).exit_code == 2


@pytest.fixture
def loose(tmp_path: Path, source: Path) -> Path:
    """What `predict` leaves of a loose video: spots, and the record of where the video lay."""
    (tmp_path / "recordings").mkdir()
    path = tmp_path / "recordings" / "2_final.mp4"
    path.write_bytes(source.read_bytes())
    write(tmp_path, "2_final", [entry(*one) for one in SPOTS])
    record = {"video": path.name, "bytes": path.stat().st_size, "path": str(path)}
    (tmp_path / "predictions/2_final/video.json").write_text(json.dumps(record))
    return tmp_path


def cut_loose(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(main, ["clips", str(folder / "predictions"), "--out", str(folder / "out"), *words])


def test_predictions_of_a_loose_video_are_cut_from_it_wherever_it_lies(loose: Path, tmp_path: Path) -> None:
    result = cut_loose(loose)
    assert result.exit_code == 0 and "4 clips of 1 matches" in result.stdout, result.output
    for number, more in enumerate(([], ["--data", str(loose / "recordings")])):
        words = ["clips", str(loose / "predictions"), "--out", str(tmp_path / f"more-{number}"), *more]
        assert "4 clips of 1 matches" in CliRunner().invoke(main, words).stdout
    moved = loose.rename(tmp_path.parent / f"{tmp_path.name}-moved")
    assert "4 clips (4 were there) of 1 matches" in cut_loose(moved).stdout
    with (moved / "recordings/2_final.mp4").open("ab") as stream:
        stream.write(bytes(8))
    result = cut_loose(moved)
    assert result.exit_code == 1 and "no video of match '2_final'" in result.stderr
    assert f"video.json: its video {loose / 'recordings/2_final.mp4'} was not found" in result.stderr
    result = cut_loose(moved, "--split", "test")
    assert result.exit_code == 1 and "--split and --splits need --data" in result.stderr


def test_predictions_of_a_loose_video_are_viewed_as_one_half_without_labels(loose: Path) -> None:
    given = given_predictions([loose / "predictions"], None)
    view = find_view(sides_of(given), videos_selection(given, None), fps=25.0)
    (match,) = view.matches
    assert (match.name, match.videos, match.labels_path) == (
        "2_final",
        {1: loose / "recordings" / "2_final.mp4"},
        None,
    )
    assert match.files == ("2_final/results_spotting.json",)


RENDERED = Path(__file__).resolve().parents[4] / "shared" / "data"


@pytest.mark.skipif(not RENDERED.is_dir(), reason="the rendered matches are not in ../shared/data")
def test_a_clip_of_a_rendered_match_is_its_frames(tmp_path: Path) -> None:
    match = "gfootball/2026/match-07"
    write(tmp_path, match, [entry("PASS", 60_020, 0.9)])
    for how in ("keyframe", "exact"):
        words = ["--data", str(RENDERED), "--out", str(tmp_path / how), "--cut", how]
        result = CliRunner().invoke(main, ["clips", str(tmp_path / "predictions"), *words])
        assert result.exit_code == 0, result.output
        (row,) = rows(tmp_path, how)
        assert (row["spot_frame"], row["wanted_frame"]) == ("1500", "1375")
        start = int(row["start_frame"])
        with av.open(str(RENDERED / match / "224p.mp4")) as whole, av.open(str(tmp_path / how / row["file"])) as cut:
            wanted = next(f for k, f in enumerate(whole.decode(video=0)) if k == start).to_ndarray(format="gray")
            found = next(cut.decode(video=0)).to_ndarray(format="gray")
        difference = abs(wanted.astype(float) - found).mean()
        assert difference == 0 if how == "keyframe" else difference < 2
