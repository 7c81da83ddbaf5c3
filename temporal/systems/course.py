"""Checkpoints of the course baseline: a RegNetY and a TCN, a Transformer, or three of them at several resolutions.

Facts: the team's presentation and its public code (model_spotting.py, dataset/frame.py, util/eval_spotting.py of the
course's starter). The file is a bare state dict: `_features.*`, the temporal model (`_tcn.*`, or `_positional_encoding`
with `_transformer.layers.*` or `_transformers.N.layers.*`), `_fc._fc_out.*` and, from the version with temporal
downsampling on, `_offset_head.*`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...cache.errors import BallspotError
from ...evaluate.dataset import BUILT_IN
from ...extract.backbone import recognise
from ..config import HeadSection, PredictionSection, Procedure
from .found import WHOLE, Found, head_shapes, require_all

SYSTEM = "course baseline"
CLIP_ROWS, CLIP_STRIDE, N_ATTENTION_HEADS, DILATIONS = 50, 2, 8, (1, 2, 4)
BEST_STRIDE = 2  # of one of its strides 1, 2, 4 the one it found best; no tensor tells them apart
MOST_LAYERS = 64
OF_LAYER = {  # torch's encoder layer, and ours
    "self_attn.in_proj_": "query_key_value.",
    "self_attn.out_proj.": "mix.",
    "linear1.": "feedforward.0.",
    "linear2.": "feedforward.3.",
    "norm1.": "norm_attention.",
    "norm2.": "norm_feedforward.",
}
POSITIONS = "_positional_encoding"
UNUSED = {  # parts of the file that its code makes and does not use, by the beginning of their names
    "_encoder_layer.": "the pattern of its encoder's layers",
    "_transformer.": "the pattern of its three encoders",
}


@dataclass(frozen=True)
class TemporalModel:
    """Its head as ours: the section, our name of each of their tensors, what to call it, and a clip's rows, if said."""

    section: HeadSection
    names: Mapping[str, str]
    name: str
    clip_rows: int | None


def read(state: Mapping[str, Tensor], *, source: str, settings: Mapping[str, Any]) -> Found | None:
    """What a checkpoint of the course baseline holds, None for another system's.

    ``settings`` is its JSON, empty where it is not at hand: of it `clip_len`, `stride` (frames from row to row) and
    `temporal_stride` are used. Raises BallspotError for a checkpoint that lacks tensors, has some that have no place,
    or some of another shape; it names the first.
    """
    if not any(key.startswith("_features.") or "._features." in key for key in state):
        return None
    marks = ("_transformer.", "_transformers.", "_tcn.", "_fc.", "_offset_head.")
    if not any(re.match(r"(module\.|_?model\.)*" + re.escape(mark), key) for key in state for mark in marks):
        return None
    foreign = recognise(state, source=source)
    if foreign is None or foreign.family.name != SYSTEM:
        return None
    source = f"{source} ({SYSTEM})"
    model = _temporal_model(foreign.head, _whole(settings, "temporal_stride", source=source), source=source)
    clip_rows = model.clip_rows or _whole(settings, "clip_len", source=source) or CLIP_ROWS
    head_state, n_labels = _converted(foreign.head, model, dim=foreign.dim, clip_rows=clip_rows, source=source)
    labels = BUILT_IN["ball-12"].labels
    prediction = PredictionSection(
        merge="sum", suppression="lopsided", nms_window=5, score_floor=0.05, phases="one", window_overlap=0.0
    )
    stride = model.section.temporal_stride
    return Found(
        system=SYSTEM,
        variant=f"{foreign.backbone} and a {model.name}, temporal stride {stride}",
        backbone=foreign.backbone,
        backbone_state=foreign.state,
        dim=foreign.dim,
        head=model.section,
        head_state=head_state,
        n_labels=n_labels,
        procedure=Procedure(
            system=SYSTEM,
            size=(224, 398),
            stride=_whole(settings, "stride", source=source) or CLIP_STRIDE,
            clip_rows=clip_rows,
            overlap_rows=0,
            padding="black",
            placing="added",
            token_rows=stride,
            count="placed",
        ),
        prediction=prediction,
        labels=labels if n_labels == len(labels) else None,
        clip_rows=model.clip_rows,
        left_out=tuple(_unused(foreign.head, model)),
    )


def _whole(settings: Mapping[str, Any], key: str, *, source: str) -> int | None:
    value = settings.get(key)
    if value is not None and (type(value) is not int or not 1 <= value <= 10_000):
        raise BallspotError(f"{source}: its settings say {key} {value!r}; give a whole number from 1 on")
    return value


def _temporal_model(found: Mapping[str, Tensor], temporal_stride: int | None, *, source: str) -> TemporalModel:
    """Which temporal model it is; without an offset layer nothing was downsampled."""
    has_offsets = any(key.startswith("_offset_head.") for key in found)
    stride = temporal_stride or (BEST_STRIDE if has_offsets else 1)
    names = {"_fc._fc_out.weight": "class_layer.weight", "_fc._fc_out.bias": "class_layer.bias"}
    if has_offsets:
        names |= {"_offset_head.weight": "offset_layer.weight", "_offset_head.bias": "offset_layer.bias"}
    common = {"temporal_stride": stride, "offsets": has_offsets, "width": 0}
    if any(key.startswith("_transformers.") for key in found):
        if (temporal_stride or 1) != 1:
            raise BallspotError(
                f"{source}: three encoders at temporal_stride {temporal_stride}; they are read at 1 only, where its "
                "finest branch has every row"
            )
        return _multires(found, common, names, source=source)
    if any(key.startswith("_transformer.") for key in found):
        encoder, layers = _encoder(found, "_transformer.", "trunk.")
        clip_rows = _positions(found, source=source).shape[1]
        names = {**names, **layers, POSITIONS: "trunk.positions"}
        section = HeadSection.model_validate({"kind": "transformer", **common, **encoder})
        return TemporalModel(section, names, "Transformer", clip_rows)
    if any(key.startswith("_tcn.") for key in found):
        kernel = found["_tcn.0.weight"].shape[-1] if "_tcn.0.weight" in found else 5
        section = {"kind": "tcn", "dilations": DILATIONS, "kernel_size": kernel if kernel % 2 else 5, **common}
        places = [f"{2 * number}.{leaf}" for number in range(len(DILATIONS)) for leaf in ("weight", "bias")]
        names = {**names, **{f"_tcn.{place}": f"trunk.layers.{place}" for place in places}}
        return TemporalModel(HeadSection.model_validate(section), names, "TCN", None)
    return TemporalModel(HeadSection.model_validate({"kind": "linear", **common}), names, "linear layer", None)


def _multires(
    found: Mapping[str, Tensor], common: Mapping[str, Any], names: Mapping[str, str], *, source: str
) -> TemporalModel:
    """Three encoders at 1, 2 and 4 times the stride, which share their first positions."""
    clip_rows = _positions(found, source=source).shape[1]
    encoder, layers = {}, {}
    for branch in range(3):
        encoder, of_branch = _encoder(found, f"_transformers.{branch}.", f"trunk.branches.{branch}.")
        layers |= of_branch
    settings = {"kind": "multires", "branch_alignment": "repeat", **common, **encoder, "temporal_stride": 1}
    section = HeadSection.model_validate(settings)
    return TemporalModel(section, {**names, **layers}, "Transformer at three resolutions", clip_rows)


def _encoder(found: Mapping[str, Tensor], theirs: str, ours: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The sizes of one encoder, and our names of its tensors."""
    numbers = {int(match[1]) for key in found if (match := re.match(re.escape(theirs) + r"layers\.(\d{1,3})\.", key))}
    n_layers = 1 + max((number for number in numbers if number < MOST_LAYERS), default=0)
    inner = found.get(f"{theirs}layers.0.linear1.weight")
    factor = inner.shape[0] // inner.shape[1] if inner is not None and inner.ndim == 2 else 2
    sizes = {"n_layers": n_layers, "n_attention_heads": N_ATTENTION_HEADS, "feedforward_factor": max(factor, 1)}
    names = {
        f"{theirs}layers.{layer}.{part}{leaf}": f"{ours}layers.{layer}.{own}{leaf}"
        for layer in range(n_layers)
        for part, own in OF_LAYER.items()
        for leaf in ("weight", "bias")
    }
    return {**sizes, "norm": "post", "positions": "learned"}, names


def _positions(found: Mapping[str, Tensor], *, source: str) -> Tensor:
    if POSITIONS not in found:
        raise BallspotError(f"{source}: lacks the head's tensor '{POSITIONS}'; {WHOLE}")
    positions = found[POSITIONS]
    if positions.ndim != 3 or len(positions) != 1:
        raise BallspotError(f"{source}: tensor '{POSITIONS}' is {tuple(positions.shape)}, not (1, rows, features)")
    return positions


def _unused(found: Mapping[str, Tensor], model: TemporalModel) -> list[str]:
    """A line for each part of the file that has no say."""
    lines = []
    for prefix, what in UNUSED.items():
        n_tensors = sum(key.startswith(prefix) and key not in model.names for key in found)
        if n_tensors:
            lines.append(f"{what} ({n_tensors} tensors '{prefix}*'): it has no say")
    return lines


def _converted(
    found: Mapping[str, Tensor], model: TemporalModel, *, dim: int, clip_rows: int, source: str
) -> tuple[dict[str, Tensor], int]:
    """The state of our head, and how many classes it tells apart."""
    is_unused = tuple(prefix for prefix in UNUSED if not any(name.startswith(prefix) for name in model.names))
    missing = [key for key in model.names if key not in found]
    shared = (POSITIONS,) if model.section.kind == "multires" else ()
    left_over = [key for key in found if key not in model.names and not key.startswith((*is_unused, *shared))]
    require_all(missing, left_over, f"a {model.name}", source=source)
    classes = found["_fc._fc_out.weight"]
    n_labels = len(classes) - 1 if classes.ndim else 0
    wanted = head_shapes(model.section, dim=dim, n_labels=max(n_labels, 1), clip_rows=clip_rows, source=source)
    state = {}
    for theirs, ours in model.names.items():
        value = found[theirs]
        if ours == "trunk.positions":
            value = value[0, : wanted[ours][0]]
        if value.shape != wanted[ours]:
            there, fits = tuple(found[theirs].shape), tuple(wanted[ours])
            raise BallspotError(f"{source}: tensor '{theirs}' is {there}, in a {model.name} on {dim} features {fits}")
        state[ours] = value.float().contiguous()
    for name in (name for name in wanted if name.endswith(".positions") and name not in state):
        state[name] = found[POSITIONS][0, : wanted[name][0]].float().contiguous()
    return state, n_labels
