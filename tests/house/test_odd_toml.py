"""Any TOML of the right keys: configurations, sweeps, splits and label sets are read, or refused in one line."""

import json
from datetime import date, datetime, time
from pathlib import Path

import pytest
import tomli_w
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.disk.files import MOST_DEPTH, parse_toml
from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.labelsets import load_label_set
from ballspot.evaluate.dataset.matches import Match
from ballspot.evaluate.dataset.splits import load_splits
from ballspot.temporal.config.load import PLACES, SECTIONS, as_table, config_from_table, load_config, preset_names
from ballspot.temporal.config.sections import Config
from ballspot.temporal.sweep.file import SweepFile
from ballspot.temporal.sweep.space import MOST_SETTINGS, read_space

from .odd_values import is_read

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
VALUES = st.sampled_from([0, 1, 2, 3, 0.5, 1.0, "none", "tcn", [1, 2], ["original"], 2**40, -1, 1e308]) | st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | TEXT | st.dates() | st.datetimes() | st.times(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=4,
)
KEYS = st.sampled_from([*PLACES, *(".".join(place) for place in PLACES.values()), "preset", "features", "leave_out"])
TABLES = st.dictionaries(KEYS, VALUES, max_size=2)
SWEEPS = st.fixed_dictionaries(
    {},
    optional={
        "title": VALUES,
        "preset": st.sampled_from(preset_names()) | VALUES,
        "features": VALUES,
        "leave_out": st.just("each") | VALUES,
        "folds": st.integers(-1, 5) | VALUES,
        "with_test": st.booleans() | VALUES,
        "train_matches": st.integers(-1, 5) | VALUES,
        "seeds": st.integers(-1, 2**62) | st.lists(st.integers(-1, 5), max_size=3) | VALUES,
        "set": TABLES,
        "axes": st.dictionaries(KEYS, st.lists(VALUES, max_size=3), max_size=2),
        "together": st.lists(st.dictionaries(KEYS, st.lists(VALUES, min_size=2, max_size=2), max_size=2), max_size=1),
        "cases": st.lists(TABLES, max_size=2),
        "when": st.lists(st.fixed_dictionaries({"if": TABLES}, optional={"set": TABLES, "skip": VALUES}), max_size=1),
        "baseline": TABLES,
    },
)


def written(folder: Path, table: dict) -> Path:
    path = folder / "file.toml"
    path.write_text(tomli_w.dumps(table), encoding="utf-8", newline="")
    return path


def test_the_keys_of_a_sweep_are_all_tried():
    fields = {field.alias or name for name, field in SweepFile.model_fields.items()}
    assert fields == {"title", "preset", "features", "leave_out", "folds", "with_test", "train_matches",
                      "seeds", "set", "axes", "together", "cases", "when", "baseline"}  # fmt: skip


@given(
    table=st.dictionaries(
        st.sampled_from([*SECTIONS, "x"]), st.dictionaries(st.sampled_from([*PLACES]), VALUES) | VALUES
    )
)
def test_any_table_of_sections_is_a_configuration_or_refused(tmp_path_factory, table):
    path = written(tmp_path_factory.mktemp("config"), table)
    is_read(lambda: load_config(str(path)))
    is_read(lambda: load_config(str(path), ["kind=tcn"]))


@given(place=st.sampled_from([*PLACES.values()]), value=VALUES)
def test_any_value_of_any_key_is_taken_and_comes_back_or_is_refused(place, value):
    table = {place[0]: {place[1]: value}}
    if is_read(lambda: config_from_table(table, source="here")):
        config = config_from_table(table, source="here")
        assert config_from_table(json.loads(json.dumps(as_table(config))), source="its table") == config
        assert config_from_table(parse_toml(tomli_w.dumps(as_table(config))), source="its table") == config


@given(place=st.sampled_from([*PLACES.values()]), text=st.text(max_size=12))
def test_any_text_after_a_key_is_a_setting_or_refused(place, text):
    is_read(lambda: load_config("best", [f"{'.'.join(place)}={text}"]))
    is_read(lambda: load_config("best", [text]))


@given(preset=st.sampled_from(preset_names()), place=st.sampled_from([*PLACES.values()]))
def test_a_preset_s_value_given_as_a_setting_is_that_value(preset, place):
    section, leaf = place
    value = as_table(load_config(preset))[section][leaf]
    text = tomli_w.dumps({"value": value}).removeprefix("value = ")
    if is_read(lambda: load_config("best", [f"{leaf}={text}"])):  # alone it may not go with the others
        assert getattr(getattr(load_config("best", [f"{leaf}={text}"]), section), leaf) == getattr(
            getattr(load_config(preset), section), leaf
        )


@given(table=SWEEPS)
def test_any_sweep_of_the_right_keys_is_planned_or_refused(tmp_path_factory, table):
    path = written(tmp_path_factory.mktemp("sweep"), table)

    def plan() -> None:
        space = read_space(path, settings=["batch_clips=8"], matches=["m/1", "m/2", "m/3"])
        json.dumps([axis.values for axis in space.axes])
        space.sweep([space.baseline(), *space.covering()])

    is_read(plan)


@given(
    table=st.dictionaries(st.sampled_from(["train", "valid", "test", "x"]), st.lists(st.sampled_from("abc")) | VALUES)
)
def test_any_splits_file_is_read_or_refused(tmp_path_factory, table):
    path = written(tmp_path_factory.mktemp("splits"), table)
    matches = [Match(name, path.parent, None, None) for name in "abc"]
    if is_read(lambda: load_splits(path.parent, matches, splits_file=path)):
        splits = load_splits(path.parent, matches, splits_file=path)
        assert {part: list(getattr(splits, part)) for part in table} == table


@given(table=st.dictionaries(st.sampled_from(["name", "labels", "headline_excludes", "x"]), st.lists(TEXT) | VALUES))
def test_any_label_set_is_read_as_it_was_written_or_refused(tmp_path_factory, table):
    path = written(tmp_path_factory.mktemp("labels"), table)
    if is_read(lambda: load_label_set(str(path))):
        found = load_label_set(str(path))
        assert found.as_record() == {"name": "file", "headline_excludes": [], **table}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n = 0x" + "f" * 5000, "an integer of more than 64 bits"),
        ("n = " + "9" * 5000, "integer"),
        ("n = " + "[" * 5000, "nested too deeply"),
        ("a." * 1200 + "a = 1", f"nested more than {MOST_DEPTH} deep"),
        ("n = " + "{a = " * 60 + "1" + "}" * 60, f"nested more than {MOST_DEPTH} deep"),
    ],
)
def test_toml_that_is_too_much_is_refused_wherever_it_is_read(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        parse_toml(text)
    path = tmp_path / "file.toml"
    path.write_text(text)
    for read in (load_label_set, load_config, lambda name: read_space(Path(name))):
        with pytest.raises(BallspotError, match=r"file\.toml: is not readable TOML"):
            read(str(path))


def test_numbers_of_64_bits_and_dates_are_read():
    text = f"a = {2**63 - 1}\nb = {-(2**63)}\nc = 1979-05-27\nd = 07:32:00\ne = 1979-05-27T07:32:00\n"
    values = {
        "a": 2**63 - 1,
        "b": -(2**63),
        "c": date(1979, 5, 27),
        "d": time(7, 32),
        "e": datetime(1979, 5, 27, 7, 32),
    }
    assert parse_toml(text) == values


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seeds = 1000000000000", "seeds 1000000000000: give a number of seeds from 1 to 1000"),
        ("seeds = [9223372036854775808]", "is not readable TOML"),
        ("[axes]\npreset = [3]", "preset = 3: give text"),
        ("[axes]\nfeatures = [[1]]", r"features = \[1\]: give text or a list of texts"),
        ("[set]\nleave_out = 3", "leave_out = 3: give text"),
        ("[axes]\nn_epochs = [1979-05-27]", "no key takes a date or a time"),
        (
            "[axes]\n" + "".join(f"{key} = [1, 2]\n" for key in list(PLACES)[:20]),
            f"above {MOST_SETTINGS}; leave values",
        ),
        ("[set]\ndilations = [1, 2]\nn_epochs = 0", "training.n_epochs = 0"),
        ("[set]\nkind = { a = 1 }", "head.kind"),
    ],
)
def test_a_sweep_that_cannot_be_planned_is_refused_in_one_line(tmp_path, text, message):
    path = tmp_path / "file.toml"
    path.write_text(text)
    with pytest.raises(BallspotError, match=message) as caught:
        space = read_space(path)
        space.sweep(space.points)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_a_setting_over_a_section_that_is_no_table_is_refused(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text("head = 3\n")
    with pytest.raises(BallspotError, match="head must be a table of keys, found 3"):
        load_config(str(path), ["kind=tcn"])


@pytest.mark.parametrize(
    "text", ["n_epochs=0x" + "f" * 5000, "n_epochs=" + "[" * 5000, "n_epochs=3\nx = 4", "views=[1]\n"]
)
def test_a_setting_that_cannot_be_held_is_refused_in_one_line(text):
    with pytest.raises(BallspotError) as caught:
        load_config("best", [text])
    assert "\n" not in str(caught.value)


def test_counts_beyond_all_that_can_be_trained_are_refused():
    with pytest.raises(BallspotError, match="less than or equal to 1000000000"):
        load_config("best", [f"clip_frames={10**9 + 1}"])
    assert load_config("best", [f"epoch_frames={10**9}"]).training.epoch_frames == 10**9
    assert Config().training.epoch_frames == "auto"
