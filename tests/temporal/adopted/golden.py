"""Golden cases of whole foreign checkpoints: where they lie, and a network made of one as `adopt` and `predict` do."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ballspot.extract.backbone.load import load_backbone
from ballspot.extract.backbone.spec import BackboneSpec
from ballspot.extract.backbone.temporal_shift import parse_backbone
from ballspot.temporal.adopted import ClipNetwork
from ballspot.temporal.adopted.network import BackboneFeatures
from ballspot.temporal.heads.head import build_head
from ballspot.temporal.systems import Found, recognise_whole

GOLDEN = Path(__file__).parents[4] / "shared" / "golden2"  # beside the repository; its README says how it was made
CPU = torch.device("cpu")


def golden(case: str, name: str) -> np.ndarray:
    """An array of a case; the test is skipped where the cases are not at hand."""
    return np.load(folder_of(case) / name)


def folder_of(case: str) -> Path:
    """The folder of a case; the test is skipped where it is not at hand."""
    if not (GOLDEN / case / "checkpoint.pt").is_file():
        pytest.skip(f"../shared/golden2/{case} is not here")
    return GOLDEN / case


def golden_spots(case: str) -> Any:
    """What spots.json of a case says."""
    return json.loads((folder_of(case) / "spots.json").read_text(encoding="utf-8"))


def whole_network(path: Path, **changes: object) -> tuple[Found, ClipNetwork]:
    """What a checkpoint holds, and its network by the published procedure with ``changes``."""
    found = recognise_whole(path)
    procedure = found.procedure.model_copy(update=changes)
    backbone = load_backbone(BackboneSpec(parse_backbone(found.backbone)[0], str(path), procedure.seen), CPU)
    head = build_head(
        found.head, dims=(found.dim,), n_labels=found.n_labels, clip_frames=found.clip_rows or procedure.clip_rows
    )
    head.load_state_dict(dict(found.head_state))
    return found, ClipNetwork(BackboneFeatures(backbone, CPU), head.eval(), procedure, CPU)
