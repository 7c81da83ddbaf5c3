"""T-DEED and the 2025 kit: checkpoints of every size are read, and what is nearly theirs is refused."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import BUILT_IN
from ballspot.extract.backbone import read_state_dict
from ballspot.temporal.adopted.placing import place_clip
from ballspot.temporal.decoding import decode_scores
from ballspot.temporal.heads import HeadOutput, SpottingHead, build_head
from ballspot.temporal.prediction import match_scores
from ballspot.temporal.systems import tdeed
from ballspot.temporal.systems.found import Found

from .tdeed_by_facts import drawn_state, outputs, scores

GOLDEN = Path(__file__).parents[4] / "shared" / "golden2"
CASES = ("tdeed_rny002_gsf_ball", "teamkit_rny002_gsf_ball")


def golden(case: str) -> Path:
    if not (GOLDEN / case).is_dir():
        pytest.skip(f"../shared/golden2/{case} is not here")
    return GOLDEN / case


@pytest.fixture
def no_backbone(monkeypatch):
    """Heads alone: the backbone's tensors are the business of tests/extract/backbone."""
    monkeypatch.setattr(tdeed, "recognise", lambda state, source: SimpleNamespace(backbone="any", state={}))


def read(state, settings=None) -> Found:
    found = tdeed.read(state, source="best.pt", settings=settings or {})
    assert found is not None
    return found


def head_of(found: Found) -> SpottingHead:
    head = build_head(found.head, dims=(found.dim,), n_labels=found.n_labels, clip_frames=found.clip_rows or 0)
    head.load_state_dict(dict(found.head_state))
    return head.eval()


def in_their_columns(placed: torch.Tensor, *, teams: bool) -> torch.Tensor:
    """Ours, left classes before right ones, in the kit's order: left and right of each class side by side."""
    return torch.stack(placed.chunk(2, dim=1), dim=2).flatten(1) if teams else placed


@pytest.mark.parametrize("case", CASES)
def test_the_systems_own_numbers_of_a_clip_are_matched(case):
    """Made by the systems' own code on random weights; ../shared/golden2/README.md says how."""
    folder = golden(case)
    found = read(read_state_dict(folder / "checkpoint.pt"))
    is_kit = case.startswith("teamkit")
    assert (found.system, found.backbone, found.clip_rows) == (
        "2025 kit" if is_kit else "T-DEED",
        "regnety_002+gsf:s3,s4",
        30,
    )
    assert found.labels == BUILT_IN["ball-12"].labels
    features = torch.from_numpy(np.load(folder / "features.npy"))
    with torch.no_grad():
        output: HeadOutput = head_of(found)(features[None])
    told = {"logits": output.class_logits[0]}
    assert output.offsets is not None and (output.team_logits is not None) == is_kit
    told["displacement"] = -output.offsets[0]
    if output.team_logits is not None:
        told["team_logit"] = output.team_logits[0]
    for name, ours in told.items():
        theirs = np.load(folder / f"{name}.npy").reshape(30, -1)[:, : 13 if name == "logits" else 1]
        np.testing.assert_allclose(ours.reshape(30, -1).numpy(), theirs, rtol=0, atol=1e-4)
    clip = place_clip(output, found.procedure)
    expected = np.load(folder / "class_scores.npy")
    np.testing.assert_allclose(in_their_columns(clip.scores, teams=is_kit), expected[:, 1:], rtol=0, atol=1e-4)
    assert clip.counts.tolist() == (expected.sum(1) != 0).tolist()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("key, suppression, window", [
    ("soft_nms_window_12", "soft", 12), ("nms_window_6", "hard", 6), ("stored_file", "hard", 0),
])  # fmt: skip
def test_the_systems_own_spots_come_of_their_scores(case, key, suppression, window):
    """T-DEED's challenge file holds every score from 0.01 on (window 0); the kit's is that of soft-NMS."""
    folder = golden(case)
    said = json.loads((folder / "spots.json").read_text())[key]
    given = np.load(folder / "video_scores.npy")[:, 1:]
    is_kit = case.startswith("teamkit")
    if key == "stored_file":  # 80 ms from row to row
        said = [
            entry | {"frame": round(entry["position"] / 80), "score": entry["confidence"]}
            for entry in said["predictions"]
        ]
        suppression, window = ("soft", 12) if is_kit else (suppression, window)
    columns = np.concatenate([given[:, 0::2], given[:, 1::2]], axis=1) if is_kit else given
    rows = np.arange(len(given))
    scored = match_scores(columns, rows, np.ones_like(rows), sides="apart" if is_kit else "none")
    peaks = decode_scores(scored.scores, suppression=suppression, nms_window=window, score_floor=0.01)
    labels, share = BUILT_IN["ball-12"].labels, scored.right_share
    ours = {
        (int(row), labels[label], None if share is None else ("right" if share[row, label] > 0.5 else "left")): score
        for row, label, score in zip(peaks.row, peaks.label_index, peaks.score, strict=True)
    }
    theirs = {(entry["frame"], entry["label"], entry.get("team")): entry["score"] for entry in said}
    assert ours == pytest.approx(theirs, abs=1e-7) and len(theirs) == len(said)


SIZES = [
    {"clip": 30, "n_layers": 2, "ks": 9, "long": 41, "classes": (12, 17)},
    {"clip": 25, "n_layers": 1, "ks": 3, "long": 5, "classes": (6,), "displacement": False},
    {"clip": 37, "n_layers": 3, "ks": 5, "long": 15, "classes": (17,)},  # factor 2.5
    {"clip": 11, "n_layers": 4, "ks": 3, "long": 9, "classes": (12, 17), "team": True},
    {"clip": 1, "n_layers": 1, "classes": (3,), "team": True, "displacement": False},
    {"clip": 8, "n_layers": 0, "dim": 16, "classes": (1,)},
]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda one: f"{one['n_layers']}-layers-clip-{one['clip']}")
def test_heads_of_every_size_are_read_and_say_what_the_facts_say(no_backbone, sizes):
    state = drawn_state(**sizes)
    found = read(state)
    head = head_of(found)
    features = torch.randn(sizes["clip"], found.dim)
    with torch.no_grad():
        output = head(features[None])
    is_double = len(sizes["classes"]) == 2
    told = outputs(
        state,
        features,
        n_layers=sizes["n_layers"],
        head="_pred_fine._fc1._fc_out" if is_double else "_pred_fine._fc_out",
    )
    torch.testing.assert_close(output.class_logits[0], told["logits"], rtol=1e-4, atol=1e-4)
    for ours, name in ((output.offsets, "displacement"), (output.team_logits, "team")):
        assert (ours is None) == (name not in told)
    if output.offsets is not None:
        torch.testing.assert_close(output.offsets[0], -told["displacement"], rtol=1e-4, atol=1e-4)
    placed = place_clip(output, found.procedure)
    expected = scores(told)
    is_kit = "team" in told
    torch.testing.assert_close(in_their_columns(placed.scores, teams=is_kit), expected[:, 1:], rtol=0, atol=1e-4)
    assert found.n_labels == sizes["classes"][0]
    assert [line.split(" of ")[1].split()[0] for line in found.left_out if "second" in line] == ["17"] * is_double


def test_the_published_settings_go_by_the_data_set(no_backbone):
    ball, soccernet, other = (read(drawn_state(clip=100, classes=(n,))) for n in (12, 17, 4))
    kit = read(drawn_state(clip=100, classes=(5,), team=True))
    sizes = {"ball": (448, 796), "other": (224, 398)}
    for found, size, stride, overlap, window in (
        (ball, sizes["ball"], 2, 75, 12),
        (kit, sizes["ball"], 2, 75, 12),
        (soccernet, sizes["other"], 12, 50, 6),
        (other, sizes["other"], 1, 75, 3),
    ):
        procedure = found.procedure
        assert (procedure.size, procedure.stride, procedure.overlap_rows) == (size, stride, overlap)
        assert (procedure.padding, procedure.placing, procedure.count) == ("black", "maximum", "placed")
        assert procedure.clip_starts(1000)[0] == -5
        assert (found.prediction.suppression, found.prediction.nms_window) == ("soft", window)
        assert found.prediction.score_floor == 0.01
    assert (soccernet.labels, other.labels, kit.labels) == (BUILT_IN["soccernet-v2"].labels, None, None)
    assert any("mirrored" in line for line in other.left_out) and not ball.left_out


def test_the_systems_own_settings_say_what_the_file_cannot(no_backbone):
    state = drawn_state(clip=20, classes=(6,))
    found = read(state, {"dataset": "soccernetball", "crop_dim": 224, "clip_len": 20})
    assert (found.procedure.stride, found.procedure.crop, found.labels) == (2, (224, 224), None)
    assert read(state, {"crop_dim": -1}).procedure.crop is None
    with pytest.raises(BallspotError, match="say crop_dim 10000, which is more than the 224 lines"):
        read(state, {"crop_dim": 10_000})
    with pytest.raises(BallspotError, match="of 20 rows, its settings say clip_len 100"):
        read(state, {"clip_len": 100})


def test_other_systems_checkpoints_are_left_to_their_readers():
    for keys in (["_features.stem.conv.weight", "_pred_fine._gru.weight_ih_l0"],
                 ["temp_enc", "lowres_backbone.stem.conv.weight", "_temp_fine.weight_ih_l0"],
                 ["backbone._features.stem.conv.weight", "head._pred_fine._fc_out.weight"], []):  # fmt: skip
        assert tdeed.read(dict.fromkeys(keys, torch.zeros(2, 2)), source="a.pt", settings={}) is None


def without(*keys: str):
    return lambda state: [state.pop(key) for key in keys]


def put(key: str, *shape: int):
    return lambda state: state.__setitem__(key, torch.zeros(*shape))


@pytest.mark.parametrize("change, told", [
    (without("temp_enc"), "lacks 1 tensors of its head, the first 'temp_enc'"),
    (without("_temp_fine._sgp.2.convw.bias"), "the first '_temp_fine._sgp.2.convw.bias'"),
    (without("_temp_fine._sgpMixer.1.gn.weight"), "the first '_temp_fine._sgpMixer.1.gn.weight'"),
    (without("_pred_fine._fc_out.bias"), "the first '_pred_fine._fc_out.bias'"),
    (without("_pred_displ._fc_out.weight"), "the first '_pred_displ._fc_out.weight'"),
    (put("_pred_extra._fc_out.weight", 2, 32), "1 tensors have no place in its head, the first '_pred_extra._fc_out"),
    (put("_temp_fine._sgp.99999999.gn.weight", 32), "the first '_temp_fine._sgp.99999999.gn.weight'"),
    (put("_temp_fine._sgp.1.psi.weight", 32, 1, 7), "'_temp_fine._sgp.1.psi.weight' is (32, 1, 7), not (32, 1, 5)"),
    (put("_temp_fine._sgp.1.ln.weight", 32), "'_temp_fine._sgp.1.ln.weight' is (32,), not (1, 32, 1)"),
    (put("_temp_fine._sgp.0.psi.weight", 32, 1, 4), "an even window of 4"),
    (put("_temp_fine._sgp.0.convkw.weight", 32), "is (32,), not of 3 dimensions"),
    (put("temp_enc", 30, 24), "30 positions of 24 numbers"),
    (put("temp_enc", 30, 48), "is (1, 32, 1), not (1, 48, 1)"),
    (put("_pred_displ._fc_out.weight", 2, 32), "'_pred_displ._fc_out.weight' is (2, 32), not (1, 32)"),
    (put("_pred_fine._fc_out.weight", 1, 32), "and 0 classes"),
])  # fmt: skip
def test_what_is_nearly_theirs_is_refused_with_what_differs(no_backbone, change, told):
    state = drawn_state(clip=30)
    change(state)
    with pytest.raises(BallspotError) as refused:
        read(state)
    assert told in str(refused.value) and str(refused.value).startswith("best.pt (T-DEED): ")
    assert "\n" not in str(refused.value)


def test_a_head_without_its_backbone_is_refused():
    with pytest.raises(BallspotError, match=r"lacks the backbone's tensors '_features\.\*'"):
        read(drawn_state(clip=30))


def test_half_precision_is_read_as_float32(no_backbone):
    state = drawn_state(clip=12)
    found = read({name: value.half() for name, value in state.items()})
    assert {value.dtype for value in found.head_state.values()} == {torch.float32}
    torch.testing.assert_close(found.head_state["trunk.positions"], state["temp_enc"], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("window", [1, 3, 5, 9, 11])
@pytest.mark.parametrize("factor", [1, 1.5, 2, 2.5, 3, 4, 5, 7.3])
def test_the_factor_of_a_long_window_gives_that_window(window, factor):
    length = round((window + 1) * factor)
    length += 1 - length % 2
    again = round((window + 1) * tdeed.factor_of(window, length))
    assert again + 1 - again % 2 == length
    assert isinstance(tdeed.factor_of(window, length), int) or factor != int(factor)
