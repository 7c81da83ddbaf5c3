"""Heads as ONNX: what onnxruntime computes is what torch does, at any number of clips and any length."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

from ballspot.cache.errors import BallspotError
from ballspot.cache.stores import RegionSpec
from ballspot.cli import main
from ballspot.evaluate.dataset.labelsets import LabelSet
from ballspot.extract.backbone.engines import normalised
from ballspot.temporal.bundle import onnx as onnx_files
from ballspot.temporal.bundle.bundle import bundle_of, load_bundle
from ballspot.temporal.bundle.onnx import ScaledHead, export_backbone, export_head
from ballspot.temporal.bundle.trained import Trained, read_trained
from ballspot.temporal.config.sections import Config, HeadSection
from ballspot.temporal.features.scaling import Scaling
from ballspot.temporal.features.sources import open_source
from ballspot.temporal.heads.checkpoints import Checkpoint, HeadDescription, Progress
from ballspot.temporal.heads.head import HeadOutput
from ballspot.temporal.prediction.ensemble import match_features
from ballspot.temporal.prediction.stream import score_match

runtime = pytest.importorskip("onnxruntime", reason="pip install 'ballspot[onnx]'")
onnx = pytest.importorskip("onnx", reason="pip install 'ballspot[onnx]'")

HEADS = [
    {"kind": "tcn"},
    {"kind": "transformer"},
    {"kind": "transformer", "positions": "rotary", "norm": "post"},
    {"kind": "multires"},
    {"kind": "multires", "branch_alignment": "repeat"},
    {"kind": "gru", "gru_layers": 2, "offsets": False},
    {"kind": "unet", "teams": "head"},
    {"kind": "tdeed", "teams": "labels"},
    {"kind": "sgp-mixer", "teams": "head"},
    {"kind": "adaspot"},
    {"kind": "linear"},
    {"kind": "spot-gru", "gru_layers": 3, "offsets": False},
    {"kind": "mstcn", "n_layers": 5, "offsets": False},
    {"kind": "asformer", "n_layers": 5, "n_stages": 2},
]


def drawn_head(settings: dict, dims: tuple[int, ...] = (12,)) -> Checkpoint:
    """A head of drawn numbers: fresh ones have zeros where a mistake would not show."""
    config = Config(head=HeadSection(**{"width": 16, "n_layers": 2, "n_attention_heads": 2, **settings}))
    description = HeadDescription(config, LabelSet("three", ("A", "B", "C")), dims, "0" * 64)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(7)
        head = description.build()
        for parameter in head.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
        scaling = Scaling(torch.randn(sum(dims)), torch.rand(sum(dims)) + 0.5)
    return Checkpoint(description, Progress(), head.state_dict(), scaling, {}, {})


def session_of(path: Path):
    return runtime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])


@pytest.mark.parametrize(
    ("settings", "dims"),
    [
        (one, ((12,), (8, 4))[number % 2]) for number, one in enumerate([*HEADS, HEADS[0]])
    ],  # one set, or two side by side
    ids=lambda one: "-".join(map(str, one.values() if isinstance(one, dict) else one)),
)
def test_every_head_agrees_with_torch_at_shapes_it_was_not_exported_for(tmp_path, monkeypatch, settings, dims):
    kept = drawn_head(settings, dims)
    monkeypatch.setattr(onnx_files, "read_trained", lambda source, checkpoint: Trained((kept,), ("key",), {}))
    done = export_head(Path("run"), tmp_path / "head.onnx")
    assert done.difference <= 1e-4
    session = session_of(tmp_path / "head.onnx")
    model = ScaledHead(kept.load("cpu"), kept.scaling).eval()
    lengths = (50, 7, 64, 33) if model.head.only_clip_frames is None else (50, 50)
    for shape in zip((4, 1, 2, 7), lengths, strict=False):
        frames = torch.randn(*shape, sum(dims))
        with torch.no_grad():
            expected = [one.numpy() for one in model(frames)]
        ours = session.run(None, {"features": frames.numpy()})
        assert [one.name for one in session.get_outputs()] == list(done.outputs)
        for one, other in zip(ours, expected, strict=True):
            np.testing.assert_allclose(one, other, atol=1e-4)


class OnnxHead(nn.Module):
    """An ONNX session in the place of a head."""

    def __init__(self, path: Path, like: nn.Module) -> None:
        super().__init__()
        self.session, self.sided, self.team_layer = session_of(path), like.sided, like.team_layer
        self.n_labels = like.n_labels

    def forward(self, frames: Tensor) -> HeadOutput:
        logits, offsets = self.session.run(None, {"features": frames.float().numpy()})
        return HeadOutput(torch.from_numpy(logits), torch.from_numpy(offsets))


def test_a_match_scored_by_onnx_has_the_scores_of_the_run(shared, tmp_path):
    """The run scales by its training matches: the ONNX head does that itself and reads the features as stored."""
    out = tmp_path / "head.onnx"
    words = ["export", shared.plain_run, "--format", "onnx", "--out", out]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output + result.stderr
    assert result.stdout.startswith(f"{out}: class_logits, offsets; differs from torch by ")
    kept = read_trained(shared.plain_run).checkpoints[0]
    source, name, cpu = open_source(shared.plain), "synth/drawn/match-03", torch.device("cpu")
    head = kept.load("cpu")
    scaled = match_features(kept, source, name, device=cpu, spill=tmp_path)
    config = kept.description.config
    raw_config = config.model_copy(update={"clips": config.clips.model_copy(update={"scaling": "none"})})
    raw = Checkpoint(
        HeadDescription(raw_config, kept.description.label_set, kept.description.dims, ""), Progress(), {}, None, {}, {}
    )
    stored = match_features(raw, source, name, device=cpu, spill=tmp_path)
    theirs = score_match(head, scaled, 0, config)
    ours = score_match(OnnxHead(out, head), stored, 0, config)  # pyright: ignore[reportArgumentType]
    assert np.array_equal(ours.frame_index, theirs.frame_index)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=2e-3)  # scaled features are kept in float16
    exact = score_match(ScaledAsOnnx(kept), stored, 0, config)  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(ours.scores, exact.scores, atol=1e-4)


class ScaledAsOnnx(nn.Module):
    """The head in torch that reads features as stored, in float32."""

    def __init__(self, kept: Checkpoint) -> None:
        super().__init__()
        head = kept.load("cpu")
        self.model, self.sided, self.team_layer, self.n_labels = (
            ScaledHead(head, kept.scaling),
            False,
            None,
            head.n_labels,
        )

    def forward(self, frames: Tensor) -> HeadOutput:
        return HeadOutput(*self.model(frames.float()))


def test_the_file_says_what_its_head_is_and_equal_runs_give_equal_bytes(shared, tmp_path):
    for name in ("a.onnx", "b.onnx"):
        export_head(shared.plain_run, tmp_path / name)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    said = session_of(tmp_path / "a.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(said["labels"])[:2] == ["PASS", "DRIVE"]
    expected = {"clip_frames": "20", "clip_stride": "2", "temporal_stride": "2", "scaling": "train"}
    assert expected.items() <= said.items()
    assert json.loads(said["config"])["head"]["kind"] == "gru"


def test_the_backbone_reads_pictures_of_any_number(shared, tmp_path):
    out, backbone = tmp_path / "head.onnx", tmp_path / "backbone.onnx"
    words = ["export", shared.plain_run, "--format", "onnx", "--out", out, "--backbone", backbone]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 0, result.output + result.stderr
    CliRunner().invoke(main, ["export", str(shared.plain_run), "--format", "bundle", "--out", str(tmp_path / "b")])
    model = normalised(load_bundle(tmp_path / "b").features[0].backbone(device=torch.device("cpu")))
    pictures = torch.rand(2, 64, 96, 3) * 255
    ours = session_of(backbone).run(None, {"pictures": pictures.numpy()})[0]
    with torch.no_grad():
        expected = model(pictures).numpy()
    np.testing.assert_allclose(ours, expected, atol=1e-4 * max(1.0, float(np.abs(expected).max())))


def test_a_head_that_differs_is_not_written(shared, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_files, "MOST_DIFFERENCE", -1.0)
    with pytest.raises(BallspotError, match=r"differs from torch by \S+, above .*nothing was written"):
        export_head(shared.plain_run, tmp_path / "a.onnx")
    assert list(tmp_path.iterdir()) == []


def test_several_heads_and_a_missing_extra_end_in_one_line(shared, tmp_path, monkeypatch):
    with pytest.raises(BallspotError, match="2 heads; an ONNX file holds one"):
        export_head(shared.components_runs, tmp_path / "a.onnx")
    monkeypatch.setattr(onnx_files, "find_spec", lambda name: None)
    words = ["export", shared.plain_run, "--format", "onnx", "--out", tmp_path / "a.onnx"]
    result = CliRunner().invoke(main, [str(word) for word in words])
    assert result.exit_code == 1
    assert result.stderr == (
        "Error: --format onnx: onnx, onnxscript, onnxruntime not installed; pip install 'ballspot[onnx]'\n"
    )


def test_a_backbone_that_sees_boxes_is_not_exported_as_if_it_saw_whole_pictures(shared, tmp_path, monkeypatch):
    boxes = {"by": "map", "size": (32, 32), "picture": (128, 192), "count": 1, "fuse": "concat"}
    bundle = bundle_of([shared.plain_run], with_backbone=False)
    features = bundle.features[0]
    spec = features.spec.model_copy(update={"region": RegionSpec.model_validate(boxes)})
    changed = replace(bundle, features=(replace(features, spec=spec),))
    monkeypatch.setattr(onnx_files, "open_bundle", lambda source, features: changed)
    with pytest.raises(BallspotError, match=r"sees boxes of the picture, too \(--region\)"):
        export_backbone(shared.plain_run, tmp_path / "b.onnx")
    assert not list(tmp_path.iterdir())
