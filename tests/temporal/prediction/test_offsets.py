"""Expected values: the worked example of the method's offset correction, and by hand."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.prediction.offsets import place_scores

SCORES = torch.tensor([[[0.1, 0.9], [0.6, 0.4], [0.2, 0.8]]])


def test_the_worked_example_rounds_halves_up():
    placed = place_scores(SCORES, torch.tensor([[0.0, 0.5, -0.5]]), ClipGrid(6, temporal_stride=2))
    zero = [0.0, 0.0]
    expected = torch.tensor([[[0.1, 0.9], zero, zero, [0.6, 0.4], [0.2, 0.8], zero]])  # 2.5 -> 3, 3.5 -> 4
    torch.testing.assert_close(placed, expected)


def test_scores_that_meet_are_added_or_the_highest_of_each_class_is_kept():
    offsets = torch.tensor([[2.0, 0.0, -2.0]])  # all three at frame 2
    added = place_scores(SCORES, offsets, ClipGrid(6, temporal_stride=2), merge="sum")
    torch.testing.assert_close(added[0, 2], torch.tensor([0.9, 2.1]))
    highest = place_scores(SCORES, offsets, ClipGrid(6, temporal_stride=2), merge="maximum")
    torch.testing.assert_close(highest[0, 2], torch.tensor([0.6, 0.9]))
    assert float(added.sum()) == float(added[0, 2].sum())


def test_of_shares_that_meet_those_of_the_likelier_token_are_kept():
    left_right = torch.tensor([[[0.81, 0.09], [0.1, 0.75]]])  # one class: 0.9 of the left, 0.85 of the right
    offsets = torch.tensor([[1.0, -1.0]])
    placed = place_scores(left_right, offsets, ClipGrid(4, temporal_stride=2), merge="maximum", shared=True)
    torch.testing.assert_close(placed[0], torch.tensor([[0.0, 0.0], [0.81, 0.09], [0.0, 0.0], [0.0, 0.0]]))


def test_a_prediction_that_leaves_the_clip_is_dropped():
    placed = place_scores(SCORES, torch.tensor([[-0.51, 0.0, 2.0]]), ClipGrid(6, temporal_stride=2))
    torch.testing.assert_close(placed.sum((0, 1)), torch.tensor([0.6, 0.4]))
    just_inside = place_scores(SCORES, torch.tensor([[-0.5, 0.0, 1.49]]), ClipGrid(6, temporal_stride=2))
    torch.testing.assert_close(just_inside.sum((0, 1)), SCORES.sum((0, 1)))
    far = place_scores(SCORES, torch.tensor([[-1e9, 1e9, -1e9]]), ClipGrid(6, temporal_stride=2))
    assert float(far.abs().sum()) == 0.0


def test_without_offsets_tokens_stay_at_their_frames():
    placed = place_scores(SCORES, None, ClipGrid(5, temporal_stride=2))
    torch.testing.assert_close(placed[:, ::2], SCORES)
    assert float(placed[:, 1::2].abs().sum()) == 0.0


@given(st.lists(st.integers(-8, 8), min_size=4, max_size=4), st.integers(1, 4))
def test_whole_offsets_move_scores_by_exactly_that_much(offsets, temporal_stride):
    clip_frames = 4 * temporal_stride
    scores = torch.eye(4)[None] * 0.5
    grid = ClipGrid(clip_frames, temporal_stride=temporal_stride)
    placed = place_scores(scores, torch.tensor([offsets], dtype=torch.float32), grid)
    for token, offset in enumerate(offsets):
        frame = token * temporal_stride + offset
        column = placed[0, :, token]
        if 0 <= frame < clip_frames:
            assert float(column[frame]) == 0.5
            assert float(column.sum()) == 0.5
        else:
            assert float(column.sum()) == 0.0
