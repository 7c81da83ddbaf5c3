import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.config.sections import PredictionSection
from ballspot.temporal.prediction.windows import kept_frames, match_windows, phase_lengths, window_starts, window_step


def windows(n_rows: int, clip_frames: int, row_stride: int, **settings) -> np.ndarray:
    """The starts over all phases."""
    grid = ClipGrid(clip_frames, row_stride, row_stride=row_stride)
    return np.concatenate(match_windows(n_rows, grid, PredictionSection.model_construct(**settings)))


def seen(n_rows: int, starts: np.ndarray, *, clip_frames: int, row_stride: int) -> np.ndarray:
    """How many windows see each row, counted one by one."""
    count = np.zeros(n_rows, dtype=int)
    for start in starts.tolist():
        rows = np.arange(start, start + clip_frames * row_stride, row_stride)
        count[rows[rows < n_rows]] += 1
    return count


@settings(max_examples=400, deadline=None)
@given(
    n_rows=st.integers(1, 400),
    clip_frames=st.integers(1, 120),
    row_stride=st.integers(1, 7),
    overlap=st.floats(0.0, 0.99),
)
def test_every_frame_of_a_match_of_any_length_is_seen(n_rows, clip_frames, row_stride, overlap):
    starts = windows(n_rows, clip_frames, row_stride, window_overlap=overlap)
    assert seen(n_rows, starts, clip_frames=clip_frames, row_stride=row_stride).min() >= 1
    assert len(set(starts.tolist())) == len(starts)
    assert starts.min() >= 0


@pytest.mark.parametrize("clip_frames", [1, 2, 13, 50, 100])
@pytest.mark.parametrize("row_stride", [1, 2, 3, 4])
def test_every_frame_of_every_length_from_1_to_400_is_seen(clip_frames, row_stride):
    for n_rows in range(1, 401):
        starts = windows(n_rows, clip_frames, row_stride, window_overlap=0.5)
        reach = starts[:, None] + np.arange(clip_frames) * row_stride
        assert np.isin(np.arange(n_rows), reach).all()


@given(
    n_rows=st.integers(1, 200),
    clip_frames=st.integers(1, 20),
    row_stride=st.integers(1, 3),
    coverage=st.sampled_from(["every-frame", "stop-early"]),
)
def test_windows_that_are_whole_stay_as_they_are_when_more_rows_come(n_rows, clip_frames, row_stride, coverage):
    grid, section = ClipGrid(clip_frames, row_stride, row_stride=row_stride), PredictionSection(coverage=coverage)
    early = match_windows(n_rows, grid, section, is_end=False)
    for later_rows in (n_rows, n_rows + 1, n_rows + 30):
        later = match_windows(later_rows, grid, section)
        for whole, of_all in zip(early, later, strict=True):
            assert whole.tolist() == of_all[: len(whole)].tolist()
            assert not len(whole) or whole[-1] + (clip_frames - 1) * row_stride < n_rows


def test_windows_end_with_the_sequence_instead_of_stepping_past_it():
    assert window_starts(120, clip_frames=50, step=25).tolist() == [0, 25, 50, 70]
    assert window_starts(100, clip_frames=50, step=25).tolist() == [0, 25, 50]
    assert window_starts(50, clip_frames=50, step=25).tolist() == [0]
    assert window_starts(7, clip_frames=50, step=25).tolist() == [0]


def test_phases_share_out_all_rows():
    assert phase_lengths(7, 3) == [3, 2, 2]
    assert phase_lengths(1, 3) == [1, 0, 0]


def test_one_phase_covers_its_own_grid_only():
    starts = windows(9, 2, 2, window_overlap=0.0, phases="one")
    assert np.flatnonzero(seen(9, starts, clip_frames=2, row_stride=2)).tolist() == [0, 2, 4, 6, 8]


@pytest.mark.parametrize("n_frames", [146892, 4500, 4501, 4531])
def test_stopping_early_leaves_the_last_100_to_150_video_frames_unscored_as_the_original_did(n_frames):
    starts = windows(n_frames, 50, 2, window_overlap=0.5, phases="one", coverage="stop-early")
    last_seen = starts.max() + 49 * 2
    assert 100 <= n_frames - 1 - last_seen <= 150


def test_the_step_is_never_zero():
    assert window_step(50, 0.5) == 25
    assert window_step(1, 0.99) == 1
    assert window_step(10, 0.97) == 1


@given(
    n_rows=st.integers(1, 400),
    clip_frames=st.integers(1, 60),
    row_stride=st.integers(1, 3),
    overlap=st.floats(0.0, 0.9),
    more=st.floats(0.0, 1.0),
)
def test_the_kept_centres_leave_no_frame_out(n_rows, clip_frames, row_stride, overlap, more):
    share = min(1.0 - overlap + more, 1.0)
    starts = windows(n_rows, clip_frames, row_stride, window_overlap=overlap)
    section = PredictionSection.model_construct(window_overlap=overlap, centre_share=share)
    kept = kept_frames(starts, n_rows, ClipGrid(clip_frames, row_stride, row_stride=row_stride), section)
    rows = starts[:, None] + np.arange(clip_frames) * row_stride
    assert set(range(n_rows)) <= set(rows[kept].tolist())


def test_the_centre_of_a_window_counts_and_the_ends_of_a_match_belong_to_its_ends():
    starts = np.array([0, 5, 10, 15])
    kept = kept_frames(starts, 25, ClipGrid(10), PredictionSection(window_overlap=0.5, centre_share=0.6))
    assert [row.nonzero()[0].tolist() for row in kept] == [
        list(range(8)),
        list(range(2, 8)),
        list(range(2, 8)),
        list(range(2, 10)),
    ]
