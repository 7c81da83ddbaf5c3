"""Files of other tools as their own code writes them, and what a reader of ours makes of them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cli import main
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.formats.family import FORMATS, read_videos, write_videos
from ballspot.evaluate.formats.videos import Source, VideoSpots, read_count


def read(path: Path, name: str, content: str | bytes | Any, **options: Any) -> list[VideoSpots]:
    """What a file of that content is read as; what is neither text nor bytes is written as JSON."""
    if not isinstance(content, (str, bytes)):
        content = json.dumps(content)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_videos(path, FORMATS[name], **options)


def osl(*samples: dict[str, Any]) -> dict[str, Any]:
    return {"version": "2.0", "date": "2026-01-01", "task": "action_spotting", "data": list(samples)}


def sample(path: str, **event: Any) -> dict[str, Any]:
    inputs = [{"type": "video", "path": path, "fps": 25.0}]
    return {"inputs": inputs, "events": [{"head": "action", "label": "PASS", "position_ms": 12345, **event}]}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("clips/match-a.mp4", "clips/match-a"),
        ("match-a.mkv", "match-a"),
        ("league/2026-01-01 - St. Pauli - Bremen/224p.mp4", "league/2026-01-01 - St. Pauli - Bremen"),
        ("../videos/match-a.mp4", "videos/match-a"),
        ("/mnt/videos/match-a.mp4", "match-a"),
        ("C:\\Users\\somebody\\match-a.mp4", "match-a"),
        ("clips\\match-a.mp4", "clips/match-a"),
        ("224p.mp4", "224p"),
    ],
)
def test_a_sample_without_an_id_is_named_by_its_video(tmp_path: Path, path: str, name: str) -> None:
    (video,) = read(tmp_path / "o.json", "osl", osl(sample(path)))
    assert video == VideoSpots(name, (Spot("PASS", 12345),), 25.0)


def test_osl_as_the_toolkit_and_the_annotation_program_write_it(tmp_path: Path) -> None:
    predicted = sample("a.mp4", frame=308, confidence=0.9, gameTime="1 - 00:12")
    annotated = sample("b.mp4", position_ms="12345")
    videos = read(tmp_path / "o.json", "osl", osl(predicted, annotated))
    assert videos == [
        VideoSpots("a", (Spot("PASS", 12345, confidence=0.9),), 25.0),
        VideoSpots("b", (Spot("PASS", 12345),), 25.0),
    ]
    write_videos(tmp_path / "spots", FORMATS["spots"], videos[:1], fps=25.0)  # a name that a folder can have
    assert (tmp_path / "spots/a/results_spotting.json").is_file()


def test_the_halves_of_a_match_by_their_files_are_one_match(tmp_path: Path) -> None:
    videos = read(
        tmp_path / "o.json", "osl", osl(sample("l/m/1_224p.mkv"), sample("l/m/2_224p.mkv"), sample("l/n/1_224p.mkv"))
    )
    assert [(video.name, [spot.half for spot in video.spots]) for video in videos] == [
        ("l/m", [1, 2]),
        ("l/n/1_224p", [1]),
    ]


def test_the_first_version_of_osl_is_read(tmp_path: Path) -> None:
    def annotation(half: int, position: int) -> dict[str, Any]:
        return {"gameTime": f"{half} - 00:01", "label": "Goal", "position": str(position), "team": "home"}

    videos = [
        {"path": "l/m/1_ResNET_TF2_PCA512.npy", "annotations": [annotation(1, 1000)]},
        {"path_features": "l/m/2_ResNET_TF2_PCA512.npy", "annotations": [annotation(2, 1500)]},
        {"path": "l/whole.mp4", "annotations": [annotation(2, 1500)]},
        {"path_features": "l/challenge.npy"},
    ]
    found = read(tmp_path / "o.json", "osl", {"version": 1, "date": "2023.08.31", "videos": videos, "labels": ["Goal"]})
    assert [(video.name, video.spots) for video in found] == [
        ("l/m", (Spot("Goal", 1000, 1, "home"), Spot("Goal", 1500, 2, "home"))),
        ("l/whole", (Spot("Goal", 1500, 2, "home"),)),
        ("l/challenge", ()),
    ]
    with pytest.raises(BallspotError, match='video 1: has no "path", which names it; add it'):
        read(tmp_path / "o.json", "osl", {"version": 1, "videos": [{"annotations": []}]})


@given(number=st.integers(0, 10**12))
def test_whole_numbers_are_read_in_any_form(number: int) -> None:
    for value in (number, str(number), float(number), f"{number}.0", f" {number} "):
        assert read_count(value, "p", "k") == number


@pytest.mark.parametrize(
    "value", [True, None, -1, "-1", 1.5, "1.5", "", "nan", "1e3", "9" * 40, "0x1", [1], float("inf")]
)
def test_what_is_no_whole_number_is_refused(value: Any) -> None:
    with pytest.raises(BallspotError, match=r"p: k .* is not a whole number from 0; correct it"):
        read_count(value, "p", "k")


def action(game_time: str, position: int, **more: Any) -> dict[str, Any]:
    return {"gameTime": game_time, "label": "PASS", "position": str(position), "team": "left", **more}


def soccertrack(*actions: dict[str, Any]) -> dict[str, Any]:
    return {"match_id": "100001", "fps": 25.0, "actions": list(actions)}


def test_positions_of_actions_with_frames_count_from_the_start_of_the_half(tmp_path: Path) -> None:
    later = soccertrack(
        action("1 - 00:02", 2000, frame=51),
        action("2 - 00:04", 4000, frame=101),
        action("2 - 47:00", 2_820_000, frame=70_501),
        action("2 - 91:00", 5_460_000, frame=136_501),  # no half lasts so long
        action("3 - 00:10", 10_000, frame=251),
    )
    (video,) = read(tmp_path / "m_12_class_events.json", "soccertrack-v2", later)
    assert [(spot.half, spot.position_ms) for spot in video.spots] == [(1, 2000), (2, 4000), (2, 2_820_000)]
    assert video.notes == ("2 actions of a period without video are not kept",)


def test_positions_on_the_clock_are_told_by_their_frames_and_cut_at_the_third_period(tmp_path: Path) -> None:
    first = soccertrack(action("1 - 00:02", 2000), action("2 - 45:04", 2_704_000), action("2 - 135:00", 8_100_000))
    with_frames = soccertrack(
        *(one | {"frame": frame} for one, frame in zip(first["actions"], (51, 101, 1), strict=True))
    )
    for document in (first, with_frames):
        (video,) = read(tmp_path / "m_12_class_events.json", "soccertrack-v2", document)
        assert [(spot.half, spot.position_ms) for spot in video.spots] == [(1, 2000), (2, 4000)]
        assert video.notes == ("1 actions of a period without video are not kept",)


@pytest.mark.parametrize("fps", [{"fps": -1}, {"fps": -1.0}, {"fps": None}, {}])
def test_frames_without_a_rate_are_times_by_the_rate_that_is_given(tmp_path: Path, fps: dict[str, Any]) -> None:
    document = [{"video": "m", "num_frames": 100, **fps, "events": [{"frame": 50, "label": "PASS", "comment": ""}]}]
    with pytest.raises(
        BallspotError, match="video 1: has no fps, and without it frames have no times; add it, or give --fps"
    ):
        read(tmp_path / "e.json", "e2e-spot", document)
    (video,) = read(tmp_path / "e.json", "e2e-spot", document, fps=50.0)
    assert (video.spots, video.fps, video.n_frames) == ((Spot("PASS", 1010),), 50.0, 100)
    words = ["data", "convert", str(tmp_path / "e.json"), str(tmp_path / "out"), "--from", "e2e-spot", "--to", "spots"]
    refused = CliRunner().invoke(main, words)
    assert refused.exit_code == 1 and "give --fps RATE" in refused.output
    result = CliRunner().invoke(main, [*words, "--fps", "50"])
    assert result.exit_code == 0 and "note: its frames are read at 50 a second, as asked for" in result.output


def test_a_rate_in_the_file_stands_whatever_is_given(tmp_path: Path) -> None:
    document = [{"video": "m", "fps": 25, "events": [{"frame": 50, "label": "PASS"}]}]
    (video,) = read(tmp_path / "e.json", "e2e-spot", document, fps=50.0)
    assert (video.spots, video.remarks) == ((Spot("PASS", 2020),), ())


GERMAN = 'sep=;\r\nMatch;Time;Label;Score;Team\r\n"Köln; 1.FC";1:02,5;PASS;0,75;links\r\nMünchen;0,02;OUT;;\r\n'


@pytest.mark.parametrize("delimiter", [";", "\t"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_are_read_as_spreadsheets_of_every_country_save_them(
    tmp_path: Path, delimiter: str, encoding: str
) -> None:
    text = GERMAN if delimiter == ";" else GERMAN.partition("\n")[2].replace(";", "\t").replace("\t 1.FC", "; 1.FC")
    videos = read(tmp_path / "t.csv", "csv", text.encode(encoding))
    assert [(video.name, video.spots) for video in videos] == [
        ("Köln; 1.FC", (Spot("PASS", 62_500, team="links", confidence=0.75),)),
        ("München", (Spot("OUT", 20),)),
    ]
    told = ("not UTF-8, so read as cp1252; look at its accents",)
    assert videos[0].remarks == (told if encoding == "cp1252" else ())


def test_lines_of_a_table_are_counted_with_the_one_that_names_the_delimiter(tmp_path: Path) -> None:
    with pytest.raises(BallspotError, match="line 3: 'bald' is not a time"):
        read(tmp_path / "t.csv", "csv", "sep=;\nmatch;time;label\nm;bald;PASS\n")
    with pytest.raises(BallspotError, match="line 2: '0,5' is not a time"):  # a comma parts fields here
        read(tmp_path / "t.csv", "csv", 'match,time,label\nm,"0,5",PASS\n')


@given(
    rows=st.lists(
        st.tuples(
            st.text(st.characters(codec="cp1252", exclude_categories=["Cc"]), min_size=1, max_size=6),
            st.integers(0, 10**9),
        ),
        min_size=1,
        max_size=5,
    ),
    delimiter=st.sampled_from(";\t"),
)
def test_every_table_reads_alike_with_other_delimiters(rows: list[tuple[str, int]], delimiter: str) -> None:
    def table(between: str, point: str) -> bytes:
        lines = [
            ("match", "time", "label"),
            *((name, f"{ms // 1000}{point}{ms % 1000:03d}", "PASS") for name, ms in rows),
        ]
        quoted = (
            '"' + field.replace('"', '""') + '"' if between in field or '"' in field else field
            for line in lines
            for field in line
        )
        fields = list(quoted)
        return "\n".join(between.join(fields[k : k + 3]) for k in range(0, len(fields), 3)).encode()

    one, other = (FORMATS["csv"].read(table(*how), Source("f")) for how in ((",", "."), (delimiter, ",")))
    assert one == other and sum(len(video.spots) for video in one) == len(rows)


def test_the_player_centric_task_is_read_truth_and_predictions(tmp_path: Path) -> None:
    truth = {
        "keys": ["game_18_H1", "game_18_H2"],
        "events": {"game_18_H1": [[64, 0, 3, 1, 1, 0], [101, 1, 80, 4, 0, 1]]},
    }
    first, second = read(tmp_path / "t.json", "player-centric", truth)
    assert first.name == "game_18_H1" and first.fps == 25.0 and second == VideoSpots("game_18_H2", (), 25.0)
    assert first.spots == (Spot("DRIVE", 2560, 1, "left"), Spot("THROW IN", 4040, 1, "right", visible=False))
    predicted = {"keys": ["g"], "events": {"g": [[33, 0, 81, 2, 0.7], [34, 1, 5, 8, 0.25]]}}
    (video,) = read(tmp_path / "p.json", "player-centric", predicted)
    assert video.spots == (
        Spot("PASS", 1340, 1, "left", confidence=0.7),
        Spot("BLOCK", 1380, 1, "right", confidence=0.25),
    )
    assert video.notes == ("which player an event is of, by the shirt's number, is not kept",)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([], 'holds no object "events"'),
        ({"keys": "g", "events": {}}, '"keys" must be a list of texts'),
        ({"keys": [], "events": {"g": {}}}, "'g' holds no list of events"),
        ({"events": {"g": [[1, 0, 3, 1]]}}, "g, event 1: [1, 0, 3, 1] is not [frame, team, shirt"),
        ({"events": {"g": [[1, 2, 3, 1, 0.5]]}}, "g, event 1: team 2 is neither 0 (left) nor 1 (right)"),
        ({"events": {"g": [[1, 0, 3, 1, 0.5], [1, 0, 3, 9, 0.5]]}}, "g, event 2: class 9 is not 1 to 8"),
        ({"events": {"g": [[1, 0, 3, 1, None]]}}, "g, event 1: score None is not a finite number"),
        ({"events": {"g": [[1, 0, 3, 1, 2, 0]]}}, "g, event 1: visible 2 is neither 1 nor 0"),
    ],
)
def test_what_is_not_of_the_player_centric_task_is_named(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(BallspotError, match=re.escape(message)):
        read(tmp_path / "p.json", "player-centric", document)


HUDL = """<?xml version="1.0" encoding="{encoding}"?>
<file>
  <SESSION_INFO><start_time>2026-01-01 20:45:00.0 +0100</start_time></SESSION_INFO>
  <ALL_INSTANCES>
    <instance><ID>7</ID><start>12.48</start><end>20,48</end><code>Torschuß</code>
      <label><group>team</group><text>left</text></label><label><group>Zone</group><text>14</text></label>
      <label><text>no group</text></label></instance>
    <instance><ID>8</ID><code>PASS</code><start>30</start><end>33</end></instance>
  </ALL_INSTANCES>
  <ROWS><row><sort_order>1</sort_order><code>PASS</code><R>65535</R><G>0</G><B>0</B></row></ROWS>
</file>
"""


@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16", "windows-1252", "ISO-8859-1"])
def test_a_timeline_of_other_programs_is_read(tmp_path: Path, encoding: str) -> None:
    (video,) = read(tmp_path / "match-06.xml", "sportscode", HUDL.format(encoding=encoding).encode(encoding))
    assert (video.name, video.spots) == ("match-06", (Spot("Torschuß", 17_480, team="left"), Spot("PASS", 33_000)))
    assert video.notes == ("label '' of 1 instances is not kept", "label 'Zone' of 1 instances is not kept")
    assert "1 of 2 instances do not last the 5 s ahead of an event and 3 s behind it" in video.remarks[0]
    (video,) = read(tmp_path / "m.xml", "sportscode", HUDL.format(encoding="UTF-8"), before_s=1.0, after_s=2.0)
    assert [spot.position_ms for spot in video.spots] == [13_480, 31_000]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<file>", "is not XML"),
        ("<file/>", "holds no ALL_INSTANCES"),
        ('<!DOCTYPE f [<!ENTITY a "b">]><file><ALL_INSTANCES/></file>', "declares a document type"),
        ("<file><ALL_INSTANCES><instance/></ALL_INSTANCES></file>", "instance 1: has no code"),
        (
            "<file><ALL_INSTANCES><instance><code>P</code><start>x</start></instance></ALL_INSTANCES></file>",
            "start 'x' is no",
        ),
        (
            "<file><ALL_INSTANCES><instance><code>P</code><start>2</start><end>1</end></instance></ALL_INSTANCES></file>",
            "instance 1: ends at 1000 ms, before its start at 2000 ms",
        ),
    ],
)
def test_what_is_no_timeline_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(BallspotError, match=re.escape(message)):
        read(tmp_path / "t.xml", "sportscode", text)


def test_an_export_of_ours_reads_back_as_the_predictions_it_came_from(
    tmp_path: Path, spot_file: Callable[..., Path]
) -> None:
    entries = [
        ("PASS", 1160, 0.87),
        ("PASS", 61_000, 0.5),
        {"label": "GOAL", "position": "900", "half": "2", "confidence": "1.0"},
    ]
    spot_file("league/a: b", entries)
    words = ["export", str(tmp_path / "predictions"), "--format", "sportscode", "--out", str(tmp_path / "xml")]
    assert CliRunner().invoke(main, words).exit_code == 0
    (video,) = read_videos(tmp_path / "xml", FORMATS["sportscode"])
    assert video.name == "league/a: b"  # the file's name has no colon
    assert [(spot.label, spot.position_ms, spot.half, spot.confidence) for spot in video.spots] == [
        ("PASS", 1160, 1, 0.87),
        ("PASS", 61_000, 1, 0.5),
        ("GOAL", 900, 2, 1.0),
    ]
    words = ["data", "convert", str(tmp_path / "xml"), str(tmp_path / "back"), "--from", "sportscode", "--to", "spots"]
    assert CliRunner().invoke(main, words).exit_code == 0
    assert (tmp_path / "back/league/a: b/results_spotting.json").is_file()


def test_timelines_that_name_one_match_go_by_their_files(tmp_path: Path) -> None:
    text = (
        "<file><ALL_INSTANCES><instance><code>P</code><start>9</start><end>17</end>"
        "<label><group>Match</group><text>A - B</text></label></instance></ALL_INSTANCES></file>"
    )
    for name in ("t/one.xml", "t/two.xml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [video.name for video in read_videos(tmp_path / "t", FORMATS["sportscode"])] == ["one", "two"]
    assert read_videos(tmp_path / "t/one.xml", FORMATS["sportscode"])[0].name == "A - B"


def test_a_format_that_is_read_only_is_not_offered_as_a_target(tmp_path: Path) -> None:
    words = ["data", "convert", "a", "b", "--from", "csv", "--to", "player-centric"]
    assert CliRunner().invoke(main, words).exit_code == 2
    with pytest.raises(BallspotError, match="player-centric is a format that is read only"):
        write_videos(tmp_path / "x", FORMATS["player-centric"], [], fps=25.0)


@pytest.mark.parametrize("name", ["labels-ball", "spots", "soccertrack-v2", "osl", "e2e-spot", "csv", "sportscode"])
def test_every_format_reads_alike_with_the_mark_of_a_windows_editor(tmp_path: Path, name: str) -> None:
    written = write_videos(
        tmp_path / "out", FORMATS[name], [VideoSpots("l/m", (Spot("PASS", 20, confidence=0.5),), 25.0)], fps=25.0
    )
    expected = read_videos(tmp_path / "out", FORMATS[name])
    for path in written:
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert read_videos(tmp_path / "out", FORMATS[name]) == expected and expected[0].spots
