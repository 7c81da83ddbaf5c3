"""Runs that leave out other matches each, compared as one: 3 matches, each left out by a fold."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from ballspot.cache.errors import BallspotError
from ballspot.cache.runs.sweep_record import SweepRecord, SweepSetting
from ballspot.cli import main
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.results.comparison import compare_runs
from ballspot.evaluate.results.evaluation import evaluate_predictions
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap

MATCHES = ("l/m1", "l/m2", "l/m3")
TIMES = [10_000 * place + 20 for place in range(6)]


@pytest.fixture
def sweep(tmp_path: Path, run: Callable, label_file: Callable, spot_file: Callable) -> Path:
    """Two kinds of head and two seeds, one run for each match left out; the GRU finds every second pass."""
    for place, match in enumerate(MATCHES):
        label_file(match, [("PASS", time) for time in TIMES[place:]])
    settings = []
    for kind, step in (("tcn", 1), ("gru", 2)):
        for place, match in enumerate(MATCHES):
            name = f"kind={kind},leave_out={match.replace('/', '-')}"
            settings.append(SweepSetting(name, {"kind": kind}, (f"{name}/seed-0", f"{name}/seed-1")))
            for seed in (0, 1):
                others = [one for one in MATCHES if one != match]
                record = {"seed": seed, "splits": {"train": others, "valid": [match], "test": [match]}}
                metrics = {
                    "train_s": 10.0 + place,
                    "peak_memory_mb": 100 + place,
                    "n_parameters": 7,
                    "best_epoch": place,
                }
                run(f"sweep/{name}/seed-{seed}", {"kind": kind}, record=record, metrics=metrics)
                spots = [("PASS", time, 0.9 - 0.1 * place) for time in TIMES[place::step]]
                for split in ("valid", "test"):
                    spot_file(
                        match,
                        [*spots, ("PASS", 500_000, 0.85)],
                        root=f"runs/sweep/{name}/seed-{seed}/predictions/{split}",
                    )
    folder = tmp_path / "runs" / "sweep"
    SweepRecord("t", "t.toml", (0, 1), settings[0].name, tuple(settings)).write(folder)
    return folder


@pytest.mark.parametrize("split", ["valid", "test"])
def test_folds_are_scored_on_all_their_matches_in_one_ranking(sweep: Path, tmp_path: Path, split: str):
    comparison = compare_runs([sweep], split=split, bootstrap=Bootstrap(50, 10.0))
    assert comparison.matches == MATCHES
    assert [run.name for run in comparison.runs] == [f"kind={kind}/seed-{n}" for kind in ("tcn", "gru") for n in (0, 1)]
    assert [setting.name for setting in comparison.settings] == ["kind=tcn", "kind=gru"]
    for kind, one in zip(("tcn", "gru"), comparison.runs[::2], strict=True):
        for match in MATCHES:
            fold = sweep / f"kind={kind},leave_out={match.replace('/', '-')}" / "seed-0"
            shutil.copytree(fold / "predictions" / split / match, tmp_path / "all" / kind / match)
        scored = evaluate_predictions(
            tmp_path / "all" / kind, DataSelection(tmp_path / "data", BALL_12), bootstrap=Bootstrap(0)
        )
        assert scored.result.ap[0] not in (0.0, 1.0)
        assert (one.mean_ap, one.per_class["PASS"]["ap"]) == (scored.result.mean_ap, scored.result.ap[0])
        assert one.per_class["PASS"]["n_truth"] == 6 + 5 + 4
    difference = comparison.settings[1].difference
    assert difference is not None and difference.value < 0 and difference.interval.low is not None
    assert comparison.differs == {"kind": ("tcn", "tcn", "gru", "gru"), "seed": (0, 1, 0, 1)}
    assert "12 runs are the folds of 4, each scored on the matches of all its folds" in comparison.warnings


def test_what_folds_cost_is_told_together(sweep: Path):
    first = compare_runs([sweep], bootstrap=Bootstrap(0)).runs[0]
    assert first.cost == {
        "train_s": 33.0, "peak_memory_mb": 102.0, "n_parameters": 7, "best_epoch": None, "n_epochs": None
    }  # fmt: skip
    assert len(first.records) == 3


def test_the_command_shows_folds_in_every_form_and_names_the_baseline(sweep: Path, tmp_path: Path):
    words = ["compare", str(sweep), "--split", "test", "--block", "10", "--resamples", "50"]
    shown = CliRunner().invoke(main, [*words, "--report", str(tmp_path / "r.html")])
    assert shown.exit_code == 0, shown.output
    assert "12 runs are the folds of 4" in shown.stderr and "kind=gru" in shown.stdout
    assert "kind=tcn" in (tmp_path / "r.html").read_text()
    record = json.loads(CliRunner().invoke(main, [*words, "--format", "json"]).stdout)
    assert record["matches"] == list(MATCHES) and record["settings"][0]["n_seeds"] == 2
    (fold,) = sweep.glob("kind=gru,leave_out=l-m2")
    turned = compare_runs([sweep], baseline=fold, bootstrap=Bootstrap(0))
    assert turned.names[0] == "kind=gru"


def test_one_setting_that_only_leaves_out_other_matches_is_called_by_its_first_fold(
    run: Callable, label_file: Callable, spot_file: Callable
):
    paths = []
    for place, name in enumerate(MATCHES):
        label_file(name, [("PASS", 1000)])
        paths.append(run(f"loo-{place}", {}, record={"splits": {"train": ["a"], "valid": ["v"], "test": [name]}}))
    assert len(compare_runs(paths).runs) == 3  # all are validated on one match: no folds
    with pytest.raises(BallspotError, match=r"loo-0.*predictions.test: no test predictions"):
        compare_runs(paths, split="test")
    for path, name in zip(paths, MATCHES, strict=True):
        spot_file(name, [("PASS", 1000, 0.5)], root=f"{path}/predictions/test")
    (joined,) = compare_runs(paths, split="test").runs
    assert (joined.name, joined.per_class["PASS"]["ap"]) == ("loo-0 and 2 more", 1.0)


def test_a_fold_that_is_not_done_or_comes_twice_is_told(sweep: Path, run: Callable):
    lost = sweep / "kind=gru,leave_out=l-m3" / "seed-1" / "metrics.json"
    lost.rename(lost.with_name("lost.json"))
    told = r"seed-1 and 1 more: its valid matches \(l/m1, l/m2\) are not those of .*every fold is done"
    with pytest.raises(BallspotError, match=told):
        compare_runs([sweep])
    lost.with_name("lost.json").rename(lost)
    splits = {"train": ["l/m3"], "valid": ["l/m1"], "test": ["l/m1"]}
    twice = run("twice", {"kind": "tcn"}, record={"splits": splits})
    with pytest.raises(BallspotError, match=r"twice: its valid match l/m1 is also one of .*leave one of them out"):
        compare_runs([sweep, twice])
