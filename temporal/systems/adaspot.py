"""Checkpoints of AdaSpot: two backbones, the second on a box that is chosen in every frame, and a GRU.

Facts: arturxe2/AdaSpot at commit 6a46bbc (main.py, model/model.py, model/modules.py, dataset/frame.py, util/eval.py and
config/SoccerNetBall). It saves a bare state dict; what the tensors cannot say (sizes of the pictures and of the box,
the convolutions' padding, the threshold) stands in its configuration.
"""

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from ...cache.disk import first_problem
from ...cache.errors import BallspotError
from ...evaluate.dataset import BUILT_IN
from ...extract.backbone import TWO_LOOKS
from ...extract.regions import FEWEST_FRAMES, PADDINGS, fit, region_part
from ..bundle import region_settings
from ..config import HeadSection, PredictionSection, Procedure, RegionLooks
from .found import Found, require_all

SYSTEM = "AdaSpot"
SIZE = (448, 796)
GRU, OUT, PLACES = "_temp_fine.", "_pred_fine._fc_out.", "temp_enc"
SIDES = ("highres", "lowres")
AUXILIARY = tuple(f"{part}_{side}." for part in ("_temp_fine", "_pred_fine", "_pred_displ") for side in SIDES)
BALL_12 = BUILT_IN["ball-12"].labels
BY_NUMBER = {10: BALL_12[:10], 12: BALL_12}  # its 10 are the 12 without FREE KICK and GOAL, in their order
BALL = "soccernetball"
# Of data sets: frames from row to row, and the window of its soft-NMS in rows.
BALL_STRIDE, BALL_WINDOW, OTHER_STRIDE, OTHER_WINDOW = 2, 12, 1, 2


def read(state: Mapping[str, Tensor], *, source: str, settings: Mapping[str, Any]) -> Found | None:
    """What a checkpoint of AdaSpot holds, None for another system's.

    ``settings`` is the system's own JSON, as published or without its parts, empty where it is not at hand: sizes,
    padding, threshold and dataset are used, and clip_len and num_classes must be those of the file. Raises
    BallspotError for a checkpoint that lacks tensors, has some that have no place, or some of another shape; it names
    the first.
    """
    part = region_part(state, source=source)
    if part is None:
        return None
    named, settings = f"{source} ({SYSTEM}, {part.backbone})", _flat(settings)
    head_state, n_labels = _head(state, part.rest, part.dim, source=named)
    clip_rows = len(head_state["trunk.positions"])
    for key, held in (("clip_len", clip_rows), ("num_classes", n_labels)):
        if settings.get(key, held) != held:
            raise BallspotError(
                f"{named}: has {key} {held}, its settings say {settings[key]}; give the settings of this training"
            )
    procedure = _procedure(settings, clip_rows, n_labels, source=named)
    backbone = part.backbone + TWO_LOOKS
    try:
        region_settings(procedure, backbone)
    except BallspotError as error:  # sizes of its config.json that do not go together
        raise BallspotError(f"{named}: {error}") from error
    auxiliary = [key for key in part.rest if key.startswith(AUXILIARY)]
    is_ball = _is_ball(settings, n_labels)
    return Found(
        system=SYSTEM,
        variant=f"two {part.backbone}, the second on a box of each frame, and a GRU",
        backbone=backbone,
        backbone_state={},
        network_state=part.state,
        dim=part.dim,
        head=HeadSection(kind="adaspot", temporal_stride=1, offsets=False, width=0),
        head_state=head_state,
        n_labels=n_labels,
        clip_rows=clip_rows,
        labels=BY_NUMBER.get(n_labels) if is_ball else None,
        procedure=procedure,
        prediction=PredictionSection(
            merge="sum", suppression="soft", nms_window=BALL_WINDOW if is_ball else OTHER_WINDOW, score_floor=0.01
        ),
        left_out=(f"{len(auxiliary)} tensors of the heads that supervise each look alone: they have no say",)
        if auxiliary
        else (),
    )


def _head(
    state: Mapping[str, Tensor], rest: tuple[str, ...], dim: int, *, source: str
) -> tuple[dict[str, Tensor], int]:
    """The tensors of the head under our names, and the number of its classes."""
    if PLACES not in state or state[PLACES].ndim != 2:
        raise BallspotError(f"{source}: lacks the tensor {PLACES!r} (clip, {dim}); give a whole checkpoint")
    n_places = len(state[PLACES])
    if n_places < FEWEST_FRAMES:
        raise BallspotError(f"{source}: is for clips of {n_places} rows; a box is chosen in {FEWEST_FRAMES} or more")
    bias = state.get(f"{OUT}bias")
    if bias is None or bias.ndim != 1 or len(bias) < 2:
        raise BallspotError(
            f"{source}: lacks the tensor '{OUT}bias' of two classes or more; a checkpoint with several outputs (F3Set) "
            "cannot be read"
        )
    shapes = {PLACES: (n_places, dim), f"{OUT}weight": (len(bias), 2 * dim), f"{OUT}bias": (len(bias),)}
    for end in ("", "_reverse"):
        for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
            shapes[f"{GRU}{name}_l0{end}"] = (3 * dim, dim) if name.startswith("weight") else (3 * dim,)
    for key, shape in shapes.items():
        fit(state, key, torch.Size(shape), source=source)
    left_over = [key for key in rest if key not in shapes and not key.startswith(AUXILIARY)]
    require_all([], left_over, "it", source=source)
    ours = {PLACES: "trunk.positions", f"{OUT}weight": "class_layer.weight", f"{OUT}bias": "class_layer.bias"}
    named = {key: ours.get(key, key.replace(GRU, "trunk.gru.")) for key in shapes}
    return {name: state[key].float() for key, name in named.items()}, len(bias) - 1


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings without the parts that AdaSpot's files have, `data` and `model`."""
    parts = [settings[name] for name in ("data", "model") if isinstance(settings.get(name), Mapping)]
    return {name: value for part in (settings, *parts) for name, value in part.items()}


def _is_ball(settings: Mapping[str, Any], n_labels: int) -> bool:
    return settings.get("dataset", BALL if n_labels in BY_NUMBER else "") == BALL


def _procedure(settings: Mapping[str, Any], clip_rows: int, n_labels: int, *, source: str) -> Procedure:
    """The published procedure, with what the system's settings say in its place."""
    high, low = settings.get("hr_dim", SIZE), settings.get("lr_dim", RegionLooks().low)
    looks = {
        "low": low,
        "low_crop": None if settings.get("lr_crop", low) == low else settings["lr_crop"],
        "high_crop": None if settings.get("hr_crop", high) == high else settings["hr_crop"],
        "region": settings.get("roi_size", RegionLooks().region),
        "threshold": settings.get("threshold", 0.0),
    }
    if "padding" in settings:
        looks["conv_padding"] = settings["padding"] if settings["padding"] in PADDINGS else "zeros"
    values = {
        "system": SYSTEM,
        "network": "adaspot",
        "regions": looks,
        "size": high,
        "stride": BALL_STRIDE if _is_ball(settings, n_labels) else OTHER_STRIDE,
        "clip_rows": clip_rows,
        "overlap_rows": clip_rows // 2,
        "first_row": max(-5, 1 - clip_rows),
        "padding": "black",
        "count": "placed",
    }
    try:
        return Procedure.model_validate(values)
    except ValidationError as error:
        place, problem = first_problem(error)
        raise BallspotError(f"{source}: its settings' {place}: {problem}; correct or remove its config.json") from error
