"""Checkpoints of E2E-Spot (Hong et al., ECCV 2022), and of OSL, which has its network under other names.

Facts: jhong93/spot at commit edec420 (train_e2e.py, test_e2e.py, dataset/frame.py, util/eval.py, eval_soccernet*.py)
and OpenSportsLab/opensportslib at commit c5286dd (core/utils/checkpoint.py, datasets/localization_dataset.py,
metrics/localization_metric.py). E2E-Spot saves a bare state dict, `_features.*` and `_pred_fine.*`, with a config.json
beside it; OSL saves `model_state_dict` with `backbone._features.*` and `head._pred_fine.*`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ...cache.errors import BallspotError
from ...evaluate.dataset import BUILT_IN
from ...extract.backbone import recognise, unwrapped
from ..config import PredictionSection, Procedure
from .found import Found
from .spot_heads import read_head

SPOT, OSL = "E2E-Spot", "OSL"
SIZE, CLIP_ROWS, CROP = (224, 398), 100, 224
FLOOR = 0.01  # of the scores in its lists of high recall
BALL, SOCCERNET = BUILT_IN["ball-12"].labels, BUILT_IN["soccernet-v2"].labels
OSL_STRIDE = 12  # 25 frames/s at its extract_fps of 2


@dataclass(frozen=True)
class DataSet:
    """What E2E-Spot has for a data set: the rate of its pictures, the window of its evaluation's NMS, the classes."""

    fps: str
    nms_window: int
    labels: tuple[str, ...] | None


OTHER = DataSet("25", 1, None)
DATA_SETS = {
    "soccernet_ball": DataSet("25", 25, BALL),
    "soccernetv2": DataSet("2", 2, tuple(sorted(SOCCERNET))),  # its script writes the names sorted
}
BY_NUMBER = {len(BALL): "soccernet_ball", len(SOCCERNET): "soccernetv2"}


def read(state: Mapping[str, Tensor], *, source: str, settings: Mapping[str, Any]) -> Found | None:
    """What a checkpoint of E2E-Spot or OSL holds, None for another system's.

    ``settings`` is E2E-Spot's config.json, empty where it is not at hand: of it `clip_len`, `crop_dim` and `dataset`
    are used, and `num_classes` must be that of the file. Raises BallspotError for a checkpoint that lacks tensors, has
    some that have no place, or some of another shape; it names the first.
    """
    if not _is_theirs(state):
        return None
    foreign = recognise(state, source=source)
    if foreign is None or foreign.family.name not in (SPOT, OSL):
        return None
    system = foreign.family.name
    source = f"{source} ({system})"
    head = read_head(foreign.head, dim=foreign.dim, source=source)
    published = _data_set(settings, head.n_labels, source=source)
    is_osl = system == OSL
    prediction = PredictionSection(
        merge="sum", suppression="peaks-ties", nms_window=2 if is_osl else published.nms_window, score_floor=FLOOR
    )
    if is_osl:
        labels = BALL if head.n_labels == len(BALL) else None
    else:
        labels = published.labels if published.labels and len(published.labels) == head.n_labels else None
    return Found(
        system=system,
        variant=f"{foreign.backbone} and {head.name}",
        backbone=foreign.backbone,
        backbone_state=foreign.state,
        dim=foreign.dim,
        head=head.section,
        head_state=head.state,
        n_labels=head.n_labels,
        procedure=_procedure(system, published, settings, source=source),
        prediction=prediction,
        labels=labels,
    )


def _is_theirs(state: Mapping[str, Tensor]) -> bool:
    """Whether a tensor of their head or of OSL's backbone is there, and none that only another system has."""
    of_others = ("temp_enc", "_temp_fine.", "_pred_displ.", "_pred_team.", "lowres_backbone.", "highres_backbone.")
    marks = ("_pred_fine.", "backbone._features.", "head._pred_fine.")
    names = [unwrapped(key) for key in state]
    return any(name.startswith(marks) for name in names) and not any(name.startswith(of_others) for name in names)


def _data_set(settings: Mapping[str, Any], n_labels: int, *, source: str) -> DataSet:
    """The data set that the settings name, else the one with so many classes; BallspotError for settings of others."""
    said = settings.get("num_classes", n_labels)
    if said != n_labels:
        raise BallspotError(
            f"{source}: its head tells {n_labels} classes apart, its settings say num_classes {said!r}; give the "
            "config.json of exactly this checkpoint"
        )
    if settings.get("modality", "rgb") != "rgb":
        raise BallspotError(f"{source}: reads {settings['modality']!r} pictures; only those of colour are read here")
    return DATA_SETS.get(settings.get("dataset", BY_NUMBER.get(n_labels, "")), OTHER)


def _procedure(system: str, published: DataSet, settings: Mapping[str, Any], *, source: str) -> Procedure:
    clip_rows = settings.get("clip_len", CLIP_ROWS)
    crop = settings.get("crop_dim", CROP if system == SPOT else None)
    if type(clip_rows) is not int or not 2 <= clip_rows <= 2**20:
        raise BallspotError(f"{source}: its settings say clip_len {clip_rows!r}; give --clip-rows, 2 or more")
    if crop is not None and (type(crop) is not int or crop > min(SIZE)):
        raise BallspotError(f"{source}: its settings say crop_dim {crop!r}, of pictures {SIZE[0]} high; give --crop")
    is_osl = system == OSL
    return Procedure(
        system=system,
        size=SIZE,
        crop=(crop, crop) if crop is not None and crop > 0 else None,
        fps="25" if is_osl else published.fps,
        stride=OSL_STRIDE if is_osl else 1,
        clip_rows=clip_rows,
        overlap_rows=clip_rows // 2,
        first_row=max(-5, 1 - clip_rows),
        padding="mean",
        first_clip="unpadded" if is_osl else "padded",
    )
