import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from ballspot.cache.runs.run import RunFolder
from ballspot.cli import main
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.evaluate.results.comparison import compare_runs
from ballspot.evaluate.results.settings import group_by_setting, setting_names
from ballspot.evaluate.uncertainty.bootstrap import Bootstrap


def test_runs_alike_but_for_the_seed_are_one_setting():
    made_from = [{"seed": 0, "lr": 1}, {"seed": 0, "lr": 2}, {"seed": 1, "lr": 1}]
    assert group_by_setting(made_from) == [[0, 2], [1]]


def test_seeds_that_drew_other_training_matches_are_one_setting(run: Callable):
    """As a sweep of `train_matches` without folds leaves them: 0, all of three, then one of them, drawn by the seed."""
    paths = []
    for n, drawn in ((0, ["abc", "abc"]), (1, ["a", "c"])):
        for seed, names in enumerate(drawn):
            splits = {"train": list(names), "valid": ["v"], "test": ["m"], **({"train_matches": n} if n else {})}
            paths.append(run(f"n={n}/seed-{seed}", {}, record={"seed": seed, "splits": splits}))
    comparison = compare_runs(paths, bootstrap=Bootstrap(0))
    assert comparison.groups == ((0, 1), (2, 3))
    assert comparison.varied() == [{"train_matches": None}, {"train_matches": 1}]


def test_settings_are_called_by_folders_by_whole_folders_and_by_runs_where_one_folder_holds_several():
    groups = [[0], [1, 2]]
    assert setting_names(groups, [Path("w/a/seed-0"), Path("w/b/seed-1"), Path("w/b/seed-2")]) == ["a", "b"]
    assert setting_names(groups, [Path("v/a/seed-0"), Path("w/a/seed-1"), Path("w/a/seed-2")]) == ["v/a", "w/a"]
    names = setting_names(groups, [Path("w/a/seed-0"), Path("w/a/seed-1"), Path("w/a/seed-2")])
    assert names == ["w/a/seed-0", "w/a/seed-1"]


@pytest.fixture
def runs(tmp_path: Path, label_file: Callable, spot_file: Callable) -> list[Path]:
    """Two settings of three seeds each, the second finds more of 120 passes in 20 minutes."""
    times = [10_000 * n + 20 for n in range(120)]
    label_file("m", [("PASS", time) for time in times])
    paths = []
    for setting, share in (("plain", 0.4), ("better", 0.8)):
        for seed in range(3):
            draw = np.random.default_rng([seed, int(10 * share)])
            folder = RunFolder(tmp_path / "runs" / f"{setting}-{seed}")
            record = {
                "seed": seed,
                "data": str(tmp_path / "data"),
                "features": {"set": "s", "fingerprint": "f"},
                "splits": {"train": ["a"], "valid": ["b"], "test": ["m"]},
                "label_set": "ball-12",
            }
            folder.prepare(key=folder.name, record=record, config={"setting": setting})
            folder.finish({})
            spots = [("PASS", time, 0.5) for time in times if draw.random() < share]
            spot_file("m", spots, root=f"runs/{folder.name}/predictions/test")
            paths.append(folder.path)
    return paths


def test_a_better_setting_is_told_from_noise_and_seeds_widen_its_interval(runs: list[Path]):
    comparison = compare_runs(runs, split="test", bootstrap=Bootstrap(block_s=60), min_count=1)
    plain, better = comparison.settings
    assert (plain.n_seeds, better.n_seeds, plain.difference) == (3, 3, None)
    assert better.mean_ap == pytest.approx(np.mean([run.mean_ap for run in comparison.runs[3:]]))
    assert better.difference is not None and better.difference.interval.low is not None
    assert better.difference.interval.low > 0 and better.difference.p_better == 1.0
    assert better.p_holm == pytest.approx(2 / 1001)
    assert not any("seed" in warning for warning in comparison.warnings)
    one_seed = compare_runs([runs[0], runs[3]], split="test", bootstrap=Bootstrap(block_s=60))
    assert any("under three seeds" in warning for warning in one_seed.warnings)


def test_the_same_setting_twice_does_not_differ(runs: list[Path], tmp_path: Path):
    (setting,) = compare_runs(runs[:3], split="test", bootstrap=Bootstrap(block_s=60)).settings
    assert setting.interval.low is not None and setting.interval.low < setting.mean_ap < (setting.interval.high or 0)


def test_the_command_prints_settings_and_their_difference(runs: list[Path]):
    words = ["compare", *map(str, runs), "--split", "test", "--block", "60"]
    table = CliRunner().invoke(main, words).stdout
    assert "better-0  " in table and "p, Holm" in table
    record = json.loads(CliRunner().invoke(main, [*words, "--format", "json"]).stdout)
    assert [one["n_seeds"] for one in record["settings"]] == [3, 3]
    assert record["settings"][1]["difference_to_first"]["p_better"] == 1.0
    assert CliRunner().invoke(main, [*words, "--resamples", "0"]).exit_code == 0
    assert BALL_12.labels[0] in table
