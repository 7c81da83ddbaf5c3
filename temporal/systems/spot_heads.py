"""The heads of E2E-Spot, which OSL has too: their tensors (`_pred_fine.*`) as those of our heads.

Facts: Hong et al., ECCV 2022; jhong93/spot at commit edec420: model/modules.py, model/common.py,
model/impl/asformer.py.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor

from ...cache.errors import BallspotError
from ..config import HeadSection
from .found import WHOLE, head_shapes, require_all

HEAD = "_pred_fine."
KERNEL, PUBLISHED_DROPOUT = 3, 0.5
MOST_PARTS = 64  # stages or layers that a file may name
# What they call a layer's parts, and what ours are called.
OF_TCN = {"conv_dilated": "dilated", "conv_1x1": "mix"}
OF_ASFORMER = {
    "feed_forward.layer.0": "dilated",
    "att_layer.query_conv": "attention.query",
    "att_layer.key_conv": "attention.key",
    "att_layer.value_conv": "attention.value",
    "att_layer.conv_out": "attention.mix",
    "conv_1x1": "mix",
}


@dataclass(frozen=True)
class SpotHead:
    """A head as ours: the section that builds it, its state, the classes that it tells apart, and what to call it."""

    section: HeadSection
    state: Mapping[str, Tensor]
    n_labels: int
    name: str


def read_head(tensors: Mapping[str, Tensor], *, dim: int, source: str) -> SpotHead:
    """The head in ``tensors`` (all but the backbone's, under E2E-Spot's names), on features of ``dim`` numbers.

    Raises BallspotError for a head of another system, and for one that lacks a tensor, has one too many or one of
    another shape; it names the first.
    """
    found = {key.removeprefix(HEAD): value for key, value in tensors.items() if key.startswith(HEAD)}
    if not found:
        raise BallspotError(f"{source}: lacks the head, no tensor begins with '{HEAD}'; {WHOLE}")
    section, names, name = _layout(found)
    last = next((theirs for theirs, ours in names.items() if ours == "class_layer.weight"), "")
    if last not in found:
        raise BallspotError(f"{source}: lacks the head's tensor '{HEAD}{last}'; {WHOLE}")
    n_labels = len(found[last]) - 1 if found[last].ndim else 0
    if n_labels < 1:
        shape = tuple(found[last].shape)
        raise BallspotError(f"{source}: tensor '{HEAD}{last}' is {shape}, no background and classes; {WHOLE}")
    wanted = head_shapes(section, dim=dim, n_labels=n_labels, clip_rows=1, source=source)
    missing = sorted(HEAD + key for key in names if key not in found)
    left_over = sorted(key for key in tensors if key.removeprefix(HEAD) not in names or not key.startswith(HEAD))
    require_all(missing, left_over, name, source=source)
    state = {}
    for theirs, place in names.items():
        value, shape = found[theirs], wanted[place]
        value = value.squeeze(-1) if place.startswith("class_layer.") and value.ndim > len(shape) else value
        if value.shape != shape:
            there = tuple(found[theirs].shape)
            raise BallspotError(
                f"{source}: tensor '{HEAD}{theirs}' is {there}, in {name} on {dim} features {tuple(shape)}"
            )
        state[place] = value.float()
    return SpotHead(section, state, n_labels, name)


def _layout(found: Mapping[str, Tensor]) -> tuple[HeadSection, Mapping[str, str], str]:
    """Which head it is: its section, our name of each of their tensors, and what to call it."""
    if any(key.startswith("_gru.") for key in found):
        return _gru(found)
    if any(key.startswith(("_tcn.", "_stages.")) for key in found):
        return _mstcn(found)
    if any(key.startswith("_net.") for key in found):
        return _asformer(found)
    return _section("linear", class_dropout=0.0), _with_both({"_fc_out": "class_layer"}), "a linear layer"


def _section(kind: str, **sizes: object) -> HeadSection:
    settings = {"temporal_stride": 1, "offsets": False, "width": 0, "dropout": PUBLISHED_DROPOUT, **sizes}
    return HeadSection.model_validate({"kind": kind, **settings})


def _gru(found: Mapping[str, Tensor]) -> tuple[HeadSection, Mapping[str, str], str]:
    n_layers = _n_parts(found, r"_gru\.weight_ih_l(\d+)")
    names = {
        f"_gru.{kind}_l{layer}{way}": f"trunk.gru.{kind}_l{layer}{way}"
        for layer in range(n_layers)
        for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        for way in ("", "_reverse")
    }
    name = "a GRU" if n_layers == 1 else f"a GRU of {n_layers} layers"
    section = _section("spot-gru", gru_layers=n_layers, dropout=0.0)
    return section, {**names, **_with_both({"_fc_out._fc_out": "class_layer"})}, name


def _mstcn(found: Mapping[str, Tensor]) -> tuple[HeadSection, Mapping[str, str], str]:
    has_more = any(key.startswith("_stages.") for key in found)
    n_stages = 1 + (_n_parts(found, r"_stages\.(\d+)\.") if has_more else 0)
    n_layers = _n_parts(found, r"_tcn\.layers\.(\d+)\.")
    places = ["_tcn", *(f"_stages.{stage}" for stage in range(n_stages - 1))]
    section = _section("mstcn", n_stages=n_stages, n_layers=n_layers, **_sizes(found, "_tcn", "conv_dilated"))
    return section, _staged(places, n_layers, OF_TCN), f"an MS-TCN of {n_stages} stages"


def _asformer(found: Mapping[str, Tensor]) -> tuple[HeadSection, Mapping[str, str], str]:
    n_decoders = _n_parts(found, r"_net\.decoders\.(\d+)\.")
    n_layers = _n_parts(found, r"_net\.encoder\.layers\.(\d+)\.")
    places = ["_net.encoder", *(f"_net.decoders.{decoder}" for decoder in range(n_decoders))]
    sizes = _sizes(found, "_net.encoder", "feed_forward.layer.0")
    section = _section("asformer", n_stages=n_decoders, n_layers=n_layers, **sizes)
    return section, _staged(places, n_layers, OF_ASFORMER), f"an ASFormer of {n_decoders} decoders"


def _sizes(found: Mapping[str, Tensor], stage: str, convolution: str) -> dict[str, int]:
    """Width and kernel as the first stage has them; the published ones where the tensors that say it are not there."""
    enter, first = found.get(f"{stage}.conv_1x1.weight"), found.get(f"{stage}.layers.0.{convolution}.weight")
    width = enter.shape[0] if enter is not None and enter.ndim == 3 else 64
    kernel = first.shape[-1] if first is not None and first.ndim == 3 else KERNEL
    return {"width": width, "kernel_size": kernel if kernel % 2 else KERNEL}


def _staged(places: list[str], n_layers: int, parts: Mapping[str, str]) -> dict[str, str]:
    modules: dict[str, str] = {}
    for stage, place in enumerate(places):
        is_last = stage == len(places) - 1
        modules[f"{place}.conv_1x1"] = f"trunk.from_answers.{stage - 1}" if stage else "trunk.enter"
        modules[f"{place}.conv_out"] = "class_layer" if is_last else f"trunk.answers.{stage}"
        modules |= {
            f"{place}.layers.{layer}.{part}": f"trunk.stages.{stage}.{layer}.{ours}"
            for layer in range(n_layers)
            for part, ours in parts.items()
        }
    return _with_both(modules)


def _with_both(modules: Mapping[str, str]) -> dict[str, str]:
    """Weight and bias of each module."""
    return {f"{theirs}.{leaf}": f"{ours}.{leaf}" for theirs, ours in modules.items() for leaf in ("weight", "bias")}


def _n_parts(found: Mapping[str, Tensor], pattern: str) -> int:
    """How many numbered parts there are, one at least: one more than the highest number that makes sense."""
    numbers = {int(match[1]) for key in found if (match := re.match(pattern, key)) and len(match[1]) < 4}
    return 1 + max((number for number in numbers if number < MOST_PARTS), default=0)
