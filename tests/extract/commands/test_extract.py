import json
import shlex
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import ComponentsSpec
from ballspot.cache.stores.store import FeatureStore
from ballspot.cache.terminal.options import parse_fps
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.rows import ExtractionJob, extract_options
from ballspot.extract.rows.job import Settings
from ballspot.extract.rows.names import default_set_name

from ...commands import run

RENDERED = Path(__file__).parents[3].parent / "shared" / "data"


def extract(data: Path, out: Path, *more: object) -> tuple[int, str, str]:
    return run("extract", data, "--out", out, "--weights", "random", "--size", "64x96", "--workers", 1, *more)


def test_extract_writes_a_store_a_match_and_cache_verify_passes_them(drawn: Path, tmp_path: Path) -> None:
    code, out, error = extract(drawn, tmp_path)
    assert code == 0, error
    set_path = tmp_path / "regnety_002-random0-64x96"
    assert out.splitlines()[-1] == f"feature set: {set_path}"
    assert "frames" in error and "left" in error
    with FeatureStore.open(set_path / "synth/drawn/match-02.h5") as store:
        assert (store.n_rows, store.dim, store.match) == (250, 368, "synth/drawn/match-02")
    assert run("cache", "verify", tmp_path)[0] == 0
    listed = json.loads(run("cache", "list", tmp_path, "--json")[1])["sets"]
    assert [(one["set"], one["n_matches"], one["n_rows"]) for one in listed] == [(set_path.name, 3, 750)]


def test_extract_takes_single_matches_and_a_set_name(drawn: Path, tmp_path: Path) -> None:
    code, _, error = extract(drawn, tmp_path, "--match", "synth/drawn/match-03", "--set", "mine", "--stride", 5)
    assert code == 0, error
    assert [path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.h5")] == [
        "mine/synth/drawn/match-03.h5"
    ]


@pytest.mark.parametrize(
    "more",
    [
        [],
        ["--layers", "layer2,layer3", "--grid", "2x3", "--dtype", "int8", "--views", "hflip,photo:3"],
        ["--region", "motion", "--region-count", 2, "--region-fuse", "max", "--region-size", "32x34", "--motion", 7],
        ["--backbone", "resnet10t+tsm", "--margin", 1, "--stride", 4],
    ],
)
def test_the_options_that_a_card_tells_make_the_same_features(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[object]
) -> None:
    specs = []

    def asked(_: object, __: object, job: ExtractionJob, **___: object) -> list[object]:
        specs.append(job.spec)
        return []

    monkeypatch.setattr("ballspot.extract.rows.extract_matches", asked)
    own = [] if "--backbone" in more else ["--backbone", "resnet10t"]
    words = ["extract", drawn, "--out", tmp_path, "--weights", "random:2", "--size", "64x96", *own, *more]
    assert run(*words)[0] == 0
    again = shlex.split(extract_options(specs[0], "random:2"))
    assert run("extract", drawn, "--out", tmp_path, *again)[0] == 0
    assert specs[0].fingerprint == specs[1].fingerprint
    halves = extract_options(specs[0].model_copy(update={"precision": "bfloat16"}), "hub")
    assert halves.endswith(" --precision bfloat16")
    assert extract_options(specs[0].projected(ComponentsSpec(dim=4, parent="", sha256="")), "hub") == ""


def test_extract_takes_the_matches_of_a_split(drawn: Path, tmp_path: Path) -> None:
    assert extract(drawn, tmp_path, "--set", "a", "--stride", 25, "--split", "valid")[0] == 0
    assert [path.stem for path in (tmp_path / "a").rglob("*.h5")] == ["match-02"]
    (tmp_path / "own.toml").write_text('train = ["synth/drawn/match-03"]\nvalid = ["synth/drawn/match-01"]\n')
    words = ("--set", "b", "--stride", 25, "--splits", tmp_path / "own.toml")
    assert extract(drawn, tmp_path, *words)[0] == 0
    assert sorted(path.stem for path in (tmp_path / "b").rglob("*.h5")) == ["match-01", "match-03"]
    assert extract(drawn, tmp_path, "--set", "c", "--split", "valid", "--match", "match-01")[0] == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--match", "synth/drawn/match-9"), "no match 'synth/drawn/match-9' in"),
        (("--backbone", "resnet_18"), "did you mean resnet18, "),
        (("--weights", "gone.pth"), "--weights gone.pth: no such file"),
        (("--set", "../up"), "--set ../up"),
        (("--device", "warp"), "--device warp"),
        (("--decoder", "decord", "--on-bad-frame", "substitute"), "decord cannot do it; give --decoder auto or pyav"),
    ],
)
def test_wrong_options_are_one_line_and_exit_code_1(
    drawn: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    code, out, error = extract(drawn, tmp_path / "out", *more)
    assert (code, out) == (1, "")
    assert error.startswith("Error: ") and message in error and error.count("\n") == 1
    assert not list(tmp_path.rglob("*.h5*"))


def test_a_size_that_is_none_is_a_usage_error(drawn: Path, tmp_path: Path) -> None:
    code, _, error = run("extract", drawn, "--out", tmp_path, "--size", "big")
    assert code == 2
    assert "HEIGHTxWIDTH" in error


def test_an_output_folder_of_other_settings_is_refused(drawn: Path, tmp_path: Path) -> None:
    assert extract(drawn, tmp_path, "--set", "one", "--match", "synth/drawn/match-01")[0] == 0
    code, _, error = extract(drawn, tmp_path, "--set", "one", "--stride", 2)
    assert code == 1
    assert "stride is 1 there and 2 here" in error


def test_an_output_place_that_is_a_file_is_named(drawn: Path, tmp_path: Path) -> None:
    (tmp_path / "out").touch()
    code, _, error = extract(drawn, tmp_path / "out")
    assert code == 1
    assert str(tmp_path / "out") in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "an empty file (0 bytes)"), (b"text, no video\n", "text, not a video"), (None, "has no video")],
    ids=["zero bytes", "text", "none"],
)
def test_a_bad_video_fails_in_one_line_after_the_others_are_done(
    drawn: Path, tmp_path: Path, content: bytes | None, message: str
) -> None:
    shutil.copytree(drawn, tmp_path / "data")
    video = tmp_path / "data" / "synth" / "drawn" / "match-02" / "64p.mp4"
    video.unlink()
    if content is not None:
        video.write_bytes(content)
    code, out, error = extract(tmp_path / "data", tmp_path / "out", "--stride", 25)
    assert code == 1
    assert [line.split("  ")[1] for line in out.splitlines()] == ["10 rows of 368"] * 2
    last = error.splitlines()[-1]
    assert last.startswith("Error: 1 of 3 matches failed, the others are complete: match 'synth/drawn/match-02'")
    assert message in last


def test_check_exits_with_1_on_errors_only(drawn: Path, tmp_path: Path) -> None:
    code, out, _ = run("data", "check", drawn)
    assert (code, out) == (0, "3 matches: 0 errors, 0 warnings\n")
    shutil.copytree(drawn, tmp_path / "data")
    labels = tmp_path / "data" / "synth" / "drawn" / "match-01" / "Labels-ball.json"
    labels.write_text(labels.read_text().replace('"team"', '"side"'))
    code, out, _ = run("data", "check", tmp_path / "data")
    n_labels = len(json.loads(labels.read_text())["annotations"])
    assert (
        code == 0
        and f"WARNING synth/drawn/match-01: no team (Labels-ball.json, {n_labels} annotations from 1 on)" in out
    )
    labels.write_text("nothing")
    code, out, _ = run("data", "check", tmp_path / "data", "--json")
    checked = json.loads(out)
    assert code == 1
    assert (checked["n_matches"], checked["n_errors"], checked["n_warnings"]) == (3, 1, 0)
    assert checked["findings"][0]["match"] == "synth/drawn/match-01"


def test_stats_adds_up(drawn: Path) -> None:
    code, out, _ = run("data", "stats", drawn, "--json")
    stats = json.loads(out)
    assert code == 0
    assert (stats["n_frames"], stats["duration_s"], stats["n_events"]) == (750, 30.0, 9)
    parts = stats["splits"].values()
    for label, count in stats["events"].items():
        assert count == sum(part["events"][label] for part in parts)
        assert count == sum(match["events"][label] for match in stats["by_match"].values())
    table = run("data", "stats", drawn)[1]
    assert "train" in table and "THROW IN" in table and "0:00:30" in table


def test_stats_without_a_split_counts_all(drawn: Path, tmp_path: Path) -> None:
    shutil.copytree(drawn, tmp_path / "data")
    (tmp_path / "data" / "splits.toml").unlink()
    code, out, error = run("data", "stats", tmp_path / "data", "--json")
    assert code == 0
    assert json.loads(out)["splits"] == {} and "without a split" in error


@pytest.mark.skipif(not RENDERED.is_dir(), reason="the rendered matches are not beside this checkout")
def test_the_rendered_matches_have_the_counts_of_their_description() -> None:
    # README.md beside them: 31,500 frames, 725 events.
    stats = json.loads(run("data", "stats", RENDERED, "--json")[1])
    assert (stats["n_frames"], stats["n_events"], stats["events"]["PASS"], stats["events"]["GOAL"]) == (
        31500,
        725,
        278,
        6,
    )
    assert run("data", "check", RENDERED)[0] == 0


def test_synth_draws_what_it_is_asked_for(tmp_path: Path) -> None:
    arguments = ("--matches", 2, "--minutes", 0.1, "--fps", "29.97", "--size", "64x96", "--seed", 4)
    code, _, error = run("data", "synth", tmp_path / "drawn", *arguments)
    assert code == 0, error
    stats = json.loads(run("data", "stats", tmp_path / "drawn", "--json")[1])
    assert stats["n_frames"] == 2 * 180  # 6 s at 30000/1001: 179.8
    assert {match["fps"] for match in stats["by_match"].values()} == {"30000/1001"}
    code, _, error = run("data", "synth", tmp_path / "drawn", *arguments)
    assert code == 1 and "not empty" in error


@pytest.mark.parametrize(
    ("text", "fps"),
    [("25", Fraction(25)), ("29.97", Fraction(30000, 1001)), ("12.5", Fraction(25, 2)), ("50/2", Fraction(25))],
)
def test_frame_rates_are_exact(text: str, fps: Fraction) -> None:
    assert parse_fps(text) == fps


@pytest.mark.parametrize("text", ["0", "-25", "fast", "25/0", "1000"])
def test_frame_rates_that_make_no_video_are_refused(text: str) -> None:
    with pytest.raises(BallspotError, match=f"--fps {text}"):
        parse_fps(text)


def test_a_set_is_named_by_what_made_it() -> None:
    assert default_set_name(BackboneSpec("regnety_002", "hub", (224, 398)), Settings()) == "regnety_002-hub-224x398"
    small = BackboneSpec("regnety_002", "random", (64, 96))
    assert default_set_name(small, Settings(stride=2, dtype="int8")) == "regnety_002-random0-64x96-stride2-int8"
    cells = replace(small, layers=("s3", "s4"), grid=(2, 3))
    assert (
        default_set_name(cells, Settings(), views="original,hflip") == "regnety_002-random0-64x96-s3+s4-grid2x3-hflip"
    )
