"""Heads of several stages, and the GRU of E2E-Spot; golden class scores are in tests/temporal/adopted."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.temporal.config.load import deciding_table
from ballspot.temporal.config.sections import Config, HeadSection
from ballspot.temporal.heads.checkpoints import Checkpoint, HeadDescription, Progress
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.heads.stages import SlidingAttention
from ballspot.temporal.heads.warm_start import WarmStart


@given(block=st.sampled_from([1, 2, 4, 8, 16]), length=st.integers(1, 40))
def test_attention_is_that_of_every_token_over_its_window_alone(block, length):
    """Token by token: those outside the window, and the places past the clip's ends, have a weight of 1e-6."""
    torch.manual_seed(block)
    attention = SlidingAttention(6, block).eval()
    tokens, values = torch.randn(2, 6, length), torch.randn(2, 6, length)
    with torch.no_grad():
        found = attention(tokens, values)
        query, key, value = attention.query(tokens), attention.key(tokens), attention.value(values)
        mixed = torch.zeros_like(query)
        for token in range(length):
            first = token // block * block - block // 2  # of the block with its margins
            fits, kept = [], []
            for place in range(first, first + block + 2 * (block // 2)):
                inside = 0 <= place - first - token % block < block and 0 <= place < length
                fit = (query[..., token] * key[..., place]).sum(1) / 3**0.5 if 0 <= place < length else torch.zeros(2)
                fits.append(fit + torch.log(torch.tensor((1.0 if inside else 0.0) + 1e-6)))
                kept.append(value[..., place] if inside else torch.zeros(2, 3))
            weights = torch.stack(fits, 1).softmax(1)
            mixed[..., token] = (weights[:, None] * torch.stack(kept, 2)).sum(2)
        torch.testing.assert_close(found, attention.mix(torch.relu(mixed)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind, n_later", [("mstcn", 2), ("asformer", 3)])
def test_every_parameter_learns_and_the_last_stage_answers(kind, n_later):
    section = HeadSection(kind=kind, width=8, n_layers=3, kernel_size=3)
    head = build_head(section, dims=(12,), n_labels=5, clip_frames=20)
    assert [tuple(layer.weight.shape) for layer in head.trunk.answers] == [(6, 8, 1)] * n_later
    output = head(torch.randn(2, 20, 12))
    output.class_logits.square().sum().backward(retain_graph=True)
    output.offsets.square().sum().backward()
    still = [name for name, one in head.named_parameters() if one.grad is None or not one.grad.any()]
    # A first layer's window is one token: there is nothing to weigh, as in the published code.
    assert [name for name in still if ".0.attention.query" not in name and ".0.attention.key" not in name] == []


def test_a_later_stage_reads_no_more_of_the_one_before_than_its_class_answers():
    head = build_head(HeadSection(kind="mstcn", width=8, n_layers=2), dims=(12,), n_labels=5, clip_frames=20).eval()
    with torch.no_grad():
        for layer in head.trunk.answers:
            layer.weight.zero_()
    one, other = head(torch.randn(1, 20, 12)), head(torch.randn(1, 20, 12))
    assert torch.equal(one.class_logits, other.class_logits)


def test_the_gru_of_e2espot_reads_the_features_themselves_up_to_768_numbers():
    for dim, width in ((12, 24), (1000, 1536)):
        head = build_head(HeadSection(kind="spot-gru", gru_layers=1), dims=(dim,), n_labels=5, clip_frames=20)
        assert head.trunk.width == width
        assert tuple(head.trunk.gru.weight_ih_l0.shape) == (3 * width // 2, dim)


@pytest.mark.parametrize(
    "settings, message",
    [({"kind": "mstcn", "n_layers": 13}, "12 at most"), ({"kind": "asformer", "width": 7}, "width 7 is odd")],
)
def test_what_cannot_be_built_says_so(settings, message):
    with pytest.raises(ValueError, match=message):
        build_head(HeadSection(**settings), dims=(12,), n_labels=5, clip_frames=20)


@pytest.mark.parametrize("kind", ["mstcn", "asformer"])
def test_a_start_from_other_classes_gives_every_stage_the_rows_of_its_own(kind):
    """The same head over the same classes in another order, one of them new: known classes answer as before."""
    config = Config(head=HeadSection(kind=kind, width=8, n_layers=2))
    old = HeadDescription(config, LabelSet("old", ("A", "B", "C")), (12,), "0" * 64)
    new = HeadDescription(config, LabelSet("new", ("C", "A", "B")), (12,), "0" * 64)
    more = HeadDescription(config, LabelSet("more", ("NEW", "B", "C", "A")), (12,), "0" * 64)
    first = old.build().eval()
    start = WarmStart(Path("run/best.safetensors"), Checkpoint(old, Progress(), first.state_dict(), None, {}, {}), "")
    same = new.build().eval()
    assert start.apply(same, new) == ()
    clips = torch.randn(2, 20, 12)
    with torch.no_grad():
        logits, moved = first(clips).class_logits, same(clips).class_logits
    torch.testing.assert_close(moved, logits[..., [0, 3, 1, 2]], rtol=1e-4, atol=1e-5)
    larger = more.build()
    assert start.apply(larger, more) == ("NEW",)
    for name, value in larger.state_dict().items():
        if ".answers.0.weight" in name:
            assert torch.equal(value[[0, 2, 3, 4]], first.state_dict()[name][[0, 2, 3, 1]])


def test_keys_newer_than_0_1_0_decide_a_run_only_where_they_are_changed():
    plain = deciding_table(Config())
    assert "n_stages" not in plain["head"] and plain["head"]["gru_layers"] == 1
    assert deciding_table(Config(head=HeadSection(n_stages=2)))["head"]["n_stages"] == 2
