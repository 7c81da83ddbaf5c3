import tomllib
from importlib import resources
from pathlib import Path

import pytest
from pydantic import ValidationError

from ballspot.cache.disk.fingerprint import fingerprint
from ballspot.cache.errors import BallspotError
from ballspot.temporal.config import presets
from ballspot.temporal.config.load import (
    PLACES,
    SECTIONS,
    as_table,
    config_from_table,
    deciding_table,
    load_config,
    preset_names,
)
from ballspot.temporal.config.sections import Config

ROOT = Path(__file__).resolve().parents[3]


def test_there_are_the_five_presets():
    assert preset_names() == ("best", "fast", "finetune", "original", "original-fixed")


@pytest.mark.parametrize("name", preset_names())
def test_a_preset_says_only_what_it_has_other_than_best(name):
    table = tomllib.loads(resources.files(presets).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    default = Config()
    given = {(section, key): value for section, values in table.items() for key, value in values.items()}
    assert [place for place, value in given.items() if getattr(getattr(default, place[0]), place[1]) == value] == []
    assert bool(given) == (name != "best")


RESOLVED = {
    "best": "bb6ba31095514bef",
    "fast": "f53f97ae4914141b",
    "finetune": "bda2f3a0594055bb",
    "original": "45a370a8fba53197",
    "original-fixed": "61479527144b4cef",
}


@pytest.mark.parametrize(("name", "digest"), RESOLVED.items())
def test_a_preset_resolves_to_what_it_was_in_released_runs(name, digest):
    """The keys of runs are digests of all resolved values: a change here makes every run of the preset another one."""
    assert fingerprint(deciding_table(load_config(name)))[:16] == digest


def test_the_defaults_are_the_preset_best():
    assert load_config("best") == Config()


def test_leaf_names_are_unique_so_that_they_can_be_given_alone():
    assert len(PLACES) == sum(len(leaves) for leaves in SECTIONS.values())


def test_the_original_keeps_every_fault_of_the_method():
    original = load_config("original")
    assert original.targets.label_assignment == "strided"
    assert original.head.branch_alignment == "repeat"
    assert original.prediction.coverage == "stop-early"
    assert original.prediction.phases == "one"
    assert (original.prediction.suppression, original.prediction.nms_window) == ("lopsided", 5)
    assert original.prediction.merge == "sum"
    assert original.prediction.score_floor == 0.05
    assert (original.clips.clip_frames, original.clips.clip_stride, original.clips.pad_frames) == (50, 2, 5)
    assert (original.training.epoch_frames, original.training.batch_clips) == (500_000, 4)
    assert (original.training.learning_rate, original.training.final_learning_rate) == (1e-4, 1e-5)
    assert (original.training.n_epochs, original.training.warmup_epochs, original.training.warmup_start) == (
        20,
        3,
        0.01,
    )
    assert (original.head.width, original.head.n_layers, original.head.n_attention_heads) == (0, 4, 8)
    assert (original.loss.offset_weight, original.targets.offset_window) == (0.1, 8)


def test_settings_by_leaf_and_by_dotted_name():
    config = load_config(
        "best", ["kind=tcn", "training.n_epochs=30", "offset_window=none", "dilations=[1, 3]", "focal_gamma=2"]
    )
    assert config.head.kind == "tcn"
    assert config.training.n_epochs == 30
    assert config.targets.offset_window == "none"
    assert config.head.dilations == (1, 3)
    assert config.loss.focal_gamma == 2.0


def test_a_later_setting_overrides_an_earlier_one():
    assert load_config("best", ["n_epochs=30", "n_epochs=40"]).training.n_epochs == 40


@pytest.mark.parametrize(
    "setting, message",
    [
        ("n_epoch=3", "unknown key 'n_epoch'; did you mean 'n_epochs'?"),
        ("head.temporal_strid=3", "unknown key 'head.temporal_strid'; did you mean 'head.temporal_stride'?"),
        ("clips.kind=tcn", "unknown key 'clips.kind'"),
        ("n_epochs", "--set n_epochs: is not KEY=VALUE"),
        ("n_epochs=many", "training.n_epochs = 'many'"),
        (f"n_epochs={'9' * 5000}", "training.n_epochs = '999"),
        (f"n_epochs={'[' * 5000}", "training.n_epochs = '[[["),
        ("n_epochs=0", "training.n_epochs = 0"),
        ("kind=lstm", "head.kind = 'lstm'"),
        ("temporal_stride=1.5", "head.temporal_stride = 1.5"),
        ("offset_window=wide", "targets.offset_window = 'wide'"),
        ("kernel_size=4", "kernel_size 4 must be odd"),
        ("warmup_epochs=12", "warmup_epochs 12 must be smaller than n_epochs 12"),
        ("pad_frames=50", "pad_frames 50 must be smaller than clip_frames 50"),
        ("branch_factors=[2, 4]", "branch_factors must begin with 1"),
        ("learning_rate=nan", "training.learning_rate = nan"),
        ("temporal_drop=true", "augmentation.temporal_drop = True: true and false are for switches"),
        ("label_radius=false", "targets.label_radius = False: true and false are for switches"),
        ("dilations=[1, true]", "head.dilations = [1, True]: true and false are for switches"),
        ("kind=true", "head.kind = True: true and false are for switches"),
    ],
)
def test_a_wrong_setting_is_named_in_one_line(setting, message):
    with pytest.raises(BallspotError) as error:
        load_config("best", [setting])
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_short_training_warms_up_for_the_same_share_of_its_epochs():
    short = load_config("original", ["n_epochs=2"]).training  # the preset warms up for 3 of its 20 epochs
    assert (load_config("original").training.n_epochs, short.n_epochs) == (20, 2)
    assert short.warmup_epochs == pytest.approx(3 * 2 / 20)
    assert load_config("original", ["n_epochs=4"]).training.warmup_epochs == 3  # still ends in time
    of_sweep = load_config("original", ["warmup_epochs=5"], ["n_epochs=4"]).training
    assert of_sweep.warmup_epochs == pytest.approx(5 * 4 / 20)
    with pytest.raises(BallspotError, match="warmup_epochs 4 must be smaller than n_epochs 2"):
        load_config("original", ["n_epochs=2", "warmup_epochs=4"])


def test_an_unknown_preset_is_refused_with_the_known_ones():
    with pytest.raises(BallspotError, match=r"bst: neither a preset \(best, fast, finetune, original"):
        load_config("bst")


def test_a_file_of_ones_own_is_laid_over_the_defaults(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[head]\nkind = "tcn"\n')
    config = load_config(str(path))
    assert config.head.kind == "tcn"
    assert config.training == Config().training


@pytest.mark.parametrize(
    "text, message",
    [
        ('[heads]\nkind = "tcn"\n', "unknown section 'heads'; did you mean 'head'?"),
        ('[head]\nkinds = "tcn"\n', "unknown key 'head.kinds'; did you mean 'kind'?"),
        ("head = 3\n", "head must be a table"),
        ("[head\n", "is not readable TOML"),
        (f"[head]\nwidth = {'9' * 5000}\n", "is not readable TOML"),
    ],
)
def test_a_wrong_file_is_named_with_its_place(tmp_path, text, message):
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(BallspotError) as error:
        load_config(str(path))
    assert str(path) in str(error.value)
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["best", "fast", "finetune", "original", "original-fixed"])
def test_a_configuration_survives_its_table(name):
    config = load_config(name, ["offset_window=none"])
    assert config_from_table(as_table(config), source="here") == config


def test_a_configuration_cannot_be_changed():
    with pytest.raises(ValidationError):
        load_config("best").training.n_epochs = 3  # type: ignore[misc]  # the assignment is what is refused


def test_the_documentation_describes_every_key_with_its_default():
    page = (ROOT / "docs" / "reference" / "configuration.md").read_text(encoding="utf-8")
    rows = {line.split("|")[1].strip().strip("`"): line for line in page.splitlines() if line.startswith("| `")}
    for section, leaf in PLACES.values():
        assert leaf in rows, leaf
        default = getattr(getattr(Config(), section), leaf)
        shown = list(default) if isinstance(default, tuple) else default
        assert f"`{str(shown).lower() if isinstance(shown, bool) else shown}`" in rows[leaf], (leaf, shown)
    assert len(rows) == len(PLACES)
