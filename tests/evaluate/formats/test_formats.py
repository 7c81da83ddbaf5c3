"""Every format gives back what it can hold, and names what it cannot."""

import json
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.cache.times.axis import frame_of, position_of
from ballspot.cli import main
from ballspot.evaluate.dataset.labels import Spot
from ballspot.evaluate.formats.family import FORMATS, read_videos, write_videos
from ballspot.evaluate.formats.videos import VideoSpots, exact_fps

words = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)
spots = st.builds(
    Spot,
    label=words,
    position_ms=st.integers(0, 8_000_000),
    half=st.sampled_from([1, 1, 2]),
    team=st.one_of(st.none(), st.sampled_from(["left", "right", "not applicable", "a; b"]), words),
    visible=st.booleans(),
    confidence=st.one_of(st.none(), st.floats(-10, 10)),
    note=st.one_of(st.none(), words),
)
video_lists = st.lists(
    st.builds(
        VideoSpots,
        name=st.sampled_from(["a", "league/b", "league/season/c d", "x/1", "x/2", "y/1"]),
        spots=st.lists(spots, max_size=5).map(tuple),
        fps=st.one_of(st.none(), st.sampled_from([25.0, 29.97, 50.0])),
        n_frames=st.one_of(st.none(), st.integers(0, 200_000)),
    ),
    max_size=3,
    unique_by=lambda video: video.name,
)


def back(name: str, videos: list[VideoSpots], folder: Path) -> list[VideoSpots]:
    kind = FORMATS[name]
    write_videos(folder / "out", kind, videos, fps=25.0)
    read = read_videos(folder / "out", kind) if kind.pattern is None or videos else []
    return sorted(read, key=lambda video: video.name)


WRITTEN = [name for name, one in FORMATS.items() if one.write is not None]


@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=60, deadline=None)
@given(videos=video_lists)
def test_what_reads_back_is_what_was_written_unless_a_loss_is_named(
    tmp_path_factory: pytest.TempPathFactory, name: str, videos: list[VideoSpots]
):
    read = back(name, videos, tmp_path_factory.mktemp("videos"))
    bare = [replace(video, notes=()) for video in sorted(videos, key=lambda video: video.name)]
    lost = +FORMATS[name].losses(videos, 25.0)
    given_fps = [replace(video, fps=video.fps or 25.0) for video in bare]  # formats that tell a rate tell the default
    same = [replace(video, notes=()) for video in read] in (bare, given_fps)
    assert same or lost, (bare, read)


def plain(videos: list[VideoSpots]) -> list[tuple]:
    return [(video.name, video.spots) for video in sorted(videos, key=lambda video: video.name)]


TWO_HALVES = [
    VideoSpots(
        "league/m",
        (
            Spot("PASS", 20, 1, "left", True, 0.5),
            Spot("OUT", 61_020, 1, None, False, 0.25),
            Spot("GOAL", 120, 2, "right", True, 1.0),
        ),
        25.0,
    )
]


@pytest.mark.parametrize(
    ("name", "changed", "losses"),
    [
        ("labels-ball", {"confidence": None}, {"confidences": 3, "frame rates": 1}),
        ("labels-v2", {"confidence": None}, {"confidences": 3, "frame rates": 1}),
        ("spots", {"visible": True}, {"spots not shown": 1, "frame rates": 1}),
        ("soccertrack-v2", {}, {}),
        ("osl", {"team": None, "visible": True}, {"teams": 2, "spots not shown": 1}),
        (
            "e2e-spot",
            {},
            {
                "positions moved to the middle of their frame": 1,
                "video lengths written as last frame + 1, not known": 1,
            },
        ),
        ("csv", {}, {"frame rates": 1}),
        ("sportscode", {}, {"frame rates": 1}),
    ],
)
def test_what_each_format_holds_of_a_match_with_two_halves(tmp_path: Path, name: str, changed: dict, losses: dict):
    (read,) = back(name, TWO_HALVES, tmp_path)
    expected = [replace(spot, **changed) for spot in TWO_HALVES[0].spots]
    if name == "e2e-spot":  # 120 ms is the start of a frame
        expected[2] = replace(expected[2], position_ms=position_of(frame_of(120, Fraction(25)), Fraction(25)))
    assert (read.name, list(read.spots)) == ("league/m", expected)
    assert +FORMATS[name].losses(TWO_HALVES, 25.0) == losses


def test_released_soccertrack_files_read_as_they_are(tmp_path: Path):
    # The clock of the second half begins at 45:00; a third period has no half in its gameTime.
    path = tmp_path / "bas" / "117093" / "117093_12_class_events.json"
    path.parent.mkdir(parents=True)
    path.write_text(
        '{"match_id": "117093", "fps": 25.0, "actions": ['
        '{"gameTime": "1 - 48:00", "label": "HIGH PASS", "position": "2880000", "team": "left", "player_id": 7},'
        '{"gameTime": "2 - 45:01", "label": "PASS", "position": "2701000", "team": "right", "player_id": null},'
        '{"gameTime": "90:10", "label": "PASS", "position": "5410000", "team": "right"}]}'
    )
    (video,) = read_videos(tmp_path / "bas", FORMATS["soccertrack-v2"])
    assert video.spots == (Spot("HIGH PASS", 2_880_000, 1, "left"), Spot("PASS", 1000, 2, "right"))
    assert video.notes == (
        "'player_id' of 1 entries is not kept",
        "1 actions of a period without video are not kept",
    )


def test_specified_soccertrack_files_count_from_the_start_of_the_half(tmp_path: Path):
    path = tmp_path / "m_12_class_events.json"
    path.write_text('{"annotations": [{"gameTime": "2 - 00:01", "label": "High Pass", "position": "1000"}]}')
    assert read_videos(path, FORMATS["soccertrack-v2"])[0].spots == (Spot("HIGH PASS", 1000, 2),)


def test_tables_of_others_read_with_their_column_names_and_clock_times(tmp_path: Path):
    path = tmp_path / "spots.csv"
    path.write_text("\ufeffMatch,Time,Label,Score,player\nm,1:02.5,PASS,0.5,9\nm,0.02,OUT,,\n", encoding="utf-8")
    (video,) = read_videos(path, FORMATS["csv"])
    assert video.spots == (Spot("PASS", 62_500, confidence=0.5), Spot("OUT", 20))
    assert video.notes == ("columns 'player' are not kept",)


def test_tables_of_pandas_whose_whole_numbers_became_floats_are_read(tmp_path: Path):
    path = tmp_path / "spots.csv"
    path.write_text("video,half,position_ms,label\nm,2.0,1120.0,PASS\nm,,5400000,OUT\n")
    (video,) = read_videos(path, FORMATS["csv"])
    assert video.spots == (Spot("PASS", 1120, 2), Spot("OUT", 5_400_000))


def test_minutes_may_go_on_past_an_hour_and_seconds_past_a_minute_where_nothing_stands_before_them(tmp_path: Path):
    path = tmp_path / "spots.csv"
    path.write_text("video,time,label\nm,95:10,PASS\nm,5710,OUT\nm,1:35:10.5,OUT\n")
    (video,) = read_videos(path, FORMATS["csv"])
    assert [spot.position_ms for spot in video.spots] == [5_710_000, 5_710_000, 5_710_500]


def test_e2e_spot_comments_hold_team_and_visibility(tmp_path: Path):
    path = tmp_path / "e.json"
    path.write_text(
        '[{"video": "m", "num_frames": 100, "fps": 25, "num_events": 2, "events": ['
        '{"frame": 3, "label": "PASS", "comment": "left; not shown"},'
        '{"frame": 4, "label": "OUT", "comment": "not applicable; visible"}]}]'
    )
    (video,) = read_videos(path, FORMATS["e2e-spot"])
    assert video.spots == (Spot("PASS", 140, 1, "left", False), Spot("OUT", 180, 1, None, True))
    assert video.n_frames == 100


@pytest.mark.parametrize(
    ("fps", "exact"), [(25.0, Fraction(25)), (29.97, Fraction(30000, 1001)), (12.5, Fraction(25, 2))]
)
def test_broadcast_rates_are_exact(fps: float, exact: Fraction):
    assert exact_fps(fps) == exact


@pytest.mark.parametrize("name", ["osl", "e2e-spot"])
def test_halves_are_joined_only_where_no_other_match_has_the_name(tmp_path: Path, name: str):
    videos = [VideoSpots(one, (Spot("PASS", 20),), 25.0, 100) for one in ("m", "m/1", "m/2")]
    assert [(one.name, one.spots) for one in back(name, videos, tmp_path)] == [(one.name, one.spots) for one in videos]
    assert not FORMATS[name].losses(videos, 25.0)["matches that read back as halves of one"]
    both = replace(videos[0], spots=(Spot("PASS", 20), Spot("PASS", 20, 2)))
    with pytest.raises(BallspotError, match="match name 'm/1' is also that of a half of another match; rename"):
        write_videos(tmp_path / "other", FORMATS[name], [both, videos[1]], fps=25.0)


def test_the_rate_of_an_osl_sample_is_the_first_that_is_known(tmp_path: Path):
    inputs = [{"type": "features", "path": "x.npy"}, {"type": "video", "fps": 50}, {"type": "video", "fps": 25}]
    (tmp_path / "o.json").write_text(json.dumps({"version": "2.0", "data": [{"id": "m", "inputs": inputs}]}))
    (video,) = read_videos(tmp_path / "o.json", FORMATS["osl"])
    assert video.fps == 50.0


@pytest.mark.parametrize(
    ("name", "document", "notes"),
    [
        ("e2e-spot", [{"video": "m", "fps": 25, "width": 398, "height": 224, "events": []}], ("height", "width")),
        ("osl", {"version": "2.0", "data": [{"id": "m", "metadata": {"k": 1}, "tags": []}]}, ("metadata",)),
    ],
)
def test_what_is_not_read_of_a_video_is_noted(tmp_path: Path, name: str, document: object, notes: tuple[str, ...]):
    (tmp_path / "o.json").write_text(json.dumps(document))
    (video,) = read_videos(tmp_path / "o.json", FORMATS[name])
    what = "video" if name == "e2e-spot" else "sample"
    assert video.notes == tuple(f"{note!r} of the {what} is not kept" for note in notes)


def test_nothing_is_overwritten_and_names_stay_inside(tmp_path: Path):
    write_videos(tmp_path / "a", FORMATS["labels-ball"], TWO_HALVES, fps=25)
    with pytest.raises(BallspotError, match=r"Labels-ball\.json: already exists"):
        write_videos(tmp_path / "a", FORMATS["labels-ball"], TWO_HALVES, fps=25)
    for name in ("../b", str(tmp_path / "b")):
        with pytest.raises(BallspotError, match="leads out of"):
            write_videos(tmp_path / "c", FORMATS["labels-ball"], [VideoSpots(name, ())], fps=25)
    for name in ("a\x00b", "a" * 300, "season/" * 700 + "match"):
        with pytest.raises(BallspotError, match="cannot be a folder"):
            write_videos(tmp_path / "c", FORMATS["labels-ball"], [VideoSpots(name, ())], fps=25)


@pytest.mark.parametrize("other", ["l/a\u0301/", "./l/a\u0301", "l//a\u0301", "l/\u00e1"])
@pytest.mark.parametrize("name", ["labels-ball", "sportscode"])
def test_matches_whose_names_are_one_folder_do_not_take_each_others_place(tmp_path: Path, name: str, other: str):
    videos = [VideoSpots("l/a\u0301", (Spot("PASS", 0),)), VideoSpots(other, (Spot("SHOT", 0),))]
    with pytest.raises(BallspotError, match="are the same folder; write them alike"):
        write_videos(tmp_path / "out", FORMATS[name], videos, fps=25)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("csv", "video,label\n", "header must name video, label, and position_ms or time"),
        ("csv", "video,label,time,time\n", "names 'time' twice"),
        ("csv", "video,label,time\nm,PASS\n", "line 2: has 2 fields, the header 3"),
        ("csv", "video,label,time\nm,PASS,soon\n", "line 2: 'soon' is not a time"),
        ("csv", "video,label,time\nm,PASS,1:75\n", "line 2: '1:75' is not a time"),
        ("csv", "video,label,time\nm,PASS,1:60:00\n", "line 2: '1:60:00' is not a time"),
        ("csv", "video,label,time\nm,PASS,1.5:00\n", "line 2: '1.5:00' is not a time"),
        ("csv", "video,label,position_ms\nm,PASS,12.000\n", "line 2: '12.000' is not a time"),  # or twelve thousand
        ("csv", "", "is empty; it needs a header that names video, label"),
        ("csv", 'video,label,time\nm,"PA\n', "is not CSV"),
        ("csv", "video,label,time,half\nm,PASS,1,3\n", "line 2: half '3'"),
        ("osl", "[]", 'holds no list "data"'),
        ("osl", '{"data": [{"events": []}]}', 'sample 1: has no text "id"'),
        ("osl", '{"data": [{"id": "a"}, {"id": "a"}]}', "sample id 'a' comes twice"),
        (
            "osl",
            '{"data": [{"id": "a", "events": [{"label": "P", "position_ms": -1}]}]}',
            "sample 1, event 1: position_ms",
        ),
        ("e2e-spot", "{}", "not a JSON list of videos"),
        ("e2e-spot", '[{"video": "m", "events": []}]', "video 1: has no fps"),
        ("e2e-spot", '[{"video": "m", "fps": 25, "events": [{"label": "P", "frame": 1.5}]}]', "event 1: frame 1.5"),
        ("soccertrack-v2", "{}", 'holds no list "actions"'),
        (
            "soccertrack-v2",
            '{"actions": [{"gameTime": "2 - 01:00", "label": "PASS", "position": "60000"}]}',
            "action 1: is of half 2, but",
        ),
        (
            "labels-v2",
            '{"annotations": [{"label": "\\ud800", "gameTime": "1 - 0", "position": 0}]}',
            "annotation 1: label",
        ),
    ],
)
def test_malformed_files_are_named_with_their_entry(tmp_path: Path, name: str, text: str, message: str):
    path = tmp_path / "file"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(BallspotError) as caught:
        read_videos(path, FORMATS[name])
    assert message in str(caught.value) and str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_the_command_converts_and_names_what_is_lost(tmp_path: Path, label_file: Callable):
    label_file("league/m", [("PASS", 1000), ("OUT", 2000)])
    words = ["data", "convert", str(tmp_path / "data"), str(tmp_path / "e.json"), "--from", "labels-ball"]
    result = CliRunner().invoke(main, [*words, "--to", "e2e-spot"])
    assert result.exit_code == 0, result.output
    assert "2 spots of 1 matches in 1 files" in result.stdout
    assert "e2e-spot cannot hold: positions moved to the middle of their frame (2)" in result.stderr
    assert plain(read_videos(tmp_path / "e.json", FORMATS["e2e-spot"])) == [
        ("league/m", (Spot("PASS", 1020), Spot("OUT", 2020)))
    ]
