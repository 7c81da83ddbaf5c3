import json
import shutil
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.dataset.matches import find_matches
from ballspot.extract.data_root.check import lint_matches
from ballspot.extract.data_root.synth import write_video

from ..world_videos import make

BALL = load_label_set("ball-12")


def entry(position: Any, label: Any = "PASS", **changes: Any) -> dict[str, Any]:
    seconds = int(position) // 1000 if str(position).isdigit() else 0
    good = {"gameTime": f"1 - 00:{seconds:02d}", "label": label, "position": position, "team": "left"}
    return {name: value for name, value in {**good, "visibility": "visible", **changes}.items() if value != "drop"}


def found_with(root: Path, video: Path | None, labels: Any, *, decode: bool = False) -> list[str]:
    """The finding lines of a data root with one match, `m`."""
    (root / "m").mkdir(parents=True, exist_ok=True)
    if video is not None:
        shutil.copy(video, root / "m" / "224p.mp4")
    if labels is not None:
        text = labels if isinstance(labels, str) else json.dumps({"annotations": labels})
        (root / "m" / "Labels-ball.json").write_text(text)
    return [finding.line() for finding in lint_matches(find_matches(root), BALL, decode=decode)]


def test_a_drawn_data_root_has_no_finding(drawn: Path) -> None:
    assert list(lint_matches(find_matches(drawn), BALL, decode=True)) == []


# The video has 250 frames at 25 fps, so 9999 ms is its last millisecond.
# Each: the annotations, and the finding, which is about the last of them.
ENTRIES: Mapping[str, tuple[list[Any], str]] = {
    "unknown label": ([entry("40", "PAS")], "ERROR m: unknown label 'PAS', did you mean 'PASS'?"),
    "past the end": (
        [entry("9999"), entry("10000")],
        "ERROR m: PASS at 10000 ms is past the end of the video, 10000 ms",
    ),
    "negative": ([entry("-40")], "ERROR m: negative position -40"),
    "not a number": ([entry("soon")], 'ERROR m: position "soon" is not a number of milliseconds'),
    "no position": ([entry("drop")], "ERROR m: position null is not a number of milliseconds"),
    "one frame": ([entry("100"), entry("119", "SHOT")], "WARNING m: two events in frame 2, the other is annotation 1"),
    "no team": ([entry("40", team="drop")], "WARNING m: no team"),
    "odd team": ([entry("40", team="home")], 'WARNING m: team "home" is not one of left, right, not applicable'),
    "unsorted": ([entry("4000"), entry("2000")], "WARNING m: unsorted: 2000 ms comes after 4000 ms"),
    "contradiction": (
        [entry("4000", gameTime="1 - 00:09")],
        "WARNING m: gameTime '1 - 00:09' contradicts position 4000 ms",
    ),
    "no time": ([entry("4000", gameTime="later")], 'ERROR m: gameTime "later" is not like "1 - 12:34"'),
    "visibility": ([entry("40", visibility="maybe")], 'ERROR m: visibility "maybe" is not one of visible, not shown'),
    "no label": ([entry("40", "drop")], "ERROR m: no label"),
    "no object": ([7], "ERROR m: 7 is not an object"),
    "nothing": ([], "WARNING m: no annotation"),
}


@pytest.mark.parametrize("kind", ENTRIES)
def test_each_fault_of_an_annotation_is_one_line_and_the_only_one(tmp_path: Path, video: Path, kind: str) -> None:
    entries, what = ENTRIES[kind]
    where = f"Labels-ball.json, annotation {len(entries)}" if entries else "Labels-ball.json"
    assert found_with(tmp_path, video, entries) == [f"{what} ({where})"]


def test_many_faults_are_all_found(tmp_path: Path, video: Path) -> None:
    lines = found_with(tmp_path, video, [entry("4000", "GAOL", team=""), entry("-1", "PASS"), entry("99999")])
    assert len(lines) == 4
    assert sum(line.startswith("ERROR") for line in lines) == 3


def test_seconds_that_were_cut_or_rounded_contradict_nothing(tmp_path: Path, video: Path) -> None:
    entries = [entry("4999", gameTime="1 - 00:04"), entry("5600", gameTime="1 - 00:06")]
    assert found_with(tmp_path, video, entries) == []


@pytest.mark.parametrize(("position", "is_odd"), [("2999", True), ("3000", False), ("5999", False), ("6000", True)])
def test_a_position_a_second_off_its_time_is_let_pass_and_one_further_is_not(
    tmp_path: Path, video: Path, position: str, is_odd: bool
) -> None:
    lines = found_with(tmp_path, video, [entry(position, gameTime="1 - 00:04")])
    assert any("contradicts position" in line for line in lines) is is_odd


@pytest.mark.parametrize(
    ("text", "message"),
    [("{not json", "not valid JSON"), ("[]", 'no list "annotations"'), ('{"annotations": 3}', 'no list "annotations"')],
)
def test_a_label_file_of_another_form_is_an_error(tmp_path: Path, video: Path, text: str, message: str) -> None:
    (line,) = found_with(tmp_path, video, text)
    assert line.startswith(f"ERROR m: {message}") and line.endswith("(Labels-ball.json)")


def test_without_labels_there_is_a_warning(tmp_path: Path, video: Path) -> None:
    (line,) = found_with(tmp_path, video, None)
    assert line.startswith("WARNING m: no Labels-ball.json")


def test_without_video_the_labels_are_still_looked_at(tmp_path: Path, video: Path) -> None:
    lines = found_with(tmp_path, None, [entry("40", "PAS")])
    assert [line.split(" (")[0] for line in lines] == [
        "WARNING all matches: no video: labels alone are checked",
        "ERROR m: unknown label 'PAS', did you mean 'PASS'?",
    ]
    (tmp_path / "n").mkdir()
    shutil.copy(video, tmp_path / "n" / "224p.mp4")
    assert found_with(tmp_path, None, [entry("40")])[0] == f"ERROR m: no video ({tmp_path / 'm'})"
    shutil.copy(video, tmp_path / "n" / "other.mp4")  # two videos are no fault where none is asked for
    matches = find_matches(tmp_path, one_video=False)
    lines = [finding.line() for finding in lint_matches(matches, BALL, with_videos=False)]
    assert lines == [f"WARNING n: no Labels-ball.json: it can be predicted on only ({tmp_path / 'n'})"]


@pytest.mark.parametrize("position", [10**13, str(10**13), 1e308])
def test_a_position_that_labels_are_not_read_with_is_an_error_without_a_video_too(
    tmp_path: Path, position: object
) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "Labels-ball.json").write_text(
        json.dumps({"annotations": [entry(position, gameTime="1 - 00:01")]})
    )
    *_, line = (finding.line() for finding in lint_matches(find_matches(tmp_path), BALL))
    assert line == f"ERROR m: position {json.dumps(position)} is beyond any video (Labels-ball.json, annotation 1)"


def test_what_repeats_for_every_annotation_is_one_line_with_a_count(tmp_path: Path, video: Path) -> None:
    lines = found_with(tmp_path, video, [entry(str(400 * n), team="drop") for n in range(20)])
    assert lines == ["WARNING m: no team (Labels-ball.json, 20 annotations from 1 on)"]
    late = [entry(str(10_000 + 40 * n), team="left", gameTime="1 - 00:10") for n in range(20)]
    lines = found_with(tmp_path, video, [entry("40"), *late])
    assert lines == [
        "ERROR m: PASS at 10000 ms is past the end of the video, 10000 ms "
        "(Labels-ball.json, 20 annotations like it from 2 on)"
    ]


# The kind of video, and what `data check` says of it before anything is decoded.
TOLD: Mapping[str, tuple[str, ...]] = {
    "turned by 90 degrees": ("WARNING m: pictures are turned 90 degrees counterclockwise, as players show them",),
    "mirrored": ("WARNING m: pictures are mirrored left to right, as players show them",),
    "another stream ahead of the default": ("WARNING m: has 2 video streams, of which number 1 is read",),
    "packed B-frames in AVI": (
        "WARNING m: the first picture is shown at 0.040 s",
        "WARNING m: packed B-frames (XviD, DivX), which are unpacked",
    ),
    "sound from the start, pictures 0.4 s late": ("WARNING m: the first picture is shown at 0.400 s",),
    "MPEG-TS tuned in to": (
        "WARNING m: the first picture is shown at 0.120 s",
        "WARNING m: begins between key frames: frames count from the first that can be decoded, 5 come before it",
    ),
    "a gap": (
        "WARNING m: 4.040 s pass from frame 29 to the next",
        "ERROR m: 9.2767 frames a second on average, 25 by the usual step; labels go by time stamps",
    ),
    "a trimmed tail": (
        "WARNING m: 0.200 s pass from frame 58 to the next",
        "ERROR m: 23.413 frames a second on average, 25 by the usual step; labels go by time stamps",
    ),
    "variable rate": (
        "WARNING m: variable frame rate: 29 of 59 steps are not the usual one",
        "ERROR m: 14.461 frames a second on average, 25 by the usual step; labels go by time stamps",
    ),
    "25 fps": (),
}


@pytest.mark.parametrize("kind", TOLD)
def test_what_extraction_would_note_is_told_beforehand(tmp_path: Path, kind: str) -> None:
    path = make(tmp_path, kind)
    folder = tmp_path / "data" / "m"
    folder.mkdir(parents=True)
    shutil.copy(path, folder / f"224p{path.suffix}")
    (folder / "Labels-ball.json").write_text(json.dumps({"annotations": [entry("400")]}))
    lines = [finding.line() for finding in lint_matches(find_matches(tmp_path / "data"), BALL)]
    assert lines == [f"{line} (224p{path.suffix})" for line in TOLD[kind]]


@pytest.mark.parametrize("content", [b"", b"not a video at all, only text"])
def test_an_unreadable_video_is_an_error_and_not_the_end(tmp_path: Path, content: bytes) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(content)
    (line,) = found_with(tmp_path / "data", broken, [entry("40")])
    assert line.startswith("ERROR m: ") and line.endswith("(224p.mp4)")


def test_another_frame_rate_is_told_against_the_others_and_the_metric(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "data")
    fast = tmp_path / "data" / "synth" / "drawn" / "match-02" / "64p.mp4"
    write_video(fast, 300, fps=Fraction(30000, 1001), size=(64, 96), events=[])
    lines = [finding.line() for finding in lint_matches(find_matches(tmp_path / "data"), BALL)]
    assert lines == [
        "WARNING synth/drawn/match-02: 29.97 frames a second; SoccerNet scores at 25 (64p.mp4)",
        "WARNING synth/drawn/match-02: 29.97 fps, other matches have 25 (64p.mp4)",
    ]


def test_a_video_cut_short_is_told_by_the_containers_count(tmp_path: Path, video: Path, faststart: Path) -> None:
    content = faststart.read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(content[: len(content) * 2 // 3])
    line, more = found_with(tmp_path / "data", cut, [entry("40")])
    assert line.startswith("ERROR m: the container counts 250 frames, but holds ")
    assert more.startswith("WARNING m: is cut short within its last picture, which is left out")


def test_damage_inside_is_found_when_frames_are_decoded(tmp_path: Path, video: Path) -> None:
    content = bytearray(video.read_bytes())
    content[20_000:20_200] = bytes(range(200))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(bytes(content))
    assert found_with(tmp_path / "data", broken, [entry("40")]) == []
    (line,) = found_with(tmp_path / "data", broken, [entry("40")], decode=True)
    assert line.startswith("ERROR m: frame ")


def test_what_is_only_called_a_video_is_named(tmp_path: Path, video: Path) -> None:
    for name in ("link", "folder", "text", "sound"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Labels-ball.json").write_text('{"annotations": []}')
    (tmp_path / "link" / "a.mp4").symlink_to(tmp_path / "gone.mp4")
    (tmp_path / "folder" / "a.MP4").mkdir()
    (tmp_path / "text" / "a.wmv").write_text("The match begins at eight.\n")
    shutil.copy(video, tmp_path / "sound" / "224p.mp4")
    lines = [finding.line() for finding in lint_matches(find_matches(tmp_path), BALL)]
    assert [line for line in lines if line.startswith("ERROR")] == [
        f"ERROR folder: no video: a.MP4 is a folder ({tmp_path / 'folder'})",
        f"ERROR link: no video: a.mp4 is a link to {tmp_path / 'gone.mp4'}, which is not there ({tmp_path / 'link'})",
        "ERROR text: text, not a video (a.wmv)",
    ]
