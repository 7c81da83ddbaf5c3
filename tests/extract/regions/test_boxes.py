"""The choice of boxes: held to plain counting, to scipy's filters, and to what every choice must keep."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import correlate1d

from ballspot.extract.regions.boxes import Boxes, box_sizes, box_sums, choose_boxes, cut_boxes, saliency

SIDES = st.integers(16, 60).map(lambda half: 2 * half)


@st.composite
def clips(draw: st.DrawFn) -> tuple[torch.Tensor, tuple[int, int], tuple[int, int]]:
    """Maps of a clip, the smallest box and the picture."""
    smallest = draw(SIDES), draw(SIDES)
    picture = smallest[0] + draw(st.integers(1, 150)), smallest[1] + draw(st.integers(1, 150))
    shape = draw(st.integers(4, 9)), draw(st.integers(1, 3)), draw(st.integers(1, 4)), draw(st.integers(1, 4))
    maps = torch.randn(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 99))))
    return maps, smallest, picture


@settings(max_examples=60, deadline=None)
@given(clip=clips(), threshold=st.sampled_from((0.0, 0.05, 0.3, 0.9, 1.0)))
def test_every_box_lies_inside_the_picture_and_has_one_of_the_sizes(clip, threshold):
    maps, smallest, picture = clip
    boxes = choose_boxes(maps, smallest=smallest, picture=picture, threshold=threshold)
    sizes = box_sizes(smallest, picture)
    corners = boxes.corners(picture)
    assert boxes.centres.shape == boxes.sizes.shape == corners.shape == (len(maps), 2)
    assert {tuple(size) for size in boxes.sizes.tolist()} <= set(sizes)
    assert ((boxes.centres >= 0) & (boxes.centres < 1)).all()
    assert (corners >= 0).all()
    assert (corners + boxes.sizes <= torch.tensor(picture)).all()
    pictures = torch.randint(0, 256, (len(maps), *picture, 3), dtype=torch.uint8)
    assert cut_boxes(pictures, boxes, smallest).shape == (len(maps), *smallest, 3)


@settings(max_examples=30, deadline=None)
@given(clip=clips(), thresholds=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_a_higher_threshold_never_takes_a_smaller_box(clip, thresholds):
    maps, smallest, picture = clip
    low, high = (
        choose_boxes(maps, smallest=smallest, picture=picture, threshold=one).sizes for one in sorted(thresholds)
    )
    assert (high >= low).all()


@settings(max_examples=30, deadline=None)
@given(clip=clips())
def test_at_threshold_zero_every_frame_with_any_difference_has_the_smallest_box(clip):
    maps, smallest, picture = clip
    boxes = choose_boxes(maps, smallest=smallest, picture=picture)
    is_told = saliency(maps).sum((1, 2)) > 0  # maps of one cell have no difference
    expected = torch.tensor(smallest) if is_told.all() else torch.tensor(box_sizes(smallest, picture)[-1])
    assert (boxes.sizes == expected).all()


def test_a_clip_without_any_difference_has_the_largest_box_at_the_published_place():
    boxes = choose_boxes(torch.ones(5, 2, 3, 4), smallest=(32, 32), picture=(96, 128))
    assert boxes.sizes.tolist() == [[88, 88]] * 5  # 32, 60, 88: by steps of 28 below 96
    assert boxes.centres.tolist() == [[0.0, 6 / 32]] * 5  # place 3 * 4 // 2 = 6 of a map of 24 by 32 places


@pytest.mark.parametrize("cell", [(0, 0), (0, 4), (1, 2), (2, 0), (2, 4)])
def test_the_box_stands_over_the_cell_that_alone_is_strong(cell):
    maps = torch.zeros(6, 3, 3, 5)
    maps[:, :, *cell] = 7.0
    picture = (96, 160)  # a cell is 32 pixels
    boxes = choose_boxes(maps, smallest=(32, 32), picture=picture)
    corners = boxes.corners(picture).float()
    middle = torch.tensor([32.0 * cell[0] + 16, 32.0 * cell[1] + 16])
    assert ((corners + 16 - middle).abs() <= 12).all()  # at a margin the smoothing moves it outwards


def test_saliency_is_scipys_gaussian_twice_on_the_eightfold_map():
    maps = torch.randn(9, 4, 2, 3, generator=torch.Generator().manual_seed(3))
    means = maps.mean(1).double().numpy()
    lowest, highest = means.min((1, 2), keepdims=True), means.max((1, 2), keepdims=True)
    fine = np.kron((means - lowest) / (highest - lowest), np.ones((1, 8, 8)))
    for _ in range(2):
        for axis, length in enumerate((7, 9, 9)):
            weights = np.exp(-0.5 * ((np.arange(length) - length // 2) / (length / 4)) ** 2)
            fine = correlate1d(fine, weights / weights.sum(), axis=axis, mode="mirror")
    np.testing.assert_allclose(saliency(maps), fine / fine.sum((1, 2), keepdims=True), rtol=1e-5)


@given(
    size=st.tuples(st.integers(8, 90), st.integers(8, 90)),
    cells=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    seed=st.integers(0, 20),
)
@settings(max_examples=25, deadline=None)
def test_sums_of_boxes_are_those_that_one_counts(size, cells, seed):
    picture = (96, 100)
    height, width = 8 * cells[0], 8 * cells[1]
    strength = torch.rand(2, height, width, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    sides = [int(part / whole * n) for part, whole, n in zip(size, picture, (height, width), strict=True)]
    reach = [(side + 1 - side % 2) // 2 for side in sides]
    found = box_sums(strength, size, picture)
    for row in range(height):
        for column in range(width):
            rows = slice(max(row - reach[0], 0), row + reach[0] + 1)
            columns = slice(max(column - reach[1], 0), column + reach[1] + 1)
            expected = strength[:, rows, columns].sum((1, 2))
            torch.testing.assert_close(found[:, row, column], expected)


def test_a_cut_of_the_box_s_own_size_is_the_picture_s_own_pixels():
    pictures = torch.randint(0, 256, (3, 50, 70, 3), dtype=torch.uint8)
    centres = torch.tensor([[0.0, 0.0], [0.5, 0.5], [0.999, 0.999]])
    boxes = Boxes(centres, torch.tensor([[10, 12]] * 3))
    # As published: 0 and 0.999 of 50 rows are moved to 5 and 44, so that the last row and column are never seen.
    corners = [(0, 0), (20, 29), (39, 57)]
    assert [tuple(corner) for corner in boxes.corners((50, 70)).tolist()] == corners
    for cut, picture, (top, left) in zip(cut_boxes(pictures, boxes, (10, 12)), pictures, corners, strict=True):
        assert torch.equal(cut, picture[top : top + 10, left : left + 12].float())


@pytest.mark.parametrize("size", [(50, 12), (10, 70), (11, 12), (0, 12)])
def test_a_box_that_has_no_place_is_refused(size):
    with pytest.raises(ValueError, match="in a picture of"):
        Boxes(torch.full((1, 2), 0.5), torch.tensor([size])).corners((50, 70))
