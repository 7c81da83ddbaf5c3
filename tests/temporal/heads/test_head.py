import pytest
import torch
from torch import nn
from torch.nn import functional as F

from ballspot.cache.errors import BallspotError
from ballspot.temporal.config.load import load_config
from ballspot.temporal.config.sections import HeadSection
from ballspot.temporal.heads.downsampling import downsample, n_tokens, spread_by_frames, spread_by_repeats, token_frames
from ballspot.temporal.heads.head import STAGED_TRUNKS, TRUNKS, build_head, n_parameters
from ballspot.temporal.heads.multires import MultiResolution
from ballspot.temporal.heads.tcn import TCN
from ballspot.temporal.heads.transformer import EncoderLayer, Transformer, stretched, turn

KINDS = (*TRUNKS, *STAGED_TRUNKS)
OF_ANY_LENGTH = tuple(kind for kind in KINDS if kind not in ("sgp-mixer", "adaspot"))


def small(kind: str, **settings) -> HeadSection:
    return HeadSection(kind=kind, width=16, n_layers=1, n_attention_heads=2, **settings)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("temporal_stride, expected", [(1, 50), (2, 25), (3, 17), (4, 13), (7, 8)])
def test_every_head_answers_for_every_token_of_fifty_frames(kind, temporal_stride, expected):
    head = build_head(small(kind, temporal_stride=temporal_stride), dims=(12,), n_labels=5, clip_frames=50)
    output = head(torch.randn(2, 50, 12))
    assert output.class_logits.shape == (2, expected, 6)
    assert output.offsets is not None
    assert output.offsets.shape == (2, expected)


@pytest.mark.parametrize("kind", OF_ANY_LENGTH)
@pytest.mark.parametrize("length", [1, 7, 49, 120])
def test_every_head_takes_clips_of_another_length_than_it_was_made_for(kind, length):
    head = build_head(small(kind, temporal_stride=2), dims=(12,), n_labels=5, clip_frames=50)
    assert head(torch.randn(1, length, 12)).class_logits.shape == (1, n_tokens(length, 2), 6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_without_offsets_gives_none(kind):
    head = build_head(small(kind, offsets=False), dims=(12,), n_labels=5, clip_frames=50)
    assert head(torch.randn(1, 50, 12)).offsets is None


@pytest.mark.parametrize("kind", KINDS)
def test_clips_of_a_batch_do_not_touch_each_other(kind):
    head = build_head(small(kind), dims=(12,), n_labels=5, clip_frames=50).eval()
    clips = torch.randn(3, 50, 12)
    together = head(clips).class_logits
    alone = head(clips[1:2]).class_logits
    torch.testing.assert_close(together[1:2], alone)


def test_downsampling_keeps_the_frames_of_the_tokens():
    frames = torch.arange(50.0).view(1, 50, 1)
    for stride in (1, 2, 3, 4, 7):
        assert downsample(frames, stride)[0, :, 0].tolist() == token_frames(50, stride).tolist()
        assert token_frames(50, stride).tolist() == list(range(0, 50, stride))


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("factor", [2, 3, 4])
def test_multi_resolution_tokens_cover_exactly_the_frames_they_stand_for_at_every_length(stride, factor):
    for length in range(1, 121):
        fine = n_tokens(length, stride)
        coarse_frames = downsample(torch.arange(float(length)).view(1, -1, 1), stride * factor)
        spread = spread_by_frames(coarse_frames, factor, fine)[0, :, 0]
        # A fine token at frame f carries the coarse token of the last multiple of stride * factor up to f.
        frames = torch.arange(0, length, stride)
        assert spread.tolist() == (frames // (stride * factor) * (stride * factor)).tolist()


def test_the_originals_repetition_puts_the_token_of_frame_48_at_36():
    coarse = torch.arange(0.0, 50.0, 4.0).view(1, 13, 1)  # 13 tokens, repeated 50 // 13 = 3 times, then the last
    spread = spread_by_repeats(coarse, 50)[0, :, 0].tolist()
    assert len(spread) == 50
    assert spread.index(48.0) == 36
    assert spread[36:] == [48.0] * 14


class Frames(nn.Module):
    """A branch that passes the kept frames through."""

    width = 1

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, frames):
        return downsample(frames, self.stride)


def test_branches_of_a_multi_resolution_trunk_stand_side_by_side_at_their_frames():
    section = HeadSection(kind="multires", width=1, n_attention_heads=1, branch_factors=(1, 2, 4))
    trunk = MultiResolution(1, section, 50)
    trunk.branches = nn.ModuleList([Frames(1), Frames(2), Frames(4)])
    tokens = trunk(torch.arange(50.0).view(1, 50, 1))[0]
    assert trunk.width == 3
    assert tokens[48].tolist() == [48, 48, 48]
    assert tokens[47].tolist() == [47, 46, 44]


def test_the_tcn_of_the_method_has_three_convolutions_that_see_fourteen_tokens_either_side():
    tcn = TCN(8, HeadSection(kind="tcn", width=0, temporal_stride=1), 61)
    convolutions = [layer for layer in tcn.layers if isinstance(layer, nn.Conv1d)]
    assert [(c.kernel_size, c.dilation) for c in convolutions] == [((5,), (1,)), ((5,), (2,)), ((5,), (4,))]
    frames = torch.zeros(1, 61, 8)
    touched = frames.clone()
    touched[0, 30] = 1000.0
    changed = (tcn(touched) != tcn(frames)).any(-1)[0].nonzero().flatten()
    assert (int(changed.min()), int(changed.max())) == (16, 44)


def test_attention_is_torchs_own_multi_head_attention():
    torch.manual_seed(0)
    layer = EncoderLayer(8, HeadSection(n_attention_heads=2, dropout=0.0, norm="post")).eval()
    reference = nn.MultiheadAttention(8, 2, batch_first=True)
    state = {
        "in_proj_weight": layer.query_key_value.weight,
        "in_proj_bias": layer.query_key_value.bias,
        "out_proj.weight": layer.mix.weight,
        "out_proj.bias": layer.mix.bias,
    }
    reference.load_state_dict(state)
    tokens = torch.randn(2, 9, 8)
    torch.testing.assert_close(layer.attend(tokens), reference(tokens, tokens, tokens)[0])


def test_attention_in_training_is_the_same_where_nothing_is_dropped():
    # A probability below half of 2^-16 drops nothing, and yet takes the way of training with dropout.
    torch.manual_seed(0)
    layer = EncoderLayer(12, HeadSection(n_attention_heads=3, dropout=1e-9, norm="post"))
    tokens = torch.randn(2, 9, 12, requires_grad=True)
    outputs, slopes = [], []
    for mode in (True, False):
        outputs.append(layer.train(mode).attend(tokens))
        slopes.append(torch.autograd.grad(outputs[-1].square().sum(), tokens)[0])
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(*slopes)


def test_attention_in_training_drops_weights_and_keeps_their_mean():
    torch.manual_seed(0)
    layer = EncoderLayer(8, HeadSection(n_attention_heads=2, dropout=0.5, norm="post"))
    tokens = torch.randn(1, 6, 8)
    drawn = torch.stack([layer.train().attend(tokens) for _ in range(4000)])
    assert not torch.equal(drawn[0], drawn[1])
    torch.testing.assert_close(drawn.mean(0), layer.eval().attend(tokens), rtol=0, atol=0.02)


@pytest.mark.parametrize("norm", ["pre", "post"])
def test_a_layer_is_torchs_own_encoder_layer(norm):
    torch.manual_seed(0)
    layer = EncoderLayer(8, HeadSection(n_attention_heads=2, dropout=0.0, norm=norm))
    reference = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=norm == "pre")
    places = {
        "self_attn.in_proj_": "query_key_value.",
        "self_attn.out_proj.": "mix.",
        "linear1.": "feedforward.0.",
        "linear2.": "feedforward.3.",
        "norm1.": "norm_attention.",
        "norm2.": "norm_feedforward.",
    }
    ours = layer.state_dict()
    reference.load_state_dict(
        {theirs + part: ours[own + part] for theirs, own in places.items() for part in ("weight", "bias")}
    )
    tokens = torch.randn(2, 9, 8)
    torch.testing.assert_close(layer(tokens), reference(tokens))


def test_the_original_transformer_has_no_projection_and_the_sizes_of_the_method():
    trunk = Transformer(368, load_config("original").head, 50)
    assert isinstance(trunk.project, nn.Identity)
    assert len(trunk.layers) == 4
    # Per layer: attention 4 (d^2 + d), feed-forward 2 * 2 d^2 + 3 d, two norms 4 d; and 25 positions.
    d = 368
    assert n_parameters(trunk) == 4 * (4 * (d * d + d) + 4 * d * d + 3 * d + 4 * d) + 25 * d


def test_positions_of_the_trained_length_are_untouched_and_others_are_interpolated_between_them():
    trunk = Transformer(4, HeadSection(width=0, temporal_stride=1, n_attention_heads=2, n_layers=1), 3)
    torch.testing.assert_close(stretched(trunk.positions, 3), trunk.positions)
    longer = stretched(trunk.positions, 6)
    expected = F.interpolate(trunk.positions.T[None], size=6, mode="linear")[0].T
    torch.testing.assert_close(longer, expected)
    torch.testing.assert_close(longer[0], trunk.positions[0])
    torch.testing.assert_close(longer[-1], trunk.positions[-1])


def test_a_width_that_does_not_divide_by_its_attention_heads_is_refused():
    with pytest.raises(ValueError, match="width 12 does not divide by 8"):
        Transformer(12, HeadSection(width=12), 9)


def test_rotary_attention_sees_how_far_apart_tokens_are_not_where_they_stand():
    torch.manual_seed(0)
    query, key = torch.randn(8), torch.randn(8)
    products = turn(query.repeat(12, 1)) @ turn(key.repeat(12, 1)).T  # (12, 12), all of one pair of vectors
    for distance in range(-5, 6):
        diagonal = products.diagonal(distance)
        torch.testing.assert_close(diagonal, diagonal[:1].expand_as(diagonal))
    torch.testing.assert_close(turn(query.repeat(3, 1))[0], query)
    torch.testing.assert_close(turn(query.repeat(9, 1)).norm(dim=-1), query.norm().expand(9))


def test_rotary_heads_learn_no_positions_and_need_pairs():
    head = build_head(small("transformer", positions="rotary"), dims=(12,), n_labels=5, clip_frames=50)
    assert not any("positions" in name for name, _ in head.named_parameters())
    with pytest.raises(ValueError, match="no pairs to turn"):
        build_head(
            HeadSection(kind="transformer", width=6, n_attention_heads=2, positions="rotary"),
            dims=(12,),
            n_labels=5,
            clip_frames=9,
        )


def test_several_feature_sets_have_layers_of_their_own():
    head = build_head(small("gru", fused_width=10), dims=(12, 7), n_labels=5, clip_frames=50)
    frames = torch.randn(2, 50, 19)
    assert head(frames).class_logits.shape == (2, 25, 6)
    layers = head.trunk.projections
    assert [(layer.in_features, layer.out_features) for layer in layers] == [(12, 10), (7, 10)]


def test_sides_double_the_classes_and_a_team_layer_adds_one_logit():
    sided = build_head(small("linear", teams="labels"), dims=(12,), n_labels=5, clip_frames=50)
    output = sided(torch.randn(1, 50, 12))
    assert output.class_logits.shape == (1, 25, 11)
    assert output.team_logits is None
    assert sided.n_labels == 5
    teams = build_head(small("linear", teams="head"), dims=(12,), n_labels=5, clip_frames=50)(torch.randn(1, 50, 12))
    assert teams.class_logits.shape == (1, 25, 6)
    assert teams.team_logits is not None
    assert teams.team_logits.shape == (1, 25)


def test_a_linear_head_judges_every_token_by_its_own_frame():
    head = build_head(small("linear"), dims=(12,), n_labels=5, clip_frames=50).eval()
    frames = torch.randn(1, 50, 12)
    touched = frames.clone()
    touched[0, 20] += 1.0
    changed = (head(frames).class_logits != head(touched).class_logits).any(-1)[0].nonzero().flatten()
    assert changed.tolist() == [10]


def test_a_gru_hears_of_the_whole_clip_in_both_directions():
    torch.manual_seed(0)
    head = build_head(small("gru"), dims=(12,), n_labels=5, clip_frames=20).eval()
    frames = torch.randn(1, 20, 12)
    for place in (0, 18):
        touched = frames.clone()
        touched[0, place] += 10.0
        assert bool((head(frames).class_logits != head(touched).class_logits).any(-1).all())
    with pytest.raises(ValueError, match="width 7 is odd"):
        build_head(HeadSection(kind="gru", width=7), dims=(12,), n_labels=5, clip_frames=20)


@pytest.mark.parametrize("n_levels", [0, 1, 3])
def test_an_encoder_decoder_returns_to_the_tokens_it_began_with(n_levels):
    head = build_head(small("unet", unet_levels=n_levels), dims=(12,), n_labels=5, clip_frames=50)
    for length in (1, 2, 5, 50, 51):
        assert head(torch.randn(2, length, 12)).class_logits.shape == (2, n_tokens(length, 2), 6)


@pytest.mark.parametrize("length", [1, 49, 51, 100])
def test_the_head_of_adaspot_refuses_clips_of_another_length_in_one_line(length):
    head = build_head(small("adaspot"), dims=(12,), n_labels=5, clip_frames=50)
    with pytest.raises(BallspotError, match=f"a clip of {length} frames, where its encoding is of 50") as refused:
        head(torch.randn(1, length, 12))
    assert "\n" not in str(refused.value)
    assert head.only_clip_frames == 50


def test_the_head_of_adaspot_adds_its_encoding_to_the_features_and_has_a_gru_as_wide_each_way():
    torch.manual_seed(0)
    head = build_head(HeadSection(kind="adaspot", width=0, temporal_stride=1), dims=(12,), n_labels=5, clip_frames=8)
    frames = torch.randn(2, 8, 12)
    gru = nn.GRU(12, 12, batch_first=True, bidirectional=True)
    gru.load_state_dict(head.eval().trunk.gru.state_dict())
    expected = head.class_layer(gru(frames + head.trunk.positions)[0])
    torch.testing.assert_close(head(frames).class_logits, expected)
    assert head.class_layer.in_features == 24
    assert head.trunk.positions.abs().min() > 0
