"""Expected values: the method's worked example (clip of 50, temporal stride 2, events at 0, 30 and 43), and by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.temporal.clips.events import ClipEvents
from ballspot.temporal.clips.targets import TokenTargets, token_targets
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.sections import TargetSection
from ballspot.temporal.heads.downsampling import n_tokens

nan = float("nan")
EXAMPLE = [(0, 1), (30, 0), (43, 3)]  # (clip frame, 0-based class): classes 2, 1, 4 of the example
OFFSETS = [0, -2, -4, -6, -8, -10, -12, -14, 14, 12, 10, 8, 6, 4, 2, 0, -2, -4, -6, 5, 3, 1, -1, -3, -5]
MASKED = [0, -2, -4, -6, -8, nan, nan, nan, nan, nan, nan, 8, 6, 4, 2, 0, -2, -4, -6, 5, 3, 1, -1, -3, -5]


def events_of(*clips: list[tuple[int, int]]) -> ClipEvents:
    """Clips of (source frame after the start, 0-based class)."""
    most = max(len(clip) for clip in clips)
    shape = (len(clips), most)
    relative, label = torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=torch.int64)
    inside = torch.zeros(shape, dtype=torch.bool)
    for row, clip in enumerate(clips):
        for column, (frame, index) in enumerate(clip):
            relative[row, column], label[row, column], inside[row, column] = frame, index, True
    return ClipEvents(relative, label, torch.zeros_like(label), inside)


def targets(*clips: list[tuple[int, int]], priority: tuple[int, ...] = (1, 2, 3, 4), **settings) -> TokenTargets:
    sizes = {"clip_frames": 50, "clip_stride": 1, "temporal_stride": 2}
    grid = ClipGrid(**{name: settings.pop(name, size) for name, size in sizes.items()})
    multi_label = settings.pop("multi_label", False)
    section = TargetSection(**{"label_radius": 0, "offset_window": "none", **settings})
    return token_targets(events_of(*clips), grid, section, priority=torch.tensor(priority), multi_label=multi_label)


def test_offsets_of_the_worked_example():
    assert targets(EXAMPLE).offset[0].tolist() == OFFSETS


def test_masked_offsets_of_the_worked_example_have_six_gaps():
    offset = targets(EXAMPLE, offset_window=8).offset[0]
    assert int(offset.isnan().sum()) == 6
    np.testing.assert_array_equal(offset.numpy(), np.array(MASKED, dtype=np.float32))


def test_strided_labels_of_the_worked_example_lose_the_event_on_a_dropped_frame():
    classes = targets(EXAMPLE, label_assignment="strided").class_index[0]
    assert {i: int(c) for i, c in enumerate(classes) if c} == {0: 2, 15: 1}


def test_nearest_labels_of_the_worked_example_keep_it_at_the_earlier_token():
    classes = targets(EXAMPLE, label_assignment="nearest").class_index[0]
    assert {i: int(c) for i, c in enumerate(classes) if c} == {0: 2, 15: 1, 21: 4}


def test_the_offset_of_a_clip_stride_is_counted_in_clip_frames():
    doubled = [(2 * frame, label) for frame, label in EXAMPLE]
    assert targets(doubled, clip_stride=2).offset[0].tolist() == OFFSETS


def test_an_event_between_two_clip_frames_keeps_half_a_frame_or_is_moved_to_the_earlier():
    exact = targets([(31, 0)], clip_stride=2, temporal_stride=1).offset[0]
    assert [float(exact[15]), float(exact[16])] == [0.5, -0.5]
    floored = targets([(31, 0)], clip_stride=2, temporal_stride=1, event_time="floor").offset[0]
    assert [float(floored[15]), float(floored[16])] == [0.0, -1.0]


def test_equally_near_events_give_the_earlier_ones_offset():
    assert float(targets([(8, 0), (12, 1)]).offset[0, 5]) == -2.0  # token 5 stands at frame 10


def test_of_two_events_at_one_token_the_rarer_class_wins_whatever_the_order_and_it_is_counted():
    for clip in ([(20, 0), (21, 2)], [(20, 2), (21, 0)]):  # 21 ties to token 10, where 20 is
        rare_two = targets(clip, priority=(1, 2, 3, 4))
        assert int(rare_two.class_index[0, 10]) == 3
        assert int(rare_two.n_collisions.sum()) == 1
        rare_zero = targets(clip, priority=(4, 3, 2, 1))
        assert int(rare_zero.class_index[0, 10]) == 1
        assert int((rare_zero.class_index > 0).sum()) == 1


def test_a_clip_without_events_is_background_without_offsets_beside_one_that_has_them():
    result = targets(EXAMPLE, [])
    assert int(result.class_index[1].sum()) == 0
    assert bool(result.offset[1].isnan().all())
    assert result.offset[0].tolist() == OFFSETS


def test_a_batch_without_any_event_has_no_offsets():
    result = targets([], [])
    assert result.offset.shape == (2, 25)
    assert bool(result.offset.isnan().all())
    assert int(result.class_index.sum()) == 0
    assert int(result.n_collisions.sum()) == 0


@pytest.mark.parametrize("temporal_stride, expected", [(1, 50), (2, 25), (3, 17), (4, 13), (7, 8)])
@pytest.mark.parametrize("assignment", ["strided", "nearest"])
def test_labels_and_offsets_of_fifty_frames_have_the_same_rounded_up_number_of_tokens(
    temporal_stride, expected, assignment
):
    assert n_tokens(50, temporal_stride) == expected
    result = targets([(49, 1)], temporal_stride=temporal_stride, label_assignment=assignment)
    assert result.class_index.shape == (1, expected)
    assert result.offset.shape == (1, expected)


CLIPS = st.lists(st.tuples(st.integers(0, 39), st.integers(0, 3)), max_size=6, unique_by=lambda event: event[0])


@given(events=CLIPS, clip_stride=st.integers(1, 3), temporal_stride=st.integers(1, 7))
def test_every_event_reaches_a_nearest_token_and_its_offset_leads_back_to_it(events, clip_stride, temporal_stride):
    clip = sorted((frame * clip_stride, label) for frame, label in events)
    result = targets(clip, clip_frames=40, clip_stride=clip_stride, temporal_stride=temporal_stride)
    assert int((result.class_index > 0).sum()) + int(result.n_collisions.sum()) == len(clip)
    times = [frame / clip_stride for frame, _ in clip]
    for token in range(n_tokens(40, temporal_stride) if clip else 0):
        frame = token * temporal_stride
        expected = min(times, key=lambda time: (abs(time - frame), time)) - frame
        assert float(result.offset[0, token]) == expected
        if result.class_index[0, token]:
            assert abs(expected) <= max(temporal_stride / 2, 39 - (n_tokens(40, temporal_stride) - 1) * temporal_stride)


@given(events=CLIPS, temporal_stride=st.integers(1, 7))
def test_strided_labels_are_the_frame_labels_at_the_kept_frames(events, temporal_stride):
    result = targets(sorted(events), clip_frames=40, temporal_stride=temporal_stride, label_assignment="strided")
    frames = np.zeros(40, dtype=np.int64)
    for frame, label in events:
        frames[frame] = label + 1
    assert result.class_index[0].tolist() == frames[::temporal_stride].tolist()


def test_events_that_lose_their_token_are_counted_clip_by_clip():
    assert targets([(20, 0), (21, 2)], [], [(3, 1)]).n_collisions.tolist() == [1, 0, 0]


def test_a_radius_gives_the_class_to_the_tokens_either_side_and_the_nearer_event_wins():
    wide = targets([(10, 0), (16, 3)], label_radius=2)  # tokens 5 and 8
    assert wide.class_index[0].tolist() == [0, 0, 0, 1, 1, 1, 1, 4, 4, 4, 4] + [0] * 14
    assert bool((wide.strength == 1).all())
    assert int(wide.n_collisions.sum()) == 0


def test_soft_labels_fade_as_a_gaussian_beyond_the_radius():
    soft = targets([(20, 1)], label_sd=1.0)
    assert soft.class_index[0, 7:14].tolist() == [2] * 7  # three deviations either side of token 10
    expected = torch.exp(-0.5 * torch.tensor([9.0, 4, 1, 0, 1, 4, 9]))
    torch.testing.assert_close(soft.strength[0, 7:14], expected)
    harder = targets([(20, 1)], label_sd=1.0, label_radius=1)
    torch.testing.assert_close(harder.strength[0, 9:12], torch.ones(3))


def test_every_class_of_a_token_is_kept_where_classes_stand_for_themselves():
    shared = targets([(10, 0), (10, 3), (30, 3)], multi_label=True, label_radius=1).labels
    assert shared is not None
    assert shared[0, 5].tolist() == [1, 0, 0, 1]
    assert shared[0, :, 3].nonzero().flatten().tolist() == [4, 5, 6, 14, 15, 16]


def test_offsets_far_from_events_are_zero_where_the_background_is_taught():
    zero = targets([(20, 1)], offset_window=4, offset_background="zero").offset[0]
    assert zero.tolist() == [0] * 8 + [4, 2, 0, -2, -4] + [0] * 12
    assert targets([], [(20, 1)], offset_window=4, offset_background="zero").offset[0].tolist() == [0] * 25


def test_a_tokens_team_is_that_of_the_event_it_has():
    events = events_of([(10, 0), (10, 3), (30, 1), (40, 1)])
    sided = replace(events, team=torch.tensor([[0, 1, 0, -1]]))
    grid, priority = ClipGrid(50, temporal_stride=2), torch.tensor([1, 2, 3, 4])
    team = token_targets(sided, grid, TargetSection(label_radius=0), priority=priority).team[0]
    known = {index: value for index, value in enumerate(team.tolist()) if value == value}
    assert known == {5: 1.0, 15: 0.0}  # the rarer class has the token; the last event's team is unknown


@given(
    clips=st.lists(st.lists(st.tuples(st.integers(0, 49), st.integers(0, 3)), max_size=6), min_size=1, max_size=4),
    radius=st.integers(0, 4),
)
def test_every_token_within_the_radius_has_the_class_of_a_nearest_event(clips, radius):
    found = targets(*[sorted(clip) for clip in clips], label_radius=radius)
    for row, clip in enumerate(clips):
        placed = [((frame + 0) // 2 if frame % 2 == 0 else frame // 2, label) for frame, label in clip]
        for token in range(25):
            nearest = min((abs(token - place) for place, _ in placed), default=99)
            classes = {label + 1 for place, label in placed if abs(token - place) == nearest}
            assert int(found.class_index[row, token]) in (classes if nearest <= radius else {0})
