import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.sweep_record import SweepRecord, SweepSetting
from ballspot.cli import main
from ballspot.evaluate.dataset import DataSelection
from ballspot.evaluate.results.comparison import compare_runs
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap


def test_only_settings_that_differ_are_listed(run: Callable):
    one = run("one", {"head": {"kind": "tcn", "dropout": 0.5}, "loss": {"offset_weight": 0.1}})
    two = run("two", {"head": {"kind": "transformer", "dropout": 0.5}, "loss": {"offset_weight": 0.1}})
    comparison = compare_runs([one, two])
    assert comparison.differs == {"head.kind": ("tcn", "transformer")}
    assert [run.name for run in comparison.runs] == ["one", "two"]
    assert comparison.warnings == (
        "one seed: train each setting with three seeds or more before calling one better",
        "no intervals: the spots or the labels of a run were not found from here; give --data",
    )


def test_a_setting_that_only_one_run_has_differs(run: Callable):
    comparison = compare_runs([run("one", {"a": 1}), run("two", {"a": 1, "b": {"c": 2}})])
    assert comparison.differs == {"b.c": (None, 2)}


def test_the_recorded_validation_numbers_are_shown_with_the_mean_over_frequent_classes(run: Callable):
    comparison = compare_runs([run("one", {})], min_count=15)
    (only,) = comparison.runs
    # Truths 5 .. 16: the last two classes have 15 or more, at 0.10 and 0.11; the headline mean is of the first ten.
    assert (only.mean_ap, only.headline_ap, only.frequent_ap) == (0.25, pytest.approx(0.045), pytest.approx(0.105))
    assert compare_runs([only.path], min_count=99).runs[0].frequent_ap is None


def test_other_features_training_matches_and_shuffled_labels_are_marked(run: Callable):
    plain = run("plain", {})
    other = run(
        "other",
        {},
        record={
            "features": {"set": "pretrained", "fingerprint": "0" * 64},
            "splits": {"train": ["a", "c"], "valid": ["b"], "test": ["m"]},
            "shuffle_labels": True,
            "seed": 1,
        },
    )
    comparison = compare_runs([plain, other])
    assert comparison.differs == {
        "seed": (0, 1),
        "shuffled labels": (False, True),
        "features": ("plain", "pretrained"),
        "features fingerprint": ("f" * 12, "0" * 12),
        "train matches": (["a"], ["a", "c"]),
    }
    assert [warning.split(":")[0] for warning in comparison.warnings] == [
        "the runs read different features",
        "the runs trained or validated on different matches",
        "no intervals",
    ]


@pytest.mark.parametrize(
    ("record", "metrics", "message"),
    [
        ({"splits": {"valid": ["c"]}, "shuffle_labels": True}, {}, r"valid matches \(c\) are not those of .*one \(b\)"),
        ({"splits": {}}, {}, "records no valid matches"),
        ({"splits": 7}, {}, "records no valid matches"),
        ({"splits": {"train": 7, "valid": ["b"]}}, {}, r"run\.json: its train matches are 7, no list"),
        ({"label_set": "mine", "labels": ["X"]}, {}, r"classes \(mine\) are not those of"),
        ({}, {"metric": "at2"}, "scored as at2 at 25 frames per second"),
        ({}, {"fps": 12.5}, "scored as at1 at 12.5 frames per second"),
        ({}, {"per_class": {}}, "lacks or garbles 'PASS'"),
        ({}, {"mean_ap": None}, "lacks or garbles"),
    ],
)
def test_runs_that_cannot_be_compared_are_refused(run: Callable, record: dict, metrics: dict, message: str):
    with pytest.raises(BallspotError, match=message) as caught:
        compare_runs([run("one", {}), run("two", {}, record=record, metrics=metrics)])
    assert "two" in str(caught.value)


@pytest.mark.parametrize("block_s", [0.0, -5.0, float("nan"), float("inf")])
def test_blocks_of_no_length_are_refused(run: Callable, block_s: float):
    with pytest.raises(BallspotError, match=rf"blocks of {block_s} s are outside 1\.\.7200 seconds"):
        compare_runs([run("one", {})], bootstrap=Bootstrap(block_s=block_s))


def test_a_run_that_is_not_done_or_not_there_is_named(run: Callable, tmp_path: Path):
    started = run("one", {})
    (started / "metrics.json").unlink()
    with pytest.raises(BallspotError, match="the run is not done"):
        compare_runs([started])
    with pytest.raises(BallspotError, match=r"not a run, no run\.json in it \(it is a folder of runs: one\)"):
        compare_runs([started.parent])
    with pytest.raises(BallspotError, match="split 'all'"):
        compare_runs([started], split="all")
    with pytest.raises(BallspotError, match="no run to compare"):
        compare_runs([])


def test_test_predictions_are_scored_now_on_the_runs_own_data(run: Callable, label_file: Callable, spot_file: Callable):
    label_file("m", [("PASS", 1000)])
    good, bad = run("good", {}), run("bad", {})
    spot_file("m", [("PASS", 1000, 0.9)], root="runs/good/predictions/test")
    with pytest.raises(BallspotError, match=r"bad/predictions/test: no test predictions; run `ballspot predict"):
        compare_runs([good, bad], split="test")
    spot_file("m", [("PASS", 9000, 0.9)], root="runs/bad/predictions/test")
    comparison = compare_runs([good, bad], split="test", min_count=1)
    assert [run.per_class["PASS"]["ap"] for run in comparison.runs] == [1.0, 0.0]
    assert [run.frequent_ap for run in comparison.runs] == [1.0, 0.0]
    assert [run.original_ap for run in comparison.runs] == [pytest.approx(1 / 12), 0.0]
    assert comparison.matches == ("m",)
    told = CliRunner().invoke(main, ["compare", str(good), str(bad), "--split", "test"]).stdout
    assert "mAP@12, original protocol" in told


def test_under_six_blocks_there_is_no_interval_and_six_are_said_to_be_few(
    run: Callable, label_file: Callable, spot_file: Callable
):
    label_file("m", [("PASS", 1000), ("PASS", 21_000)])
    paths = [run("one", {"a": 1}), run("two", {"a": 2})]
    for name in ("one", "two"):
        more = [("PASS", 1000 * second, 0.01) for second in (31, 41, 51, 61)]
        spot_file("m", [("PASS", 1000, 0.9), *more], root=f"runs/{name}/predictions/test")
    whole = compare_runs(paths, split="test")
    assert [setting.interval.known for setting in whole.settings] == [None, None]
    assert whole.settings[1].difference is not None and whole.settings[1].difference.interval.known is None
    assert (
        "no intervals: the matches make 1 block of 300 s, and under 6 say nothing; shorter ones (--block) give more"
        in whole.warnings
    )
    parts = compare_runs(paths, split="test", bootstrap=Bootstrap(block_s=10.0))
    assert all(setting.interval.known for setting in parts.settings)
    assert "the intervals and p-values rest on 6 blocks of 10 s: they say little" in parts.warnings


def test_data_that_moved_is_named_and_can_be_given(run: Callable, label_file: Callable, spot_file: Callable):
    path = run("one", {}, record={"data": "gone/away"})
    spot_file("m", [("PASS", 1000, 0.9)], root="runs/one/predictions/test")
    with pytest.raises(BallspotError, match=r"looked for gone/away in the folders above .*; give --data"):
        compare_runs([path], split="test")
    label_file("m", [("PASS", 1000)], root="moved")
    moved = path.parents[1] / "moved"
    assert compare_runs([path], split="test", data=DataSelection(moved)).runs[0].per_class["PASS"]["ap"] == 1.0


def test_runs_of_one_folder_name_are_told_apart_by_the_folders_above_or_their_paths(run: Callable):
    paths = [run("x/same", {}), run("y/same", {})]
    assert [run.name for run in compare_runs(paths).runs] == ["x/same", "y/same"]
    paths = [run("x/z/same", {}), run("y/z/same", {})]
    assert [run.name for run in compare_runs(paths).runs] == ["x/z/same", "y/z/same"]
    paths = [run("x/1/2/3/same", {}), run("y/1/2/3/same", {})]
    assert [run.name for run in compare_runs(paths).runs] == [str(path) for path in paths]


def test_the_headline_mean_of_other_classes_is_the_same_in_tables_and_json_on_both_splits(
    run: Callable, label_file: Callable, spot_file: Callable
):
    per_class = {"PASS": {"ap": 1.0, "n_truth": 1}, "GOAL": {"ap": 0.0, "n_truth": 1}}
    record = {"label_set": "mine", "labels": ["PASS", "GOAL"], "headline_excludes": ["GOAL"]}
    path = run("one", {}, record=record, metrics={"mean_ap": 0.5, "headline_ap": 1.0, "per_class": per_class})
    label_file("m", [("PASS", 1000), ("GOAL", 9000)])
    spot_file("m", [("PASS", 1000, 0.9)], root="runs/one/predictions/test")
    for split in ("valid", "test"):
        words = ["compare", str(path), "--split", split]
        assert re.search(r"^mAP@1 +100\.00", CliRunner().invoke(main, words).stdout, re.MULTILINE)
        shown = json.loads(CliRunner().invoke(main, [*words, "--format", "json"]).stdout)
        assert (shown["runs"][0]["mean_ap"], shown["runs"][0]["headline_ap"]) == (0.5, 1.0)
    old = run("old", {}, record={**record, "headline_excludes": []}, metrics={"mean_ap": 0.5, "per_class": per_class})
    assert [one.headline_ap for one in compare_runs([path, old]).runs] == [1.0, 1.0]


@pytest.mark.parametrize("names", [("set", "set"), ("set", "other")])
def test_a_key_is_paired_between_runs_on_the_same_features_only(
    run: Callable, label_file: Callable, spot_file: Callable, names: tuple[str, str]
):
    times = [10_000 * place + 20 for place in range(6)]
    label_file("m", [("PASS", time) for time in times])
    paths = []
    for name, value, place, n_found in (("a", 1, 0, 6), ("b", 1, 1, 3), ("c", 2, 0, 6)):
        features = {"set": names[place], "fingerprint": f"{place}" * 64}
        paths.append(run(name, {"head": {"n": value}}, record={"features": features}))
        spot_file("m", [("PASS", time, 0.9) for time in times[:n_found]], root=f"runs/{name}/predictions/test")
    comparison = compare_runs(paths, split="test", bootstrap=Bootstrap(20, 10.0))
    found = {one.key: (one.value, one.difference.value) for one in comparison.effects()}
    whole = names[1] if names[1] != names[0] else f"set {'1' * 12}"
    assert found["n" if "n" in found else "head.n"] == (2, 0.0)
    assert found["features"][0] == whole and found["features"][1] < 0


def test_a_sweep_whose_baseline_is_not_done_says_what_stands_in_its_place(run: Callable, tmp_path: Path):
    names = ("a", "b", "c")
    paths = [run(f"sweep/{name}/seed-0", {"k": name}) for name in names]
    settings = tuple(SweepSetting(name, {"k": name}, (f"{name}/seed-0",)) for name in names)
    sweep = tmp_path / "runs" / "sweep"
    SweepRecord("t", "t.toml", (0,), "b", settings).write(sweep)
    assert not any("stands in its place" in one for one in compare_runs([sweep]).warnings)
    (paths[1] / "metrics.json").unlink()
    (told,) = (one for one in compare_runs([sweep]).warnings if "stands in its place" in one)
    assert told.startswith(f"no run of 'b', the baseline of {sweep}, is done: 'a' stands in its place")
    assert told in compare_runs([paths[2], sweep], baseline=sweep).warnings
    for chosen in (compare_runs([sweep], baseline=paths[2]), compare_runs([paths[2], sweep])):
        assert not any("stands in its place" in one for one in chosen.warnings)
    assert "'a' stands in its place" in CliRunner().invoke(main, ["compare", str(sweep)]).stderr


def test_the_command_prints_both_tables_and_one_json_object(run: Callable):
    paths = [str(run("one", {"head": {"kind": "tcn"}})), str(run("two", {"head": {"kind": "transformer"}}))]
    table = CliRunner().invoke(main, ["compare", *paths])
    assert table.exit_code == 0
    rows = {line.split("  ")[0]: line.split() for line in table.stdout.splitlines() if line}
    assert rows["mAP@12"][-2:] == rows["mAP@12"][-1:] * 2 == ["25.00", "25.00"]
    assert rows["GOAL"] == ["GOAL", "16", "11.00", "11.00"]
    assert rows["head.kind"] == ["head.kind", "tcn", "transformer"]
    assert "one seed" in table.stderr and "one seed" not in table.stdout
    assert "original protocol" not in table.stdout  # a run records none of its validation
    record = json.loads(CliRunner().invoke(main, ["compare", *paths, "--format", "json"]).stdout)
    assert [one["name"] for one in record["runs"]] == ["one", "two"]
    assert record["differs"] == {"head.kind": ["tcn", "transformer"]}
    assert record["runs"][0]["per_class"]["GOAL"] == {"ap": 0.11, "n_truth": 16}
    json.loads(CliRunner().invoke(main, ["compare", *paths, "--format", "json", "--min-count", "99"]).stdout)


def test_equal_runs_are_said_to_be_equal(run: Callable):
    shown = CliRunner().invoke(main, ["compare", str(run("one", {})), str(run("two", {}))])
    assert "nothing differs in how the runs were made" in shown.stdout
