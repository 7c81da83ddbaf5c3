from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.journal import Journal, part_path
from ballspot.cache.stores.layout import Block, StoreHeader
from ballspot.cache.stores.sets import find_sets, find_stores, open_feature_set, store_path
from ballspot.cache.stores.spec import FeatureSpec
from ballspot.cache.stores.store import write_store


def header_of(match: str, backbone: str = "b") -> StoreHeader:
    return StoreHeader(
        match=match, fps=Fraction(25), n_video_frames=3, n_rows=3, dim=2, spec=FeatureSpec.read({"backbone": backbone})
    )


def add_store(folder: Path, match: str, backbone: str = "b") -> Path:
    path = store_path(folder, match)
    path.parent.mkdir(parents=True, exist_ok=True)
    block = Block(np.arange(3), {"original": np.ones((3, 2), np.float16)})
    write_store(path, header=header_of(match, backbone), blocks=[block])
    return path


def test_a_set_knows_its_matches_by_their_place_sorted(tmp_path: Path) -> None:
    for match in ("league/2020/b 1.5", "league/2019/z", "a"):
        add_store(tmp_path / "set", match)
    features = open_feature_set(tmp_path / "set")
    assert list(features.stores) == ["a", "league/2019/z", "league/2020/b 1.5"]
    assert features.name == "set"
    with features.open("league/2020/b 1.5") as store:
        assert (store.match, store.fingerprint) == ("league/2020/b 1.5", features.fingerprint)


def test_a_match_without_store_is_named_with_the_nearest(tmp_path: Path) -> None:
    add_store(tmp_path / "set", "league/match-01")
    with pytest.raises(
        BallspotError, match=r"no store of match 'league/match-02' \(nearest: 'league/match-01'\); extract"
    ):
        open_feature_set(tmp_path / "set").open("league/match-02")
    with pytest.raises(
        BallspotError, match=r"match 'cup/league/match-01', only of 'league/match-01'; a match is named"
    ):
        open_feature_set(tmp_path / "set").open("cup/league/match-01")
    with pytest.raises(BallspotError, match=r"match 'match-01', only of 'league/match-01'; a match is named by its"):
        open_feature_set(tmp_path / "set").open("match-01")


def test_stores_of_different_settings_are_no_set(tmp_path: Path) -> None:
    add_store(tmp_path / "set", "a", backbone="one")
    add_store(tmp_path / "set", "b", backbone="two")
    with pytest.raises(BallspotError, match=r"b\.h5 was made with other settings than a\.h5"):
        open_feature_set(tmp_path / "set")


def test_a_set_with_only_a_part_file_is_unfinished(tmp_path: Path) -> None:
    with Journal.open(part_path(store_path(tmp_path / "set", "league/a")), header_of("league/a")):
        pass
    with pytest.raises(BallspotError, match="unfinished, only part files; give the same extract command again"):
        open_feature_set(tmp_path / "set")


@pytest.mark.parametrize(
    ("name", "message"), [("gone", "no such feature set"), ("empty", "no store"), ("file", "is a file")]
)
def test_what_is_no_set_is_named(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(BallspotError, match=message):
        open_feature_set(tmp_path / name)


def test_the_folder_above_or_below_a_set_is_told_from_it(tmp_path: Path) -> None:
    add_store(tmp_path / "features" / "set", "league/a")
    with pytest.raises(BallspotError, match=r"a folder of feature sets; give one of them, e\.g\. .*set$"):
        open_feature_set(tmp_path / "features")
    with pytest.raises(BallspotError, match="a folder inside a feature set"):
        open_feature_set(tmp_path / "features" / "set" / "league")


def test_a_store_moved_to_another_match_is_refused(tmp_path: Path) -> None:
    path = add_store(tmp_path / "set", "league/a")
    path.rename(path.with_name("b.h5"))
    with pytest.raises(BallspotError, match="store of match 'league/a' is not in its place"):
        open_feature_set(tmp_path / "set")


def test_sets_are_found_below_a_folder_whether_finished_or_not(tmp_path: Path) -> None:
    add_store(tmp_path / "one", "league/2019/a")
    add_store(tmp_path / "two", "b")
    with Journal.open(part_path(store_path(tmp_path / "three", "league/a")), header_of("league/a")):
        pass
    assert list(find_sets(tmp_path)) == [tmp_path / "one", tmp_path / "three", tmp_path / "two"]
    assert list(find_sets(tmp_path / "one")) == [tmp_path / "one"]
    assert list(find_stores(tmp_path / "one")) == ["league/2019/a"]
