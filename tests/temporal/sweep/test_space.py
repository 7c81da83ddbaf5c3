from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.temporal.sweep.file import read_sweep_file
from ballspot.temporal.sweep.space import Sweep, read_space, setting_name

SHIPPED = Path(__file__).parents[3] / "temporal" / "sweep" / "files"


def read_sweep(path: Path, **more) -> Sweep:
    """The sweep of all settings of a file."""
    space = read_space(path, **more)
    return space.sweep(space.points)


@pytest.fixture
def sweep_file(tmp_path):
    def write(text: str) -> Path:
        path = tmp_path / "file.toml"
        path.write_text(text)
        return path

    return write


def test_axes_give_every_combination_in_the_order_of_the_file(sweep_file):
    sweep = read_sweep(sweep_file('seeds = 2\n[axes]\nkind = ["tcn", "gru"]\n"training.n_epochs" = [3, 4]\n'))
    assert sweep.title == "file"
    assert sweep.seeds == (0, 1)
    assert [setting.name for setting in sweep.settings] == [
        "kind=tcn,n_epochs=3",
        "kind=tcn,n_epochs=4",
        "kind=gru,n_epochs=3",
        "kind=gru,n_epochs=4",
    ]
    assert [setting.config.head.kind for setting in sweep.settings] == ["tcn", "tcn", "gru", "gru"]
    assert sweep.settings[1].varied == {"head.kind": "tcn", "training.n_epochs": 4}
    assert sweep.settings[1].config.training.n_epochs == 4


def test_another_number_of_seeds_keeps_those_of_the_file(sweep_file):
    path = sweep_file('seeds = [7, 0]\n[axes]\nkind = ["tcn", "gru"]\n')
    assert [read_sweep(path, n_seeds=n).seeds for n in (None, 1, 2, 4)] == [(7, 0), (7,), (7, 0), (7, 0, 1, 2)]


def test_values_of_a_table_together_change_together(sweep_file):
    text = "[axes]\ntemporal_stride = [1, 2]\n[[together]]\nlearning_rate = [1e-4, 5e-5]\noffset_weight = [0.1, 0.3]\n"
    found = [
        (one.config.head.temporal_stride, one.config.training.learning_rate, one.config.loss.offset_weight)
        for one in read_sweep(sweep_file(text)).settings
    ]
    assert found == [(1, 1e-4, 0.1), (1, 5e-5, 0.3), (2, 1e-4, 0.1), (2, 5e-5, 0.3)]


def test_cases_are_an_axis_of_whole_settings(sweep_file):
    text = '[set]\nn_epochs = 7\n[[cases]]\nkind = "tcn"\n[[cases]]\nkind = "gru"\nn_epochs = 3\n'
    first, second = read_sweep(sweep_file(text)).settings
    assert (first.config.head.kind, first.config.training.n_epochs) == ("tcn", 7)
    assert (second.config.head.kind, second.config.training.n_epochs) == ("gru", 3)


def test_conditions_change_or_skip_settings_and_know_the_values_of_the_preset(sweep_file):
    text = """
preset = "original"
[axes]
temporal_stride = [1, 2]
offset_weight = [0.1, 0.5]
[[when]]
if = { temporal_stride = 1, kind = "transformer" }
set = { offsets = false }
[[when]]
if = { offsets = false, offset_weight = 0.5 }
skip = true
"""
    settings = read_sweep(sweep_file(text)).settings
    assert [(one.config.head.temporal_stride, one.config.head.offsets) for one in settings] == [
        (1, False),
        (2, True),
        (2, True),
    ]


def test_settings_that_come_out_alike_are_one(sweep_file):
    text = "[axes]\nn_epochs = [3, 4]\n[[when]]\nif = { n_epochs = 4 }\nset = { n_epochs = 3 }\n"
    assert len(read_sweep(sweep_file(text)).settings) == 1


def test_settings_given_by_hand_are_laid_over_all(sweep_file):
    sweep = read_sweep(sweep_file("[axes]\nn_epochs = [3, 4]\n"), settings=["batch_clips=8"])
    assert [one.config.training.batch_clips for one in sweep.settings] == [8, 8]


def test_presets_features_and_left_out_matches_can_be_axes(sweep_file, tmp_path):
    text = '[axes]\npreset = ["fast", "original"]\nfeatures = ["a", ["a", "b"]]\nleave_out = ["x"]\n'
    settings = read_sweep(sweep_file(text)).settings
    assert [one.features for one in settings[:2]] == [(tmp_path / "a",), (tmp_path / "a", tmp_path / "b")]
    assert settings[0].config.head.kind == "unet"
    assert settings[3].config.head.kind == "transformer"
    assert {one.leave_out for one in settings} == {"x"}
    assert settings[3].name == "preset=original,features=a+b"


def test_each_left_out_is_a_setting_for_every_match(sweep_file):
    sweep = read_sweep(sweep_file('leave_out = "each"\n'), matches=["league/b", "league/a"])
    assert [one.leave_out for one in sweep.settings] == ["league/a", "league/b"]
    assert [one.name for one in sweep.settings] == ["leave_out=a", "leave_out=b"]


def test_a_preset_file_is_looked_for_beside_the_sweep(sweep_file, tmp_path):
    (tmp_path / "mine.toml").write_text("[training]\nn_epochs = 5\n")
    assert read_sweep(sweep_file('preset = "mine.toml"\n')).settings[0].config.training.n_epochs == 5


def test_the_baseline_is_the_first_setting_with_its_values(sweep_file):
    text = "[axes]\nn_epochs = [3, 4]\nbatch_clips = [4, 8]\n"
    assert read_sweep(sweep_file(text)).baseline == 0
    assert read_sweep(sweep_file(text + "[baseline]\nbatch_clips = 8\n")).baseline == 1


def test_long_names_are_cut_and_stay_different():
    names = {setting_name({f"head.{'key' * 30}": value, f"head.{'end' * 20}": value}) for value in range(3)}
    assert len(names) == 3
    assert max(map(len, names)) <= 120


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[axis]\nn_epochs = [3]\n", "axis: unknown key; did you mean 'axes'?"),
        ("[axes]\nn_epoch = [3]\n", "unknown key 'n_epoch'; did you mean 'n_epochs'?"),
        ('[axes]\n"head.n_epochs" = [3]\n', "unknown key 'head.n_epochs'; did you mean 'n_epochs'?"),
        ("[axes]\nn_epochs = []\n", "axes.n_epochs is empty"),
        ("[axes]\nn_epochs = 3\n", "axes.n_epochs: Input should be a valid list"),
        ("[axes]\nn_epochs = [0]\n", "training.n_epochs = 0"),
        ("[[together]]\nn_epochs = [3, 4]\nbatch_clips = [4]\n", "together, table 1: lists of different length"),
        ("seeds = 0\n", "seeds 0"),
        ("seeds = [1, 1]\n", r"seeds \(1, 1\)"),
        ("seeds = [-1, 3]\n", r"seeds \(-1, 3\)"),
        ("[[when]]\nif = { n_epochs = 12 }\n", "give either set or skip = true"),
        ("[[when]]\nif = { n_epochs = 12 }\nskip = true\n", "no setting is left to run"),
        ("[axes]\nn_epochs = [3, 4]\n[baseline]\nn_epochs = 5\n", "baseline {'n_epochs': 5}: no setting has these"),
        ('preset = "bset"\n', "did you mean 'best'"),
        ("seeds =\n", "is not readable TOML"),
        (
            "[axes]\noffsets = [True, False]\n",
            r"is not readable TOML \(.*line 2.*\); write true and false in small letters; see",
        ),
        ('leave_out = "each"\n', "no match to leave out"),
    ],
)
def test_what_is_wrong_is_named_with_its_file(sweep_file, text, message):
    path = sweep_file(text)
    with pytest.raises(BallspotError, match=message) as caught:
        read_sweep(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(BallspotError, match=r"none\.toml: no such sweep file"):
        read_sweep(tmp_path / "none.toml")


# The numbers of settings are those of the method's table of experiments (docs/reference/sweeps.md).
@pytest.mark.parametrize(
    ("name", "n_settings"),
    [
        ("experiment-1", 16),
        ("experiment-2", 24),
        ("experiment-3", 4),
        ("experiment-4", 4),
        ("experiment-5", 3),
        ("conclusions", 11),
    ],
)
def test_shipped_sweeps_have_the_settings_of_the_experiments(name, n_settings):
    sweep = read_sweep(SHIPPED / f"{name}.toml")
    assert len(sweep.settings) == n_settings
    assert len(sweep.seeds) == 3
    assert {one.stem for one in SHIPPED.glob("*.toml")} >= {name}


@pytest.mark.parametrize(("name", "n_settings"), [("presets", 4), ("matches", 4)])
def test_shipped_sweeps_on_folds_are_against_the_default(name, n_settings):
    sweep, file = read_sweep(SHIPPED / f"{name}.toml"), read_sweep_file(SHIPPED / f"{name}.toml")
    assert (len(sweep.settings), sweep.baseline, file.folds) == (n_settings, 0, 4)
    assert [one.train_matches for one in sweep.settings] == {"presets": [0] * 4, "matches": [0, 4, 2, 1]}[name]


@pytest.mark.parametrize("value", ["-1", "true", '"all"', "1.5"])
def test_a_number_of_training_matches_that_is_none_is_told(value, tmp_path):
    file = tmp_path / "few.toml"
    file.write_text(f"[axes]\ntrain_matches = [{value}]\n")
    with pytest.raises(BallspotError, match=r"train_matches = .*give a number of matches, or 0 for all"):
        read_sweep(file)


def test_the_baseline_of_the_conclusions_is_the_best_experiment():
    sweep = read_sweep(SHIPPED / "conclusions.toml")
    config = sweep.settings[sweep.baseline].config
    assert (config.head.kind, config.clips.clip_frames, config.clips.clip_stride) == ("transformer", 50, 2)
    assert (config.head.temporal_stride, config.head.offsets, config.targets.offset_window) == (2, True, 8)
    assert (config.training.warmup_epochs, config.training.learning_rate, config.loss.offset_weight) == (3, 1e-4, 0.1)


EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.toml")), ids=lambda path: path.stem)
def test_the_sweep_files_among_the_examples_are_read(path):
    """Keys that are there, own code that is found, and a baseline that is one of the settings."""
    sweep = read_sweep(path)
    assert len({setting.name for setting in sweep.settings}) == len(sweep.settings) > 1
