from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.data_selection import DataSelection
from ballspot.evaluate.dataset.matches import Match
from ballspot.evaluate.dataset.splits import SN_BAS, Splits, TrainDraw, deal_folds, load_splits, recorded_splits


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
        ('train = ["a", "z"]', "entry 2 of train is not a match: 'z'"),
        ('train = ["a"]\ntest = ["a"]', "match 'a' is in train and in test"),
        ('train = ["a", "a"]', "match 'a' is twice in train"),
        ('training = ["a"]', "unknown key 'training'"),
        ("train = 'a'", "train must be a list"),
        ("train = [1]", "train must be a list"),
        ("train = [", "not readable TOML"),
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
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "splits.toml").write_text('train = ["a"]')
    with pytest.raises(BallspotError, match=r"'inner/a' is not of SN-BAS; did you mean .*inner\?"):
        load_splits(tmp_path, matches("inner/a"))
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


@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 400), min_size=3, max_size=14), st.data())
def test_folds_hold_every_match_out_once_and_never_train_on_it(n_events: dict[str, int], data: st.DataObject):
    n_folds = data.draw(st.integers(2 if len(n_events) > 3 else 3, len(n_events)))
    folds = deal_folds(n_events, n_folds)
    assert [fold.number for fold in folds] == list(range(1, n_folds + 1))
    assert sorted(name for fold in folds for name in fold.test) == sorted(n_events)
    for fold in folds:
        assert sorted((*fold.train, *fold.valid, *fold.test)) == sorted(n_events)
        assert len(fold.valid) == 1 and fold.train
        assert fold.splits({}).test == fold.test
    assert max(len(fold.test) for fold in folds) - min(len(fold.test) for fold in folds) <= 1
    assert folds == deal_folds(dict(reversed(n_events.items())), n_folds)


def test_events_are_spread_over_folds_by_hand():
    # 9, 8 | 6, 7 | 5, 4: dealt there and back again.
    folds = deal_folds({"a": 4, "b": 5, "c": 6, "d": 7, "e": 8, "f": 9}, 2)
    assert [fold.test for fold in folds] == [("b", "c", "f"), ("a", "d", "e")]
    assert [fold.valid for fold in folds] == [("e",), ("f",)]
    assert folds[0].train == ("a", "d")


@pytest.mark.parametrize(("n_matches", "n_folds"), [(2, 2), (3, 2), (5, 1), (5, 6)])
def test_folds_that_cannot_be_dealt_are_told(n_matches: int, n_folds: int):
    with pytest.raises(BallspotError, match=f"{n_folds} folds of {n_matches} matches cannot be dealt"):
        deal_folds({str(number): 1 for number in range(n_matches)}, n_folds)


@given(st.integers(0, 50), st.integers(1, 8))
def test_fewer_training_matches_of_a_seed_are_among_more(seed: int, n: int):
    splits = Splits(tuple("abcdefghi"), ("v",), ("t",), "here")
    few, more = TrainDraw(n, seed).of(splits), TrainDraw(n + 1, seed).of(splits)
    assert (len(few.train), few.drawn, few.valid, few.test) == (n, n, ("v",), ("t",))
    assert set(few.train) < set(more.train)


def test_seeds_draw_other_training_matches_and_too_many_are_told():
    splits = Splits(tuple("abcdefghi"), ("v",), ("t",), "here")
    assert len({TrainDraw(1, seed).of(splits).train for seed in range(30)}) > 4
    with pytest.raises(BallspotError, match="train_matches = 10: here has 9 training matches"):
        TrainDraw(10, 0).of(splits)


def test_folds_take_the_test_matches_only_where_that_is_said(label_file: Callable, tmp_path: Path):
    for place, name in enumerate("abcde"):
        label_file(f"l/{name}", [("PASS", 1000 * one) for one in range(1, place + 2)])
    data = DataSelection(tmp_path / "data")
    assert sorted(name for fold in data.folds(2) for name in fold.test) == [f"l/{name}" for name in "abcde"]
    split = 'train = ["l/a", "l/b"]\nvalid = ["l/c"]\ntest = ["l/d", "l/e"]\n'
    (tmp_path / "data" / "splits.toml").write_text(split)
    assert {name for fold in DataSelection(tmp_path / "data").folds(3) for name in fold.test} == {"l/a", "l/b", "l/c"}
    dealt = DataSelection(tmp_path / "data").folds(2, with_test=True)
    assert [fold.test for fold in dealt] == [("l/a", "l/b", "l/e"), ("l/c", "l/d")]  # 5, 2, 1 and 4, 3 events
    with pytest.raises(BallspotError, match="exclude each other"):
        DataSelection(tmp_path / "data", leave_out="a").folds(3)
