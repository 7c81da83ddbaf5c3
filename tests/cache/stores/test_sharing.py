"""A store that is given to others is the same, but for the places of this machine."""

from pathlib import Path

import numpy as np
import pytest

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import FeatureStore, share_store, verify, write_store

from .test_store import blocks_of, header_of, numbers

PLACE = "/secret club/weights.pt"


@pytest.mark.parametrize("weights", [PLACE, "offline", ""])
def test_a_shared_store_says_no_place_and_is_whole(tmp_path: Path, weights: str) -> None:
    features = numbers(600)
    write_store(tmp_path / "a.h5", header=header_of(600, weights=weights), blocks=blocks_of(features))
    share_store(tmp_path / "a.h5", tmp_path / "b.h5", said=lambda text: text.rpartition("/")[2])
    assert verify(tmp_path / "b.h5") == {tmp_path / "b.h5": []}
    with FeatureStore.open(tmp_path / "a.h5") as own, FeatureStore.open(tmp_path / "b.h5") as shared:
        np.testing.assert_array_equal(own.read(), shared.read())
        assert shared.fingerprint == own.fingerprint and shared.match == own.match
        assert shared.header.weights == weights.rpartition("/")[2]
    assert b"secret club" not in (tmp_path / "b.h5").read_bytes()


def test_what_is_no_store_is_not_shared(tmp_path: Path) -> None:
    (tmp_path / "a.h5").write_bytes(b"no store")
    with pytest.raises(BallspotError, match=r"a\.h5"):
        share_store(tmp_path / "a.h5", tmp_path / "b.h5", said=str)
    assert not (tmp_path / "b.h5").exists()
