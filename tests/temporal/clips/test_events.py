from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.dataset.labels import LabelArrays
from ballspot.temporal.clips.events import clip_events, event_table, redraw_times
from ballspot.temporal.clips.gather import ClipStarts
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.features.resident import MatchRows


def labels(*events: tuple[int, int]) -> LabelArrays:
    frames = np.array([frame for frame, _ in events], dtype=np.int64)
    classes = np.array([label for _, label in events], dtype=np.int64)
    return LabelArrays(frames, classes, np.zeros(len(events), np.int8), np.ones(len(events), bool), 0, 0)


def test_the_rarest_class_has_the_highest_priority_and_absent_ones_count_as_rarest():
    table = event_table([labels((1, 0), (5, 0), (9, 1)), labels((2, 0), (4, 1))], n_labels=3)
    assert table.counts.tolist() == [3, 2, 0]
    assert table.priority.tolist() == [1, 2, 3]


def test_a_clip_holds_the_events_of_its_own_match_only():
    table = event_table([labels((0, 0), (99, 1)), labels((0, 2))], n_labels=3)
    clips = ClipStarts(torch.tensor([0, 0, 1, 1]), torch.tensor([-5, 95, -5, 40]))
    events = clip_events(table, clips, ClipGrid(20))
    found = [
        [(int(frame), int(label)) for frame, label, inside in zip(*row, strict=True) if inside]
        for row in zip(events.relative, events.label_index, events.inside, strict=True)
    ]
    assert found == [[(5, 0)], [(4, 1)], [(5, 2)], []]


@given(
    frames=st.lists(st.integers(0, 60), max_size=12).map(sorted),
    start=st.integers(-10, 70),
    span=st.integers(1, 40),
)
def test_a_clip_holds_exactly_the_events_inside_its_span(frames, start, span):
    table = event_table([labels(*[(frame, 0) for frame in frames])], n_labels=1)
    events = clip_events(table, ClipStarts(torch.tensor([0]), torch.tensor([start])), ClipGrid(span))
    found = events.relative[0][events.inside[0]].tolist()
    assert found == [frame - start for frame in frames if start <= frame < start + span]


def test_redrawn_times_keep_every_class_count_and_depend_on_the_seed_alone():
    original = labels(*[(10 * i, i % 3) for i in range(30)])
    match = MatchRows("m", 0, 1000, 1000, Fraction(25))
    first, again, other = (redraw_times([original], [match], seed=seed)[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.frame_index, again.frame_index)
    np.testing.assert_array_equal(first.label_index, again.label_index)
    assert not np.array_equal(first.frame_index, other.frame_index)
    assert not np.array_equal(first.frame_index, original.frame_index)
    assert np.bincount(first.label_index).tolist() == [10, 10, 10]
    assert len(set(first.frame_index.tolist())) == 30
    assert np.all(np.diff(first.frame_index) > 0)


def test_a_mirror_image_swaps_left_and_right_and_leaves_what_has_no_team():
    one = labels((3, 0), (5, 1), (7, 1))
    sides = LabelArrays(one.frame_index, one.label_index, np.array([0, 1, -1], np.int8), one.visible, 0, 0)
    clips = ClipStarts(torch.tensor([0, 0]), torch.tensor([0, 0]))
    mirrored = torch.tensor([False, True])
    plain = clip_events(event_table([sides], n_labels=2), clips, ClipGrid(10), flipped=mirrored)
    assert plain.team.tolist() == [[0, 1, -1], [1, 0, -1]]
    assert plain.label_index.tolist() == [[0, 1, 1], [0, 1, 1]]
    table = event_table([sides], n_labels=2, sided=True)  # classes 0 and 1 of the left, then of the right
    sided = clip_events(table, clips, ClipGrid(10), flipped=mirrored)
    assert sided.label_index.tolist() == [[0, 3, 1], [2, 1, 1]]
