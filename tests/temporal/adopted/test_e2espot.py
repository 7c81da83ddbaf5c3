"""E2E-Spot and OSL whole: golden vectors of their own code, and the family of checkpoints that their code can save."""

from functools import cache

import numpy as np
import pytest
import timm
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset.labelsets import BALL_12
from ballspot.extract.backbone.temporal_shift import insert_shift, parse_backbone
from ballspot.temporal.adopted import score_pictures
from ballspot.temporal.decoding.peaks import decode_scores
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.systems.e2espot import read
from ballspot.temporal.systems.spot_heads import read_head

from .golden import GOLDEN, folder_of, golden, golden_spots, whole_network

SPOT_CASES = ("e2espot_rny002_gsm_gru", "e2espot_rny002_tsm_gru", "e2espot_rny002_gsm_asformer")
OSL_CASE = "osl_e2e_rny002_gsm_gru"
SMALL = {"size": (96, 160), "crop": None}  # as the golden cases were made: neither resized nor cropped
OF_CASE = {**{case: {"clip_rows": 32, "overlap_rows": 16, **SMALL} for case in SPOT_CASES},
           OSL_CASE: {"clip_rows": 20, "overlap_rows": 10, "stride": 2, **SMALL}}  # fmt: skip


@pytest.mark.parametrize("case", OF_CASE)
def test_class_scores_of_a_clip_are_those_of_the_systems_own_code(case):
    """Expected: class_scores.npy, what predict() returned for the clip; column 0 is background."""
    found, network = whole_network(folder_of(case) / "checkpoint.pt", **OF_CASE[case])
    assert (found.system, found.n_labels) == ("OSL" if case == OSL_CASE else "E2E-Spot", 12)
    assert found.labels == BALL_12.labels
    pictures = torch.from_numpy(golden(case, "frames.npy"))
    placed = network.clip(network.maps(pictures))
    np.testing.assert_allclose(placed.scores, golden(case, "class_scores.npy")[:, 1:], atol=1e-4)
    if (GOLDEN / case / "class_scores_first24.npy").is_file():
        fewer = network.clip(network.maps(pictures[:24]))
        np.testing.assert_allclose(fewer.scores, golden(case, "class_scores_first24.npy")[:, 1:], atol=1e-4)


@pytest.mark.parametrize("case", ["e2espot_rny002_gsm_gru", OSL_CASE])
def test_scores_of_a_video_and_its_spots_are_those_of_the_systems_own_code(case):
    """Expected: video_scores.npy and spots.json; OSL's first clip reads from row 0, though merged as from -5 on."""
    found, network = whole_network(folder_of(case) / "checkpoint.pt", **OF_CASE[case])
    video = np.load(GOLDEN / "video.npy")[:: network.procedure.stride]
    parts = (torch.from_numpy(video[start : start + 8]) for start in range(0, len(video), 8))
    scores = score_pictures(network, parts, n_rows=len(video)).scores
    np.testing.assert_allclose(scores, golden(case, "video_scores.npy")[:, 1:], atol=1e-4)
    said, exact = golden_spots(case), golden(case, "video_scores.npy")[:, 1:]
    assert network.procedure.clip_starts(len(video)).tolist() == said["clip_starts"]
    assert found.prediction.nms_window == (2 if case == OSL_CASE else 25)
    windows = [int(key.removeprefix("nms_window_")) for key in said if key.startswith("nms_window_")]
    assert windows
    for window in windows:
        peaks = decode_scores(exact, suppression=found.prediction.suppression, nms_window=window,
                              score_floor=found.prediction.score_floor)  # fmt: skip
        spots = [(BALL_12.labels[label], row, score)
                 for row, label, score in zip(peaks.row.tolist(), peaks.label_index.tolist(), peaks.score.tolist(),
                                              strict=True)]  # fmt: skip
        theirs = said[f"nms_window_{window}"]
        expected = [(one["label"], one["frame"], one.get("score", one.get("confidence"))) for one in theirs]
        assert sorted(spots) == sorted(expected)
    assert int((exact >= found.prediction.score_floor).sum()) == said["high_recall_count"]


def test_the_gru_has_768_numbers_in_each_direction_at_most():
    """As of a ResNet-50's 2,048 features (MAX_GRU_HIDDEN_DIM)."""
    theirs = TheirHead("gru", 800, 2).eval()
    found = read_head(their_tensors(theirs), dim=800, source="c.pt")
    ours = build_head(found.section, dims=(800,), n_labels=2, clip_frames=5).eval()
    ours.load_state_dict(dict(found.state))
    features = torch.randn(1, 5, 800)
    with torch.no_grad():
        torch.testing.assert_close(ours(features).class_logits, theirs(features), rtol=1e-4, atol=1e-5)


class TheirStage(nn.Module):
    """A stage of E2E-Spot's MS-TCN by the names and steps of its facts, in plain torch calls."""

    def __init__(self, n_inputs: int, n_outputs: int, n_layers: int) -> None:
        super().__init__()
        self.conv_1x1 = nn.Conv1d(n_inputs, 256, 1)
        self.layers = nn.ModuleList(
            nn.ModuleDict({"conv_dilated": nn.Conv1d(256, 256, 3, padding=2**i, dilation=2**i),
                           "conv_1x1": nn.Conv1d(256, 256, 1)}) for i in range(n_layers))  # fmt: skip
        self.conv_out = nn.Conv1d(256, n_outputs, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        tokens = self.conv_1x1(tokens.transpose(1, 2))
        for layer in self.layers:
            tokens = tokens + layer["conv_1x1"](F.relu(layer["conv_dilated"](tokens)))
        return self.conv_out(tokens).transpose(1, 2)


class TheirHead(nn.Module):
    """`_pred_fine` of E2E-Spot for the heads that no golden case has."""

    def __init__(self, kind: str, dim: int, n_labels: int) -> None:
        super().__init__()
        self.kind, n_outputs = kind, 1 + n_labels
        if kind == "mstcn":
            self._tcn = TheirStage(dim, n_outputs, 5)
            self._stages = nn.ModuleList(TheirStage(n_outputs, n_outputs, 5) for _ in range(2))
        elif kind == "linear":
            self._fc_out = nn.Linear(dim, n_outputs)
        else:
            hidden = min(dim, 768)
            self._gru = nn.GRU(dim, hidden, 3 if kind == "deeper_gru" else 1, bidirectional=True, batch_first=True)
            self._fc_out = nn.ModuleDict({"_fc_out": nn.Linear(2 * hidden, n_outputs)})

    def forward(self, features: Tensor) -> Tensor:
        if self.kind == "mstcn":
            answers = self._tcn(features)
            for stage in self._stages:
                answers = stage(answers.softmax(2))
            return answers
        if self.kind == "linear":
            return self._fc_out(features)
        return self._fc_out["_fc_out"](self._gru(features)[0])


def their_tensors(head: nn.Module) -> dict[str, Tensor]:
    return {f"_pred_fine.{key}": value for key, value in head.state_dict().items()}


@settings(max_examples=12, deadline=None)
@given(
    kind=st.sampled_from(["gru", "deeper_gru", "mstcn", "linear"]),
    dim=st.sampled_from([8, 20]),
    n_labels=st.sampled_from([1, 2, 12, 17]),
    length=st.integers(1, 40),
)
def test_heads_of_all_kinds_answer_as_theirs_do(kind, dim, n_labels, length):
    torch.manual_seed(length)
    theirs = TheirHead(kind, dim, n_labels).eval()
    found = read_head(their_tensors(theirs), dim=dim, source="c.pt")
    assert found.n_labels == n_labels
    ours = build_head(found.section, dims=(dim,), n_labels=n_labels, clip_frames=length).eval()
    ours.load_state_dict(dict(found.state))
    features = torch.randn(2, length, dim)
    with torch.no_grad():
        torch.testing.assert_close(ours(features).class_logits, theirs(features), rtol=1e-4, atol=1e-5)


@cache
def whole_state(name: str = "regnety_002+gsm", kind: str = "linear", n_labels: int = 12) -> dict[str, Tensor]:
    base, shift = parse_backbone(name)
    model = timm.create_model(base, num_classes=0)
    if shift is not None:
        insert_shift(model, shift, backbone=name)
    features = {f"_features.{key}": value for key, value in model.state_dict().items()}
    return {**features, **their_tensors(TheirHead(kind, model.num_features, n_labels))}


@pytest.mark.parametrize("name, dim", [("regnety_008+tsm-block", 768), ("regnety_004", 440), ("resnet18", 512)])
def test_every_backbone_comes_with_its_head(name, dim):
    found = read(whole_state(name, "gru", 17), source="c.pt", settings={})
    assert found is not None
    assert parse_backbone(found.backbone) == parse_backbone(name)
    assert (found.dim, found.head.kind, found.n_labels) == (dim, "spot-gru", 17)
    # SoccerNet's 17 classes are read at two pictures a second, with names sorted and a window of 2.
    assert (found.procedure.fps, found.prediction.nms_window) == ("2", 2)
    assert found.labels is not None and found.labels[:2] == ("Ball out of play", "Clearance")


def test_what_the_file_cannot_say_is_published_or_the_systems_settings():
    state = whole_state()
    found = read(state, source="c.pt", settings={})
    assert found is not None
    procedure = found.procedure
    assert (procedure.size, procedure.crop, procedure.clip_rows, procedure.overlap_rows) == (
        (224, 398),
        (224, 224),
        100,
        50,
    )
    assert (procedure.padding, procedure.first_row, procedure.stride) == ("mean", -5, 1)
    said = {"clip_len": 64, "crop_dim": -1, "num_classes": 12, "dataset": "tennis", "modality": "rgb"}
    found = read(state, source="c.pt", settings=said)
    assert found is not None
    assert (found.procedure.crop, found.procedure.clip_rows, found.procedure.overlap_rows) == (None, 64, 32)
    assert (found.labels, found.prediction.nms_window) == (None, 1)
    for wrong, message in (
        ({"num_classes": 4}, "tells 12 classes apart, its settings say num_classes 4"),
        ({"clip_len": "long"}, "clip_len 'long'"),
        ({"crop_dim": 999}, "crop_dim 999"),
        ({"modality": "flow"}, "reads 'flow' pictures"),
    ):
        with pytest.raises(BallspotError, match=message):
            read(state, source="c.pt", settings=wrong)


def test_osl_is_told_by_its_names_and_has_settings_of_its_own():
    places = {"_features": "backbone._features", "_pred_fine": "head._pred_fine"}
    renamed = {
        f"{places[key.partition('.')[0]]}.{key.partition('.')[2]}": value for key, value in whole_state().items()
    }
    for prefix in ("", "module.", "model.", "_model.module."):
        found = read({prefix + key: value for key, value in renamed.items()}, source="c.pt", settings={})
        assert found is not None
        assert (found.system, found.procedure.crop, found.procedure.stride) == ("OSL", None, 12)
        assert (found.procedure.first_clip, found.prediction.nms_window) == ("unpadded", 2)


def test_checkpoints_of_others_are_left_to_their_readers():
    state = whole_state()
    assert read({**state, "temp_enc": torch.zeros(3, 8)}, source="c.pt", settings={}) is None
    assert (
        read({"lowres_backbone.x": torch.zeros(1), "_pred_fine.x": torch.zeros(1)}, source="c.pt", settings={}) is None
    )
    features = {key: value for key, value in state.items() if key.startswith("_features.")}
    assert read({**features, "_fc._fc_out.weight": torch.zeros(3, 8)}, source="c.pt", settings={}) is None


def without(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if part not in key}


def test_what_is_nearly_theirs_is_refused_with_what_differs():
    gru, tcn = whole_state(kind="gru"), whole_state(kind="mstcn")
    one = "_pred_fine._gru.bias_hh_l0_reverse"
    cases = [
        (without(gru, one), f"lacks 1 tensors of a GRU, the first '{one}'"),
        ({**gru, "_pred_fine._gru.extra": torch.zeros(1)}, "1 tensors have no place in a GRU.*_gru.extra"),
        ({**gru, one: torch.zeros(7)}, rf"'{one}' is \(7,\), in a GRU on 368 features \(1104,\)"),
        ({**gru, "_pred_team.weight.x": torch.zeros(1)}, None),
        ({**gru, "more": torch.zeros(1)}, "1 tensors have no place in a GRU, the first 'more'"),
        ({**gru, "_pred_fine._fc_out._fc_out.weight": torch.zeros(13, 9)}, r"is \(13, 9\), in a GRU on 368 features"),
        ({**gru, "_pred_fine._fc_out._fc_out.weight": torch.tensor(1.0)}, "no background and classes"),
        ({**without(gru, "_pred_fine"), "_pred_fine._net.encoder.conv_1x1.weight": torch.zeros(64, 368, 1)},
         "lacks the head's tensor '_pred_fine._net.decoders.0.conv_out.weight'"),
        (without(tcn, "_stages.0.layers.3"), "lacks 4 tensors of an MS-TCN"),
        (without(gru, "_fc_out"), "lacks the head's tensor '_pred_fine._fc"),
        (without(gru, "s2.b1.conv2.conv"), "lacks .* of regnety_002"),
    ]  # fmt: skip
    for state, message in cases:
        if message is None:
            assert read(state, source="c.pt", settings={}) is None
            continue
        with pytest.raises(BallspotError, match=message):
            read(state, source="c.pt", settings={})
