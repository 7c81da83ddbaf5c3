"""What decides a feature and what computed it, as types: read from JSON or text, and given back as they were."""

import json

import pytest

from ballspot.cache.disk.fingerprint import canonical_json, fingerprint
from ballspot.cache.stores.spec import ComponentsSpec, EngineSpec, FeatureSpec

WHOLE = {
    "backbone": "regnety_002+gsf:s3,s4", "weights_sha256": "ab" * 32, "size": [224, 398], "mean": [0, 0.5, 1.0],
    "std": [0.2, 1, 0.2], "interpolation": "bicubic-antialias", "stride": 2, "dtype": "int8", "layers": ["s3", "s4"],
    "grid": [2, 3], "views": {"hflip": {}, "photo:1": {"brightness": 3.0, "contrast": 1, "saturation": 0.9}},
    "shift": {"margin": 8, "reach": 33, "window": 128},
}  # fmt: skip


@pytest.mark.parametrize(
    "settings",
    [
        {},
        WHOLE,
        {"made": "elsewhere", "stride": 3, "nested": {"size": ["a", None, 1.0]}, "model_dump": 1, "read": 2},
        {**WHOLE, "pca": {"dim": 64, "parent": "p", "sha256": "s", "whitened": True}, "our own": [1, 2.0]},
    ],
)
def test_settings_are_given_back_as_they_were_read_with_those_that_nobody_knows(settings) -> None:
    spec = FeatureSpec.read(settings)
    assert canonical_json(spec.as_json()) == canonical_json(settings)
    assert spec.fingerprint == fingerprint(settings)
    assert FeatureSpec.read(json.loads(canonical_json(spec.as_json()))) == spec


def test_settings_that_are_not_said_are_those_of_a_plain_set() -> None:
    spec = FeatureSpec.read({"made": "elsewhere"})
    assert (spec.backbone, spec.stride, spec.dtype, spec.layers, spec.grid) == ("", 1, "float16", ("pooled",), (1, 1))
    assert not spec.views and not spec.shift and spec.pca is None


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        (["backbone"], "setting : Input should be a valid dictionary"),
        ({"stride": "2"}, "setting stride: Input should be a valid integer"),
        ({"stride": 0}, "setting stride: Input should be greater than or equal to 1"),
        ({"stride": True}, "setting stride: Input should be a valid integer"),
        ({"dtype": "float64"}, "setting dtype: Input should be 'float16', 'float32' or 'int8'"),
        ({"size": [224]}, "setting size.1: Field required"),
        ({"size": "224x398"}, "setting size: Input should be a valid tuple"),
        ({"mean": [0.5, "0.5"]}, "setting mean.1: Input should be a valid number"),
        ({"layers": [3]}, "setting layers.0: Input should be a valid string"),
        ({"pca": {"dim": 64}}, "setting pca.parent: Field required"),
    ],
)
def test_settings_of_other_types_are_refused_in_one_line(settings, problem: str) -> None:
    with pytest.raises(ValueError, match=r"^setting ") as caught:
        FeatureSpec.read(settings)
    assert str(caught.value).startswith(problem) and "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8"])
def test_components_know_the_number_type_of_their_parent(dtype: str) -> None:
    parent = FeatureSpec.read({**WHOLE, "dtype": dtype, "our own": 1})
    made = parent.projected(ComponentsSpec(dim=64, parent=parent.fingerprint, sha256="cd"))
    assert made.parent == parent and parent.parent is None
    assert made.as_json() == {**parent.as_json(), "dtype": "float16", "pca": made.as_json()["pca"]}
    assert made.projected(ComponentsSpec(dim=8, parent=made.fingerprint, sha256="ef")).parent is None


def test_settings_that_differ_are_named() -> None:
    spec = FeatureSpec.read(WHOLE)
    assert spec.differing(spec) == []
    assert spec.differing(FeatureSpec.read({**WHOLE, "stride": 1, "more": 1})) == ["more", "stride"]


@pytest.mark.parametrize(
    "name", ["backbone", "weights_sha256", "size", "mean", "std", "interpolation", "layers", "grid"]
)
def test_a_backbone_is_built_by_settings_that_say_all_of_it(name: str) -> None:
    FeatureSpec.read(WHOLE).require_buildable()
    with pytest.raises(ValueError, match=f"^setting {name}: Field required$"):
        FeatureSpec.read({key: value for key, value in WHOLE.items() if key != name}).require_buildable()


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("", EngineSpec("")),
        ("torch", EngineSpec("torch")),
        ("torch 2.15.0 cpu float32 batch 8", EngineSpec("torch", "2.15.0 cpu float32", 8)),
        (
            "torch 2.15.0 cpu float32 windows of 128 batch 8",
            EngineSpec("torch", "2.15.0 cpu float32 windows of 128", 8),
        ),
        ("openvino 2026.1 cpu float32 batch 4", EngineSpec("openvino", "2026.1 cpu float32", 4)),
        ("other batch many", EngineSpec("other", "batch many")),
        ("torch batch 8", EngineSpec("torch", "", 8)),
    ],
)
def test_an_engine_is_its_text(text: str, spec: EngineSpec) -> None:
    assert EngineSpec.read(text) == spec and str(spec) == text
