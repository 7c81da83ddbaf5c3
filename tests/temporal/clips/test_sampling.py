from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.dataset.labels import LabelArrays
from ballspot.temporal.clips.events import event_table
from ballspot.temporal.clips.sampling import draw_clips, event_anchors, mistake_anchors
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.sections import TrainingSection
from ballspot.temporal.decoding.scores import SavedScores
from ballspot.temporal.features.resident import from_arrays

GRID = ClipGrid(10, clip_stride=2, row_stride=2)


def matches(*lengths: int):
    return from_arrays({str(index): np.zeros((n, 1)) for index, n in enumerate(lengths)})


def labels_at(*events: tuple[int, int]) -> LabelArrays:
    """Events (frame, label)."""
    frames, labels = (np.array(column, dtype=np.int64) for column in zip(*events, strict=True))
    nobody = np.full(len(frames), -1, dtype=np.int8)
    return LabelArrays(frames, labels, nobody, np.ones(len(frames), dtype=bool), 0, 0)


def anchors_at(
    *labels: LabelArrays, n_labels: int = 2, balanced: bool = False, near_frames: int = 3, share: float = 0.5
):
    table = event_table(labels, n_labels=n_labels)
    sampling = "class-balanced" if balanced else "near-actions"
    section = TrainingSection(sampling=sampling, near_frames=near_frames, sampling_share=share)
    return event_anchors(table, GRID, section)


def draw(features, n_clips: int, anchors, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    return draw_clips(features, n_clips, GRID, pad_frames=2, generator=generator, anchors=anchors)


def test_half_of_the_clips_have_their_middle_near_an_event_and_the_rest_do_not():
    features = matches(400, 300)
    events = (labels_at((100, 0), (250, 1)), labels_at((150, 0)))
    clips = draw(features, 1000, anchors_at(*events))
    middle = clips.start_row + 5 * 2
    near = torch.zeros(1000, dtype=torch.bool)
    for index, arrays in enumerate(events):
        for frame in arrays.frame_index:
            near |= (clips.match_index == index) & ((middle - int(frame)).abs() <= 3 * 2)
    assert int(near.sum()) == 500


def test_a_balanced_draw_gives_every_class_the_same_number_of_clips():
    features = matches(2000)
    events = labels_at(*((frame, 0) for frame in range(50, 1000, 50)), (1500, 1))  # 19 of one class, 1 of the other
    clips = draw(features, 2000, anchors_at(events, balanced=True, share=1.0))
    rare = int((clips.start_row > 1400).sum())
    assert abs(rare - 1000) < 5 * 500**0.5 / 2**0.5 * 1.5  # five standard deviations of Binomial(2000, 1/2) and more


@given(frame=st.integers(0, 99), seed=st.integers(0, 5), balanced=st.booleans())
def test_clips_around_an_event_start_where_any_clip_may(frame, seed, balanced):
    features = matches(100)
    clips = draw(features, 20, anchors_at(labels_at((frame, 0)), balanced=balanced, share=1.0), seed)
    assert int(clips.start_row.min()) >= -4
    assert int(clips.start_row.max()) <= 99 - (10 - 1 - 2) * 2


def test_events_everywhere_leave_the_rest_anywhere():
    features = matches(60)
    events = labels_at(*((frame, 0) for frame in range(0, 60, 2)))
    assert len(draw(features, 100, anchors_at(events, near_frames=9))) == 100


def test_with_several_views_every_clip_is_read_from_one_of_them():
    features = matches(100)
    doubled = replace(features, rows=features.rows.repeat(2, 1), views=("original", "hflip"))
    clips = draw(doubled, 400, None)
    assert clips.view_index is not None
    assert abs(int(clips.view_index.sum()) - 200) < 50  # five standard deviations
    assert draw(features, 4, None).view_index is None


def test_hard_negatives_are_spots_without_an_event_of_their_class_near():
    features = matches(200)
    scores = np.zeros((200, 2), dtype=np.float32)
    scores[50, 0] = 0.9  # right: an event of class 0 is 5 frames away
    scores[120, 0] = 0.6  # wrong: nothing there
    scores[56, 1] = 0.3  # wrong: the event there is of another class
    scores[180, 1] = 0.05  # too low to matter
    saved = SavedScores(scores, np.arange(200), ("A", "B"), Fraction(25), 200, "0")
    anchors = mistake_anchors({"0": saved}, {"0": labels_at((55, 0))}, features, TrainingSection(near_frames=4))
    found = sorted(zip(anchors.row.tolist(), [round(weight, 4) for weight in anchors.weight.tolist()], strict=True))
    assert found == [(56, 0.3), (120, 0.6)]


def test_clips_around_events_have_them_on_their_frames_and_between_and_balanced_ones_always_inside():
    features = matches(4000)
    events = labels_at((1000, 0), (2001, 1))
    for balanced in (False, True):
        clips = draw(features, 2000, anchors_at(events, balanced=balanced, share=1.0))
        frame = torch.where(clips.start_row < 1500, 1000, 2001)
        relative = frame - clips.start_row
        assert int(relative.min()) >= 0 and int(relative.max()) < 10 * 2
        assert 800 < int((relative % 2).sum()) < 1200  # half of them between two frames of the clip
