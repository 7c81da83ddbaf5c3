"""Checkpoints of other systems, built here from the keys that their public code has."""

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from torch import Tensor

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.sets import open_feature_set
from ballspot.extract.backbone.foreign import Settled, recognise, save_backbone, settle
from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.backbone.temporal_shift import ATTRIBUTES, ShiftSpec, insert_shift, parse_backbone
from ballspot.extract.backbone.weights import weights_digest

from ...commands import run

CPU = torch.device("cpu")
SIZE = (64, 96)
HEADS = {
    "E2E-Spot": ("_pred_fine._gru.weight_ih_l0", "_pred_fine._fc_out._fc_out.weight"),
    "T-DEED": ("temp_enc", "_temp_fine._sgp.0.ln.weight", "_pred_fine._fc_out.weight", "_pred_displ._fc_out.weight"),
    "course baseline": ("_transformer.layers.0.linear1.weight", "_fc._fc_out.weight", "_offset_head.weight"),
}
LAYOUTS = {  # family, our name of the backbone, and what the family calls the shift
    "spot-gsm": ("E2E-Spot", "regnety_002+gsm", "gsm"),
    "spot-tsm": ("E2E-Spot", "regnety_004+tsm-block", "tsm"),
    "spot-plain": ("E2E-Spot", "regnety_002", ""),
    "tdeed-gsf": ("T-DEED", "regnety_002+gsf:s3,s4", "gs"),
    "tdeed-gsf-008": ("T-DEED", "regnety_008+gsf:s3,s4", "gs"),
    "tdeed-gsm": ("T-DEED", "regnety_002+gsm:s3,s4", "gs"),
    "course": ("course baseline", "regnety_002", ""),
}


def checkpoint(layout: str) -> dict[str, Tensor]:
    """A random checkpoint as that system saves it."""
    family, name, called = LAYOUTS[layout]
    base, shift = parse_backbone(name)
    torch.manual_seed(4)
    model = timm.create_model(base, num_classes=0)
    if shift is not None:
        insert_shift(model, shift, backbone=name)
    for module in model.modules():
        if isinstance(module, torch.nn.Conv3d):
            torch.nn.init.normal_(module.weight, std=0.1)
    ours = "" if shift is None else ATTRIBUTES[shift.kind]
    found = {
        "_features." + key.replace(f".conv1.{ours}.", f".conv1.{called}."): value
        for key, value in model.state_dict().items()
    }
    return {**found, **{key: torch.randn(3, 4) for key in HEADS[family]}}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_foreign_layout_is_recognised_and_loads_completely(layout, tmp_path):
    family, name, _ = LAYOUTS[layout]
    state = checkpoint(layout)
    found = recognise(state, source="c.pt")
    assert found is not None
    assert (found.family.name, len(found.head)) == (family, len(HEADS[family]))
    assert parse_backbone(found.backbone) == parse_backbone(name)
    torch.save(state, tmp_path / "checkpoint_best.pt")
    backbone = load_backbone(BackboneSpec(parse_backbone(name)[0], str(tmp_path / "checkpoint_best.pt"), SIZE), CPU)
    assert backbone.spec.name == found.backbone
    assert backbone.weights_sha256 == weights_digest(found.state)


def as_osl(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Under the names of OSL's modules."""
    places = {"_features": "backbone._features", "_pred_fine": "head._pred_fine"}
    return {f"{places[key.partition('.')[0]]}.{key.partition('.')[2]}": value for key, value in state.items()}


@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_model.", "model.module.", "module._model."])
def test_names_of_osl_and_of_wrappers_are_read_as_those_of_the_network_within(prefix, tmp_path):
    state = checkpoint("spot-gsm")
    plain, osl = recognise(state, source="c.pt"), as_osl(state)
    for tensors, family in ((state, "E2E-Spot"), (osl, "OSL")):
        found = recognise({prefix + key: value for key, value in tensors.items()}, source="c.pt")
        assert plain is not None and found is not None
        assert (found.family.name, found.backbone) == (family, plain.backbone)
        assert found.state.keys() == plain.state.keys() and found.head.keys() == plain.head.keys()
    lists = {"optimizer_state_dict": {"state": {}, "param_groups": [{"lr": 0.001}]},
             "best_criterion_valid": np.float64(0.5), "n": np.int64(3), "half": np.float32(0.5)}  # fmt: skip
    torch.save({"epoch": 3, "model_state_dict": {prefix + key: value for key, value in osl.items()}, **lists},
               tmp_path / "best_checkpoint.pt")  # fmt: skip
    settled = settle(tmp_path / "best_checkpoint.pt")
    assert plain is not None
    assert settled.backbone == plain.backbone
    assert "a checkpoint of OSL" in settled.line and "2 tensors of its head are left out" in settled.line


def test_one_tensor_under_two_names_is_refused():
    state = checkpoint("spot-plain")
    with pytest.raises(BallspotError, match=r"holds '_features\.stem.conv\.weight' twice"):
        recognise({**state, "module._features.stem.conv.weight": torch.zeros(1)}, source="c.pt")


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
def test_wrapped_and_parallel_checkpoints_load_too(wrapper, tmp_path):
    state = {f"module.{key}": value for key, value in checkpoint("tdeed-gsf").items()}
    torch.save({wrapper: state, "epoch": 7}, tmp_path / "c.pt")
    assert load_backbone(BackboneSpec("regnety_002", str(tmp_path / "c.pt"), SIZE), CPU).dim == 368


def test_what_is_not_given_comes_from_the_checkpoint(tmp_path):
    path = tmp_path / "c.pt"
    torch.save(checkpoint("tdeed-gsf"), path)
    settled = settle(path)
    assert (settled.backbone, settled.size, settled.stride) == ("regnety_002+gsf:s3,s4", (448, 796), 1)
    assert "a checkpoint of T-DEED" in settled.line and "4 tensors of its head are left out" in settled.line
    asked = settle(path, backbone="regnety_002", size=SIZE, stride=2)
    assert (asked.backbone, asked.size, asked.stride) == ("regnety_002", SIZE, 2)
    assert settle(None) == Settled("regnety_002", (224, 398), 1)
    torch.save(timm.create_model("resnet18", num_classes=0).state_dict(), path)
    assert settle(path, backbone="resnet18") == Settled("resnet18", (224, 398), 1)


def without(state: dict[str, Tensor], part: str) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if part not in key}


def test_wrong_checkpoints_are_refused_with_the_tensor_and_its_place():
    state = checkpoint("spot-gsm")
    one = "_features.s2.b1.conv2.conv.weight"
    cases = [
        (without(state, "s2.b1.conv2.conv"), f"E2E-Spot.*lacks 1 of .* of regnety_002, the first '{one}'"),
        (without(state, "s4."), "lacks the backbone's tensor"),
        ({**state, "_features.s2.b1.extra": torch.zeros(1)}, "1 tensors have no place in regnety_002.*s2.b1.extra"),
        ({**state, one: torch.zeros(2, 2)}, f"tensor '{one}' is \\(2, 2\\)"),
        ({**state, "_features.s4.b1.conv3.conv.weight": torch.zeros(8, 8, 1, 1)}, "none of regnety_002"),
        (without(state, "conv3D"), "lacks .* tensors of regnety_002"),
    ]
    for broken, message in cases:
        with pytest.raises(BallspotError, match=message):
            recognise(broken, source="c.pt")


def test_another_backbone_than_the_checkpoints_is_refused(tmp_path):
    path = tmp_path / "c.pt"
    torch.save(checkpoint("tdeed-gsf"), path)
    for name in ("regnety_004", "regnety_002+gsm"):
        with pytest.raises(BallspotError, match=r"holds regnety_002\+gsf:s3,s4, not --backbone"):
            load_backbone(BackboneSpec(name, str(path), SIZE), CPU)


def test_a_backbone_of_our_own_says_what_it_is(tmp_path):
    torch.manual_seed(1)
    model = timm.create_model("regnety_002", num_classes=0)
    insert_shift(model, ShiftSpec("gsf", ("s3", "s4")), backbone="x")
    name = "regnety_002+gsf:s3,s4"
    save_backbone(tmp_path / "backbone.safetensors", model.state_dict(), Settled(name, SIZE, 2))
    assert settle(tmp_path / "backbone.safetensors") == Settled(name, SIZE, 2)
    backbone = load_backbone(BackboneSpec(name, str(tmp_path), SIZE), CPU)
    assert backbone.weights_sha256 == weights_digest(model.state_dict())


def test_weights_without_a_shift_take_a_new_one(tmp_path):
    torch.manual_seed(1)
    plain = timm.create_model("regnety_002", num_classes=0)
    torch.save(plain.state_dict(), tmp_path / "w.pth")
    backbone = load_backbone(BackboneSpec("regnety_002+tsm:s4", str(tmp_path / "w.pth"), SIZE), CPU)
    assert backbone.shifted is not None and backbone.shifted.reach == 7


MATCH = "synth/drawn/match-01"


@pytest.fixture(scope="module")
def shifted_set(drawn: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One drawn match through a GSF checkpoint as T-DEED leaves it."""
    folder = tmp_path_factory.mktemp("shifted")
    torch.save(checkpoint("tdeed-gsf"), folder / "checkpoint_best.pt")
    code, out, err = run("extract", drawn, "--out", folder, "--weights", folder / "checkpoint_best.pt",
                         "--size", "64x96", "--dtype", "float32", "--set", "gsf", "--match", MATCH,
                         "--views", "original,hflip", "--workers", 1)  # fmt: skip
    assert code == 0, out + err
    assert "a checkpoint of T-DEED: regnety_002+gsf:s3,s4" in err
    return folder


def test_windows_give_what_the_whole_video_at_once_gives(shifted_set, drawn):
    from ballspot.evaluate.dataset.matches import find_matches
    from ballspot.extract.backbone.engines import normalisation
    from ballspot.extract.backbone.transforms import resize
    from ballspot.extract.video.probe import probe_video
    from ballspot.extract.video.sources import open_source

    with open_feature_set(shifted_set / "gsf").open(MATCH) as store:
        rows, mirrored = store.read(), store.read(view="hflip")
        assert store.spec.backbone == "regnety_002+gsf:s3,s4"
        assert store.spec.shift == {"margin": 33, "reach": 33}
        assert "windows of 128 batch 8" in store.header.engine
    video = next(match.video for match in find_matches(drawn) if match.name == MATCH)
    assert video is not None
    probe = probe_video(video)
    assert probe.n_frames > 128 + 33  # more windows than one
    with open_source(probe, "pyav") as source:
        pictures = torch.from_numpy(np.stack(list(source.frames(0, probe.n_frames))))
    spec = BackboneSpec("regnety_002", str(shifted_set / "checkpoint_best.pt"), SIZE)
    backbone = load_backbone(spec, CPU)
    assert backbone.shifted is not None
    scale, shift = normalisation(backbone.mean, backbone.std)
    images = resize(pictures, SIZE).permute(0, 3, 1, 2).float()
    backbone.shifted.clips.n_frames = probe.n_frames
    for view, expected in ((images, rows), (images.flip(3), mirrored)):
        with torch.inference_mode():
            whole = backbone.model(backbone.shifted.front(view * scale + shift)).numpy()
        assert np.abs(whole - expected).max() / np.abs(whole).max() < 1e-4


def test_a_shifted_extraction_verifies_and_resumes_to_the_same_bytes(shifted_set, drawn, monkeypatch):
    import ballspot.extract.rows.segments as segments_module

    assert run("cache", "verify", shifted_set / "gsf", "--deep", "--data", drawn)[0] == 0
    words = ["extract", drawn, "--out", shifted_set, "--weights", shifted_set / "checkpoint_best.pt"]
    words += ["--size", "64x96", "--dtype", "float32", "--set", "again", "--match", MATCH]
    words += ["--views", "original,hflip", "--workers", 1]
    rows, n_left = segments_module.SegmentRunner.rows, [1]

    def stop(self, segment, *, match):
        for block in rows(self, segment, match=match):
            if not n_left[0]:
                raise BallspotError("stopped here")
            n_left[0] -= 1
            yield block

    with monkeypatch.context() as patch:
        patch.setattr(segments_module.SegmentRunner, "rows", stop)
        assert run(*words)[0] == 1
    assert run(*words)[0] == 0
    whole, resumed = ((shifted_set / name / f"{MATCH}.h5").read_bytes() for name in ("gsf", "again"))
    assert whole == resumed


def test_a_margin_is_for_shifts_and_part_of_the_fingerprint(shifted_set, drawn):
    words = ("extract", drawn, "--out", shifted_set, "--size", "64x96", "--match", MATCH, "--workers", 1)
    checkpoint_words = ("--weights", shifted_set / "checkpoint_best.pt")
    code, _, err = run(*words, "--weights", "random", "--margin", 8)
    assert code == 1 and "--margin 8: regnety_002 sees one frame at a time" in err
    assert run(*words, *checkpoint_words, "--margin", 8, "--set", "narrow", "--dtype", "float32")[0] == 0
    with (
        open_feature_set(shifted_set / "narrow").open(MATCH) as store,
        open_feature_set(shifted_set / "gsf").open(MATCH) as wide,
    ):
        assert store.spec.shift == {"margin": 8, "reach": 33, "window": 128}
        inside = np.abs(store.read() - wide.read()).max(axis=1)
    assert inside[60] < 1e-4 * np.abs(inside).max() + 1e-4  # far from the windows' ends nothing is lost
    code, _, err = run(*words, *checkpoint_words, "--engine", "openvino", "--set", "ov")
    assert code == 1 and "cannot run temporal shift" in err
