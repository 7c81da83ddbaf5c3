"""T-DEED's trunk: its pooling, its one clip length, its sizes. tests/temporal/adopted holds it to T-DEED."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import LabelSet
from ballspot.temporal.config import Config, load_config
from ballspot.temporal.config.sections import ClipSection, HeadSection
from ballspot.temporal.heads import Checkpoint, HeadDescription, Progress, WarmStart, misfit
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.heads.sgp_mixer import CornerMixer, SGPMixerNet, halved_by_maxima
from ballspot.temporal.heads.unet import long_window


def section(**settings) -> HeadSection:
    small = {"width": 16, "unet_levels": 2, "unet_kernel": 3, "unet_factor": 2, "temporal_stride": 1, "dropout": 0.0}
    return HeadSection(kind="sgp-mixer", **small | settings)


def described(clip_frames: int, **settings) -> HeadDescription:
    config = Config(clips=ClipSection(clip_frames=clip_frames), head=section(**settings))
    return HeadDescription(config, LabelSet("two", ("A", "B")), (12,), "0" * 64)


def test_tokens_are_halved_as_by_adaptive_pooling():
    for length in range(1, 66):
        tokens = torch.randn(2, 3, length)
        torch.testing.assert_close(halved_by_maxima(tokens), F.adaptive_max_pool1d(tokens, -(-length // 2)))


@pytest.mark.parametrize("length", [4, 5, 13])
def test_coarse_tokens_lie_corner_on_corner_of_the_finer_ones(length):
    n_coarse = -(-length // 2)
    mixer = CornerMixer(16, section())
    places = torch.linspace(0, length - 1, n_coarse).expand(1, 1, -1)
    torch.testing.assert_close(mixer.spread(places, length)[0, 0], torch.arange(float(length)))


@pytest.mark.parametrize(
    "clip_frames, temporal_stride, n_levels", [(30, 1, 2), (25, 2, 1), (7, 1, 3), (1, 1, 2), (9, 1, 0)]
)
def test_the_trunk_returns_to_the_tokens_it_began_with_and_all_of_it_learns(clip_frames, temporal_stride, n_levels):
    trunk = SGPMixerNet(12, section(unet_levels=n_levels, temporal_stride=temporal_stride), clip_frames)
    assert (len(trunk.down), len(trunk.up), len(trunk.after)) == (n_levels,) * 3
    tokens = trunk(torch.randn(2, clip_frames, 12))
    assert tokens.shape == (2, -(-clip_frames // temporal_stride), 16)
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert all(parameter.grad is not None for parameter in trunk.parameters())


def test_clips_of_another_length_are_refused_in_one_line():
    head = build_head(section(), dims=(12,), n_labels=2, clip_frames=30)
    assert head.only_clip_frames == 30
    with pytest.raises(BallspotError, match="a clip of 29 frames, where its positions are of 30; set clip_frames=30"):
        head(torch.randn(1, 29, 12))
    fused = build_head(section(fused_width=8), dims=(5, 7), n_labels=2, clip_frames=30)
    assert fused.only_clip_frames == 30
    assert (
        build_head(HeadSection(kind="tdeed", width=16), dims=(12,), n_labels=2, clip_frames=30).only_clip_frames is None
    )


def test_tensors_of_another_clip_length_are_no_such_head():
    state = described(30).build().state_dict()
    assert misfit(described(30), state) == ""
    assert misfit(described(50), state) == ": tensor 'trunk.positions' is torch.float32 (30, 16), not (50, 16)"


def test_a_start_from_a_head_of_another_clip_length_says_which_length_to_set():
    old, new = described(30), described(50)
    start = WarmStart(
        Path("runs/a/best.safetensors"), Checkpoint(old, Progress(), old.build().state_dict(), None, {}, {}), ""
    )
    with pytest.raises(
        BallspotError, match=r"^--init runs/a: its head has .* of 30 frames, .* 50; give --set clip_frames=30$"
    ):
        start.apply(new.build(), new)
    wider = described(50, width=32)
    with pytest.raises(BallspotError, match=r"trunk\.positions \(30, 16\), this one \(50, 32\)"):
        start.apply(wider.build(), wider)
    assert start.apply(old.build(), old) == ()


def test_a_width_without_sixteen_groups_is_refused():
    with pytest.raises(BallspotError, match="width 200 of head sgp-mixer does not divide by its 16 groups"):
        described(30, width=200).build()


def test_a_fraction_sizes_the_long_window_of_this_head_alone():
    # As T-DEED: round((window + 1) * factor), one more where that is even.
    assert [long_window(section(unet_kernel=9, unet_factor=factor)) for factor in (4, 1.5, 2.5, 0.6)] == [41, 15, 25, 7]
    config = load_config("best", ["kind=sgp-mixer", "unet_factor=2.5", "width=16"])
    assert config.head.unet_factor == 2.5
    assert type(load_config("best", ["unet_factor=4.0"]).head.unet_factor) is int
    with pytest.raises(BallspotError, match=r"unet_factor 2\.5 must be whole"):
        load_config("best", ["kind=unet", "unet_factor=2.5"])
    with pytest.raises(BallspotError, match="unet_factor = 0"):
        load_config("best", ["unet_factor=0"])
