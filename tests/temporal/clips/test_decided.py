"""Where labels are known: rows, the clips that hold some, and their tokens."""

from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.dataset import LabelArrays
from ballspot.temporal.clips import Anchors, ClipStarts, DecidedRows, draw_clips
from ballspot.temporal.config import ClipGrid
from ballspot.temporal.features.resident import from_arrays

FEATURES = from_arrays({"a": np.zeros((100, 1)), "b": np.zeros((60, 1))})  # 25 frames a second, a row each


def decided(**stretches: list[tuple[int, int]]) -> DecidedRows:
    return DecidedRows.of(stretches, FEATURES.matches, 1)


def test_rows_are_decided_by_the_times_of_their_frames_and_matches_without_an_entry_as_a_whole():
    rows = decided(a=[(0, 80), (2000, 2041), (3900, 9000)]).rows
    assert torch.nonzero(rows[:100]).flatten().tolist() == [0, 1, 50, 51, 97, 98, 99]  # a frame lasts 40 ms
    assert rows[100:].all()
    assert not decided(a=[], b=[(0, 40)]).rows[:100].any()


def test_rows_that_lie_far_apart_are_decided_where_they_stand_for_a_decided_frame():
    rows = DecidedRows.of({"a": [(1000, 1500)]}, FEATURES.matches, 20).rows
    assert torch.nonzero(rows[:100]).flatten().tolist() == [1]  # frames 25 to 37 lie between row 1 and row 2


def test_labels_elsewhere_are_left_out():
    frames = np.array([0, 40, 55])
    labels = LabelArrays(frames, np.array([2, 1, 0]), np.zeros(3, np.int8), np.ones(3, dtype=bool), 0, 0)
    kept = decided(b=[(1600, 1700)]).labels(labels, FEATURES.matches[1], 1)
    assert (kept.frame_index.tolist(), kept.label_index.tolist()) == ([40], [1])


@given(
    st.lists(st.tuples(st.integers(0, 3900), st.integers(1, 600)), min_size=1, max_size=4),
    st.sampled_from([(10, 1, 1, 1), (7, 2, 2, 2), (12, 4, 3, 4)]),
    st.integers(0, 3),
)
def test_every_clip_that_is_drawn_holds_a_decided_row_and_every_decided_row_can_be_drawn(stretches, shape, pad):
    grid = ClipGrid(*shape)
    found = decided(a=[(start, start + length) for start, length in stretches], b=[])
    anchors = Anchors.nowhere().among(found, FEATURES.matches)
    generator = torch.Generator().manual_seed(0)
    clips = draw_clips(FEATURES, 600, grid, pad_frames=pad, generator=generator, anchors=anchors)
    assert (clips.match_index == 0).all()
    held = torch.zeros(100, dtype=torch.bool)
    for start in clips.start_row.tolist():
        own = slice(max(start, 0), max(start + grid.n_rows, 0))
        assert found.rows[:100][own].any()
        held[own] = True
    assert held[found.rows[:100]].all()


def test_anchors_at_undecided_rows_are_left_out():
    anchors = Anchors(torch.tensor([0, 0, 1]), torch.tensor([10, 70, 5]), torch.tensor([1.0, 2.0, 3.0]), 2, 1.0)
    kept = anchors.among(decided(a=[(2000, 4000)]), FEATURES.matches)
    assert (kept.row.tolist(), kept.weight.tolist()) == ([70, 5], [2.0, 3.0])


def test_tokens_are_decided_as_their_frames_and_beyond_the_ends_as_the_first_and_last_one():
    features = replace(FEATURES, rows=FEATURES.rows.repeat(2, 1), views=("original", "hflip"))
    grid = ClipGrid(8, clip_stride=2, temporal_stride=2, row_stride=2)  # tokens at rows 0, 4, 8, 12
    clips = ClipStarts(torch.tensor([0, 0, 1]), torch.tensor([-6, 46, 50]), torch.tensor([0, 1, 1]))
    found = decided(a=[(0, 40), (2000, 2200)]).tokens(features, clips, grid)  # rows 0, and 50 to 54
    assert found.tolist() == [[True, True, False, False], [False, True, True, False], [True] * 4]
