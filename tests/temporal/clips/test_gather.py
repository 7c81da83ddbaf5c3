import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.temporal.clips.gather import ClipStarts, gather_clips
from ballspot.temporal.clips.sampling import draw_clips, start_range
from ballspot.temporal.config.grid import ClipGrid
from ballspot.temporal.features.resident import from_arrays


def numbered(*lengths: int):
    """Matches whose only feature is 100 * match + frame + 1, never zero."""
    arrays = {str(m): (100 * m + np.arange(n) + 1.0)[:, None] for m, n in enumerate(lengths)}
    return from_arrays(arrays)


def test_clips_of_several_matches_are_gathered_with_zeros_outside_their_own_match():
    features = numbered(10, 6)
    clips = ClipStarts(torch.tensor([0, 0, 1, 1]), torch.tensor([0, -3, 3, -2]))
    frames = gather_clips(features, clips, ClipGrid(4, 2, row_stride=2))
    assert frames.dtype == torch.float32
    assert frames[..., 0].tolist() == [
        [1, 3, 5, 7],
        [0, 0, 2, 4],
        [104, 106, 0, 0],
        [0, 101, 103, 105],
    ]


@given(
    n_rows=st.integers(1, 300),
    clip_frames=st.integers(2, 60),
    row_stride=st.integers(1, 4),
    data=st.data(),
)
def test_a_clip_leaves_its_match_by_at_most_the_padding_or_covers_all_of_it(n_rows, clip_frames, row_stride, data):
    pad_frames = data.draw(st.integers(0, clip_frames - 1))
    low, high = start_range(n_rows, ClipGrid(clip_frames, row_stride, row_stride=row_stride), pad_frames=pad_frames)
    for start in (low, high, (low + high) // 2):
        last = start + (clip_frames - 1) * row_stride
        within = start >= -pad_frames * row_stride and last <= n_rows - 1 + pad_frames * row_stride
        covers = start <= 0 and last >= n_rows - 1
        assert within or covers


def test_starts_are_drawn_from_the_first_to_the_last_allowed_one_of_every_match():
    features = numbered(60, 90)
    grid, generator = ClipGrid(10, 2, row_stride=2), torch.Generator().manual_seed(0)
    clips = draw_clips(features, 5000, grid, pad_frames=2, generator=generator)
    # From 2 padded frames before (row -4) to 2 after: start + 18 <= n - 1 + 4.
    for match, last in ((0, 45), (1, 75)):
        starts = clips.start_row[clips.match_index == match]
        assert (int(starts.min()), int(starts.max())) == (-4, last)
    # 50 and 80 starts: their share of the clips, within 5 standard deviations.
    assert abs(int((clips.match_index == 0).sum()) - 5000 * 50 / 130) < 5 * (5000 * 50 / 130 * 80 / 130) ** 0.5


def test_the_same_generator_draws_the_same_clips():
    draws = [
        draw_clips(
            numbered(60), 50, ClipGrid(5), pad_frames=1, generator=torch.Generator().manual_seed(seed)
        ).start_row.tolist()
        for seed in (3, 3, 4)
    ]
    assert draws[0] == draws[1] != draws[2]
