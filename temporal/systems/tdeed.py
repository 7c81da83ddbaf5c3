"""Checkpoints of T-DEED, and of SoccerNet's 2025 kit, which is T-DEED with a team for every event.

Sources: Xarles et al. 2024; arturxe2/T-DEED at commit ec1ad55 (model/model.py, model/modules.py, train_tdeed.py,
util/eval.py) and SoccerNet/sn-teamspotting at commit 091fed2. The file is a bare state dict: `temp_enc`, `_features.*`,
`_temp_fine.*`, `_pred_fine.*` and, where there are such, `_pred_displ.*` and `_pred_team.*`, which alone tells the kit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...cache.errors import BallspotError
from ...evaluate.dataset import BUILT_IN
from ...extract.backbone import recognise
from ..config import HeadSection, PredictionSection, Procedure
from .found import WHOLE, Found, head_shapes, require_all

SYSTEM, KIT = "T-DEED", "2025 kit"
MARKS = ("_temp_fine._sgp", "_pred_displ.", "_pred_team.")
SECOND_HEAD = "_pred_fine._fc2."
# Their modules, and where they stand in a layer of ours.
FEEDFORWARD = {"gn": "feedforward.layers.0", "mlp.0": "feedforward.layers.1", "mlp.2": "feedforward.layers.3"}
BRANCHES = {"fc": "instant", "global_fc": "clip_gate", "convw": "short", "convkw": "long", "psi": "window_gate"}
LAYER = {"ln": "norm", **FEEDFORWARD, **{theirs: f"branches.{ours}" for theirs, ours in BRANCHES.items()}}
MIXER = {
    "ln1": "norm_fine",
    "ln2": "norm_coarse",
    "concat_fc": "join",
    **FEEDFORWARD,
    **{f"{theirs}1": f"fine.{ours}" for theirs, ours in BRANCHES.items()},
    **{f"{theirs}2": f"coarse.{ours}" for theirs, ours in BRANCHES.items()},
}
NORMS = (".ln.", ".ln1.", ".ln2.")  # theirs are (1, D, 1)
# Theirs joins window fine, window coarse, instant fine, instant coarse, fine, coarse; ours has both branches of the
# finer side, both of the coarser one, and the two sides.
JOINED = (2, 0, 3, 1, 4, 5)


@dataclass(frozen=True)
class Published:
    """The settings that T-DEED has for a data set: height and width, stride, share of overlap, window of soft-NMS."""

    size: tuple[int, int]
    stride: int
    overlap_quarters: int
    nms_window: int
    labels: tuple[str, ...] | None


BALL = Published((448, 796), 2, 3, 12, BUILT_IN["ball-12"].labels)
SOCCERNET = Published((224, 398), 12, 2, 6, BUILT_IN["soccernet-v2"].labels)
OTHER = Published((224, 398), 1, 3, 3, None)
DATASETS = {"soccernetball": BALL, "soccernet": SOCCERNET}


def read(state: Mapping[str, Tensor], *, source: str, settings: Mapping[str, Any]) -> Found | None:
    """What a checkpoint of T-DEED or of the 2025 kit holds, None for another system's.

    ``settings`` is the system's own JSON (config/DATASET/MODEL.json), empty where it is not at hand: of it `dataset`
    and `crop_dim` are used, and `clip_len` must be that of the file. Raises BallspotError for a checkpoint that lacks
    tensors, has some that have no place, or some of another shape; it names the first.
    """
    if not _is_ours(state):
        return None
    system = KIT if any(key.startswith("_pred_team.") for key in state) else SYSTEM
    source = f"{source} ({system})"
    foreign = recognise(state, source=source)
    if foreign is None:
        raise BallspotError(f"{source}: lacks the backbone's tensors '_features.*'; {WHOLE}")
    table = _table(state)
    known = ("_features.", SECOND_HEAD)
    left_over = [key for key in state if key not in table and not key.startswith(known)]
    require_all([key for key in table if key not in state], left_over, "its head", source=source)
    section, n_labels = _section(state, table, source=source)
    clip_rows, dim = state["temp_enc"].shape
    head_state = _converted(state, table, section, n_labels=n_labels, source=source)
    second = [key for key in state if key.startswith(SECOND_HEAD)]
    published = _published(system, n_labels, settings)
    long_window = state["_temp_fine._sgp.0.convkw.weight"].shape[-1]
    left_out = [
        f"a second head of {state[key].shape[0] - 1} classes, of a training on two data sets: it has no say"
        for key in second
        if key.endswith("bias")
    ]
    if published is OTHER:
        left_out.append("T-DEED also adds the mirrored pictures' scores on data sets other than SoccerNet's; not here")
    return Found(
        system=system,
        variant=f"{foreign.backbone}, an SGP-Mixer of {section.unet_levels} levels, windows of {section.unet_kernel} "
        f"and {long_window}, {'displacements' if section.offsets else 'no displacement'}",
        backbone=foreign.backbone,
        backbone_state=foreign.state,
        dim=dim,
        head=section,
        head_state=head_state,
        n_labels=n_labels,
        procedure=_procedure(system, published, clip_rows, settings, source=source),
        prediction=PredictionSection(
            merge="maximum",
            team_scores="apart" if system == KIT else "shared",
            suppression="soft",
            nms_window=published.nms_window,
            score_floor=0.01,
        ),
        labels=published.labels if published.labels and len(published.labels) == n_labels else None,
        clip_rows=clip_rows,
        left_out=tuple(left_out),
    )


def _is_ours(state: Mapping[str, Tensor]) -> bool:
    of_adaspot = any(key.startswith(("lowres_backbone.", "highres_backbone.")) for key in state)
    return not of_adaspot and ("temp_enc" in state or any(key.startswith(MARKS) for key in state))


def _table(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Their name of every tensor of the head, and ours; as many levels as the names reach."""
    n_levels = max(_highest(state, "_temp_fine._sgpMixer.") + 1, (_highest(state, "_temp_fine._sgp.") + 1) // 2)
    modules: dict[str, str] = {}
    for index in range(2 * n_levels + 1):
        past = index - n_levels
        ours = f"down.{index}" if past < 0 else f"after.{past - 1}" if past else "bottom"
        modules |= {f"_temp_fine._sgp.{index}.{part}": f"trunk.{ours}.{place}" for part, place in LAYER.items()}
    for index in range(n_levels):  # the mixer of the coarsest level comes first with us
        ours = f"up.{n_levels - 1 - index}"
        modules |= {f"_temp_fine._sgpMixer.{index}.{part}": f"trunk.{ours}.{place}" for part, place in MIXER.items()}
    is_double = any(key.startswith(("_pred_fine._fc1.", SECOND_HEAD)) for key in state)
    modules["_pred_fine._fc1._fc_out" if is_double else "_pred_fine._fc_out"] = "class_layer"
    for mark, layer in (("_pred_displ.", "offset_layer"), ("_pred_team.", "team_layer")):
        if any(key.startswith(mark) for key in state):
            modules[f"{mark}_fc_out"] = layer
    both = {f"{theirs}.{what}": f"{ours}.{what}" for theirs, ours in modules.items() for what in ("weight", "bias")}
    return {"temp_enc": "trunk.positions", **both}


def _highest(state: Mapping[str, Tensor], prefix: str) -> int:
    """The highest number that follows ``prefix``, -1 for none; beyond the count of tensors is none of theirs."""
    words = (key.removeprefix(prefix).partition(".")[0] for key in state if key.startswith(prefix))
    numbers = (int(word) for word in words if word.isdecimal() and len(word) < 6)
    return max((number for number in numbers if number < len(state)), default=-1)


def _section(state: Mapping[str, Tensor], table: Mapping[str, str], *, source: str) -> tuple[HeadSection, int]:
    """The head that the shapes of the tensors say, and how many classes it tells apart."""
    first, is_double = "_temp_fine._sgp.0", "_pred_fine._fc1._fc_out.weight" in table
    classes = "_pred_fine._fc1._fc_out.weight" if is_double else "_pred_fine._fc_out.weight"
    kernels = {}
    for part, n_dims in {"psi": 3, "convkw": 3}.items():
        kernels[part] = _sizes(state, f"{first}.{part}.weight", n_dims, source=source)[-1]
        if kernels[part] % 2 == 0:
            raise BallspotError(f"{source}: tensor '{first}.{part}.weight' has an even window of {kernels[part]}")
    n_rows, dim = _sizes(state, "temp_enc", 2, source=source)
    n_labels = _sizes(state, classes, 2, source=source)[0] - 1
    if n_labels < 1 or not n_rows or not dim or dim % 16:
        raise BallspotError(
            f"{source}: {n_rows} positions of {dim} numbers and {n_labels} classes; its layers have 16 groups, so this "
            "is not a checkpoint of it"
        )
    return HeadSection(
        kind="sgp-mixer",
        temporal_stride=1,
        offsets="_pred_displ._fc_out.weight" in table,
        teams="head" if "_pred_team._fc_out.weight" in table else "none",
        width=0,
        dropout=0.0,
        unet_levels=sum(key.endswith(".concat_fc.weight") for key in table),
        unet_kernel=kernels["psi"],
        unet_factor=factor_of(kernels["psi"], kernels["convkw"]),
    ), n_labels


def _sizes(state: Mapping[str, Tensor], key: str, n_dims: int, *, source: str) -> tuple[int, ...]:
    if state[key].ndim != n_dims:
        raise BallspotError(f"{source}: tensor '{key}' is {tuple(state[key].shape)}, not of {n_dims} dimensions")
    return tuple(state[key].shape)


def factor_of(window: int, long_window: int) -> float:
    """The factor (sgp_r) that makes ``long_window`` of ``window``, both odd: a whole one where there is such.

    T-DEED's long window is round((window + 1) * factor), one more where that is even: 9 and 41 have factor 4.
    """
    for length in (long_window - 1, long_window):
        factor, rest = divmod(length, window + 1)
        if factor and not rest:
            return factor
    return long_window / (window + 1)


def _converted(
    state: Mapping[str, Tensor], table: Mapping[str, str], section: HeadSection, *, n_labels: int, source: str
) -> dict[str, Tensor]:
    """The tensors of the `SpottingHead`. BallspotError for the first whose shape is another."""
    clip_rows, dim = state["temp_enc"].shape
    wanted = head_shapes(section, dim=dim, n_labels=n_labels, clip_rows=clip_rows, source=source)
    converted = {}
    for theirs, ours in table.items():
        value, shape = state[theirs], tuple(wanted[ours])
        their_shape = (1, *shape, 1) if any(norm in theirs for norm in NORMS) else shape
        if tuple(value.shape) != their_shape:
            raise BallspotError(f"{source}: tensor '{theirs}' is {tuple(value.shape)}, not {their_shape}")
        value = value.float().reshape(shape)
        if theirs.endswith("concat_fc.weight"):
            value = torch.cat([value.split(dim, dim=1)[place] for place in JOINED], dim=1)
        converted[ours] = -value if ours.startswith("offset_layer.") else value  # theirs is subtracted
    return converted


def _published(system: str, n_labels: int, settings: Mapping[str, Any]) -> Published:
    """The settings of the data set that the system's own file names, else of that which has so many classes."""
    named = DATASETS.get(str(settings.get("dataset")))
    if named is not None:
        return named
    if system == KIT or n_labels == 12:
        return BALL
    return SOCCERNET if n_labels == 17 else OTHER


def _procedure(
    system: str, published: Published, clip_rows: int, settings: Mapping[str, Any], *, source: str
) -> Procedure:
    said = settings.get("clip_len", clip_rows)
    if said != clip_rows:
        raise BallspotError(
            f"{source}: has positions of clips of {clip_rows} rows, its settings say clip_len {said!r}; give the "
            "settings of this checkpoint, or none"
        )
    side = settings.get("crop_dim")
    crop = (side, side) if isinstance(side, int) and side > 0 else None
    if crop is not None and max(crop) > min(published.size):
        raise BallspotError(
            f"{source}: its settings say crop_dim {side}, which is more than the {published.size[0]} lines of its "
            "pictures; correct them, or give none"
        )
    return Procedure(
        system=system,
        size=published.size,
        crop=crop,
        stride=published.stride,
        clip_rows=clip_rows,
        overlap_rows=clip_rows // 4 * 3 if published.overlap_quarters == 3 else clip_rows // 2,
        first_row=max(-5, 1 - clip_rows),
        padding="black",
        placing="maximum",
        count="placed",
    )
