"""What a checkpoint cannot say: published settings, those of the user in their place, and what does not go together."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from ballspot.cache.errors import BallspotError
from ballspot.evaluate.dataset import LabelSet, load_label_set
from ballspot.extract.backbone import load_model
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.temporal.adopted.run import Adoption
from ballspot.temporal.adopted.settle import labels_remark, settled_labels, settled_procedure
from ballspot.temporal.config import HeadSection, PredictionSection, Procedure, RegionLooks
from ballspot.temporal.systems import Found
from ballspot.temporal.systems.recognise import recognise_whole, settings_of
from ballspot.temporal.systems.spot_heads import read_head

BALL = load_label_set("ball-12")


def found_of(**changes: Any) -> Found:
    said: dict[str, Any] = {
        "system": "E2E-Spot",
        "size": (224, 398),
        "clip_rows": 100,
        "overlap_rows": 50,
        "padding": "mean",
    }
    if changes.pop("looks", False):
        said |= {"system": "AdaSpot", "network": "adaspot", "regions": RegionLooks(low_crop=(112, 112))}
    values: dict[str, Any] = {
        "system": said["system"],
        "variant": "v",
        "backbone": "regnety_002",
        "backbone_state": {},
        "dim": 8,
        "head": HeadSection(kind="linear"),
        "head_state": {},
        "n_labels": 12,
        "procedure": Procedure(**said),
        "prediction": PredictionSection(),
        "labels": BALL.labels,
    }
    return Found(**values | changes)


def test_what_is_asked_for_stands_in_the_place_of_what_was_published() -> None:
    asked = {"fps": "29.97", "crop": "200X300", "clip_rows": 60}
    procedure = settled_procedure(found_of(), asked)
    assert (procedure.fps, procedure.crop, procedure.clip_rows) == ("30000/1001", (200, 300), 60)
    assert procedure.overlap_rows == 30  # half of a clip, as published
    assert settled_procedure(found_of(), {"crop": "none"}).crop is None


@pytest.mark.parametrize("text", ["224", "224x", "x224", "a x b", "224x224x3", "1" * 9 + "x9999"])
def test_a_crop_that_is_none_is_told(text: str) -> None:
    with pytest.raises(BallspotError, match=rf"^--crop {text}: .*in pixels, e.g. 224x224, nor none$"):
        settled_procedure(found_of(), {"crop": text})


def test_settings_that_do_not_go_together_name_the_option() -> None:
    with pytest.raises(BallspotError, match=r"overlap_rows 60 must be smaller than clip_rows 50"):
        settled_procedure(found_of(), {"clip_rows": 50, "overlap_rows": 60})
    with pytest.raises(BallspotError, match=r"^--clip-rows 0: "):
        settled_procedure(found_of(), {"clip_rows": 0})


def test_a_second_look_is_for_the_system_that_has_one() -> None:
    with pytest.raises(BallspotError, match=r"^--low-crop: is for AdaSpot, which looks twice; E2E-Spot does not$"):
        settled_procedure(found_of(), {"low_crop": (100, 100)})
    looks = settled_procedure(found_of(looks=True), {"low": (224, 224), "threshold": 0.5}).regions
    assert looks is not None and (looks.low, looks.low_crop, looks.threshold) == ((224, 224), None, 0.5)


def test_classes_are_the_published_ones_or_those_that_are_given() -> None:
    assert settled_labels(found_of(), None, source="a.pt") == BALL
    turned = settled_labels(found_of(labels=BALL.labels[::-1]), None, source="a.pt")
    assert (turned.name, turned.labels, turned.file) == ("ball-12-e2e-spot", BALL.labels[::-1], BALL.file)
    own = settled_labels(found_of(labels=("A", "B"), n_labels=2), None, source="a.pt")
    assert (own.name, own.labels) == ("e2e-spot-2", ("A", "B"))
    with pytest.raises(
        BallspotError, match=r"^a.pt: does not name its 12 classes; give --labels FILE .* order of the trai"
    ):
        settled_labels(found_of(labels=None), None, source="a.pt")


def test_an_order_that_is_not_the_published_one_is_told() -> None:
    other = LabelSet("mine", BALL.labels[::-1])
    assert labels_remark(found_of(), other).startswith(
        f"classes in this order, other than the published one: {other.labels[0]}"
    )
    assert labels_remark(found_of(), BALL).endswith("where the training had another, give --labels FILE")


@pytest.mark.parametrize(
    ("found", "procedure", "said"),
    [
        (
            found_of(n_labels=11),
            {},
            "tells 11 classes apart, label set 'ball-12' has 12; give --labels FILE with the 11",
        ),
        (found_of(clip_rows=50), {}, "is for clips of 50 rows, not 100; leave --clip-rows out"),
    ],
)
def test_classes_and_clips_that_the_tensors_do_not_have_are_refused(found: Found, procedure: dict, said: str) -> None:
    with pytest.raises(BallspotError, match=rf"^a.pt: its head {said}"):
        Adoption(found, settled_procedure(found, procedure), BALL, Path("a.pt"))


def test_a_head_that_the_tensors_are_not_of_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").touch()
    state = load_model(BackboneSpec("resnet10t", "random", (224, 398))).model.state_dict()
    found = found_of(backbone="resnet10t", backbone_state=state, head_state={"x": torch.zeros(1)}, dim=512)
    adoption = Adoption(found, found.procedure, BALL, tmp_path / "a.pt")
    with pytest.raises(BallspotError, match=r"a.pt: its head"):
        adoption.write(tmp_path / "run", command="ballspot adopt")


@pytest.mark.parametrize("names", [("weight",), ("_features.stem.weight", "_else.weight")])
def test_a_file_of_no_system_names_its_first_tensor(names: tuple[str, ...], tmp_path: Path) -> None:
    save_file({name: torch.zeros(2) for name in names}, tmp_path / "a.safetensors")
    with pytest.raises(
        BallspotError, match=r"a.safetensors: of no system that can be adopted \(its first tensor is '"
    ) as e:
        recognise_whole(tmp_path / "a.safetensors")
    assert "A backbone alone is for `extract --weights`" in str(e.value)


def test_two_models_in_one_file_are_refused(tmp_path: Path) -> None:
    save_file({name: torch.zeros(2) for name in ("a.b", "module.a.b")}, tmp_path / "a.safetensors")
    with pytest.raises(BallspotError, match="two tensors of one name, with a wrapper and without; give one model"):
        recognise_whole(tmp_path / "a.safetensors")


def test_settings_that_are_no_object_are_refused(tmp_path: Path) -> None:
    assert settings_of(tmp_path / "a.pt", None) == {}
    (tmp_path / "config.json").write_text('["clip_len", 50]')
    with pytest.raises(
        BallspotError, match=r"config.json: holds no JSON object \(\[\"clip_len\", 50\]\); give the system's"
    ):
        settings_of(tmp_path / "a.pt", None)


def test_a_checkpoint_without_its_head_is_refused() -> None:
    with pytest.raises(
        BallspotError, match=r"^a.pt: lacks the head, no tensor begins with '_pred_fine.'; give a whole"
    ):
        read_head({"_else": torch.zeros(1)}, dim=8, source="a.pt")
