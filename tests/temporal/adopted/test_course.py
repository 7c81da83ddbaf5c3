"""The course baseline: checkpoints made here of torch's own layers, by the names and steps of its public code."""

import numpy as np
import pytest
import timm
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.temporal.adopted.placing import place_clip
from ballspot.temporal.config import Procedure
from ballspot.temporal.heads.head import HeadOutput, build_head
from ballspot.temporal.systems.course import read

DIM, CLIP = 368, 50


class Theirs(nn.Module):
    """The temporal part of the course's model."""

    def __init__(self, kind: str, *, stride: int, offsets: bool = True, n_labels: int = 12) -> None:
        super().__init__()
        self.kind, self.stride = kind, stride
        width = DIM * (3 if kind == "multires" else 1)
        if kind in ("transformer", "multires"):
            self._positional_encoding = nn.Parameter(torch.randn(1, CLIP, DIM))
            self._encoder_layer = nn.TransformerEncoderLayer(DIM, 8, 2 * DIM, 0.1, batch_first=True)
            self._transformer = nn.TransformerEncoder(self._encoder_layer, 4, enable_nested_tensor=False)
        if kind == "multires":
            layers = (nn.TransformerEncoderLayer(DIM, 8, 2 * DIM, 0.1, batch_first=True) for _ in range(3))
            self._transformers = nn.ModuleList(
                nn.TransformerEncoder(one, 4, enable_nested_tensor=False) for one in layers
            )
        if kind == "tcn":
            convs = (nn.Conv1d(DIM, DIM, 5, padding=2 * dilation, dilation=dilation) for dilation in (1, 2, 4))
            self._tcn = nn.Sequential(*(part for conv in convs for part in (conv, nn.ReLU())))
        self._fc = nn.ModuleDict({"_fc_out": nn.Linear(width, 1 + n_labels)})
        if offsets:
            self._offset_head = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor | None]:
        tokens = features[:, :: self.stride]
        if self.kind == "transformer":
            tokens = self._transformer(tokens + self._positional_encoding[:, : tokens.shape[1]])
        elif self.kind == "multires":
            tokens = torch.cat([self.branch(features, number) for number in range(3)], dim=-1)
        elif self.kind == "tcn":
            tokens = self._tcn(tokens.transpose(1, 2)).transpose(1, 2)
        offsets = self._offset_head(tokens).squeeze(-1) if hasattr(self, "_offset_head") else None
        return self._fc["_fc_out"](tokens), offsets

    def branch(self, features: Tensor, number: int) -> Tensor:
        tokens = features[:, :: 2**number]
        tokens = self._transformers[number](tokens + self._positional_encoding[:, : tokens.shape[1]])
        tokens = tokens.repeat_interleave(CLIP // tokens.shape[1], dim=1)
        return torch.cat([tokens, tokens[:, -1:].repeat(1, CLIP - tokens.shape[1], 1)], dim=1)


@pytest.fixture(scope="module")
def features() -> dict[str, Tensor]:
    """A backbone as the course saves it."""
    model = timm.create_model("regnety_002", num_classes=0)
    return {f"_features.{key}": value for key, value in model.state_dict().items()}


@pytest.mark.parametrize(
    "kind, stride, offsets",
    [("transformer", 2, True), ("transformer", 4, True), ("tcn", 1, False), ("tcn", 2, True), ("multires", 1, True),
     ("linear", 1, False)],
)  # fmt: skip
def test_its_temporal_models_answer_as_theirs_do(kind, stride, offsets, features):
    theirs = Theirs(kind, stride=stride, offsets=offsets).eval()
    state = {**features, **theirs.state_dict()}
    said = {"clip_len": CLIP} if stride == 2 else {"clip_len": CLIP, "temporal_stride": stride}
    found = read({f"module.{key}": value for key, value in state.items()}, source="c.pt", settings=said)
    assert found is not None
    assert (found.backbone, found.head.temporal_stride, found.n_labels) == ("regnety_002", stride, 12)
    assert (found.labels, found.procedure.clip_rows) == (BALL_12.labels, CLIP)
    assert found.clip_rows == (CLIP if kind in ("transformer", "multires") else None)
    unused = {"transformer": 1, "multires": 2}
    assert len(found.left_out) == unused.get(kind, 0)
    ours = build_head(found.head, dims=(DIM,), n_labels=12, clip_frames=CLIP).eval()
    ours.load_state_dict(dict(found.head_state))
    clips = torch.randn(2, CLIP, DIM)
    with torch.no_grad():
        output, (logits, moves) = ours(clips), theirs(clips)
    torch.testing.assert_close(output.class_logits, logits, rtol=1e-4, atol=1e-5)
    assert (output.offsets is None) == (moves is None)
    if moves is not None and output.offsets is not None:
        torch.testing.assert_close(output.offsets, moves, rtol=1e-4, atol=1e-5)


@given(st.data())
def test_tokens_are_added_at_the_rows_that_their_offsets_point_at(data):
    """The reference is predict() of the course's code, halves up; support counts rows that hold something."""
    stride, n_rows = data.draw(st.sampled_from([1, 2, 3, 4])), data.draw(st.integers(1, 30))
    n_tokens = -(-n_rows // stride)
    moves = data.draw(st.lists(st.floats(-40, 40, width=32), min_size=n_tokens, max_size=n_tokens))
    logits = torch.randn(1, n_tokens, 4)
    procedure = Procedure(system="c", size=(8, 8), clip_rows=n_rows, overlap_rows=0, first_row=0, padding="black",
                          placing="added", token_rows=stride, count="placed")  # fmt: skip
    placed = place_clip(HeadOutput(logits, torch.tensor([moves])), procedure)
    expected = np.zeros((n_rows, 4))
    for token, row in enumerate(logits[0].softmax(-1).double().numpy()):
        place = int(np.floor(token * stride + moves[token] + 0.5))
        if 0 <= place < n_rows:
            expected[place] += row
    np.testing.assert_allclose(placed.scores, expected[:, 1:], atol=1e-5)
    assert placed.counts.tolist() == (expected.sum(1) != 0).tolist()


def test_what_is_nearly_the_courses_is_refused_with_what_differs(features):
    state = {**features, **Theirs("transformer", stride=2).state_dict()}
    one = "_transformer.layers.2.linear2.weight"

    def without(part: str) -> dict[str, Tensor]:
        return {key: value for key, value in state.items() if part not in key}

    cases = [
        (without(one), {}, f"lacks 1 tensors of a Transformer, the first '{one}'"),
        ({**state, one: torch.zeros(3, 3)}, {}, rf"'{one}' is \(3, 3\), in a Transformer on 368 features \(368, 736\)"),
        ({**state, "_transformer.layers.1.extra": torch.zeros(1)}, {}, "1 tensors have no place in a Transformer"),
        (without("_positional"), {}, "lacks .*'_positional_encoding'"),
        (without("_fc."), {}, "lacks 2 tensors .*'_fc._fc_out.weight'"),
        (state, {"temporal_stride": 0}, "temporal_stride 0"),
        ({**features, **Theirs("multires", stride=1).state_dict()}, {"temporal_stride": 2}, "read at 1 only"),
    ]
    for broken, said, message in cases:
        with pytest.raises(BallspotError, match=message):
            read(broken, source="c.pt", settings=said)
    assert read({**features, "_pred_fine._fc_out.weight": torch.zeros(3, 8)}, source="c.pt", settings={}) is None
