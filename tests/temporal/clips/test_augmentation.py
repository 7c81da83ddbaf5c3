import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.temporal.clips.augmentation import drop_frames, jitter_shift, mix_clips, switch_frames
from ballspot.temporal.config.grid import ClipGrid


@pytest.fixture(autouse=True)
def seeded():
    torch.manual_seed(0)


def numbered(n_clips: int, length: int) -> torch.Tensor:
    return (torch.arange(n_clips)[:, None] * 1000.0 + torch.arange(length) + 1.0)[..., None]


@given(chance=st.floats(0.0, 1.0), length=st.integers(1, 30))
def test_switching_keeps_every_frame_and_moves_it_by_one_at_most(chance, length):
    frames = numbered(3, length)
    switched = switch_frames(frames, chance=chance)
    assert torch.equal(switched.sort(1).values, frames)
    assert float((switched - frames).abs().max()) <= 1.0


def test_switching_never_and_always():
    frames = numbered(2, 6)
    assert torch.equal(switch_frames(frames, chance=0.0), frames)
    assert switch_frames(frames, chance=1.0)[0, :, 0].tolist() == [2, 1, 4, 3, 6, 5]


@given(length=st.integers(5, 60))
def test_dropped_frames_are_one_run_of_at_most_a_fifth(length):
    dropped = drop_frames(numbered(8, length), chance=1.0)[..., 0] == 0
    assert bool((dropped.sum(1) >= 1).all())
    assert int(dropped.sum(1).max()) <= max(length // 5, 1)
    starts = (dropped[:, 1:] & ~dropped[:, :-1]).sum(1) + dropped[:, 0]
    assert starts.tolist() == [1] * 8


def test_nothing_is_dropped_without_a_chance():
    assert torch.equal(drop_frames(numbered(4, 20), chance=0.0), numbered(4, 20))


@pytest.mark.parametrize("row_stride, step", [(1, 1), (2, 1), (3, 1), (4, 2)])
def test_jitter_reads_half_a_stride_early_or_late(row_stride, step):
    shift = jitter_shift(50, ClipGrid(40, row_stride, row_stride=row_stride), chance=0.4)
    assert set(shift.unique().tolist()) == {-step, 0, step}
    assert abs(float((shift != 0).float().mean()) - 0.4) < 0.055  # five standard deviations of 2000 draws


def test_a_mixed_clip_is_the_two_by_their_shares_and_mostly_itself():
    frames = torch.randn(16, 5, 3)
    mixed, other, share = mix_clips(frames, alpha=0.2)
    assert sorted(other.tolist()) == list(range(16))
    assert bool(((share >= 0.5) & (share <= 1.0)).all())
    expected = share[:, None, None] * frames + (1 - share[:, None, None]) * frames[other]
    torch.testing.assert_close(mixed, expected)
