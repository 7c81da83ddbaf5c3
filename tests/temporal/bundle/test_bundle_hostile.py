"""What is no bundle, or a damaged or malicious one, ends in one line; nothing in it is run, little is taken for it."""

import copy
import json
import re
import timeit
from hashlib import sha256
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from ballspot.cache.disk.fingerprint import canonical_json, fingerprint
from ballspot.cache.errors import BallspotError
from ballspot.cache.stores.spec import EngineSpec, FeatureSpec
from ballspot.cli import main
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.extract.rows.recipe import BundledFeatures
from ballspot.temporal.bundle.bundle import Bundle, load_bundle, save_bundle
from ballspot.temporal.bundle.file import tensors_digest
from ballspot.temporal.config.sections import ClipSection, Config, HeadSection
from ballspot.temporal.features.scaling import Scaling
from ballspot.temporal.heads.checkpoints import Checkpoint, HeadDescription, Progress

EXTRACTION = {
    "backbone": "regnety_002", "weights_sha256": "0" * 64, "size": [64, 96], "mean": [0.5, 0.5, 0.5],
    "std": [0.2, 0.2, 0.2], "interpolation": "bicubic-antialias", "stride": 1, "dtype": "float16",
    "layers": ["pooled"], "grid": [1, 1],
}  # fmt: skip

BAD_DECODING = {"suppression": "all", "window_s": 1, "smoothing_s": 0, "score_floor": 0}


def small_bundle() -> Bundle:
    spec = FeatureSpec.read(EXTRACTION)
    config = Config(head=HeadSection(kind="tcn", width=4), clips=ClipSection(scaling="train"))
    label_set = LabelSet("two", ("PASS", "SHOT"))
    description = HeadDescription(config, label_set, (6,), spec.fingerprint)
    torch.manual_seed(0)
    scaling = Scaling(torch.zeros(6), torch.ones(6))
    head = Checkpoint(description, Progress(3, 2), description.build().state_dict(), scaling, {}, {})
    features = BundledFeatures("set", spec.fingerprint, spec, EngineSpec(""), "hub", "regnety_002", None, None)
    splits = {"train": ("a/b",), "valid": ("a/c",), "test": ()}
    return Bundle((head,), label_set, (features,), None, "best", ("key",), (0,), splits, (None,))


@pytest.fixture(scope="module")
def good(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("good") / "good.ballspot"
    save_bundle(small_bundle(), path)
    return path


def parts_of(path: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # no dict
        return json.loads(file.metadata()["ballspot"]), tensors


def forge(path: Path, header: dict, tensors: dict[str, torch.Tensor]) -> Path:
    """A bundle whose digests are right, whatever it says: what somebody with ill will would write."""
    content = {**header, "tensors_sha256": tensors_digest(tensors)}
    content.pop("header_sha256", None)
    save_file(tensors, path, metadata={"ballspot": canonical_json({**content, "header_sha256": fingerprint(content)})})
    return path


def refusal(path: Path) -> str:
    with pytest.raises(BallspotError) as caught:
        load_bundle(path)
    text = str(caught.value)
    assert "\n" not in text and len(text) < 1500
    assert path.name in text
    return text


def test_the_good_one_and_its_forgery_without_a_change_are_read(good, tmp_path):
    assert load_bundle(good).label_set.labels == ("PASS", "SHOT")
    assert load_bundle(forge(tmp_path / "a.ballspot", *parts_of(good))).seeds == (0,)


@given(share=st.floats(0, 1, exclude_max=True))
def test_a_bundle_cut_short_is_refused(good, tmp_path_factory, share):
    content = good.read_bytes()
    path = tmp_path_factory.mktemp("cut") / "cut.ballspot"
    path.write_bytes(content[: int(share * len(content))])
    refusal(path)


@given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_one_flipped_bit_anywhere_is_found(good, tmp_path_factory, share, bit):
    content = bytearray(good.read_bytes())
    content[int(share * len(content))] ^= 1 << bit
    path = tmp_path_factory.mktemp("flip") / "flip.ballspot"
    path.write_bytes(bytes(content))
    refusal(path)


def set_at(value, place: tuple, new):
    """A copy of nested dictionaries and lists with ``new`` at ``place``."""
    value = copy.deepcopy(value)
    inner = value
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = new
    return value


@pytest.mark.parametrize(
    ("place", "new", "message"),
    [
        (("format",), "ballspot-bundle/2", "is newer than .*upgrade ballspot"),
        (("format",), "ballspot-store/1", "is not 'ballspot-bundle/1'"),
        (("format",), ["x"], "is not 'ballspot-bundle/1'"),
        (("heads",), [], "heads"),
        (("heads",), {"0": 1}, "heads"),
        (("heads", 0, "dims"), ["6"], "heads.0.dims"),
        (("heads", 0, "dims"), [10**30], "heads.0.dims"),
        (("heads", 0, "seed"), -1, "heads.0.seed"),
        (("heads", 0, "config", "head", "width"), 2**40, "less than or equal to"),
        (("heads", 0, "config", "head", "kind"), "transformer", "cannot be built"),
        (("heads", 0, "config", "head", "n_layers"), 10**9, "more layers"),
        (("heads", 0, "config", "clips", "clip_frames"), 10**9, "more layers or frames"),
        (("heads", 0, "config", "head", "kind"), "__import__('os')", "head.kind"),
        (("heads", 0, "config", "head", "dims"), 3, "unknown key"),
        (("heads", 0, "scaled"), False, "scaling by the training matches is missing"),
        (("heads", 0, "features_fingerprint"), "1" * 64, "other features"),
        (("label_set", "labels"), ["PASS", "PASS"], "twice"),
        (("label_set", "labels"), ["PASS\n# SHOT", "SHOT"], "label_set.labels"),
        (("splits", "test"), ["../../outside"], "not a path below a data root"),
        (("splits", "test"), ["/outside"], "not a path below a data root"),
        (("splits", "test"), ["C:\\outside"], "not a path below a data root"),
        (("sets", 0, "weights", "held"), True, "not of its digest"),
        (("sets", 0, "weights", "kind"), "pickle", "sets.0.weights.kind"),
        (("sets", 0, "components_held"), True, "lacks or garbles 'mean'"),
        (("sets", 0, "extraction", "stride"), 2, "not that of the extraction settings"),
        (("postprocessing",), {"PASS": {"suppression": "soft"}}, "lacks or garbles 'window_s'"),
        (("postprocessing",), {"PASS": BAD_DECODING}, "lacks or garbles a class"),
        (("unknown",), 1, "unknown"),
    ],
)  # fmt: skip
def test_a_header_that_says_what_cannot_be_is_refused(good, tmp_path, place, new, message):
    header, tensors = parts_of(good)
    text = refusal(forge(tmp_path / "bad.ballspot", set_at(header, place, new), tensors))
    assert re.search(message, text), text


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("backbone", "hf-hub:some/model"),
        ("backbone", "../../weights"),
        ("size", [64]),
        ("size", ["64", "96"]),
        ("size", [10**9, 10**9]),
        ("std", [0.0, 1.0, 1.0]),
        ("layers", "pooled"),
        ("views", {"photo:1/../x": {}}),
        ("stride", 0),
    ],
)
def test_extraction_settings_that_cannot_be_are_refused(good, tmp_path, key, value):
    header, tensors = parts_of(good)
    settings = {**EXTRACTION, key: value}
    header["sets"][0] |= {"extraction": settings, "fingerprint": fingerprint(settings)}
    header["heads"][0]["features_fingerprint"] = fingerprint(settings)
    text = refusal(forge(tmp_path / "bad.ballspot", header, tensors))
    assert f"set: setting {key}" in text and text.endswith("; export again")


def changed(tensors: dict[str, torch.Tensor], what: str) -> dict[str, torch.Tensor]:
    name = "head.0.class_layer.weight"
    bad = {
        "missing": None,
        "shape": torch.zeros(3, 5),
        "type": tensors[name].double(),
        "nan": torch.full_like(tensors[name], torch.nan),
        "infinite": torch.full_like(tensors[name], torch.inf),
    }.get(what, tensors[name])
    kept = {**tensors, name: bad}
    kept |= {"extra": {"head.0.more": torch.zeros(1)}, "other": {"head.7.x": torch.zeros(1)}}.get(what, {})
    kept |= {"path": {"../../outside": torch.zeros(1)}, "backbone": {"backbone.0.x": torch.zeros(1)}}.get(what, {})
    kept |= {"scaling": {"scaling.0.sd": torch.zeros(6)}, "width": {"scaling.0.mean": torch.zeros(5)}}.get(what, {})
    return {key: value for key, value in kept.items() if value is not None}


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("missing", "lacks the tensor 'class_layer.weight'"),
        ("shape", r"is torch.float32 \(3, 5\)"),
        ("type", "torch.float64"),
        ("nan", "not finite"),
        ("infinite", "not finite"),
        ("extra", "'more' has no place"),
        ("other", "belong to no head"),
        ("path", "belongs to no part"),
        ("backbone", "not of its digest"),
        ("scaling", "not above 0"),
        ("width", "not 6 means"),
    ],
)
def test_tensors_that_are_not_the_heads_are_refused(good, tmp_path, what, message):
    header, tensors = parts_of(good)
    text = refusal(forge(tmp_path / "bad.ballspot", header, changed(tensors, what)))
    assert re.search(message, text), text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        '"x"',
        "[" * 100_000,
        '{"format": NaN}',
        '{"format": 1e999}',
        f'{{"a": {"9" * 5000}}}',
        '{"format": "\\ud800"}',
    ],
)
def test_a_header_that_is_no_json_object_is_refused(tmp_path, text):
    path = tmp_path / "bad.ballspot"
    save_file({"head.0.x": torch.zeros(1)}, path, metadata={"ballspot": text})
    refusal(path)


def test_a_header_of_many_bytes_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "huge.ballspot"
    path.write_bytes((2**40).to_bytes(8, "little") + b"{}")
    assert "its header would be 1099511627776 bytes" in refusal(path)
    save_file({"x": torch.zeros(1)}, path, metadata={"ballspot": '"' + "x" * 2**24 + '"'})
    assert "its header would be" in refusal(path)


def test_other_safetensors_and_what_is_no_file_are_refused(tmp_path):
    save_file({"x": torch.zeros(1)}, tmp_path / "plain.ballspot")
    assert "without ballspot's header" in refusal(tmp_path / "plain.ballspot")
    assert "no such bundle" in refusal(tmp_path / "none.ballspot")
    assert "no such bundle" in refusal(tmp_path)


@pytest.mark.parametrize("place", ["head", "set"])
def test_a_record_cannot_run_what_this_machine_has(good, tmp_path, monkeypatch, nothing_named, place):
    """`timeit.py` is part of Python: anybody knows its digest, and its `timeit` runs the text that it is given."""
    monkeypatch.chdir(tmp_path)
    digest = sha256(Path(timeit.__file__).read_bytes()).hexdigest()
    name = f"timeit:timeit(stmt='import pathlib; pathlib.Path(\"ran\").touch()', number=1)@{digest}"
    header, tensors = parts_of(good)
    if place == "head":
        header["heads"][0]["config"]["head"]["kind"] = name
        assert "was never named here; give --trust-code" in refusal(forge(tmp_path / "a.ballspot", header, tensors))
    else:
        made = header["sets"][0]["extraction"]
        made["backbone"] = name
        header["sets"][0]["fingerprint"] = header["heads"][0]["features_fingerprint"] = fingerprint(made)
        bundle = load_bundle(forge(tmp_path / "a.ballspot", header, tensors))
        with pytest.raises(BallspotError, match="was never named here; give --trust-code"):
            bundle.features[0].backbone(device=torch.device("cpu"), weights="own")
    adopted = CliRunner().invoke(main, ["adopt", str(tmp_path / "a.ballspot"), "--out", str(tmp_path / "run")])
    assert adopted.exit_code == 1 and "of somebody's own code; `predict` takes" in adopted.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ballspot"]
