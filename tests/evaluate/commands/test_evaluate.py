import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ballspot.cli import COMMANDS, main
from ballspot.evaluate.commands.compare import compare
from ballspot.evaluate.commands.evaluate import evaluate


@pytest.fixture
def folders(tmp_path: Path, label_file: Callable, spot_file: Callable) -> list[str]:
    """Three matches and a split; m1 and m2 are predicted perfectly for PASS, m3 is not predicted."""
    for match in ("l/m1", "l/m2", "l/m3"):
        label_file(match, [("PASS", 1000), ("GOAL", 5000)])
    for match in ("l/m1", "l/m2"):
        spot_file(match, [("PASS", 1000, 0.9)])
    (tmp_path / "data" / "splits.toml").write_text('train = ["l/m3"]\nvalid = ["l/m1"]\ntest = ["l/m2"]\n')
    return [str(tmp_path / "predictions"), "--data", str(tmp_path / "data")]


def call(*words: str) -> Result:
    return CliRunner().invoke(main, ["evaluate", *words])


def test_the_json_object_has_the_fixed_form(folders: list[str]):
    result = call(*folders, "--split", "test", "--json")
    assert result.exit_code == 0
    record = json.loads(result.stdout)
    assert (record["metric"], record["fps"], record["split"], record["matches"]) == ("at1", 25.0, "test", ["l/m2"])
    assert record["mean_ap"] == pytest.approx(1 / 12)
    assert record["headline_ap"] == pytest.approx(1 / 10)
    assert (record["per_class"]["PASS"]["ap"], record["per_class"]["PASS"]["n_truth"]) == (1.0, 1)
    assert record["frequent_ap"] is None
    assert record["original_protocol"]["fps"] == 12.5


def test_pictures_that_cannot_be_drawn_are_refused_before_the_tables(
    folders: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = call(*folders, "--plots", str(tmp_path / "plots"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "pictures need matplotlib; install it with: pip install 'ballspot[plots]'" in result.stderr
    assert not (tmp_path / "plots").exists()


def test_labels_that_share_class_and_frame_are_counted_in_a_note_and_only_there(
    folders: list[str], label_file: Callable
):
    assert "share class and frame" not in call(*folders, "--split", "test").stderr
    label_file("l/m2", [("PASS", 1000), ("PASS", 1010), ("PASS", 1015), ("GOAL", 5000)])
    told = call(*folders, "--split", "test").stderr
    assert "labels that share class and frame with another, and do not count: 2" in told


def test_the_table_shows_counts_both_means_and_the_original_protocol(folders: list[str]):
    result = call(*folders, "--split", "test")
    rows = {line.split("  ")[0]: line.split() for line in result.stdout.splitlines() if line}
    assert rows["PASS"] == ["PASS", "1", "100.00", "-", "100.00"]
    assert rows["mAP@12"][1:4] == ["2", "8.33", "-"]
    assert rows["mAP@10"][1:4] == ["10.00", "-", "10.00"]
    assert rows["exact mAP@12 (area)"][3] == "8.33"
    assert "hits within 0.5 s either side (at1), 25 frames per second; 1 match, 1 predictions" in result.stdout
    assert "original protocol, 12.5 fps" in result.stdout
    assert (
        "no intervals: the matches make 1 block of 300 s, and under 6 say nothing; shorter ones (--block) give more"
        in result.stderr
    )
    assert "no truths of DRIVE" in result.stderr and "no truths" not in result.stdout


@pytest.mark.parametrize(
    ("words", "matches"),
    [
        (["--split", "valid"], ["l/m1"]),
        (["--leave-out", "m2", "--split", "test"], ["l/m2"]),
        (["--leave-out", "m3", "--split", "valid"], ["l/m1"]),
        (["--splits", "SPLITS"], ["l/m2", "l/m1"]),
    ],
)
def test_the_scored_matches_follow_the_options(folders: list[str], tmp_path: Path, words: list[str], matches: list):
    (tmp_path / "SPLITS").write_text('train = ["l/m2"]\ntest = ["l/m1"]\n')
    words = [str(tmp_path / word) if word == "SPLITS" else word for word in words]
    assert json.loads(call(*folders, *words, "--json").stdout)["matches"] == matches


def test_a_match_without_predictions_is_one_line_on_stderr_and_exit_1(folders: list[str]):
    result = call(*folders)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert "no predictions for match 'l/m3'" in result.stderr and "--split" in result.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metric", "at6"], "Invalid value for '--metric'"),
        (["--metric", "at1", "--tolerance", "1"], "--metric and --tolerance exclude each other"),
        (["--split", "tests"], "Invalid value for '--split'"),
        (["--min-count", "0"], "Invalid value for '--min-count'"),
        (["--tolerance", "wide"], "Invalid value for '--tolerance'"),
    ],
)
def test_wrong_usage_exits_2(folders: list[str], words: list[str], message: str):
    result = call(*folders, *words)
    assert result.exit_code == 2
    assert message in result.stderr


def test_other_label_sets_have_one_mean_over_all_classes(folders: list[str], tmp_path: Path):
    path = tmp_path / "two.toml"
    path.write_text('labels = ["PASS", "GOAL"]\n')
    result = call(*folders, "--split", "test", "--labels", str(path), "--min-count", "1")
    assert "mAP@2 " in result.stdout and "mAP@10" not in result.stdout
    assert "mAP of the 2 with 1 truths or more" in result.stdout


def test_another_rate_than_soccernets_own_of_the_label_file_is_told(folders: list[str], tmp_path: Path):
    for path in list(tmp_path.rglob("Labels-ball.json")):
        path.rename(path.with_name("Labels-v2.json"))
    words = [*folders, "--split", "test", "--labels-file", "Labels-v2.json"]
    told = "SoccerNet's package scores Labels-v2.json at 2 frames a second, this is at 25; --fps 2 gives its number"
    assert told in call(*words).stderr
    assert told not in call(*words, "--fps", "2").stderr


def test_averaged_metrics_and_tolerances_say_what_they_are(folders: list[str]):
    assert "mean over tolerances of 5 to 60 s (loose)" in call(*folders, "--split", "test", "--metric", "loose").stdout
    assert "hits within 0.2 s either side (tolerance)" in call(*folders, "--split", "test", "--tolerance", "0.4").stdout


@pytest.mark.parametrize(("name", "command"), [("evaluate", evaluate), ("compare", compare)])
def test_help_has_the_tables_summary_an_example_and_a_text_for_every_option(name: str, command):
    assert (command.help or "").strip().splitlines()[0] == COMMANDS[name][2]
    assert f"ballspot {name} " in (command.help or "")
    assert all(option.help for option in command.params if option.param_type_name == "option")
