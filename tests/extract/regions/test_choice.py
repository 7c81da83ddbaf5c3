"""Boxes that are chosen without training: those of AdaSpot's own steps, whatever is read beside a row."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.cache.stores.spec import RegionSpec
from ballspot.extract.regions.boxes import choose_boxes
from ballspot.extract.regions.choice import (
    TIME_REACH,
    Chooser,
    edge_strength,
    middle_centres,
    moving_edges,
    random_centres,
    strength_of,
)


def region(count: int = 1, *, by: str = "map", size: tuple[int, int] = (112, 112)) -> RegionSpec:
    return RegionSpec.model_validate({"by": by, "size": size, "picture": (448, 796), "count": count, "fuse": "concat"})


def test_the_boxes_of_a_map_are_those_of_adaspots_own_steps() -> None:
    maps = torch.rand(24, 5, 7, 13, generator=torch.Generator().manual_seed(3))
    theirs = choose_boxes(maps, smallest=(112, 112), picture=(448, 796)).centres.numpy()
    strengths = {row: strength_of(one) for row, one in enumerate(maps.mean(1).numpy())}
    chooser = Chooser(region(), (7, 13))
    ours = np.concatenate([chooser.centres(strengths, row, len(maps)) for row in strengths])
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@settings(max_examples=20)
@given(n_rows=st.integers(1, 30), seed=st.integers(0, 99))
def test_a_row_hangs_on_the_rows_around_it_alone(n_rows: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    maps = {row: rng.random((4, 6)) for row in range(n_rows)}
    chooser = Chooser(region(2), (4, 6))
    row = int(rng.integers(n_rows))
    around = {other: one for other, one in maps.items() if abs(other - row) <= TIME_REACH}
    whole, alone = (chooser.centres(held, row, n_rows) for held in (maps, around))
    assert whole.tobytes() == alone.tobytes()


def test_the_second_box_sees_what_the_first_leaves() -> None:
    strength = np.zeros((7, 13))
    strength[1, 2], strength[5, 10] = 1.0, 0.8
    maps = dict.fromkeys(range(20), strength)
    first, second = Chooser(region(2), (7, 13)).centres(maps, 10, 20)
    np.testing.assert_allclose(first, [1.5 / 7, 2.5 / 13], atol=0.06)
    np.testing.assert_allclose(second, [5.5 / 7, 10.5 / 13], atol=0.06)


def test_a_picture_without_differences_has_its_box_in_the_middle() -> None:
    maps = dict.fromkeys(range(3), strength_of(np.full((7, 13), 4.0)))
    assert Chooser(region(2), (7, 13)).centres(maps, 1, 3).tolist() == [[0.5, 0.5]] * 2


def test_edges_that_move_are_found_and_those_that_stay_are_not() -> None:
    before = np.full((64, 96), 90, np.uint8)
    before[:, 48:] = 200  # an edge that stays
    now = before.copy()
    now[10:13, 20:23] = 255
    found = moving_edges(edge_strength(now), edge_strength(before))
    assert found.shape == (8, 12)
    assert found[1, 2] > 0 and found.sum() == found[1, 2]  # all of it within rows 9..15, columns 19..23


@pytest.mark.parametrize("count", [1, 2])
def test_random_boxes_lie_inside_and_are_of_their_frame(count: int) -> None:
    drawn = np.stack([random_centres(region(count, by="random"), frame) for frame in range(400)])
    half = np.array([56 / 448, 56 / 796])
    assert (drawn >= half).all() and (drawn <= 1 - half).all()
    assert (drawn.min((0, 1)) < half + 0.02).all() and (drawn.max((0, 1)) > 0.98 - half).all()
    again = random_centres(region(count, by="random"), 7)
    assert again.tolist() == drawn[7].tolist() != drawn[8].tolist()


def test_two_boxes_in_the_middle_touch() -> None:
    (_, left), (_, right) = middle_centres(region(2, by="centre"))
    assert (right - left) * 796 == pytest.approx(112)
    assert middle_centres(region(by="centre")).tolist() == [[0.5, 0.5]]
