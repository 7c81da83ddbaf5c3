from pathlib import Path

import pytest

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.matches import Match
from ballspot.evaluate.dataset.splits import SN_BAS, Splits, load_splits, recorded_splits


def matches(*names: str) -> tuple[Match, ...]:
    return tuple(Match(name, Path(name), None, None) for name in names)


def test_sn_bas_is_four_one_and_two_matches_found_by_their_last_folder(tmp_path: Path):
    names = [f"england_efl/2019-2020/{name}" for part in SN_BAS.values() for name in part]
    splits = load_splits(tmp_path, matches(*sorted(names)))
    assert (len(splits.train), len(splits.valid), len(splits.test)) == (4, 1, 2)
    assert splits.valid == ("england_efl/2019-2020/2019-10-01 - Middlesbrough - Preston North End",)
    assert sorted(splits.part("all")) == sorted(names)


def test_sn_bas_with_only_its_test_matches_has_no_training_part(tmp_path: Path):
    splits = load_splits(tmp_path, matches(*SN_BAS["test"]))
    assert set(splits.part("test")) == set(SN_BAS["test"])
    with pytest.raises(BallspotError, match="split 'train' has no match"):
        splits.part("train")


def test_a_split_file_in_the_root_is_used_and_one_given_goes_before_it(tmp_path: Path):
    (tmp_path / "splits.toml").write_text('train = ["a"]\nvalid = ["b"]\ntest = ["c"]\n')
    other = tmp_path / "other.toml"
    other.write_text('train = ["c", "a"]\ntest = ["b"]\n')
    found = matches("a", "b", "c")
    assert load_splits(tmp_path, found).part("test") == ("c",)
    assert load_splits(tmp_path, found, splits_file=other) == Splits(("c", "a"), (), ("b",), source=str(other))


def test_leaving_a_match_out_validates_on_the_next_and_wraps_around(tmp_path: Path):
    (tmp_path / "splits.toml").write_text('train = ["a"]\n')
    found = matches("x/c", "x/a", "x/b", "x/d")
    splits = load_splits(tmp_path, found, leave_out="x/b")
    assert (splits.train, splits.valid, splits.test) == (("x/a", "x/d"), ("x/c",), ("x/b",))
    assert load_splits(tmp_path, found, leave_out="d").valid == ("x/a",)


@pytest.mark.parametrize(
    ("names", "leave_out", "message"),
    [
        (["x/a", "x/b", "x/c"], "e", "no match 'e' to leave out; there are 3"),
        (["x/match-1", "x/match-2", "x/match-3"], "x/match1", "did you mean 'x/match-1'"),
        (["x/a", "y/a", "z/b"], "a", "could be x/a or y/a"),
        (["a", "b"], "a", "3 matches or more"),
    ],
)
def test_a_match_that_cannot_be_left_out_is_named(tmp_path: Path, names: list[str], leave_out: str, message: str):
    with pytest.raises(BallspotError, match=message):
        load_splits(tmp_path, matches(*names), leave_out=leave_out)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('train = ["a", "z"]', "entry 2 of train is no match: 'z'"),
        ('train = ["a"]\ntest = ["a"]', "match 'a' is in train and in test"),
        ('train = ["a", "a"]', "match 'a' is twice in train"),
        ('training = ["a"]', "unknown key 'training'"),
        ("train = 'a'", "train must be a list"),
        ("train = [1]", "train must be a list"),
        ("train = [", "no readable TOML"),
    ],
)
def test_a_bad_split_file_is_named_with_its_fault(tmp_path: Path, text: str, message: str):
    path = tmp_path / "splits.toml"
    path.write_text(text)
    with pytest.raises(BallspotError, match=message) as caught:
        load_splits(tmp_path, matches("a", "b"))
    assert str(path) in str(caught.value)


def test_without_any_rule_the_remedies_are_named(tmp_path: Path):
    with pytest.raises(BallspotError, match=r"no splits.toml, and match 'a' is not of SN-BAS; write splits.toml"):
        load_splits(tmp_path, matches("a"))
    with pytest.raises(BallspotError, match="no such splits file"):
        load_splits(tmp_path, matches("a"), splits_file=tmp_path / "absent.toml")
    with pytest.raises(BallspotError, match="exclude each other"):
        load_splits(tmp_path, matches("a"), splits_file=tmp_path / "absent.toml", leave_out="a")


def test_an_unknown_part_is_an_error():
    with pytest.raises(BallspotError, match="unknown split 'tests'; known are train, valid, test, all"):
        Splits((), (), (), "here").part("tests")


def test_part_of_a_folder_name_is_near_enough(tmp_path):
    names = [
        f"league/2019/2019-10-01 - {teams}" for teams in ("Reading - Fulham", "Hull City - Leeds", "Stoke - Derby")
    ]
    matches = [Match(name, tmp_path / name, None, None) for name in names]
    with pytest.raises(BallspotError, match="did you mean 'league/2019/2019-10-01 - Reading - Fulham'"):
        load_splits(tmp_path, matches, leave_out="Reading - Fulham")


def test_the_split_of_a_record_is_that_which_was_trained_on():
    record = {"splits": {"train": ["a", "b"], "valid": ["c"], "test": []}}
    assert recorded_splits(record, "run.json") == Splits(("a", "b"), ("c",), (), source="the run's")
    assert recorded_splits({"splits": {**record["splits"], "source": "s.toml"}}, "run.json").source == "s.toml"
    with pytest.raises(BallspotError, match=r"run\.json: records no test matches"):
        recorded_splits({"splits": {"train": [], "valid": [], "test": "a"}}, "run.json")
