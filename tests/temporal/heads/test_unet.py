"""The encoder-decoder's parts against what the papers' layers compute, on inputs made by hand."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ballspot.temporal.config.sections import HeadSection
from ballspot.temporal.heads.unet import (
    LONGEST_PRODUCT,
    Granularity,
    SGPLayer,
    SGPMixer,
    UNet,
    long_window,
    spread_by_halves,
    windowed,
)

KINDS = {"residual": "unet", "published": "tdeed"}


def section(form: str, kernel: int = 3, factor: int = 2, **settings) -> HeadSection:
    return HeadSection(kind=KINDS[form], unet_kernel=kernel, unet_factor=factor, dropout=0.0, **settings)


def test_the_longer_published_window_is_the_factor_times_one_more_than_the_short_one_made_odd():
    # TriDet and T-DEED round (kernel + 1) * k and add one where that is even: 9 and 4 give 41.
    published = [
        long_window(section("published", kernel, factor)) for kernel, factor in ((9, 4), (5, 2), (3, 1), (1, 3))
    ]
    assert published == [41, 13, 5, 7]
    assert Granularity(4, section("published", 9, 4)).long.kernel_size == (41,)
    assert Granularity(4, section("residual", 9, 4)).long.kernel_size == (33,)


@pytest.mark.parametrize("form, others", [("published", False), ("residual", True)])
def test_features_meet_in_the_instant_branch_of_the_residual_form_alone(form, others):
    torch.manual_seed(0)
    branches = Granularity(4, section(form))
    torch.nn.init.constant_(branches.get_parameter("clip_gate.bias"), 5.0)  # open, whatever the clip's mean
    tokens = torch.randn(1, 4, 12)
    touched = tokens.clone()
    touched[0, 2, 5] += 1.0
    changed = [(a != b).any(-1)[0].tolist() for a, b in zip(branches(tokens), branches(touched), strict=True)]
    assert changed == [[others, others, True, others], [False, False, True, False]]  # instant, windows


def test_the_branches_are_the_clips_gate_times_the_token_and_a_gate_times_both_windows():
    branches = Granularity(1, section("published", 3, 1))  # windows of 3 and 5
    with torch.no_grad():
        for layer, value in (
            (branches.instant, 3.0),
            (branches.clip_gate, 2.0),
            (branches.short, 1.0),
            (branches.long, 10.0),
        ):
            layer.weight.fill_(value)
        branches.window_gate.weight.zero_()
        branches.window_gate.weight[0, 0, 1] = 1.0
    tokens = torch.tensor([[[0.0, 0.0, 1.0, 0.0, 0.0, 3.0]]])
    instant, windows = branches(tokens)
    mean = 4.0 / 6.0
    torch.testing.assert_close(instant, 2 * mean * 3 * tokens)
    # At token 2: 1 * (1 within one token + 10 * 1 within two); at token 5: 3 * (3 + 10 * 3).
    torch.testing.assert_close(windows, torch.tensor([[[0.0, 0.0, 11.0, 0.0, 0.0, 99.0]]]))
    assert not bool(branches(-tokens)[0].any())  # the clip's gate is cut at zero


@pytest.mark.parametrize("form", ["residual", "published"])
def test_a_layer_without_branches_adds_the_normalised_tokens_as_published_or_nothing(form):
    torch.manual_seed(0)
    layer = SGPLayer(8, section(form))
    with torch.no_grad():
        for convolution in layer.branches.children():
            for parameter in convolution.parameters():
                parameter.zero_()
    tokens = torch.randn(2, 8, 5)
    normed = F.layer_norm(tokens.transpose(1, 2), (8,)).transpose(1, 2)
    kept = tokens + normed if form == "published" else tokens
    torch.testing.assert_close(layer(tokens), layer.feedforward(kept))


def test_a_residual_mixer_adds_what_it_joins_to_both_sides():
    torch.manual_seed(0)
    mixer = SGPMixer(8, section("residual"))
    with torch.no_grad():
        for parameter in mixer.join.parameters():
            parameter.zero_()
    fine, coarse = torch.randn(2, 8, 7), torch.randn(2, 8, 4)
    torch.testing.assert_close(mixer(coarse, fine), mixer.feedforward(fine + spread_by_halves(coarse, 7)))


def test_a_published_mixer_joins_both_sides_branches_and_both_sides_themselves():
    torch.manual_seed(0)
    mixer = SGPMixer(8, section("published"))
    with torch.no_grad():
        mixer.join.weight.zero_()
        for feature in range(8):
            mixer.join.weight[feature, 4 * 8 + feature, 0] = 1.0  # the finer side alone passes
    fine, coarse = torch.randn(2, 8, 7), torch.randn(2, 8, 4)
    normed = F.layer_norm(fine.transpose(1, 2), (8,)).transpose(1, 2)
    torch.testing.assert_close(mixer(coarse, fine), mixer.feedforward(F.gelu(normed)))


@pytest.mark.parametrize("length", [4, 5, 13, 24, 25])
def test_coarse_tokens_come_back_over_the_two_finer_ones_they_stand_for(length):
    n_coarse = -(-length // 2)
    middles = 2 * torch.arange(n_coarse) + 0.5  # the place of coarse token j on the finer line
    spread = spread_by_halves(middles.expand(1, 1, -1), length)[0, 0]
    inside = torch.arange(1, length - 1)
    torch.testing.assert_close(spread[inside], inside.float())  # a straight line stays itself, to the last token


@pytest.mark.parametrize("form, n_after", [("residual", 0), ("published", 2)])
def test_every_level_has_a_layer_down_and_a_mixer_up_and_as_published_a_layer_after_it(form, n_after):
    trunk = UNet(12, section(form, width=16, unet_levels=2, temporal_stride=1), 25)
    assert (len(trunk.down), len(trunk.up), len(trunk.after)) == (2, 2, n_after)
    torch.manual_seed(0)
    frames = torch.randn(1, 25, 12)
    (trunk(frames).square().mean()).backward()
    assert all(parameter.grad is not None and bool(parameter.grad.any()) for parameter in trunk.parameters())


@pytest.mark.parametrize("length", [1, 2, 7, 25, LONGEST_PRODUCT, LONGEST_PRODUCT + 3])
@pytest.mark.parametrize("windows", [(3,), (9, 33)])
def test_windows_are_the_convolutions_of_each_feature_by_itself(windows, length):
    torch.manual_seed(length)
    layers = [nn.Conv1d(6, 6, window, padding="same", groups=6) for window in windows]
    tokens = torch.randn(2, 6, length, requires_grad=True)
    weights = [tokens, *(weight for layer in layers for weight in layer.parameters())]
    expected = sum(layer(tokens) for layer in layers)  # by torch
    direction = torch.randn_like(expected)
    found = windowed(tokens, *layers)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    gradients = [torch.autograd.grad(result, weights, direction) for result in (found, expected)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
