"""A head, or a frozen backbone, as an ONNX file for other runtimes, kept only where it agrees with torch."""

import copy
import io
import json
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...cache.disk import whole_file
from ...cache.errors import BallspotError
from ...extract.backbone import first_line, normalised
from ...extract.rows import BundledFeatures
from ..config import is_sigmoid, travelling_table
from ..features import Scaling
from ..heads import Checkpoint, SpottingHead
from .bundle import open_bundle
from .trained import read_trained

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 17
MOST_DIFFERENCE = 1e-4
FORMAT = "ballspot-onnx/1"
SHAPES = ((1, 1.0), (3, 1.0), (2, 0.62), (5, 1.5), (1, 3.1))  # batch, length as a share of the clip's frames


@dataclass(frozen=True)
class ExportedFile:
    """What an export found: the largest difference to torch in the outputs, and where it was looked for."""

    outputs: tuple[str, ...]
    difference: float
    tried: tuple[tuple[int, int], ...]
    what: str

    def __str__(self) -> str:
        tried = ", ".join(f"{batch} x {length}" for batch, length in self.tried)
        return f"{', '.join(self.outputs)}; differs from torch by {self.difference:.1e} at most ({self.what}: {tried})"


class ScaledHead(nn.Module):
    """Features as stored (B, T, D) -> class logits, offsets, team logits, as far as the head has them.

    Scaling by the training matches is part of it; scaling by the match needs the whole match and is not.
    """

    mean: Tensor
    sd: Tensor

    def __init__(self, head: SpottingHead, scaling: Scaling | None) -> None:
        super().__init__()
        self.head, self.is_scaled = head, scaling is not None
        if scaling is not None:
            self.register_buffer("mean", scaling.mean)
            self.register_buffer("sd", scaling.sd)

    def forward(self, features: Tensor) -> tuple[Tensor, ...]:
        output = self.head((features - self.mean) / self.sd if self.is_scaled else features)
        return tuple(one for one in output if one is not None)


def require_onnx() -> None:
    """Raises BallspotError where the extra `onnx` is not installed."""
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise BallspotError(f"--format onnx: {', '.join(missing)} not installed; pip install 'ballspot[onnx]'")


def export_head(source: Path, out: Path, *, checkpoint: str = "best") -> ExportedFile:
    """Writes the head of a run or bundle as ONNX: features (B, T, D) in, any B and T; see docs/reference/sharing.md.

    T is the clip's frames alone where the head takes no other length (sgp-mixer, adaspot). Raises BallspotError for
    several
    heads, and, leaving nothing, where an output differs from torch's by above 1e-4.
    """
    trained = read_trained(source, checkpoint=checkpoint)
    kept, *others = trained.checkpoints
    if others:
        raise BallspotError(f"{source}: {1 + len(others)} heads; an ONNX file holds one: give one seed's run")
    head = kept.load("cpu")
    model = ScaledHead(head, kept.scaling).eval()
    clip_frames = kept.description.config.clips.clip_frames
    tried = [(batch, max(round(share * clip_frames), 2)) for batch, share in SHAPES]
    if head.only_clip_frames is not None:
        tried = [(batch, clip_frames) for batch, _ in SHAPES]
    dim = sum(kept.description.dims)
    names = [name for name in ("class_logits", "offsets", "team_logits") if _has(head, name)]
    lengths = {1: "frames"} if head.only_clip_frames is None else {}
    axes = {"features": {0: "batch"} | lengths}
    axes |= {name: {0: "batch"} | ({1: "tokens"} if lengths else {}) for name in names}
    random = torch.Generator().manual_seed(0)
    examples = [torch.randn(batch, length, dim, generator=random) for batch, length in tried]
    difference = _export(
        out, model, examples, inputs=("features",), outputs=names, axes=axes, metadata=head_metadata(kept)
    )
    return ExportedFile(tuple(names), difference, tuple(tried), "clips x frames")


def export_backbone(source: Path, out: Path, *, features: Sequence[Path] = ()) -> ExportedFile:
    """Writes the backbone of a run's or bundle's features as ONNX: pictures float32 (B, H, W, 3) of 0..255 in, any B.

    Rows come out as the backbone gives them, float32, before components. Raises BallspotError for a backbone with
    temporal shift, for boxes beside the picture, for several feature sets, and where it differs from torch's by above
    1e-4 of the largest feature.
    """
    bundle = open_bundle(source, features=features)
    made, *others = bundle.features
    if others:
        raise BallspotError(f"{source}: reads {1 + len(others)} feature sets; --backbone is for heads on one")
    if made.spec.region is not None:  # its boxes are chosen over several rows, from maps of the whole pictures
        raise BallspotError(f"{made.name}: sees boxes of the picture, too (--region); --backbone is for whole pictures")
    backbone = made.backbone(device=torch.device("cpu"))
    if backbone.shifted is not None:
        raise BallspotError(f"{backbone.spec.name}: sees neighbouring frames; --backbone is for those without shift")
    model = _Rows(normalised(backbone)).eval()
    height, width = backbone.spec.size
    random = torch.Generator().manual_seed(0)
    examples = [torch.rand(batch, height, width, 3, generator=random) * 255 for batch in (1, 3)]
    axes = {"pictures": {0: "batch"}, "rows": {0: "batch"}}
    metadata = backbone_metadata(made)
    difference = _export(out, model, examples, inputs=("pictures",), outputs=["rows"], axes=axes, metadata=metadata)
    return ExportedFile(("rows",), difference, tuple((len(one), height) for one in examples), "pictures x lines")


class _Rows(nn.Module):
    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pictures: Tensor) -> tuple[Tensor]:
        return (self.model(pictures),)


def head_metadata(kept: Checkpoint) -> dict[str, str]:
    """What the file says of its head: texts, JSON where they are no single word."""
    config = kept.description.config
    return {
        "format": FORMAT,
        "kind": "head",
        "label_set": kept.description.label_set.name,
        "labels": json.dumps(kept.description.label_set.labels),
        "clip_frames": str(config.clips.clip_frames),
        "clip_stride": str(config.clips.clip_stride),
        "temporal_stride": str(config.head.temporal_stride),
        "class_loss": "sigmoid" if is_sigmoid(config.loss.class_loss) else "cross-entropy",
        "teams": config.head.teams,
        "scaling": config.clips.scaling,
        "features_fingerprint": kept.description.features_fingerprint,
        "config": json.dumps(travelling_table(config), sort_keys=True),
    }


def backbone_metadata(made: BundledFeatures) -> dict[str, str]:
    """What the file says of its backbone."""
    return {
        "format": FORMAT,
        "kind": "backbone",
        "features_fingerprint": made.fingerprint,
        "weights_sha256": made.spec.weights_sha256,
        "extraction": json.dumps(made.spec.as_json(), sort_keys=True),
    }


def _has(head: SpottingHead, output: str) -> bool:
    layer = {"class_logits": head.class_layer, "offsets": head.offset_layer, "team_logits": head.team_layer}
    return layer[output] is not None


def _export(
    out: Path,
    model: nn.Module,
    examples: Sequence[Tensor],
    *,
    inputs: tuple[str, ...],
    outputs: Sequence[str],
    axes: Mapping[str, Mapping[int, str]],
    metadata: Mapping[str, str],
) -> float:
    """Writes the file, whole or not at all, and returns its largest difference to torch over the examples."""
    require_onnx()
    onnx: Any = import_module("onnx")
    try:
        with _quiet(), torch.no_grad(), tempfile.TemporaryDirectory() as folder:
            torch.onnx.export(
                _padded_in_numbers(model),
                (examples[0],),
                Path(folder) / "head.onnx",
                input_names=list(inputs),
                output_names=list(outputs),
                dynamic_axes={name: dict(places) for name, places in axes.items()},
                opset_version=OPSET,
                dynamo=False,  # one way for all heads; the newer exporter was not tried
            )
            file = onnx.load(Path(folder) / "head.onnx")
    except Exception as error:
        raise BallspotError(f"--format onnx: torch cannot export it ({first_line(error)})") from error
    file.producer_name = "ballspot"
    for name, value in metadata.items():
        entry = file.metadata_props.add()
        entry.key, entry.value = name, value
    onnx.checker.check_model(file)
    content = file.SerializeToString(deterministic=True)
    try:
        difference = _difference(content, model, examples)
    except Exception as error:
        raise BallspotError(f"--format onnx: onnxruntime cannot run it ({first_line(error)})") from error
    if not difference <= MOST_DIFFERENCE:
        raise BallspotError(
            f"--format onnx: differs from torch by {difference:.1e}, above {MOST_DIFFERENCE:.0e}; nothing was written"
        )
    with whole_file(out) as temporary:
        temporary.write_bytes(content)
    return difference


def _padded_in_numbers(model: nn.Module) -> nn.Module:
    """A copy whose convolutions say how much they pad: onnxruntime has no "same" for dilated ones."""
    copied = copy.deepcopy(model)
    for module in copied.modules():
        if isinstance(module, nn.Conv1d) and module.padding == "same":  # kernels are odd
            module.padding = (module.dilation[0] * (module.kernel_size[0] - 1) // 2,)
    return copied


def _difference(content: bytes, model: nn.Module, examples: Sequence[Tensor]) -> float:
    """The largest difference of an output to torch's, relative where torch's are above 1 in size."""
    runtime: Any = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = torch.get_num_threads()
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    worst = 0.0
    for example in examples:
        with torch.no_grad():
            expected = [one.numpy() for one in model(example)]
        for ours, theirs in zip(expected, session.run(None, {name: example.numpy()}), strict=True):
            if ours.shape != theirs.shape:
                return float("inf")
            scale = max(1.0, float(np.abs(ours).max(initial=0.0)))
            worst = max(worst, float(np.abs(ours - theirs).max(initial=0.0)) / scale)
    return worst


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's remarks off the console: they are about its own making."""
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
